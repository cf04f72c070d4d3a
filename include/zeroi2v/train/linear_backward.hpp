// The gradients of a Linear's weight and bias, and of a layer norm's parameters: sums over rows.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace zeroi2v {

namespace detail {

/// add(first row, rows, first column, number of columns, sums) for all rows in order, eight at a time, some columns at a time; to[c] = scale * sum.
/// A row's columns lie together, its rows do not: the more at a time, the more of them are fetched before they are asked for.
template <std::size_t Sums, class Add>
void sum_columns(index_range columns, std::size_t rows, Add const& add, float scale, std::array<float*, Sums> to) {
    constexpr std::size_t block = 256, together = 8;
    for (std::size_t first = columns.begin; first < columns.end; first += block) {
        std::size_t const here = std::min(block, columns.end - first);
        std::array<std::array<double, block>, Sums> sums{};
        for (std::size_t r = 0; r < rows; r += together) add(r, std::min(together, rows - r), first, here, sums);
        for (std::size_t s = 0; s < Sums; ++s)
            for (std::size_t c = 0; c < here; ++c) to[s][first + c] = static_cast<float>(static_cast<double>(scale) * sums[s][c]);
    }
}

/// The same, all of `count` columns shared out.
template <std::size_t Sums, class Add>
void sum_over_rows(executor& workers, std::size_t rows, std::size_t count, Add const& add, float scale, std::array<float*, Sums> to) {
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) { sum_columns<Sums>(partition(count, parts, static_cast<std::size_t>(part), 16), rows, add, scale, to); });
}

/// Of sum_columns: rows of m. Eight are added up in float, as a tree: three roundings, and a fifth of the time.
[[nodiscard]] inline auto add_rows_of(matrix_view<float const> m) noexcept {
    return [m](std::size_t first_row, std::size_t rows, std::size_t first, std::size_t count, auto& sums) {
        float const* row = m.row(first_row) + first;
        if (rows == 8) {
            std::size_t const s = m.stride;
            for (std::size_t c = 0; c < count; ++c)
                sums[0][c] += static_cast<double>(((row[c] + row[c + s]) + (row[c + 2 * s] + row[c + 3 * s]))
                                                  + ((row[c + 4 * s] + row[c + 5 * s]) + (row[c + 6 * s] + row[c + 7 * s])));
            return;
        }
        for (; rows > 0; --rows, row += m.stride)
            for (std::size_t c = 0; c < count; ++c) sums[0][c] += static_cast<double>(row[c]);
    };
}

/// Where weight_gradient's operands lie in its scratch, in floats.
struct weight_gradient_layout {
    std::size_t side_stride; ///< of rows of the narrower operand laid on its side, which comes first
    std::size_t panels;      ///< that a thread takes at a time
    std::size_t threads;     ///< the first thread's own: panels, and then a tile of the product
    std::size_t tile, each;  ///< within it; floats per thread

    [[nodiscard]] static weight_gradient_layout of(kernel_table const& kernels, std::size_t rows, std::size_t out, std::size_t in) noexcept {
        std::size_t const narrow = std::min(out, in), width = kernels.f32.panel_width;
        auto const whole_lines = [](std::size_t floats) { return (floats + 15) / 16 * 16; };
        weight_gradient_layout at{};
        at.side_stride = whole_lines(rows);
        at.panels = narrow <= kernels.f32.row_block ? 1 : 8; // a wider side does not stay in the cache: it passes more panels at a time
        at.threads = at.side_stride * narrow;
        at.tile = whole_lines(at.panels * width * rows);
        at.each = at.tile + (out > in ? whole_lines(at.panels * width * narrow) : 0);
        return at;
    }
};

} // namespace detail

/// db[o] = scale * sum over rows of dy[r,o]: eight rows at a time in float, these in double, in order.
inline void bias_gradient(executor& workers, matrix_view<float const> dy, float scale, float* db) {
    detail::sum_over_rows<1>(workers, dy.rows, dy.columns, detail::add_rows_of(dy), scale, {db});
}

