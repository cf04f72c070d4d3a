// The queue that reads training clips ahead: their order whoever reads them, what replaces a bad one, and every end.
#include "clip_queue.hpp"

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::program;

namespace {

/// Samples whose clips are their own number and the draw; some cannot be read, and some take longer.
class numbered_source final : public train_source {
public:
    numbered_source(std::size_t size, std::set<std::size_t> bad) : size_{size}, bad_{std::move(bad)}, groups_{10} {}

    std::size_t size() const noexcept override { return size_; }
    std::vector<std::size_t> const& groups() const noexcept override { return groups_; }
    std::int64_t label(std::size_t, std::size_t) const noexcept override { return 3; }
    std::vector<std::int64_t> read(std::size_t i, std::uint64_t draw, std::span<float> out) const override {
        ++reads;
        if (i % 7 == 3) std::this_thread::sleep_for(std::chrono::microseconds{300});
        if (bad_.contains(i)) throw video_error{error_code::decode_failed, "sample " + std::to_string(i) + ": bad on purpose"};
        std::fill(out.begin(), out.end(), static_cast<float>(i));
        out[0] = static_cast<float>(draw);
        return {static_cast<std::int64_t>(i)};
    }
    dynamic_tensor<float, 5> views(std::size_t) const override { return {}; }
    json_value fingerprint() const override { return {}; }
    bool decodes() const noexcept override { return true; }

    mutable std::atomic<std::size_t> reads = 0;

private:
    std::size_t size_;
    std::set<std::size_t> bad_;
    std::vector<std::size_t> groups_;
};

/// The n-th clip wanted: an order of no pattern.
clip_queue::wanted nth(std::uint64_t n) { return {static_cast<std::size_t>(n * 17 % 29), n}; }

} // namespace

TEST_CASE("clip_queue: the order of the demand for every number of readers and places; the next sample in place of a bad one") {
    for (std::size_t const threads : {0U, 1U, 2U, 5U})
        for (std::size_t const places : {1U, 2U, 8U}) {
            numbered_source const source{29, {4, 5, 28}};
            bad_videos bad{3};
            std::uint64_t asked = 0;
            clip_queue queue{source, 6, [&](std::uint64_t n) {
                                 CHECK(n == asked++); // in order, by one at a time
                                 return nth(n);
                             }, threads, places, bad};
            CHECK(queue.threads() == threads);
            std::size_t news = 0;
            for (std::uint64_t n = 0; n < 200; ++n) {
                auto const clip = queue.next();
                std::size_t sample = nth(n).sample;
                while (sample == 4 || sample == 5 || sample == 28) sample = (sample + 1) % 29;
                REQUIRE(clip.values.size() == 6);
                CHECK(clip.values[0] == static_cast<float>(n));
                CHECK(clip.values[5] == static_cast<float>(sample));
                CHECK(clip.labels == std::vector<std::int64_t>{static_cast<std::int64_t>(sample)});
                if (n % 10 == 0) { // as a rank does between two steps, while others read
                    news += bad.news().size();
                    bad.add_known(4);
                }
            }
            news += bad.news().size();
            CHECK(bad.count() == 3);
            CHECK(news >= 2);
        }
}

TEST_CASE("clip_queue: one bad sample too many reaches the caller; a queue may end with clips that nobody took, or while they are read") {
    for (std::size_t const threads : {0U, 1U, 3U}) {
        numbered_source const source{29, {4, 5, 28}};
        bad_videos bad{2};
        clip_queue queue{source, 6, nth, threads, 4, bad};
        auto const drain = [&] {
            for (int i = 0; i < 100; ++i) static_cast<void>(queue.next());
        };
        CHECK_THROWS_AS(drain(), video_error);
        CHECK(bad.count() == 3);
    }
    for (std::size_t const threads : {1U, 4U})
        for (int round = 0; round < 20; ++round) {
            numbered_source const source{29, {}};
            bad_videos bad{0};
            clip_queue queue{source, 6, nth, threads, 8, bad};
            for (int i = 0; i < round % 3; ++i) static_cast<void>(queue.next());
            if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    numbered_source const none_readable{2, {0, 1}};
    bad_videos bad{9};
    clip_queue queue{none_readable, 6, [](std::uint64_t n) { return clip_queue::wanted{0, n}; }, 2, 4, bad};
    CHECK_THROWS_AS(static_cast<void>(queue.next()), video_error);
}

TEST_CASE("clip_queue: which clip finds one bad sample too many depends on no thread; what nobody took does not count") {
    // Sample 3 takes its time and is bad, samples 5 and 6 are bad at once: read ahead, they are found first.
    for (std::size_t const threads : {0U, 1U, 8U}) {
        numbered_source const source{29, {3, 5, 6}};
        auto const in_order = [](std::uint64_t n) { return clip_queue::wanted{static_cast<std::size_t>(n + 3) % 29, n}; };
        bad_videos bad{1};
        {
            clip_queue queue{source, 6, in_order, threads, 8, bad};
            if (threads > 0)
                while (source.reads < 8) std::this_thread::yield(); // as far ahead as there are places
            CHECK(bad.count() == 0);
            CHECK(queue.next().values[5] == 4); // in place of 3
            CHECK(queue.next().values[5] == 4);
            CHECK(bad.count() == 1);
            CHECK(bad.news() == std::vector<std::size_t>{3});
        }
        CHECK(bad.count() == 1); // the run ended before 5 was wanted
        bad_videos again{1};
        clip_queue queue{source, 6, in_order, threads, 8, again};
        static_cast<void>(queue.next());
        static_cast<void>(queue.next());
        try {
            static_cast<void>(queue.next());
            FAIL("nothing thrown");
        } catch (video_error const& fault) {
            CHECK(fault.code() == error_code::limit_exceeded);
            CHECK(std::string{fault.what()} == "--bad-videos: 2 videos could not be read, at most 1 expected");
        }
    }
}

TEST_CASE("clip_queue: an order that throws reaches the caller at its place, whoever asked for it") {
    for (std::size_t const threads : {0U, 1U, 3U}) {
        numbered_source const source{29, {}};
        bad_videos bad{0};
        clip_queue queue{source, 6, [](std::uint64_t n) {
                             if (n == 5) throw std::bad_alloc{};
                             return nth(n);
                         }, threads, 4, bad};
        for (int i = 0; i < 5; ++i) CHECK(queue.next().values[0] == static_cast<float>(i));
        CHECK_THROWS_AS(static_cast<void>(queue.next()), std::bad_alloc);
    }
}
