// float_panels: the second operand of a matmul, packed where it stands for one product only: an activation, not a weight.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace zeroi2v {

/// Floats that the panels of `channels` channels and `k` products take for a kernel of float products.
[[nodiscard]] inline std::size_t float_panel_floats(matmul_kernel const& kernel, std::size_t channels, std::size_t k) noexcept {
    std::size_t const width = kernel.panel_width;
    return (channels + width - 1) / width * width * k;
}

namespace detail {

/// Panels [first, last) of the channels that are columns of `from` (k, channels), times scale.
inline void pack_columns(matmul_kernel const& kernel, matrix_view<float const> from, float scale, float* panels, index_range of) noexcept {
    std::size_t const width = kernel.panel_width;
    for (std::size_t panel = of.begin; panel < of.end; ++panel) {
        std::size_t const first = panel * width;
        std::size_t const here = std::min(width, from.columns - first);
        float* out = panels + panel * width * from.rows;
        for (std::size_t k = 0; k < from.rows; ++k, out += width) {
            float const* const row = from.row(k) + first;
            if (scale == 1) std::memcpy(out, row, here * sizeof(float));
            else
                for (std::size_t i = 0; i < here; ++i) out[i] = row[i] * scale;
            for (std::size_t i = here; i < width; ++i) out[i] = 0;
        }
    }
}

/// All panels of the channels that are rows of `from` (channels, k), times scale; `panels` aligned to 16 bytes.
inline void pack_rows(matmul_kernel const& kernel, matrix_view<float const> from, float scale, float* panels) noexcept {
    std::size_t const width = kernel.panel_width;
    for (std::size_t first = 0; first < from.rows; first += width) {
        std::size_t const here = std::min(width, from.rows - first);
        float* const out = panels + first * from.columns;
        transpose_block(from.row(first), from.stride, here, from.columns, out, width);
        for (std::size_t i = here; i < width; ++i)
            for (std::size_t k = 0; k < from.columns; ++k) out[k * width + i] = 0;
        if (scale != 1)
            for (std::size_t i = 0; i < width * from.columns; ++i) out[i] *= scale;
    }
}

/// C = A B^T (+ residual), B's panels of all its channels, on this thread.
inline void multiply_panels(matmul_kernel const& kernel, matrix_view<float const> a, float const* panels, matrix_view<float const> residual,
                            matrix_view<float> c) noexcept {
    matmul_args call{};
    call.a = a.data;
    call.lda = a.stride;
    call.panels = panels;
    call.residual = residual.data;
    call.ld_residual = residual.stride;
    call.c = c.data;
    call.ldc = c.stride;
    call.m = a.rows;
    call.n = c.columns;
    call.k = a.columns;
    kernel.run(call);
}

} // namespace detail

/// C = A B, both operands activations.
///
/// Shapes    a (M,K), b (K,N), c (M,N).   Aliasing  c shares nothing with a and b.
/// Numerics  as matmul in f32: the same bits for every executor.
/// Errors    extents mismatch -> ZEROI2V_REQUIRE.   Cost  2 M N K flops and one copy of b; no allocation.
///           panels: float_panel_floats(kernels.f32, N, K), aligned to 64.     Test  tests/unit/ops/float_panels.cpp
inline void matmul(kernel_table const& kernels, executor& workers, matrix_view<float const> a, matrix_view<float const> b,
                   matrix_view<float> c, float* panels) {
    ZEROI2V_REQUIRE(a.columns == b.rows && c.same_shape(a.rows, b.columns), "zeroi2v::matmul: a (M,K), b (K,N), c (M,N)");
    if (c.empty()) return;
    std::size_t const width = kernels.f32.panel_width;
    std::size_t const count = (b.columns + width - 1) / width;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    auto const share = [&](std::size_t whole, int part, std::size_t multiple) { return partition(whole, parts, static_cast<std::size_t>(part), multiple); };
    workers.run(static_cast<int>(parts), [&](int part) { detail::pack_columns(kernels.f32, b, 1.0F, panels, share(count, part, 1)); });
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = share(a.rows, part, kernels.f32.row_tile);
        if (!rows.empty())
            detail::multiply_panels(kernels.f32, {a.row(rows.begin), rows.size(), a.columns, a.stride}, panels, {},
                                    {c.row(rows.begin), rows.size(), c.columns, c.stride});
    });
}

} // namespace zeroi2v
