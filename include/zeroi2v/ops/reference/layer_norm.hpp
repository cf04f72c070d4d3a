// reference::layer_norm: the formula in double, two passes.
#pragma once

#include <zeroi2v/ops/matrix_view.hpp>

#include <cmath>
#include <cstddef>
#include <span>

namespace zeroi2v::reference {

/// y = (x - mean) / sqrt(variance + eps) * weight + bias; 0 * weight + bias where variance and eps are zero.
template <class T>
void layer_norm(matrix_view<T const> x, std::span<T const> weight, std::span<T const> bias, matrix_view<double> y, double eps) {
    auto const count = static_cast<double>(x.columns);
    for (std::size_t row = 0; row < x.rows; ++row) {
        double mean = 0;
        for (std::size_t i = 0; i < x.columns; ++i) mean += static_cast<double>(x.row(row)[i]);
        mean /= count;
        double rest = 0; // what the rounded mean is off: an exact sum's mean in double's precision
        for (std::size_t i = 0; i < x.columns; ++i) rest += static_cast<double>(x.row(row)[i]) - mean;
        mean += rest / count;
        double variance = 0;
        for (std::size_t i = 0; i < x.columns; ++i) {
            double const d = static_cast<double>(x.row(row)[i]) - mean;
            variance += d * d;
        }
        variance /= count;
        double const deviation = std::sqrt(variance + eps);
        for (std::size_t i = 0; i < x.columns; ++i) {
            double const d = static_cast<double>(x.row(row)[i]) - mean;
            y.row(row)[i] = (deviation == 0 ? 0 : d / deviation) * static_cast<double>(weight[i]) + static_cast<double>(bias[i]);
        }
    }
}

} // namespace zeroi2v::reference
