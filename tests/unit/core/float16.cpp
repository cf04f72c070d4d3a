#include <zeroi2v/core/float16.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

using namespace zeroi2v;

namespace {

float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

/// The value that the bits of a small format mean, from the definition of IEEE 754: sign, exponent, fraction.
double meaning(std::uint16_t bits, int exponent_bits, int fraction_bits) {
    int const sign = bits >> 15;
    int const exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    int const fraction = bits & ((1 << fraction_bits) - 1);
    int const bias = (1 << (exponent_bits - 1)) - 1;
    double const magnitude = exponent == 0
                                 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                 : std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
    return sign != 0 ? -magnitude : magnitude;
}

/// Between each two neighbours of a format the rounding must turn exactly in the middle, and the middle goes to the even
/// one. With that, every float is decided. Returns the number of pairs seen.
template <class Half>
int check_every_boundary(std::uint16_t infinity, int exponent_bits, int fraction_bits) {
    int seen = 0;
    for (std::uint16_t low = 0; low < infinity; ++low) {
        auto const high = static_cast<std::uint16_t>(low + 1);
        double const below = meaning(low, exponent_bits, fraction_bits);
        double const above =
            high == infinity ? std::ldexp(1.0, 1 << (exponent_bits - 1)) : meaning(high, exponent_bits, fraction_bits);
        double const exact_middle = (below + above) / 2;
        auto const middle = static_cast<float>(exact_middle);
        REQUIRE(static_cast<double>(middle) == exact_middle);
        std::uint16_t const even = (low & 1) == 0 ? low : high;
        std::uint32_t const word = std::bit_cast<std::uint32_t>(middle);
        REQUIRE(Half{float_of(word - 1)}.bits == low);
        REQUIRE(Half{middle}.bits == even);
        REQUIRE(Half{float_of(word + 1)}.bits == high);
        REQUIRE(Half{-float_of(word - 1)}.bits == (low | 0x8000));
        REQUIRE(Half{-middle}.bits == (even | 0x8000));
        REQUIRE(Half{-float_of(word + 1)}.bits == (high | 0x8000));
        REQUIRE(Half{static_cast<float>(below)}.bits == low);
        ++seen;
    }
    return seen;
}

template <class Half>
void check_nans() {
    for (std::uint32_t fraction :
         {0x1U, 0xfffU, 0x1000U, 0x1fffU, 0x2000U, 0xffffU, 0x10000U, 0x3fffffU, 0x400000U, 0x7fffffU}) {
        for (std::uint32_t sign : {0U, 0x80000000U}) {
            Half const half{float_of(sign | 0x7f800000U | fraction)};
            CHECK(std::isnan(static_cast<float>(half)));
            CHECK((half.bits >> 15) == (sign >> 31));
            CHECK((std::bit_cast<std::uint32_t>(static_cast<float>(half)) & 0x400000U) != 0); // quiet
        }
    }
}

} // namespace

TEST_CASE("bf16 to float is exact for every pattern, and back gives the pattern") {
    for (std::uint32_t i = 0; i <= 0xffffU; ++i) {
        auto const bits = static_cast<std::uint16_t>(i);
        auto const value = static_cast<float>(bf16::from_bits(bits));
        if ((bits & 0x7fffU) > 0x7f80U)
            REQUIRE(std::isnan(value));
        else if ((bits & 0x7fffU) == 0x7f80U)
            REQUIRE(std::isinf(value));
        else
            REQUIRE(static_cast<double>(value) == meaning(bits, 8, 7));
        if (!std::isnan(value)) REQUIRE(bf16{value}.bits == bits);
    }
}

TEST_CASE("f16 to float is exact for every pattern, and back gives the pattern") {
    for (std::uint32_t i = 0; i <= 0xffffU; ++i) {
        auto const bits = static_cast<std::uint16_t>(i);
        auto const value = static_cast<float>(f16::from_bits(bits));
        if ((bits & 0x7fffU) > 0x7c00U)
            REQUIRE(std::isnan(value));
        else if ((bits & 0x7fffU) == 0x7c00U)
            REQUIRE(std::isinf(value));
        else
            REQUIRE(static_cast<double>(value) == meaning(bits, 5, 10));
        if (!std::isnan(value)) REQUIRE(f16{value}.bits == bits);
    }
}

TEST_CASE("float to bf16 and f16 rounds to nearest, ties to even, at every boundary") {
    CHECK(check_every_boundary<bf16>(0x7f80, 8, 7) == 0x7f80);
    CHECK(check_every_boundary<f16>(0x7c00, 5, 10) == 0x7c00);
}

TEST_CASE("infinities, NaN and the largest floats") {
    auto const infinity = std::numeric_limits<float>::infinity();
    CHECK(bf16{infinity}.bits == 0x7f80);
    CHECK(bf16{-infinity}.bits == 0xff80);
    CHECK(f16{infinity}.bits == 0x7c00);
    CHECK(f16{-infinity}.bits == 0xfc00);
    CHECK(bf16{std::numeric_limits<float>::max()}.bits == 0x7f80);
    CHECK(f16{std::numeric_limits<float>::max()}.bits == 0x7c00);
    CHECK(f16{65504.F}.bits == 0x7bff);
    CHECK(bf16{-0.F}.bits == 0x8000);
    CHECK(f16{-0.F}.bits == 0x8000);
    CHECK(f16{std::numeric_limits<float>::denorm_min()}.bits == 0);
    check_nans<bf16>();
    check_nans<f16>();
}

TEST_CASE("equality is that of the values") {
    CHECK(bf16{0.F} == bf16{-0.F});
    CHECK(f16{1.F} == f16{1.F});
    CHECK_FALSE(f16{1.F} == f16{2.F});
    auto const nan = std::numeric_limits<float>::quiet_NaN();
    CHECK_FALSE(bf16{nan} == bf16{nan});
    static_assert(f16{0.5F}.bits == 0x3800 && bf16{1.F}.bits == 0x3f80);
}
