#include <zeroi2v/video/frame_sampler.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cfenv>
#include <cmath>
#include <set>

using namespace zeroi2v;

namespace {

std::vector<std::int64_t> flat(frame_indices const& indices) { return {indices.begin(), indices.end()}; }

// mmaction2's formulas once more, with the library's rint
std::vector<std::int64_t> dense_reference(std::int64_t n, std::int64_t length, std::int64_t interval,
                                          std::int64_t clips) {
    std::vector<std::int64_t> result;
    std::int64_t const most = std::max<std::int64_t>(n - ((length - 1) * interval + 1), 0);
    for (std::int64_t i = 0; i < clips; ++i) {
        std::int64_t const offset = clips == 1 ? most / 2 : std::lrint(double(i) * (double(most) / double(clips - 1)));
        for (std::int64_t j = 0; j < length; ++j) result.push_back((offset + j * interval) % n);
    }
    return result;
}

std::vector<std::int64_t> uniform_reference(std::int64_t n, std::int64_t length, std::int64_t clips) {
    std::vector<std::int64_t> result;
    double const segment = double(n - 1) / double(length);
    double const step = segment / double(clips + 1);
    for (std::int64_t k = 1; k <= clips; ++k)
        for (std::int64_t i = 0; i < length; ++i)
            result.push_back(std::lrint(segment * double(i)) + std::int64_t(step * double(k)));
    return result;
}

/// Uniform in [0, count): the upper 64 bits of count times values 2 i and 2 i + 1 of the generator.
std::int64_t below(std::int64_t count, counter_rng const& random, std::uint64_t i) {
    std::uint64_t const value = std::uint64_t{random.bits(2 * i)} << 32U | random.bits(2 * i + 1), range = static_cast<std::uint64_t>(count);
    std::uint64_t const high = range * (value >> 32U), low = range * (value & 0xffffffffU); // range below 2^32
    return static_cast<std::int64_t>((high + (low >> 32U)) >> 32U);
}

// mmaction2's SampleFrames in training, numpy's random numbers replaced by the generator's
std::vector<std::int64_t> dense_draw_reference(std::int64_t n, std::int64_t length, std::int64_t interval, std::int64_t clips, counter_rng const& random) {
    std::int64_t const reach = length * interval;
    auto const average = static_cast<std::int64_t>(std::floor(double(n - reach + 1) / double(clips)));
    std::vector<std::int64_t> offsets;
    for (std::int64_t i = 0; i < clips; ++i) {
        if (average > 0) offsets.push_back(i * average + below(average, random, static_cast<std::uint64_t>(i)));
        else if (n > std::max(clips, reach)) offsets.push_back(below(n - reach + 1, random, static_cast<std::uint64_t>(i)));
        else if (average == 0) offsets.push_back(std::lrint(double(i) * (double(n - reach + 1) / double(clips))));
        else offsets.push_back(0);
    }
    if (average <= 0 && n > std::max(clips, reach)) std::sort(offsets.begin(), offsets.end());
    std::vector<std::int64_t> result;
    for (std::int64_t const offset : offsets)
        for (std::int64_t j = 0; j < length; ++j) result.push_back((offset + j * interval) % n);
    return result;
}

std::vector<std::int64_t> uniform_draw_reference(std::int64_t n, std::int64_t length, std::int64_t clips, counter_rng const& random) {
    std::vector<std::int64_t> result;
    double const segment = double(n - 1) / double(length);
    for (std::int64_t i = 0; i < clips * length; ++i) {
        std::int64_t const first = std::lrint(segment * double(i % length)), last = std::lrint(segment * double(i % length + 1));
        result.push_back(first + below(last - first + 1, random, static_cast<std::uint64_t>(i)));
    }
    return result;
}

} // namespace

TEST_CASE("frame_sampler gives mmaction2's indices for every golden entry") {
    std::ifstream file{std::string{ZEROI2V_TEST_DATA} + "/pixels/sampling.json"};
    auto const entries = nlohmann::json::parse(file);
    REQUIRE(entries.size() > 50);
    for (auto const& entry : entries) {
        auto const name = entry["sampler"].get<std::string>();
        auto const method = sampling_from_name(name);
        REQUIRE(method.has_value());
        frame_sampler const sampler{*method, entry["clip_len"].get<std::size_t>(),
                                    entry.value("interval", std::size_t{1}), entry["clips"].get<std::size_t>()};
        CAPTURE(entry.dump());
        CHECK(flat(sampler.sample(entry["frames"].get<std::size_t>()))
              == entry["indices"].get<std::vector<std::int64_t>>());
    }
}

