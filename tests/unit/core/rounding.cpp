#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/core/random.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

using namespace zeroi2v;

namespace {

template <class T>
T at_bits(std::uint32_t i) {
    if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(i);
    else return T::from_bits(static_cast<std::uint16_t>(i));
}

template <class T>
std::uint32_t bits_of(T value) {
    if constexpr (std::is_same_v<T, float>) return std::bit_cast<std::uint32_t>(value);
    else return value.bits;
}

/// Between the neighbours `low` and `low + 1` the rounding turns exactly in the middle, which goes to the even one: the
/// doubles next to the middle decide. Infinity stands where the next element would be.
template <class T>
void check_boundary(std::uint32_t low, std::uint32_t infinity, double past_largest) {
    std::uint32_t const high = low + 1;
    std::uint32_t const sign = std::is_same_v<T, float> ? 0x80000000U : 0x8000U;
    double const below = to_double(at_bits<T>(low));
    double const above = high == infinity ? past_largest : to_double(at_bits<T>(high));
    double const middle = below + (above - below) / 2;
    std::uint32_t const even = (low & 1U) == 0 ? low : high;
    double const before = std::nextafter(middle, 0.0);
    double const after = std::nextafter(middle, std::numeric_limits<double>::infinity());
    REQUIRE(bits_of(round_to<T>(below)) == low);
    REQUIRE(bits_of(round_to<T>(before)) == low);
    REQUIRE(bits_of(round_to<T>(middle)) == even);
    REQUIRE(bits_of(round_to<T>(after)) == high);
    REQUIRE(bits_of(round_to<T>(-before)) == (low | sign));
    REQUIRE(bits_of(round_to<T>(-middle)) == (even | sign));
    REQUIRE(bits_of(round_to<T>(-after)) == (high | sign));
    REQUIRE(ulp<T>(below) == above - below);
    REQUIRE(ulp<T>(-before) == above - below);
}

} // namespace

TEST_CASE("double to bf16 and f16 is one rounding, at every boundary") {
    for (std::uint32_t low = 0; low < 0x7f80U; ++low) check_boundary<bf16>(low, 0x7f80U, 0x1p128);
    for (std::uint32_t low = 0; low < 0x7c00U; ++low) check_boundary<f16>(low, 0x7c00U, 0x1p16);
}

TEST_CASE("double to float is one rounding, at many boundaries and the ends") {
    counter_rng const rng{1};
    for (std::uint64_t i = 0; i < 200000; ++i) check_boundary<float>(rng.bits(i) % 0x7f800000U, 0x7f800000U, 0x1p128);
    for (std::uint32_t const low : {0U, 1U, 0x007fffffU, 0x00800000U, 0x7f7fffffU, 0x7f7ffffeU})
        check_boundary<float>(low, 0x7f800000U, 0x1p128);
}

TEST_CASE("a second rounding would have been seen") {
    // Just above the middle of 1 and the next bf16: float rounds it onto the middle, which goes down to 1.
    double const value = 1.0 + 0x1p-8 + 0x1p-40;
    CHECK(bf16{static_cast<float>(value)}.bits == 0x3f80);
    CHECK(round_to<bf16>(value).bits == 0x3f81);
    double const half = 1.0 + 0x1p-11 + 0x1p-40;
    CHECK(f16{static_cast<float>(half)}.bits == 0x3c00);
    CHECK(round_to<f16>(half).bits == 0x3c01);
    static_assert(round_to<bf16>(1.0 + 0x1p-8 + 0x1p-40).bits == 0x3f81);
}

TEST_CASE("zeros keep their sign, infinities and NaN stay what they are, tiny numbers become zeros") {
    auto const infinity = std::numeric_limits<double>::infinity();
    auto const nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(bits_of(round_to<float>(-0.0)) == 0x80000000U);
    CHECK(bits_of(round_to<bf16>(-0.0)) == 0x8000U);
    CHECK(bits_of(round_to<f16>(-0.0)) == 0x8000U);
    CHECK(bits_of(round_to<bf16>(infinity)) == 0x7f80U);
    CHECK(bits_of(round_to<f16>(-infinity)) == 0xfc00U);
    CHECK(bits_of(round_to<float>(1e300)) == 0x7f800000U);
    CHECK(std::isnan(round_to<float>(nan)));
    CHECK(std::isnan(to_double(round_to<bf16>(nan))));
    CHECK(std::isnan(to_double(round_to<f16>(nan))));
    CHECK(bits_of(round_to<bf16>(1e-300)) == 0U);
    CHECK(bits_of(round_to<f16>(-1e-300)) == 0x8000U);
    CHECK(bits_of(round_to<bf16>(std::numeric_limits<double>::denorm_min())) == 0U);
}

TEST_CASE("is_finite tells by the bits") {
    CHECK((is_finite(0.0) && is_finite(-1e308) && is_finite(5e-324) && is_finite(3e38F)));
    CHECK_FALSE(is_finite(std::numeric_limits<double>::infinity()));
    CHECK_FALSE(is_finite(-std::numeric_limits<double>::infinity()));
    CHECK_FALSE(is_finite(std::numeric_limits<double>::quiet_NaN()));
    CHECK_FALSE(is_finite(std::numeric_limits<float>::infinity()));
    CHECK_FALSE(is_finite(std::numeric_limits<float>::quiet_NaN()));
}

TEST_CASE("the unit of double goes down to the smallest subnormal") {
    CHECK(ulp<double>(1.0) == 0x1p-52);
    CHECK(ulp<double>(0.0) == 0x1p-1074);
    CHECK(ulp<double>(0x1p-1022) == 0x1p-1074);
    CHECK(ulp<double>(0x1p-1000) == 0x1p-1052);
    CHECK(ulp<double>(0x1p-960) == 0x1p-1012);
}

TEST_CASE("a float beside a middle, itself odd, does not become the middle") {
    // bf16 cuts off 16 bits of a float, f16 13: one more or less than the middle is an odd float, and `tiny` away from it no float at all.
    double const tiny = 0x1p-45;
    for (double const sign : {1.0, -1.0}) {
        CHECK(bits_of(round_to<bf16>(sign * (1 + 0x1p-8 + 0x1p-23 - tiny))) % 0x8000U == 0x3f81U); // nearly 1 + 2^-8, whose even neighbour is 1
        CHECK(bits_of(round_to<bf16>(sign * (1 + 3 * 0x1p-8 - 0x1p-23 + tiny))) % 0x8000U == 0x3f81U);
        CHECK(bits_of(round_to<f16>(sign * (1 + 0x1p-11 + 0x1p-23 - tiny))) % 0x8000U == 0x3c01U);
        CHECK(bits_of(round_to<f16>(sign * (1 + 3 * 0x1p-11 - 0x1p-23 + tiny))) % 0x8000U == 0x3c01U);
    }
}
