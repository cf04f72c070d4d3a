// The gradients of a Linear's weight and bias, and of a layer norm's parameters: sums over rows.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace zeroi2v {

/// Floats of scratch that weight_gradient takes for `rows` rows and a weight (out,in).
[[nodiscard]] inline std::size_t weight_gradient_scratch(kernel_table const& kernels, std::size_t rows, std::size_t out, std::size_t in) noexcept {
    std::size_t const narrow = std::min(out, in), wide = std::max(out, in);
    std::size_t const on_its_side = (rows + 15) / 16 * 16 * narrow;
    std::size_t const product = out > in ? (out + 15) / 16 * 16 * in : 0;
    return on_its_side + product + float_panel_floats(kernels, wide, rows);
}

/// dw[o,i] = scale * sum over rows r of dy[r,o] x[r,i].
///
/// Shapes    dy (rows,out), x (rows,in) at any stride, dw (out,in).
/// Numerics  the product on the f32 matmul kernel: blocks of 256 rows, each in order; the same bits for every executor.
/// Errors    extents mismatch -> ZEROI2V_REQUIRE.   Cost  2 rows out in flops; the narrower operand is laid on its side.
///           scratch: weight_gradient_scratch floats, aligned to 64.     Test  tests/unit/train/parts.cpp
inline void weight_gradient(kernel_table const& kernels, executor& workers, matrix_view<float const> dy, matrix_view<float const> x, float scale,
                            float* dw, float* scratch) {
    ZEROI2V_REQUIRE(dy.rows == x.rows, "zeroi2v::weight_gradient: dy and x must have the same rows");
    std::size_t const out = dy.columns, in = x.columns, stride = (dy.rows + 15) / 16 * 16;
    bool const turned = out > in; // dw^T = x^T dy, then on its side
    matrix_view<float const> const narrow = turned ? x : dy, wide = turned ? dy : x;
    matrix_view<float> const side{scratch, narrow.columns, dy.rows, stride};
    float* next = scratch + stride * narrow.columns;
    transpose(workers, narrow, side);
    matrix_view<float> product{dw, out, in};
    if (turned) {
        std::size_t const product_stride = (out + 15) / 16 * 16;
        product = {next, in, out, product_stride};
        next += product_stride * in;
    }
    matmul(kernels, workers, side, wide, product, next);
    if (!turned && scale == 1) return;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = partition(out, parts, static_cast<std::size_t>(part), 16);
        for (std::size_t o = rows.begin; o < rows.end; ++o)
            for (std::size_t i = 0; i < in; ++i) dw[o * in + i] = scale * (turned ? product.data[i * product.stride + o] : dw[o * in + i]);
    });
}

namespace detail {

/// add(row, first column, number of columns, sums) for every row in order, some columns at a time; to[c] = scale * sum. A row's columns lie
/// together, its rows do not: the more at a time, the more of them are fetched before they are asked for.
template <std::size_t Sums, class Add>
void sum_over_rows(executor& workers, std::size_t rows, std::size_t columns, Add const& add, float scale, std::array<float*, Sums> to) {
    constexpr std::size_t block = 256, line = 16;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const mine = partition(columns, parts, static_cast<std::size_t>(part), line);
        for (std::size_t first = mine.begin; first < mine.end; first += block) {
            std::size_t const here = std::min(block, mine.end - first);
            std::array<std::array<double, block>, Sums> sums{};
            for (std::size_t r = 0; r < rows; ++r) add(r, first, here, sums);
            for (std::size_t s = 0; s < Sums; ++s)
                for (std::size_t c = 0; c < here; ++c) to[s][first + c] = static_cast<float>(static_cast<double>(scale) * sums[s][c]);
        }
    });
}

} // namespace detail

/// db[o] = scale * sum over rows of dy[r,o], in double, in order of the rows.
inline void bias_gradient(executor& workers, matrix_view<float const> dy, float scale, float* db) {
    detail::sum_over_rows<1>(workers, dy.rows, dy.columns, [&](std::size_t r, std::size_t first, std::size_t count, auto& sums) {
        float const* const row = dy.row(r) + first;
        for (std::size_t c = 0; c < count; ++c) sums[0][c] += static_cast<double>(row[c]);
    }, scale, {db});
}

/// dweight[c] = sum over rows of dy[r,c] n[r,c], dbias[c] = sum of dy[r,c], n the normal rows of x.
///
/// Numerics  in double throughout.     Test  tests/unit/train/parts.cpp
inline void layer_norm_gradient(executor& workers, matrix_view<float const> x, matrix_view<float const> dy, double eps, std::span<double> scratch,
                                float* dweight, float* dbias) {
    ZEROI2V_REQUIRE(scratch.size() >= 2 * x.rows && dy.same_shape(x.rows, x.columns), "zeroi2v::layer_norm_gradient: 2 doubles of scratch per row");
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    auto const count = static_cast<double>(x.columns);
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = partition(x.rows, parts, static_cast<std::size_t>(part));
        for (std::size_t r = rows.begin; r < rows.end; ++r) {
            double mean = 0, square = 0;
            for (std::size_t c = 0; c < x.columns; ++c) mean += static_cast<double>(x.row(r)[c]);
            mean /= count;
            for (std::size_t c = 0; c < x.columns; ++c) {
                double const d = static_cast<double>(x.row(r)[c]) - mean;
                square += d * d;
            }
            double const deviation = std::sqrt(square / count + eps);
            scratch[2 * r] = mean;
            scratch[2 * r + 1] = deviation == 0 ? 0 : 1 / deviation;
        }
    });
    detail::sum_over_rows<2>(workers, x.rows, x.columns, [&](std::size_t r, std::size_t first, std::size_t columns, auto& sums) {
        float const* const row = x.row(r) + first;
        float const* const g = dy.row(r) + first;
        for (std::size_t c = 0; c < columns; ++c) {
            sums[0][c] += static_cast<double>(g[c]) * (static_cast<double>(row[c]) - scratch[2 * r]) * scratch[2 * r + 1];
            sums[1][c] += static_cast<double>(g[c]);
        }
    }, 1.0F, {dweight, dbias});
}

} // namespace zeroi2v
