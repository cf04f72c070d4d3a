// softmax over the rows of a matrix.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <cstddef>

namespace zeroi2v {

/// y = exp(x - max) / sum of the same, over each row.
///
/// Shapes    x, y (rows, C) at any stride.     Aliasing  y may be x.
/// Numerics  relative error at most 1.2e-6; a row sums to 1 +- 1e-6; a row of one element is exactly 1. A row of -inf only
///           gives zeros; a NaN or +inf makes its own row NaN.
/// Errors    extents mismatch -> ZEROI2V_REQUIRE.     Test  tests/unit/ops/softmax.cpp
inline void softmax(kernel_table const& kernels, executor& workers, matrix_view<float const> x, matrix_view<float> y) {
    ZEROI2V_REQUIRE(y.same_shape(x.rows, x.columns), "zeroi2v::softmax: y must have the shape of x");
    if (x.empty()) return;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const rows = partition(x.rows, parts, static_cast<std::size_t>(part));
        kernels.softmax({.x = x.row(rows.begin), .ldx = x.stride, .y = y.row(rows.begin), .ldy = y.stride,
                         .rows = rows.size(), .width = x.columns});
    });
}

/// The same with the kernels of the compiler's flags, on the calling thread.
template <class Arch = default_arch>
void softmax(matrix_view<float const> x, matrix_view<float> y) {
    serial_executor workers;
    softmax(default_kernels<Arch>(), workers, x, y);
}

} // namespace zeroi2v
