// image_model: a small image transformer to train from nothing.
#pragma once

#include <cstdint>
#include <filesystem>

namespace moving_shapes {

/// Writes an untrained image model for stills of clip_side: 4 layers, 8 heads, width 64, patches of 8.
///
/// Linear weights N(0, 1/inputs), embeddings N(0, 1/4). `zeroi2v init` draws N(0, 0.02^2), which suits the width of a
/// CLIP; at a width of 64 little would come through, and learning where a shape is would take four times as long.
void write_image_model(std::filesystem::path const& target, std::uint64_t seed);

} // namespace moving_shapes
