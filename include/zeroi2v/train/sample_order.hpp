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
#include <utility>
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

inline void shuffle(std::span<std::uint32_t> values, counter_rng const& random) noexcept {
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
            std::iota(order_.begin(), order_.end(), std::uint32_t{0});
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
    std::vector<std::uint32_t> order_;
};

/// `shots` samples of each class, ascending; all of a class that has fewer. `label(i)` is the class of sample i of `samples`.
///
/// Cost  two looks at each label, four bytes for each sample.
template <class Label>
[[nodiscard]] std::vector<std::uint32_t> draw_shots(std::size_t samples, Label const& label, std::size_t shots, std::uint64_t seed) {
    ZEROI2V_REQUIRE(samples < (std::uint64_t{1} << 32U), "zeroi2v::draw_shots: fewer than 2^32 samples");
    struct range {
        std::size_t count = 0, begin = 0;
    };
    std::map<std::int64_t, range> classes;
    for (std::size_t i = 0; i < samples; ++i) ++classes[label(i)].count;
    for (std::size_t begin = 0; auto& [number, each] : classes) begin = (each.begin = begin) + std::exchange(each.count, 0);
    std::vector<std::uint32_t> sorted(samples); // by class, then by number
    for (std::size_t i = 0; i < samples; ++i) {
        auto& each = classes[label(i)];
        sorted[each.begin + each.count++] = static_cast<std::uint32_t>(i);
    }
    std::size_t drawn = 0;
    for (auto const& [number, each] : classes) {
        auto const own = std::span{sorted}.subspan(each.begin, each.count);
        detail::shuffle(own, counter_rng{seed, detail::shots_stream + static_cast<std::uint64_t>(number)});
        auto const taken = own.first(std::min(own.size(), shots));
        std::copy(taken.begin(), taken.end(), sorted.begin() + static_cast<std::ptrdiff_t>(drawn));
        drawn += taken.size();
    }
    sorted.resize(drawn);
    sorted.shrink_to_fit();
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}
[[nodiscard]] inline std::vector<std::uint32_t> draw_shots(std::span<std::int64_t const> labels, std::size_t shots, std::uint64_t seed) {
    return draw_shots(labels.size(), [labels](std::size_t i) { return labels[i]; }, shots, seed);
}

} // namespace zeroi2v
