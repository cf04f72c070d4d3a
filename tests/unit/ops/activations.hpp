// What every activation and its derivative may be off by, and what they give for infinities.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/ops/reference/activation.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace zeroi2v::test {

struct activation_rule {
    double value;               ///< the bound of |error| at x, given act(x); below |act(x)| = 1e-5 an error of 2.5e-7 is excused
    double derivative;          ///< the bound of |error| of the derivative at x
    double at_minus_infinity;   ///< act(-inf); act(+inf) is +inf unless it is `none`
    double slopes_at_infinities[2];
};

inline activation_rule rule_of(activation act, double x, double y) {
    constexpr double eps = 0x1p-23, nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
    double const size = std::fabs(x), of_slopes = 4 * eps * std::max(1.0, size);
    switch (act) {
    case activation::none: return {0, 0, -infinity, {1, 1}};
    case activation::quick_gelu: return {(4 + 2 * size) * eps * std::fabs(y), std::min(of_slopes, 1e-6), nan, {nan, nan}};
    case activation::gelu: {
        double const ulp = std::max(std::ldexp(1.0, std::ilogb(y == 0 ? 0x1p-149 : y) - 23), 0x1p-149);
        return {x >= -1 ? 4 * ulp : (4 + x * x) * eps * std::fabs(y), of_slopes, nan, {0, 1}};
    }
    case activation::gelu_tanh: return {(4 + 2 * size + x * x) * eps * std::fabs(y), of_slopes, nan, {0, 1}};
    }
    return {nan, nan, nan, {nan, nan}};
}

inline std::vector<activation> all_activations() {
    std::vector<activation> all;
    for (std::size_t i = 0; i < activation_count; ++i) all.push_back(static_cast<activation>(i));
    return all;
}

/// What is off over what may be: at most 1 is right. What is excused is 0; a wrong infinity or NaN is infinite.
inline double error_over_bound(double got, double want, double bound, bool excused) {
    constexpr double wrong = std::numeric_limits<double>::infinity();
    if (!std::isfinite(want)) return got == want || (std::isnan(got) && std::isnan(want)) ? 0 : wrong;
    if (!std::isfinite(got)) return wrong;
    double const error = std::fabs(got - want);
    if (error == 0 || (excused && error <= 2.5e-7)) return 0;
    return bound > 0 ? error / bound : wrong;
}

inline double value_error(activation act, float x, float got) {
    double const from = static_cast<double>(x);
    double const want = from == -std::numeric_limits<double>::infinity() ? rule_of(act, 0, 0).at_minus_infinity : reference::activate(act, from);
    return error_over_bound(static_cast<double>(got), want, rule_of(act, from, want).value, std::fabs(want) < 1e-5);
}

inline double derivative_error(activation act, float x, float got) {
    double const from = static_cast<double>(x);
    double const want = std::isinf(from) ? rule_of(act, 0, 0).slopes_at_infinities[from > 0 ? 1 : 0] : reference::activation_derivative(act, from);
    return error_over_bound(static_cast<double>(got), want, rule_of(act, from, want).derivative, false);
}

} // namespace zeroi2v::test
