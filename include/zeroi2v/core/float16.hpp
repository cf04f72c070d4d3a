// bf16 and f16: two-byte storage types with exact conversion to and from float, rounding to nearest even.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>

namespace zeroi2v {

/// Brain floating point: the upper half of an IEEE single. A storage type: convert, compute in float, convert back.
///
/// Numerics  float -> bf16 rounds to nearest, ties to even; overflow gives infinity; a NaN stays a NaN and becomes quiet.
///           bf16 -> float is exact.
/// Test      tests/unit/core/float16.cpp
struct bf16 {
    std::uint16_t bits{};

    bf16() = default;
    constexpr explicit bf16(float value) noexcept : bits{from_float(value)} {}
    constexpr explicit operator float() const noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

    [[nodiscard]] static constexpr bf16 from_bits(std::uint16_t bits) noexcept {
        bf16 result;
        result.bits = bits;
        return result;
    }
    friend constexpr bool operator==(bf16 a, bf16 b) noexcept { return float(a) == float(b); }

private:
    [[nodiscard]] static constexpr std::uint16_t from_float(float value) noexcept {
        auto const word = std::bit_cast<std::uint32_t>(value);
        if ((word & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((word >> 16) | 0x0040U);
        std::uint32_t const round = 0x7fffU + ((word >> 16) & 1U);
        return static_cast<std::uint16_t>((word + round) >> 16);
    }
};

/// IEEE half precision. A storage type: convert, compute in float, convert back.
///
/// Numerics  float -> f16 rounds to nearest, ties to even, subnormals included; above 65519.99.. gives infinity; a NaN
///           stays a NaN and becomes quiet. f16 -> float is exact.
/// Test      tests/unit/core/float16.cpp
struct f16 {
    std::uint16_t bits{};

    f16() = default;
    constexpr explicit f16(float value) noexcept : bits{from_float(value)} {}
    constexpr explicit operator float() const noexcept { return to_float(bits); }

    [[nodiscard]] static constexpr f16 from_bits(std::uint16_t bits) noexcept {
        f16 result;
        result.bits = bits;
        return result;
    }
    friend constexpr bool operator==(f16 a, f16 b) noexcept { return float(a) == float(b); }

private:
    [[nodiscard]] static constexpr std::uint16_t from_float(float value) noexcept {
        auto const word = std::bit_cast<std::uint32_t>(value);
        auto const sign = static_cast<std::uint16_t>((word >> 16) & 0x8000U);
        std::uint32_t const magnitude = word & 0x7fffffffU;
        if (magnitude > 0x7f800000U)
            return static_cast<std::uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x01ffU));
        if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
        if (magnitude >= 0x38800000U) {
            std::uint32_t const round = 0x0fffU + ((magnitude >> 13) & 1U);
            return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + round) >> 13));
        }
        if (magnitude <= 0x33000000U) return sign;
        std::uint32_t const exponent = magnitude >> 23;
        std::uint32_t const mantissa = (magnitude & 0x007fffffU) | 0x00800000U;
        std::uint32_t const shift = 126U - exponent;
        std::uint32_t const kept = mantissa >> shift;
        std::uint32_t const rest = mantissa & ((std::uint32_t{1} << shift) - 1U);
        std::uint32_t const half = std::uint32_t{1} << (shift - 1U);
        std::uint32_t const up = (rest > half || (rest == half && (kept & 1U) != 0U)) ? 1U : 0U;
        return static_cast<std::uint16_t>(sign | (kept + up));
    }

    [[nodiscard]] static constexpr float to_float(std::uint16_t half) noexcept {
        std::uint32_t const sign = (std::uint32_t{half} & 0x8000U) << 16;
        std::uint32_t const exponent = (std::uint32_t{half} >> 10) & 0x1fU;
        std::uint32_t const mantissa = std::uint32_t{half} & 0x3ffU;
        if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
        if (exponent != 0U) return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
        float const magnitude = static_cast<float>(mantissa) * 0x1p-24F;
        return sign != 0U ? -magnitude : magnitude;
    }
};

} // namespace zeroi2v
