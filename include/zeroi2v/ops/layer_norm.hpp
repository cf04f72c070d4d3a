// layer_norm: each row to mean 0 and variance 1, then a weight and a bias per column.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <cstddef>
#include <span>

namespace zeroi2v {

/// y = (x - mean) / sqrt(variance + eps) * weight + bias, mean and (biased) variance of each row of x.
///
/// Shapes    x, y (rows, C) at any stride; weight, bias (C).     Aliasing  y may be x.
/// Numerics  Mean first, then the variance of the differences, both corrected by the sum of the differences; at most 2e-6
///           off in units of the standard deviation. Rows up to 1e18 and down to the smallest squares are scaled. A row of
///           equal elements gives the bias, eps = 0 included. A NaN or infinity makes its own row NaN.
/// Errors    extents mismatch -> ZEROI2V_REQUIRE.     Cost  3 passes over a row in the L1 cache; no allocation.
/// Test      tests/unit/ops/layer_norm.cpp
inline void layer_norm(kernel_table const& kernels, executor& workers, matrix_view<float const> x, std::span<float const> weight,
                       std::span<float const> bias, matrix_view<float> y, float eps = 1e-5F) {
    ZEROI2V_REQUIRE(y.same_shape(x.rows, x.columns), "zeroi2v::layer_norm: y must have the shape of x");
    ZEROI2V_REQUIRE(weight.size() == x.columns && bias.size() == x.columns,
                    "zeroi2v::layer_norm: weight and bias must have one value per column");
    if (x.empty()) return;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = partition(x.rows, parts, static_cast<std::size_t>(part));
        kernels.layer_norm({.x = x.row(rows.begin), .ldx = x.stride, .weight = weight.data(), .bias = bias.data(),
                            .y = y.row(rows.begin), .ldy = y.stride, .rows = rows.size(), .width = x.columns, .eps = eps});
    });
}

/// The same with the kernels of the compiler's flags, on the calling thread.
template <class Arch = default_arch>
void layer_norm(matrix_view<float const> x, std::span<float const> weight, std::span<float const> bias, matrix_view<float> y,
                float eps = 1e-5F) {
    serial_executor workers;
    layer_norm(default_kernels<Arch>(), workers, x, weight, bias, y, eps);
}

} // namespace zeroi2v
