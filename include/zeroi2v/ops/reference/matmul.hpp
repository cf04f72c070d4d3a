// reference::matmul: the formula in double, one loop per index.
#pragma once

#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/reference/activation.hpp>

#include <cstddef>

namespace zeroi2v::reference {

/// c[m,n] = act(sum over k of a[m,k] w[n,k] + bias[n]) + residual[m,n]; without data bias (1,N) and residual (M,N) are zero.
template <class A, class W, class B = float, class R = float>
constexpr void matmul(matrix_view<A const> a, matrix_view<W const> w, matrix_view<double> c, matrix_view<B const> bias = {},
                      activation act = activation::none, matrix_view<R const> residual = {}) {
    for (std::size_t m = 0; m < a.rows; ++m)
        for (std::size_t n = 0; n < w.rows; ++n) {
            double sum = 0;
            for (std::size_t k = 0; k < a.columns; ++k)
                sum += static_cast<double>(a.row(m)[k]) * static_cast<double>(w.row(n)[k]);
            if (bias.data != nullptr) sum += static_cast<double>(bias.data[n]);
            if (act != activation::none) sum = activate(act, sum);
            if (residual.data != nullptr) sum += static_cast<double>(residual.row(m)[n]);
            c.row(m)[n] = sum;
        }
}

/// c[m,n] = sum over k of |a[m,k] w[n,k]| + |bias[n]|: the unit in which a sum's rounding error is measured.
template <class A, class W, class B = float>
constexpr void matmul_magnitude(matrix_view<A const> a, matrix_view<W const> w, matrix_view<double> c,
                                matrix_view<B const> bias = {}) {
    auto const magnitude = [](double value) { return value < 0 ? -value : value; };
    for (std::size_t m = 0; m < a.rows; ++m)
        for (std::size_t n = 0; n < w.rows; ++n) {
            double sum = bias.data != nullptr ? magnitude(static_cast<double>(bias.data[n])) : 0;
            for (std::size_t k = 0; k < a.columns; ++k)
                sum += magnitude(static_cast<double>(a.row(m)[k]) * static_cast<double>(w.row(n)[k]));
            c.row(m)[n] = sum;
        }
}

} // namespace zeroi2v::reference
