// attention on a device: what both kernels are told, and how their work is cut into blocks.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/cuda/fragments.hpp>
#include <zeroi2v/cuda/frame_offsets.hpp>

#include <cstddef>

namespace zeroi2v::cuda_kernels {

/// Rows of tokens, as zeroi2v::token_rows: element d of head h of token n of frame t is data[t*frame + n*token + h*head + d].
template <class T>
struct device_rows {
    T* data{};
    std::size_t frame_stride{}, token_stride{}, head_stride{};

    [[nodiscard]] ZEROI2V_ON_BOTH constexpr T* at(int frame, int head) const noexcept {
        return data + static_cast<std::size_t>(frame) * frame_stride + static_cast<std::size_t>(head) * head_stride;
    }
};

/// Attention over V clips of T frames each: `frames` is V T, `clip_frames` T.
template <element E, offset_source Source>
struct attention_arguments {
    device_rows<E const> q, k, v;
    device_rows<E> y;
    int frames{}, clip_frames{}, queries{}, keys{}, heads{}, dim{};
    float scale{}; ///< 1 / sqrt(dim)
    Source source;
};

/// What one block works on: `rows` queries from `first_query` on of one head of one frame, and where it reads keys and values.
struct attention_unit {
    int frame{}, head{}, first_query{}, source{};
};

/// Blocks are numbered tile by tile of queries, then head by head, then frame by frame: neighbours share keys and values.
template <class Arguments>
[[nodiscard]] ZEROI2V_ON_BOTH constexpr attention_unit attention_unit_of(unsigned block, int rows, Arguments const& a) noexcept {
    auto const tiles = static_cast<unsigned>((a.queries + rows - 1) / rows);
    auto const heads = static_cast<unsigned>(a.heads);
    auto const frame = static_cast<int>(block / tiles / heads);
    auto const head = static_cast<int>(block / tiles % heads);
    int const t = frame % a.clip_frames;
    return {frame, head, static_cast<int>(block % tiles) * rows, frame - t + a.source.source(head, t, a.clip_frames)};
}

/// Warps of a block of the mma kernel, 16 queries each, for `queries` queries per frame: of 4 to 8 the number that leaves the fewest
/// warps idle, the largest of equals, since keys and values are then read by fewer blocks.
[[nodiscard]] ZEROI2V_ON_BOTH constexpr int attention_warps(int queries) noexcept {
    int const needed = (queries + 15) / 16;
    int best = 4;
    auto const idle = [needed](int warps) { return (needed + warps - 1) / warps * warps - needed; };
    for (int warps = 5; warps <= 8; ++warps)
        if (idle(warps) <= idle(best)) best = warps;
    return needed <= 4 ? 4 : best;
}
static_assert(attention_warps(197) == 7, "ViT-B/16: 13 of 14 warps work, keys and values are read twice");
static_assert(attention_warps(128) == 8, "of equals the largest");
static_assert(attention_warps(257) == 6, "ViT-L/14: 17 of 18 warps work, keys and values are read three times");

} // namespace zeroi2v::cuda_kernels
