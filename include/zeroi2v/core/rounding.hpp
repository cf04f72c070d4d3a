// rounding: from double to every storage type with one rounding, and the distance between neighbours of a type.
#pragma once

#include <zeroi2v/core/float16.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace zeroi2v {

/// A type that weights may be stored in.
template <class T>
concept weight_element = std::same_as<T, float> || std::same_as<T, double>
                         || std::same_as<T, f16> || std::same_as<T, bf16>;

/// The element's value; exact.
template <weight_element T>
[[nodiscard]] constexpr double to_double(T value) noexcept {
    if constexpr (std::floating_point<T>) return static_cast<double>(value);
    else return static_cast<double>(static_cast<float>(value));
}

/// Neither infinite nor NaN, by bit pattern: holds under -ffinite-math-only too.
[[nodiscard]] constexpr bool is_finite(double value) noexcept {
    return (std::bit_cast<std::uint64_t>(value) & 0x7ff0'0000'0000'0000U) != 0x7ff0'0000'0000'0000U;
}
[[nodiscard]] constexpr bool is_finite(float value) noexcept {
    return (std::bit_cast<std::uint32_t>(value) & 0x7f80'0000U) != 0x7f80'0000U;
}

namespace detail {

// double -> float, nearest even, defined above the largest float too.
[[nodiscard]] constexpr float to_nearest_float(double value) noexcept {
    constexpr double half_way_to_infinity = 0x1.ffffffp127;
    constexpr float largest = std::numeric_limits<float>::max();
    if (!is_finite(value)) return static_cast<float>(value);
    if (value >= half_way_to_infinity) return std::numeric_limits<float>::infinity();
    if (value <= -half_way_to_infinity) return -std::numeric_limits<float>::infinity();
    if (value > static_cast<double>(largest)) return largest;
    if (value < -static_cast<double>(largest)) return -largest;
    return static_cast<float>(value);
}

// double -> the float next to it whose last bit is odd, unless it is a float already. A second rounding to at most 22
// bits then gives what one rounding from double would give (Boldo and Melquiond, 2008).
[[nodiscard]] constexpr float to_odd_float(double value) noexcept {
    float const near = to_nearest_float(value);
    if (static_cast<double>(near) == value || !is_finite(value)) return near;
    auto const bits = std::bit_cast<std::uint32_t>(near);
    if ((bits & 1U) != 0U) return near;
    double const magnitude = value < 0 ? -value : value;
    double const near_magnitude = static_cast<double>(near < 0 ? -near : near);
    // A zero's sign bit is that of `value`, so adding one bit steps away from zero on the right side.
    return std::bit_cast<float>(near_magnitude > magnitude ? bits - 1U : bits + 1U);
}

} // namespace detail

/// The element nearest to `value`, ties to even, with exactly one rounding; beyond the largest element: infinity.
///
/// Test  tests/unit/core/rounding.cpp
template <weight_element T>
[[nodiscard]] constexpr T round_to(double value) noexcept {
    if constexpr (std::same_as<T, double>) return value;
    else if constexpr (std::same_as<T, float>) return detail::to_nearest_float(value);
    else return T{detail::to_odd_float(value)};
}

/// The distance between the elements of type T next to `value`: 2^(exponent - mantissa bits), at least the smallest
/// subnormal. `value` must be finite.
template <weight_element T>
[[nodiscard]] constexpr double ulp(double value) noexcept {
    constexpr int mantissa_bits = std::same_as<T, double> ? 52 : std::same_as<T, float> ? 23
                                  : std::same_as<T, f16> ? 10 : 7;
    constexpr int least_exponent = std::same_as<T, double> ? -1022 : std::same_as<T, f16> ? -14 : -126;
    auto const biased = static_cast<int>((std::bit_cast<std::uint64_t>(value) >> 52) & 0x7ffU);
    int const exponent = biased - 1023 < least_exponent ? least_exponent : biased - 1023;
    int const power = exponent - mantissa_bits;
    if (power >= -1022) return std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
    return std::bit_cast<double>(std::uint64_t{1} << (power + 1074));
}

} // namespace zeroi2v
