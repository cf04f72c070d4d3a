// Arithmetic on sizes that come from outside: every overflow is seen.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v {

/// a * b, or nothing where it does not fit.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) noexcept {
    if (b != 0 && a > std::numeric_limits<T>::max() / b) return std::nullopt;
    return static_cast<T>(a * b);
}

/// a + b, or nothing where it does not fit.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) noexcept {
    if (a > std::numeric_limits<T>::max() - b) return std::nullopt;
    return static_cast<T>(a + b);
}

/// The product of all factors, or nothing where it does not fit; a zero among them gives zero wherever it stands.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_product(std::span<T const> factors) noexcept {
    for (T const factor : factors)
        if (factor == 0) return T{0};
    T product = 1;
    for (T const factor : factors) {
        auto const next = checked_mul(product, factor);
        if (!next) return std::nullopt;
        product = *next;
    }
    return product;
}

/// Narrowing that is proven at run time.
/// Errors  a value that To cannot hold -> model_error bad_config with `what` in the sentence.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr To checked_cast(From value, char const* what) {
    if (!std::in_range<To>(value))
        throw model_error{error_code::bad_config, std::string{what} + ": " + std::to_string(value) + " is out of range"};
    return static_cast<To>(value);
}

} // namespace zeroi2v
