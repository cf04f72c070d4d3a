// gather_patches: frames cut into patches, one row each; the patch embedding is then a matmul.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstring>

namespace zeroi2v {

/// Row t*P + (row of patches)*(W/p) + column of `rows` holds that patch of frame t in the order of a convolution's weight:
/// channel, then line, then pixel.
///
/// Shapes  frames (T,3,S1,S2), any number of channels; rows (T*P, 3*p*p) with P = S1/p * S2/p.     Numerics  exact copies.
/// Errors  sizes that are no multiple of the patch, extents mismatch -> ZEROI2V_REQUIRE.
/// Test    tests/unit/ops/patch_embed.cpp
inline void gather_patches(executor& workers, view<float const, 4> frames, std::size_t patch, matrix_view<float> rows) {
    std::size_t const channels = frames.extent(1);
    std::size_t const height = frames.extent(2);
    std::size_t const width = frames.extent(3);
    ZEROI2V_REQUIRE(patch > 0 && height % patch == 0 && width % patch == 0,
                    "zeroi2v::gather_patches: the frame must be a multiple of the patch");
    std::size_t const across = width / patch;
    std::size_t const lines = frames.extent(0) * (height / patch); // of patches, over all frames
    ZEROI2V_REQUIRE(rows.same_shape(lines * across, channels * patch * patch),
                    "zeroi2v::gather_patches: rows must be one per patch and as long as a patch");
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const range = partition(lines, parts, static_cast<std::size_t>(part));
        for (std::size_t line = range.begin; line < range.end; ++line) {
            std::size_t const frame = line / (height / patch);
            std::size_t const top = line % (height / patch) * patch;
            for (std::size_t column = 0; column < across; ++column) {
                float* out = rows.row(line * across + column);
                for (std::size_t channel = 0; channel < channels; ++channel)
                    for (std::size_t y = 0; y < patch; ++y, out += patch)
                        std::memcpy(out, frames.data() + ((frame * channels + channel) * height + top + y) * width + column * patch,
                                    patch * sizeof(float));
            }
        }
    });
}

} // namespace zeroi2v
