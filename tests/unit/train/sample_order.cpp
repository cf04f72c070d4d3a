// Orders of samples and draws of shots: functions of a seed.
#include <zeroi2v/train/sample_order.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

std::vector<std::size_t> epoch(sample_order& order, std::uint64_t number) {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < order.samples(); ++i) all.push_back(order.at(number * order.samples() + i));
    return all;
}

/// Fisher and Yates from the end, values 2 i and 2 i + 1 of the generator for place i.
std::vector<std::size_t> shuffled(std::vector<std::size_t> values, counter_rng const& random) {
    for (std::size_t i = values.size(); i > 1; --i) {
        std::uint64_t const high = i * std::uint64_t{random.bits(2 * i)}, low = i * std::uint64_t{random.bits(2 * i + 1)};
        std::swap(values[i - 1], values[static_cast<std::size_t>((high + (low >> 32U)) >> 32U)]); // i times 64 bits, above 2^64
    }
    return values;
}

} // namespace

TEST_CASE("each epoch has every sample once, in an order of its own, wherever one begins") {
    for (std::size_t const samples : {1U, 2U, 7U, 100U}) {
        sample_order order{samples, true, 3}, given{samples, false, 3}, other{samples, true, 4};
        std::vector<std::size_t> all(samples);
        std::iota(all.begin(), all.end(), std::size_t{0});
        auto const first = epoch(order, 0), fifth = epoch(order, 5);
        CHECK(std::is_permutation(first.begin(), first.end(), all.begin(), all.end()));
        CHECK(std::is_permutation(fifth.begin(), fifth.end(), all.begin(), all.end()));
        CHECK(epoch(given, 7) == all);
        if (samples == 100) {
            CHECK(first != fifth);
            CHECK(first != epoch(other, 0));
            CHECK(first != all);
        }
        sample_order late{samples, true, 3};
        CHECK(late.at(5 * samples + samples - 1) == fifth.back());
        CHECK(epoch(order, 0) == first);
    }
    CHECK_THROWS_AS((sample_order{0, true, 1}), precondition_error);
}

TEST_CASE("an order is value by value the generator's: of the seed, and of a stream for each epoch and each class") {
    for (std::size_t const samples : {1U, 2U, 3U, 10U, 257U})
        for (std::uint64_t const seed : {0U, 5U}) {
            std::vector<std::size_t> all(samples);
            std::iota(all.begin(), all.end(), std::size_t{0});
            sample_order order{samples, true, seed};
            CHECK(order.samples() == samples);
            for (std::uint64_t const number : {0U, 1U, 7U, 0U}) CHECK(epoch(order, number) == shuffled(all, counter_rng{seed, (std::uint64_t{1} << 63U) + number}));
        }
    std::vector<std::int64_t> labels;
    for (int i = 0; i < 90; ++i) labels.push_back(i * 7 % 11);
    for (std::size_t const shots : {0U, 1U, 3U, 100U}) {
        std::vector<std::uint32_t> wanted;
        for (std::int64_t label = 0; label < 11; ++label) {
            std::vector<std::size_t> own;
            for (std::size_t i = 0; i < labels.size(); ++i)
                if (labels[i] == label) own.push_back(i);
            auto const drawn = shuffled(own, counter_rng{6, (std::uint64_t{3} << 62U) + static_cast<std::uint64_t>(label)});
            wanted.insert(wanted.end(), drawn.begin(), drawn.begin() + static_cast<std::ptrdiff_t>(std::min(shots, drawn.size())));
        }
        std::sort(wanted.begin(), wanted.end());
        CHECK(draw_shots(labels, shots, 6) == wanted);
    }
    CHECK(draw_shots(std::span<std::int64_t const>{}, 3, 6).empty());
}

TEST_CASE("draw_below: the upper 64 bits of the product, for counts up to 2^32 - 1") {
    __extension__ using wide = unsigned __int128;
    counter_rng const random{12, 3};
    for (std::uint64_t const count : {std::uint64_t{1}, std::uint64_t{3}, (std::uint64_t{1} << 31U) + 5, (std::uint64_t{1} << 32U) - 1})
        for (std::uint64_t i = 0; i < 200; ++i) {
            std::uint64_t const value = std::uint64_t{random.bits(2 * i)} << 32U | random.bits(2 * i + 1);
            CHECK(detail::draw_below(count, random, i) == static_cast<std::uint64_t>(wide{count} * value >> 64U));
        }
}

TEST_CASE("sample_order: samples are counted in 32 bits") {
    std::size_t const most = (std::size_t{1} << 32U) - 1;
    sample_order given{most, false, 1};
    CHECK(given.at(most - 1) == most - 1);
    CHECK(given.at(most) == 0);
    CHECK_THROWS_AS((sample_order{most + 1, false, 1}), precondition_error);
}

TEST_CASE("shots: so many of each class, all of a small one, by the seed") {
    std::vector<std::int64_t> labels;
    for (int i = 0; i < 60; ++i) labels.push_back(i % 5 == 4 ? 9 : i % 5);
    labels.push_back(7);
    auto const drawn = draw_shots(labels, 3, 1);
    CHECK(drawn.size() == 5 * 3 + 1);
    CHECK(std::is_sorted(drawn.begin(), drawn.end()));
    for (std::int64_t const label : {0, 1, 2, 3, 9})
        CHECK(std::count_if(drawn.begin(), drawn.end(), [&](std::size_t i) { return labels[i] == label; }) == 3);
    CHECK(drawn.back() == 60);
    CHECK(drawn == draw_shots(labels, 3, 1));
    CHECK(drawn != draw_shots(labels, 3, 2));
    CHECK(draw_shots(labels, 1000, 2).size() == labels.size());
    CHECK(drawn == draw_shots(labels.size(), [&](std::size_t i) { return labels[i]; }, 3, 1));
}
