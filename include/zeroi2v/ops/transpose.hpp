// transpose: a matrix on its side, in blocks that stay in the cache.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>

namespace zeroi2v {

namespace detail {

/// to (columns, rows of `from`): `to` aligned to 16 bytes, its stride a multiple of 4.
inline void transpose_block(float const* from, std::size_t stride, std::size_t rows, std::size_t columns, float* to, std::size_t to_stride) noexcept {
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        std::size_t c = 0;
        for (; c + 4 <= columns; c += 4) transpose_4x4(from + r * stride + c, stride, to + c * to_stride + r, to_stride);
        for (; c < columns; ++c)
            for (std::size_t i = 0; i < 4; ++i) to[c * to_stride + r + i] = from[(r + i) * stride + c];
    }
    for (; r < rows; ++r)
        for (std::size_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * stride + c];
}

} // namespace detail

/// to[c][r] = from[r][c].
///
/// Shapes  from (M,N), to (N,M); `to` aligned to 16 bytes, its stride a multiple of 4.   Numerics  exact copies.
/// Errors  extents mismatch, alignment -> ZEROI2V_REQUIRE.    Test  tests/unit/ops/float_panels.cpp
inline void transpose(executor& workers, matrix_view<float const> from, matrix_view<float> to) {
    ZEROI2V_REQUIRE(to.same_shape(from.columns, from.rows), "zeroi2v::transpose: to must be columns by rows of from");
    ZEROI2V_REQUIRE(to.stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(to.data) % 16 == 0,
                    "zeroi2v::transpose: to must be aligned to 16 bytes, its stride a multiple of 4");
    constexpr std::size_t block = 32;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = partition(from.rows, parts, static_cast<std::size_t>(part), block);
        for (std::size_t r = rows.begin; r < rows.end; r += block)
            for (std::size_t c = 0; c < from.columns; c += block)
                detail::transpose_block(from.row(r) + c, from.stride, rows.end - r < block ? rows.end - r : block,
                                        from.columns - c < block ? from.columns - c : block, to.row(c) + r, to.stride);
    });
}

} // namespace zeroi2v