TEST_CASE("frame_sampler gives the published examples") {
    auto const dense = frame_sampler{sampling_method::dense, 8, 16, 3}.sample(300);
    CHECK(dense(0, 0) == 0);
    CHECK(dense(0, 7) == 112);
    CHECK(dense(1, 0) == 94);
    CHECK(dense(1, 7) == 206);
    CHECK(dense(2, 0) == 187);
    CHECK(dense(2, 7) == 299);
    CHECK(flat(frame_sampler{sampling_method::dense, 8, 16, 1}.sample(100))
          == std::vector<std::int64_t>{0, 16, 32, 48, 64, 80, 96, 12});
    CHECK(flat(frame_sampler{sampling_method::uniform, 8, 1, 1}.sample(60))
          == std::vector<std::int64_t>{3, 10, 18, 25, 33, 40, 47, 55});
    CHECK(flat(frame_sampler{sampling_method::uniform, 8, 1, 1}.sample(5))
          == std::vector<std::int64_t>{0, 0, 1, 2, 2, 2, 3, 4});
}

TEST_CASE("frame_sampler: n 1 to 300, all lengths and intervals, under every rounding mode of the processor") {
    std::size_t compared = 0;
    for (std::int64_t n = 1; n <= 300; ++n)
        for (std::int64_t const length : {1, 2, 3, 7, 8, 16, 32})
            for (std::int64_t const clips : {1, 2, 3, 5, 7, 10}) {
                auto const size = [](std::int64_t x) { return static_cast<std::size_t>(x); };
                REQUIRE(flat(frame_sampler{sampling_method::uniform, size(length), 1, size(clips)}.sample(size(n)))
                        == uniform_reference(n, length, clips));
                for (std::int64_t const interval : {1, 2, 4, 13, 16, 64, 400})
                    REQUIRE(
                        flat(frame_sampler{sampling_method::dense, size(length), size(interval), size(clips)}.sample(
                            size(n)))
                        == dense_reference(n, length, interval, clips));
                ++compared;
            }
    CHECK(compared == 300 * 7 * 6);
    for (int const mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
        std::fesetround(mode);
        auto const rounded = std::array{round_half_even(0.5),    round_half_even(1.5),    round_half_even(2.5),
                                        round_half_even(2.4999), round_half_even(2.5001), round_half_even(0.0)};
        std::fesetround(FE_TONEAREST);
        CHECK(rounded == std::array<std::int64_t, 6>{0, 2, 2, 2, 3, 0});
    }
}

TEST_CASE("frame_sampler draws within its segments, and the same for the same generator") {
    frame_sampler const uniform{sampling_method::uniform, 8, 1, 2};
    frame_sampler const dense{sampling_method::dense, 8, 4, 3};
    std::set<std::int64_t> seen;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        counter_rng const random{seed};
        CHECK(flat(uniform.draw(81, random)) == flat(uniform.draw(81, random)));
        auto const spread = uniform.draw(81, random);
        for (std::size_t i = 0; i < 2; ++i)
            for (std::size_t j = 0; j < 8; ++j) {
                CHECK(spread(i, j) >= static_cast<std::int64_t>(10 * j));
                CHECK(spread(i, j) <= static_cast<std::int64_t>(10 * j + 10));
            }
        seen.insert(spread(0, 0));
        auto const along = dense.draw(200, random); // E 32, a = 169/3 = 56
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(along(i, 0) >= static_cast<std::int64_t>(56 * i));
            CHECK(along(i, 0) < static_cast<std::int64_t>(56 * i + 56));
            for (std::size_t j = 1; j < 8; ++j) CHECK(along(i, j) == along(i, 0) + static_cast<std::int64_t>(4 * j));
        }
        auto const sorted = dense.draw(33, random); // two starts for three clips
        CHECK(sorted(0, 0) <= sorted(1, 0));
        CHECK(sorted(1, 0) <= sorted(2, 0));
        CHECK(sorted(2, 0) <= 1);
        for (std::size_t n = 1; n < 32; ++n) // shorter than a clip: it starts at 0 and wraps
            for (std::int64_t const index : dense.draw(n, random)) CHECK(index < static_cast<std::int64_t>(n));
        CHECK(dense.draw(31, random)(2, 0) == 0);
    }
    CHECK(seen.size() == 11);
}

