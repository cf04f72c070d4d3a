#include <zeroi2v/core/checked.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

using namespace zeroi2v;

TEST_CASE("checked_mul and checked_add agree with wide arithmetic on every pair of bytes") {
    for (unsigned a = 0; a < 256; ++a) {
        for (unsigned b = 0; b < 256; ++b) {
            auto const product = checked_mul(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b));
            auto const sum = checked_add(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b));
            REQUIRE(product.has_value() == (a * b < 256));
            REQUIRE(sum.has_value() == (a + b < 256));
            if (product) REQUIRE(*product == a * b);
            if (sum) REQUIRE(*sum == a + b);
        }
    }
}

TEST_CASE("the ends of the 64-bit range") {
    constexpr auto top = std::numeric_limits<std::uint64_t>::max();
    CHECK(checked_mul(top, std::uint64_t{1}) == top);
    CHECK(checked_mul(top, std::uint64_t{0}) == 0U);
    CHECK(checked_mul(std::uint64_t{0}, top) == 0U);
    CHECK_FALSE(checked_mul(top, std::uint64_t{2}));
    CHECK_FALSE(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
    CHECK(checked_mul((std::uint64_t{1} << 32) - 1, (std::uint64_t{1} << 32) + 1) == top);
    CHECK(checked_add(top - 7, std::uint64_t{7}) == top);
    CHECK_FALSE(checked_add(top - 7, std::uint64_t{8}));
}

TEST_CASE("checked_product gives one verdict for every order of the factors") {
    using factors = std::vector<std::uint64_t>;
    auto const big = std::uint64_t{1} << 63;
    for (factors each : {factors{0, big, 4}, factors{2, big}, factors{3, 5, 7}, factors{}, factors{big, big, 0},
                         factors{1U << 31, 1U << 31, 4}}) {
        std::sort(each.begin(), each.end());
        auto const verdict = checked_product(std::span<std::uint64_t const>{each});
        while (std::next_permutation(each.begin(), each.end()))
            CHECK(checked_product(std::span<std::uint64_t const>{each}) == verdict);
    }
    CHECK(checked_product(std::span<std::uint64_t const>{}) == 1U);
    CHECK(checked_product(std::span<std::uint64_t const>{factors{0, big, 4}}) == 0U);
    CHECK_FALSE(checked_product(std::span<std::uint64_t const>{factors{2, big}}));
    CHECK(checked_product(std::span<std::uint64_t const>{factors{3, 5, 7}}) == 105U);
}

TEST_CASE("checked_cast keeps values and refuses with the name and the number") {
    CHECK(checked_cast<std::uint8_t>(255, "x") == 255);
    CHECK(checked_cast<std::int8_t>(std::uint64_t{127}, "x") == 127);
    CHECK_THROWS_WITH_AS((void)checked_cast<std::uint8_t>(256, "heads"), "heads: 256 is out of range", model_error);
    CHECK_THROWS_AS((void)checked_cast<std::uint64_t>(-1, "x"), model_error);
    CHECK_THROWS_AS((void)checked_cast<std::int64_t>(std::numeric_limits<std::uint64_t>::max(), "x"), model_error);
}
