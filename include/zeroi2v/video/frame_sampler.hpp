// frame_sampler: which frames of a video make the clips that a model sees.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/random.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace zeroi2v {

/// Indices of sampled frames, one row per clip: (clips,T).
using frame_indices = dynamic_tensor<std::int64_t, 2>;

/// The integer nearest to x >= 0, an exact half to the even one; the same under every floating-point rounding mode.
[[nodiscard]] inline std::int64_t round_half_even(double x) noexcept {
    double const volatile seen = x; // holds the rounded product: a fused multiply-subtract would move exact halves
    double const value = seen;
    auto const below = static_cast<std::int64_t>(value);
    double const rest = value - static_cast<double>(below);
    return below + (rest > 0.5 || (rest == 0.5 && below % 2 != 0) ? 1 : 0);
}

/// Chooses frames as mmaction2 does, for n frames, clip length T, interval s and C clips:
///
///   dense, sample    E = (T-1)s + 1, M = max(n-E, 0); offset M/2 (C = 1) or rint(i M/(C-1)); (offset + j s) mod n
///   dense, draw      E = T s, a = (n-E+1)/C; offset i a + [0,a), or sorted random, or spread evenly; mod n
///   uniform, sample  g = (n-1)/T; rint(g j) + int(g/(C+1) (i+1))
///   uniform, draw    any integer of [rint(g j), rint(g (j+1))]
///
/// Shapes    the result is (clips, frames).
/// Numerics  double arithmetic in mmaction2's order; rint is half to even. Every index is in [0, n).
/// Errors    n = 0 -> video_error no_frames; a member that is 0, T s over 2^31, T C over 2^20 -> model_error bad_config.
/// Source    mmaction2 SampleFrames and UniformSample.
/// Test      tests/unit/video/frame_sampler.cpp
struct frame_sampler {
    sampling_method method = sampling_method::dense;
    std::size_t frames = 8;   ///< T, frames per clip
    std::size_t interval = 1; ///< s, `dense` only
    std::size_t clips = 1;    ///< C

    /// The frames of a test: no randomness.
    [[nodiscard]] frame_indices sample(std::size_t n) const {
        std::int64_t const count = checked_count(n);
        return method == sampling_method::dense ? along(count, test_offsets(count)) : spread(count);
    }

    /// The frames of a training step; the same for the same generator.
    [[nodiscard]] frame_indices draw(std::size_t n, counter_rng const& random) const {
        std::int64_t const count = checked_count(n);
        return method == sampling_method::dense ? along(count, train_offsets(count, random)) : spread(count, random);
    }

private:
    /// Beyond any video; keeps every product of this file within 64 bits.
    static constexpr std::uint64_t most_frames = std::uint64_t{1} << 31;
    static constexpr std::uint64_t most_sampled = std::uint64_t{1} << 20;

    [[nodiscard]] std::int64_t checked_count(std::size_t n) const {
        if (n == 0) throw video_error{error_code::no_frames, "frame_sampler: 0 frames found, at least 1 expected"};
        auto const span = checked_mul<std::uint64_t>(frames, interval);
        auto const all = checked_mul<std::uint64_t>(frames, clips);
        if (frames == 0 || interval == 0 || clips == 0 || !span || !all || *span > most_frames || *all > most_sampled)
            throw model_error{
                error_code::bad_config,
                "frame_sampler: frames " + std::to_string(frames) + ", interval " + std::to_string(interval)
                    + ", clips " + std::to_string(clips)
                    + " found, each at least 1, frames * interval at most 2^31, frames * clips at most 2^20 expected"};
        if (n > most_frames)
            throw video_error{error_code::limit_exceeded,
                              "frame_sampler: " + std::to_string(n) + " frames found, at most 2^31 expected"};
        return static_cast<std::int64_t>(n);
    }

    [[nodiscard]] std::vector<std::int64_t> test_offsets(std::int64_t n) const {
        auto const extent = static_cast<std::int64_t>((frames - 1) * interval + 1);
        std::int64_t const most = std::max<std::int64_t>(n - extent, 0);
        std::vector<std::int64_t> offsets(clips, most / 2);
        if (clips == 1) return offsets;
        double const between = static_cast<double>(most) / static_cast<double>(clips - 1);
        for (std::size_t i = 0; i < clips; ++i) offsets[i] = round_half_even(static_cast<double>(i) * between);
        return offsets;
    }

    [[nodiscard]] std::vector<std::int64_t> train_offsets(std::int64_t n, counter_rng const& random) const {
        auto const extent = static_cast<std::int64_t>(frames * interval);
        auto const count = static_cast<std::int64_t>(clips);
        std::int64_t const starts = n - extent + 1; // how many positions a clip may begin at; not positive: none
        std::int64_t const each = starts > 0 ? starts / count : -1;
        std::vector<std::int64_t> offsets(clips, 0);
        if (each > 0) {
            for (std::size_t i = 0; i < clips; ++i)
                offsets[i] = static_cast<std::int64_t>(i) * each + below(each, random, i);
        } else if (n > std::max(count, extent)) {
            for (std::size_t i = 0; i < clips; ++i) offsets[i] = below(starts, random, i);
            std::sort(offsets.begin(), offsets.end());
        } else if (starts >= 0) {
            double const ratio = static_cast<double>(starts) / static_cast<double>(clips);
            for (std::size_t i = 0; i < clips; ++i) offsets[i] = round_half_even(static_cast<double>(i) * ratio);
        }
        return offsets;
    }

    [[nodiscard]] frame_indices along(std::int64_t n, std::vector<std::int64_t> const& offsets) const {
        frame_indices indices{clips, frames};
        for (std::size_t i = 0; i < clips; ++i)
            for (std::size_t j = 0; j < frames; ++j)
                indices(i, j) = (offsets[i] + static_cast<std::int64_t>(j * interval)) % n;
        return indices;
    }

    [[nodiscard]] double segment(std::int64_t n) const noexcept {
        return static_cast<double>(n - 1) / static_cast<double>(frames);
    }

    [[nodiscard]] frame_indices spread(std::int64_t n) const {
        frame_indices indices{clips, frames};
        double const step = segment(n) / static_cast<double>(clips + 1);
        for (std::size_t i = 0; i < clips; ++i)
            for (std::size_t j = 0; j < frames; ++j)
                indices(i, j) = round_half_even(segment(n) * static_cast<double>(j))
                                + static_cast<std::int64_t>(step * static_cast<double>(i + 1));
        return indices;
    }

    [[nodiscard]] frame_indices spread(std::int64_t n, counter_rng const& random) const {
        frame_indices indices{clips, frames};
        for (std::size_t i = 0; i < clips; ++i)
            for (std::size_t j = 0; j < frames; ++j) {
                std::int64_t const first = round_half_even(segment(n) * static_cast<double>(j));
                std::int64_t const last = round_half_even(segment(n) * static_cast<double>(j + 1));
                indices(i, j) = first + below(last - first + 1, random, i * frames + j);
            }
        return indices;
    }

    /// Uniform in [0, count), from 64 bits of the generator: no value's share is off by more than count / 2^64.
    [[nodiscard]] static std::int64_t below(std::int64_t count, counter_rng const& random, std::size_t draw) noexcept {
        auto const range = static_cast<std::uint64_t>(count);
        std::uint64_t const high = random.bits(2 * draw);
        std::uint64_t const low = random.bits(2 * draw + 1);
        return static_cast<std::int64_t>((range * high + (range * low >> 32)) >> 32); // range * (high, low) >> 64
    }
};

} // namespace zeroi2v
