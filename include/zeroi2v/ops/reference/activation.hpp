// reference::activate and its derivative: every activation by its formula, in double.
#pragma once

#include <zeroi2v/core/activation.hpp>

#include <cmath>
#include <numbers>

namespace zeroi2v::reference {

inline constexpr double inverse_sqrt_2 = 1 / std::numbers::sqrt2;

/// sqrt(2 / pi) (x + 0.044715 x^3)
[[nodiscard]] inline double tanh_argument(double x) noexcept {
    return 2 * inverse_sqrt_2 * std::numbers::inv_sqrtpi * x * (1 + 0.044715 * x * x);
}

[[nodiscard]] inline double activate(activation which, double x) noexcept {
    switch (which) {
    case activation::none: return x;
    case activation::quick_gelu: return x * (1 / (1 + std::exp(-1.702 * x)));
    case activation::gelu: return x * (std::erfc(-x * inverse_sqrt_2) / 2); // 1 + erf(x) is erfc(-x), which is small by itself
    case activation::gelu_tanh: return x / (1 + std::exp(-2 * tanh_argument(x))); // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u))
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
    case activation::gelu_tanh: {
        double const u = tanh_argument(x), slope = 2 * inverse_sqrt_2 * std::numbers::inv_sqrtpi * (1 + 3 * 0.044715 * x * x);
        if (std::fabs(u) > 300) return x > 0 ? 1 : 0; // before exp overflows
        double const s = 1 / (1 + std::exp(-2 * u));
        return s + 2 * x * slope * s * (1 / (1 + std::exp(2 * u)));
    }
    }
    return std::nan("");
}

} // namespace zeroi2v::reference
