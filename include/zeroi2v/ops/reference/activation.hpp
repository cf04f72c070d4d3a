// reference::activate and its derivative: every activation by its formula, in double.
#pragma once

#include <zeroi2v/core/activation.hpp>

#include <cmath>

namespace zeroi2v::reference {

[[nodiscard]] inline double activate(activation which, double x) noexcept {
    switch (which) {
    case activation::none: return x;
    case activation::quick_gelu: return x * (1 / (1 + std::exp(-1.702 * x)));
    }
    return std::nan("");
}

[[nodiscard]] inline double activation_derivative(activation which, double x) noexcept {
    switch (which) {
    case activation::none: return 1;
    case activation::quick_gelu: {
        double const s = 1 / (1 + std::exp(-1.702 * x));
        return s + 1.702 * x * s * (1 - s);
    }
    }
    return std::nan("");
}

} // namespace zeroi2v::reference