TEST_CASE("frame_sampler draws mmaction2's formula for n 1 to 300, all lengths, intervals and clips") {
    std::size_t ends = 0, spread = 0, sorted = 0, zero = 0;
    for (std::int64_t n = 1; n <= 300; ++n)
        for (std::int64_t const length : {1, 2, 3, 7, 8, 16})
            for (std::int64_t const clips : {1, 2, 3, 10}) {
                auto const size = [](std::int64_t x) { return static_cast<std::size_t>(x); };
                counter_rng const random{static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(~length)};
                auto const uniform = uniform_draw_reference(n, length, clips, random);
                REQUIRE(flat(frame_sampler{sampling_method::uniform, size(length), 1, size(clips)}.draw(size(n), random)) == uniform);
                ends += uniform.back() == n - 1 ? 1U : 0U;
                for (std::int64_t const interval : {1, 2, 4, 13, 16, 64}) {
                    REQUIRE(flat(frame_sampler{sampling_method::dense, size(length), size(interval), size(clips)}.draw(size(n), random))
                            == dense_draw_reference(n, length, interval, clips, random));
                    std::int64_t const starts = n - length * interval + 1;
                    spread += starts > 0 && starts < clips && n <= std::max(clips, length * interval) ? 1U : 0U;
                    sorted += starts > 0 && starts < clips && n > std::max(clips, length * interval) ? 1U : 0U;
                    zero += starts <= 0 ? 1U : 0U;
                }
            }
    CHECK(ends > 100); // the last frame is drawn, too
    CHECK(spread > 50);
    CHECK(sorted > 50);
    CHECK(zero > 50);
}

TEST_CASE("frame_sampler: both bounds are the last that is taken") {
    std::size_t const most = std::size_t{1} << 31, sampled = std::size_t{1} << 20;
    using video_test::code_of;
    auto const asking = [](std::size_t frames, std::size_t interval, std::size_t clips, std::size_t n) {
        return code_of([&] { static_cast<void>(frame_sampler{sampling_method::dense, frames, interval, clips}.sample(n)); });
    };
    CHECK(asking(1, most, 1, 9) == "none");
    CHECK(asking(1, most + 1, 1, 9) == "bad_config");
    CHECK(asking(2, most / 2, 1, 9) == "none");
    CHECK(asking(2, most / 2 + 1, 1, 9) == "bad_config");
    CHECK(asking(1, 1, sampled, 9) == "none");
    CHECK(asking(1, 1, sampled + 1, 9) == "bad_config");
    CHECK(asking(1 << 10, 1, 1 << 10, 9) == "none");
    CHECK(asking((1 << 10) + 1, 1, 1 << 10, 9) == "bad_config");
    CHECK(asking(4, 1, 1, most) == "none");
    CHECK(asking(4, 1, 1, most + 1) == "limit_exceeded");
    CHECK(asking(std::size_t{1} << 33, std::size_t{1} << 33, 1, 9) == "bad_config"); // products of more than 64 bits
    CHECK(asking(std::size_t{1} << 33, 1, std::size_t{1} << 33, 9) == "bad_config");
    CHECK(flat(frame_sampler{sampling_method::dense, 2, most / 2, 1}.sample(most)) == std::vector<std::int64_t>{(1 << 29) - 1, (1 << 29) - 1 + (1 << 30)});
    try {
        static_cast<void>(frame_sampler{sampling_method::dense, 7, 0, 3}.sample(9));
        FAIL("nothing thrown");
    } catch (model_error const& fault) {
        CHECK(std::string{fault.what()} == "frame_sampler: frames 7, interval 0, clips 3 found, each at least 1, frames * interval at most 2^31, frames * clips at most 2^20 expected");
    }
}

TEST_CASE("frame_sampler refuses no frames and impossible settings") {
    frame_sampler const good{sampling_method::uniform, 8, 1, 1};
    CHECK(video_test::code_of([&] { return good.sample(0); }) == "no_frames");
    CHECK(video_test::code_of([&] { return good.draw(0, counter_rng{1}); }) == "no_frames");
    CHECK(video_test::code_of([] { return frame_sampler{sampling_method::dense, 0, 1, 1}.sample(9); }) == "bad_config");
    CHECK(video_test::code_of([] { return frame_sampler{sampling_method::dense, 8, 0, 1}.sample(9); }) == "bad_config");
    CHECK(video_test::code_of([] { return frame_sampler{sampling_method::dense, 8, 1, 0}.sample(9); }) == "bad_config");
    CHECK(video_test::code_of([] {
              return frame_sampler{sampling_method::dense, 8, std::size_t{1} << 62, 1}.sample(9);
          })
          == "bad_config");
    CHECK(video_test::code_of([&] { return good.sample(std::size_t{1} << 40); }) == "limit_exceeded");
    CHECK(frame_sampler{sampling_method::dense, 8, 1U << 28, 1}.sample(7)(0, 1) == (1 << 28) % 7);
}