/// Floats of scratch that weight_gradient takes for `rows` rows and a weight (out,in), with `concurrency` threads.
[[nodiscard]] inline std::size_t weight_gradient_scratch(kernel_table const& kernels, std::size_t rows, std::size_t out, std::size_t in, int concurrency) noexcept {
    auto const at = detail::weight_gradient_layout::of(kernels, rows, out, in);
    return at.threads + at.each * static_cast<std::size_t>(std::max(concurrency, 1));
}

/// dw[o,i] = scale * sum over rows r of dy[r,o] x[r,i];  db[o] = scale * sum of dy[r,o], where db is not null.
///
/// Shapes    dy (rows,out), x (rows,in) at any stride, dw (out,in), db (out).
/// Numerics  the product on the f32 matmul kernel: blocks of 256 rows, each in order; db as bias_gradient; the same bits for every executor.
/// Errors    extents mismatch -> ZEROI2V_REQUIRE.   Cost  2 rows out in flops; the narrower operand is laid on its side, of the wider one
///           a thread packs some columns, multiplies them while they are in its cache, and goes on.
///           scratch: weight_gradient_scratch floats, aligned to 64.     Test  tests/unit/train/parts.cpp
inline void weight_gradient(kernel_table const& kernels, executor& workers, matrix_view<float const> dy, matrix_view<float const> x, float scale,
                            float* dw, float* db, float* scratch) {
    ZEROI2V_REQUIRE(dy.rows == x.rows, "zeroi2v::weight_gradient: dy and x must have the same rows");
    std::size_t const out = dy.columns, in = x.columns, width = kernels.f32.panel_width;
    if (out == 0 || in == 0) return;
    auto const at = detail::weight_gradient_layout::of(kernels, dy.rows, out, in);
    bool const turned = out > in; // dw^T = x^T dy
    matrix_view<float const> const narrow = turned ? x : dy, wide = turned ? dy : x;
    matrix_view<float> const side{scratch, narrow.columns, dy.rows, at.side_stride};
    transpose(workers, narrow, side);
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    dealt_blocks blocks{wide.columns, parts, at.panels * width, width};
    workers.run(static_cast<int>(parts), [&](int number) {
        auto const part = static_cast<std::size_t>(number);
        float* const panels = scratch + at.threads + part * at.each;
        for (index_range some = blocks.take(part); !some.empty(); some = blocks.take(part)) {
            matrix_view<float const> const columns{wide.row(0) + some.begin, wide.rows, some.size(), wide.stride};
            detail::pack_columns(kernels.f32, columns, 1.0F, panels, {0, (some.size() + width - 1) / width});
            if (turned && db != nullptr) detail::sum_columns<1>(some, dy.rows, detail::add_rows_of(dy), scale, {db});
            matrix_view<float> const product{turned ? panels + at.tile : dw + some.begin, narrow.columns, some.size(), turned ? at.panels * width : in};
            detail::multiply_panels(kernels.f32, side, panels, {}, product);
            if (turned)
                for (std::size_t o = 0; o < some.size(); ++o)
                    for (std::size_t i = 0; i < in; ++i) dw[(some.begin + o) * in + i] = scale * product.row(i)[o];
            else if (scale != 1)
                for (std::size_t o = 0; o < out; ++o)
                    for (std::size_t i = 0; i < some.size(); ++i) product.row(o)[i] *= scale;
        }
    });
    if (!turned && db != nullptr) bias_gradient(workers, dy, scale, db);
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
    detail::sum_over_rows<2>(workers, x.rows, x.columns, [&](std::size_t r, std::size_t some, std::size_t first, std::size_t columns, auto& sums) {
        for (std::size_t const end = r + some; r < end; ++r) {
            float const* const row = x.row(r) + first;
            float const* const g = dy.row(r) + first;
            for (std::size_t c = 0; c < columns; ++c) {
                sums[0][c] += static_cast<double>(g[c]) * (static_cast<double>(row[c]) - scratch[2 * r]) * scratch[2 * r + 1];
                sums[1][c] += static_cast<double>(g[c]);
            }
        }
    }, 1.0F, {dweight, dbias});
}

} // namespace zeroi2v
