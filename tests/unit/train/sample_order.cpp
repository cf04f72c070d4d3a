// Orders of samples and draws of shots: functions of a seed.
#include <zeroi2v/train/sample_order.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

using namespace zeroi2v;

namespace {

std::vector<std::size_t> epoch(sample_order& order, std::uint64_t number) {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < order.samples(); ++i) all.push_back(order.at(number * order.samples() + i));
    return all;
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
}
