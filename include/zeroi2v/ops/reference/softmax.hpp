// reference::softmax: the formula in double.
#pragma once

#include <zeroi2v/ops/matrix_view.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

namespace zeroi2v::reference {

/// y = exp(x - max) / sum over each row; zeros for a row of -inf only.
template <class T>
void softmax(matrix_view<T const> x, matrix_view<double> y) {
    for (std::size_t row = 0; row < x.rows; ++row) {
        double largest = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < x.columns; ++i)
            if (static_cast<double>(x.row(row)[i]) > largest) largest = static_cast<double>(x.row(row)[i]);
        bool any = false; // anything but -inf
        for (std::size_t i = 0; i < x.columns; ++i)
            any = any || !(static_cast<double>(x.row(row)[i]) == -std::numeric_limits<double>::infinity());
        double sum = 0;
        for (std::size_t i = 0; i < x.columns; ++i) sum += any ? std::exp(static_cast<double>(x.row(row)[i]) - largest) : 0;
        for (std::size_t i = 0; i < x.columns; ++i)
            y.row(row)[i] = any ? std::exp(static_cast<double>(x.row(row)[i]) - largest) / sum : 0;
    }
}

} // namespace zeroi2v::reference
