// reference::activate and its derivative: every activation by its formula, in double.
#pragma once

#include <zeroi2v/core/activation.hpp>

#include <cmath>
#include <numbers>

namespace zeroi2v::reference {

inline constexpr double inverse_sqrt_2 = 1 / std::numbers::sqrt2;

[[nodiscard]] inline double activate(activation which, double x) noexcept {
    switch (which) {
    case activation::none: return x;
    case activation::quick_gelu: return x * (1 / (1 + std::exp(-1.702 * x)));
    case activation::gelu: return x * (std::erfc(-x * inverse_sqrt_2) / 2); // 1 + erf(x) is erfc(-x), which is small by itself
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
    case activation::gelu: return std::erfc(-x * inverse_sqrt_2) / 2 + x * std::exp(-x * x / 2) * inverse_sqrt_2 * std::numbers::inv_sqrtpi;
    }
    return std::nan("");
}

} // namespace zeroi2v::reference
