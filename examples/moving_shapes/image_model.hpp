// image_model: a small image transformer to train from nothing.
#pragma once

#include <cstdint>
#include <filesystem>

namespace moving_shapes {

/// Writes an untrained image model for stills of clip_side: 4 layers, 8 heads, width 64, patches of 8.
///
/// Linear weights have the deviation 1/sqrt(inputs), embeddings 1/2. `zeroi2v init` draws 0.02, which suits the width of a CLIP; at a
/// width of 64 so little comes through that learning where a shape is takes far longer.
void write_image_model(std::filesystem::path const& target, std::uint64_t seed);

} // namespace moving_shapes
