#include <zeroi2v/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace zeroi2v;

using words4 = std::array<std::uint32_t, 4>;

// The known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST_CASE("philox4x32 gives the known answers") {
    CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff})
          == words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0})
          == words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
    static_assert(philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
}

TEST_CASE("a value depends on seed, stream and index, and on nothing else") {
    counter_rng const a{1}, b{1}, seed{2}, stream{1, 1};
    int same_seed = 0, same_stream = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        CHECK(a.bits(i) == b.bits(i));
        same_seed += a.bits(i) == seed.bits(i) ? 1 : 0;
        same_stream += a.bits(i) == stream.bits(i) ? 1 : 0;
    }
    CHECK(same_seed == 0);
    CHECK(same_stream == 0);
    CHECK(a.bits(999) == b.bits(999)); // in any order
    CHECK(a.bits(0) == 0U + philox4x32({0, 0, 0, 0}, {1, 0})[0]);
}

TEST_CASE("uniform numbers fill [0, 1) evenly") {
    counter_rng const rng{7};
    std::array<int, 16> bins{};
    constexpr int count = 160000;
    for (std::uint64_t i = 0; i < count; ++i) {
        float const u = rng.uniform(i);
        REQUIRE(u >= 0.F);
        REQUIRE(u < 1.F);
        ++bins[static_cast<std::size_t>(u * 16.F)];
    }
    double chi2 = 0;
    for (int const n : bins) chi2 += (n - count / 16.) * (n - count / 16.) / (count / 16.);
    CHECK(chi2 < 45.); // 15 degrees of freedom: exceeded once in 10^4
}

TEST_CASE("normal numbers have the distribution function of the normal law") {
    counter_rng const rng{11, 3};
    constexpr std::size_t count = 200000;
    std::vector<double> values(count);
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<double>(rng.normal(i));
        REQUIRE(std::abs(values[i]) < 8.);
        mean += values[i];
        square += values[i] * values[i];
    }
    CHECK(std::abs(mean / count) < 0.01);
    CHECK(std::abs(square / count - 1) < 0.015);
    std::sort(values.begin(), values.end());
    double distance = 0; // Kolmogorov-Smirnov
    for (std::size_t i = 0; i < count; ++i) {
        double const law = 0.5 * std::erfc(-values[i] / std::sqrt(2.));
        distance = std::max({distance, std::abs(law - double(i) / count), std::abs(law - double(i + 1) / count)});
    }
    CHECK(distance < 2.2 / std::sqrt(double(count))); // exceeded once in 10^4
}

TEST_CASE("the bits of normal numbers are frozen") {
    counter_rng const rng{1};
    // A change here changes every model that `init` has made.
    std::uint32_t sum = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) sum = sum * 31 + std::bit_cast<std::uint32_t>(rng.normal(i));
    CHECK(sum == 316587901U);
}

TEST_CASE("every number is a word of the block that seed, stream, index and lane name") {
    auto const low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    auto const high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
    constexpr std::uint64_t wide = 0x0123'4567'89ab'cdef;
    for (std::uint64_t const seed : {std::uint64_t{0}, std::uint64_t{7}, wide, std::uint64_t{1} << 32})
        for (std::uint64_t const stream : {std::uint64_t{0}, std::uint64_t{3}, wide + 1, std::uint64_t{1} << 32})
            for (std::uint64_t const index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{4}, std::uint64_t{7}, std::uint64_t{8},
                                              std::uint64_t{13}, (std::uint64_t{5} << 34) + 6, wide}) {
                counter_rng const rng{seed, stream};
                auto const block = [&](std::uint64_t i, std::uint32_t lane) {
                    return philox4x32({low(i), high(i) ^ (lane << 30), low(stream), high(stream)}, {low(seed), high(seed)});
                };
                CHECK(rng.bits(index) == block(index / 4, 0)[index % 4]);
                CHECK(rng.four(index) == block(index, 0));
                CHECK(rng.uniform(index) == static_cast<float>(rng.bits(index) / 256) / 16777216.0F);
                double sum = 0; // of 16 numbers of 16 bits, from two blocks of their own
                for (std::uint32_t const lane : {1U, 2U})
                    for (std::uint32_t const word : block(index, lane)) sum += static_cast<double>(word % 65536 + word / 65536);
                double const y = (sum - 8 * 65535) / std::sqrt(16.0 / 12 * (65536.0 * 65536 - 1));
                CHECK(static_cast<double>(rng.normal(index)) == doctest::Approx(y + (y * y * y - 3 * y) / 320).epsilon(1e-5));
            }
}
