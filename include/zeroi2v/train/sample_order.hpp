// sample_order: which sample stands where in each epoch, and which are drawn for few shots: functions of a seed.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/random.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <vector>

namespace zeroi2v {

namespace detail {

/// Streams of the generator that belong to training as a whole, beside those of dropout (places of small numbers).
inline constexpr std::uint64_t order_stream = std::uint64_t{1} << 63U;
inline constexpr std::uint64_t shots_stream = std::uint64_t{3} << 62U;

/// Uniform in [0, count), from 64 bits: no value's share is off by more than count / 2^64.
[[nodiscard]] inline std::uint64_t draw_below(std::uint64_t count, counter_rng const& random, std::uint64_t index) noexcept {
    std::uint64_t const high = random.bits(2 * index), low = random.bits(2 * index + 1);
    return (count * high + (count * low >> 32U)) >> 32U; // count < 2^32
}

inline void shuffle(std::span<std::size_t> values, counter_rng const& random) noexcept {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[draw_below(i, random, i)]);
}

} // namespace detail

/// The samples of every epoch: as they are given, or in an order of its own for each epoch.
///
/// Post-condition  each epoch has every sample once; `at(p)` depends on seed and p only.
/// Test            tests/unit/train/sample_order.cpp
class sample_order {
public:
    sample_order(std::size_t samples, bool shuffled, std::uint64_t seed) : samples_{samples}, shuffled_{shuffled}, seed_{seed} {
        ZEROI2V_REQUIRE(samples > 0 && samples < (std::uint64_t{1} << 32U), "zeroi2v::sample_order: 1 to 2^32 - 1 samples");
    }

    [[nodiscard]] std::size_t samples() const noexcept { return samples_; }

    /// The sample at `position`, counted through all epochs.
    [[nodiscard]] std::size_t at(std::uint64_t position) {
        std::uint64_t const epoch = position / samples_;
        auto const place = static_cast<std::size_t>(position % samples_);
        if (!shuffled_) return place;
        if (order_.empty() || epoch != epoch_) {
            order_.resize(samples_);
            std::iota(order_.begin(), order_.end(), std::size_t{0});
            detail::shuffle(order_, counter_rng{seed_, detail::order_stream + epoch});
            epoch_ = epoch;
        }
        return order_[place];
    }

private:
    std::size_t samples_;
    bool shuffled_;
    std::uint64_t seed_;
    std::uint64_t epoch_{};
    std::vector<std::size_t> order_;
};

/// `shots` samples of each class, ascending; all of a class that has fewer.
[[nodiscard]] inline std::vector<std::size_t> draw_shots(std::span<std::int64_t const> labels, std::size_t shots, std::uint64_t seed) {
    std::map<std::int64_t, std::vector<std::size_t>> classes;
    for (std::size_t i = 0; i < labels.size(); ++i) classes[labels[i]].push_back(i);
    std::vector<std::size_t> drawn;
    for (auto& [label, samples] : classes) {
        detail::shuffle(samples, counter_rng{seed, detail::shots_stream + static_cast<std::uint64_t>(label)});
        samples.resize(std::min(samples.size(), shots));
        drawn.insert(drawn.end(), samples.begin(), samples.end());
    }
    std::sort(drawn.begin(), drawn.end());
    return drawn;
}

} // namespace zeroi2v
