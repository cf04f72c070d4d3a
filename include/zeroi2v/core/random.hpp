// A counter-based generator: value i of stream s of a seed is a pure function, the same bits on every machine.
#pragma once

#include <array>
#include <cstdint>

namespace zeroi2v {

/// Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
///
/// Source  Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
/// Test    tests/unit/core/random.cpp holds the known answers of the authors' Random123.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                                std::array<std::uint32_t, 2> key) noexcept {
    for (int round = 0; round < 10; ++round) {
        std::uint64_t const a = std::uint64_t{0xD2511F53U} * counter[0];
        std::uint64_t const b = std::uint64_t{0xCD9E8D57U} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
                   static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
        key[0] += 0x9E3779B9U;
        key[1] += 0xBB67AE85U;
    }
    return counter;
}

/// A stream of random numbers addressed by index: no state, any order, any thread.
///
/// Numerics  `normal` uses integers only, and one rounding at the end, so no compiler flag and no processor changes a
///           bit: the sum of 16 uniform 16-bit numbers, its kurtosis corrected by the Cornish-Fisher term
///           (y^3 - 3y) / 320. |normal| < 8; its distribution function is within 1e-4 of the normal one.
class counter_rng {
public:
    constexpr explicit counter_rng(std::uint64_t seed, std::uint64_t stream = 0) noexcept
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}, stream_{stream} {}

    /// 32 uniform bits.
    [[nodiscard]] constexpr std::uint32_t bits(std::uint64_t index) const noexcept {
        return block(index >> 2, 0)[index & 3];
    }

    /// bits(4 * index) .. bits(4 * index + 3), for loops that need many.
    [[nodiscard]] constexpr std::array<std::uint32_t, 4> four(std::uint64_t index) const noexcept { return block(index, 0); }

    /// Uniform in [0, 1), a multiple of 2^-24.
    [[nodiscard]] constexpr float uniform(std::uint64_t index) const noexcept {
        return static_cast<float>(bits(index) >> 8) * 0x1p-24F;
    }

    /// Mean 0, standard deviation 1.
    [[nodiscard]] constexpr float normal(std::uint64_t index) const noexcept {
        std::int64_t sum = 0;
        for (std::uint32_t half = 0; half < 2; ++half)
            for (std::uint32_t const word : block(index, 1 + half)) sum += (word & 0xffffU) + (word >> 16);
        // 16 uniforms on {0..65535}: mean 524280, standard deviation sqrt(16 (2^32 - 1) / 12) = 75674.454; y in units
        // of 2^-26.
        constexpr std::int64_t per_step = 908093; // 2^36 over that standard deviation
        std::int64_t const y = ((sum - 524280) * per_step) >> 10;
        std::int64_t const square_minus_3 = ((y * y) >> 26) - (std::int64_t{3} << 26);
        std::int64_t const corrected = y + ((square_minus_3 * y) >> 26) / 320;
        return static_cast<float>(corrected) * 0x1p-26F;
    }

private:
    [[nodiscard]] constexpr std::array<std::uint32_t, 4> block(std::uint64_t index, std::uint32_t lane) const noexcept {
        return philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32) ^ (lane << 30),
                           static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                          key_);
    }

    std::array<std::uint32_t, 2> key_;
    std::uint64_t stream_;
};

} // namespace zeroi2v
