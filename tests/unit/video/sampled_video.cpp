#include <zeroi2v/video/sampled_video.hpp>

#include <zeroi2v/video/preprocess.hpp>

#include "encode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

using namespace zeroi2v;

namespace {

std::filesystem::path demo() { return std::filesystem::path{ZEROI2V_TEST_DATA} / "../../examples/data/demo.mp4"; }

} // namespace

TEST_CASE("frame_collector: each frame once, in the order of its number, whatever shows it") {
    frame_indices indices{std::size_t{2}, std::size_t{3}};
    std::ranges::copy(std::array<std::int64_t, 6>{5, 2, 5, 0, 2, 9}, indices.begin());
    frame_collector collector{indices};
    CHECK(collector.wanted() == std::vector<std::size_t>{0, 2, 5, 9});
    std::vector<std::uint8_t> pixels(4 * 20); // (4,5,3), five bytes between the rows
    for (std::size_t n = 0; n < 4; ++n) {
        std::ranges::fill(pixels, static_cast<std::uint8_t>(n + 1));
        for (std::size_t y = 0; y < 4; ++y) std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(y * 20 + 15), 5, std::uint8_t{99});
        collector.put(view_pixels(pixels.data(), {4, 5}, 20));
    }
    auto const taken = std::move(collector).indices();
    CHECK(std::ranges::equal(taken, indices));
    CHECK(std::move(collector).shown() == std::vector<std::size_t>{2, 1, 2, 0, 1, 3});
    auto const frames = std::move(collector).frames();
    REQUIRE(frames.size() == 4);
    for (std::size_t n = 0; n < 4; ++n) {
        CHECK(frames[n].extents() == dims<3>{4, 5, 3});
        CHECK(std::ranges::count(frames[n], static_cast<std::uint8_t>(n + 1)) == 60);
    }
}

TEST_CASE("frame_collector: frames of other sizes are kept as they are") {
    frame_indices indices{std::size_t{1}, std::size_t{2}};
    std::ranges::copy(std::array<std::int64_t, 2>{0, 1}, indices.begin());
    frame_collector collector{indices};
    image const first{4, 5, 3}, second{3, 7, 3};
    collector.put(view_pixels(first));
    collector.put(view_pixels(second));
    auto const frames = std::move(collector).frames();
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].extents() == dims<3>{4, 5, 3});
    CHECK(frames[1].extents() == dims<3>{3, 7, 3});
}

TEST_CASE("sample_video: its frames, cut on the CPU, are what preprocess_video makes") {
    for (auto const& config : {input_config{.sampling = sampling_method::dense, .interval = 16, .clips = 3, .crops = 1},
                               input_config{.sampling = sampling_method::uniform, .clips = 1, .crops = 3, .normalize = normalization::clip}}) {
        auto const expected = preprocess_video(demo(), config, 8, 224);
        video_reader reader{demo(), {.threads = 2}};
        auto const found = sample_video(reader, config, 8, 224);
        CHECK(found.report.decoded == expected.report.decoded);
        CHECK(found.report.skipped == 0);
        CHECK(std::ranges::equal(found.indices, std::span{expected.indices.begin(), found.indices.size()}));
        CHECK(found.info.codec == expected.info.codec);
        CHECK(found.decode_seconds > 0);
        CHECK(expected.decode_seconds > 0);
        CHECK(expected.preprocess_seconds > 0);
        CHECK(found.info.size == size_of(view_pixels(found.frames.front())));
        REQUIRE(found.shown.size() == config.clips * 8);
        REQUIRE(found.indices.extents() == dims<2>{config.clips, 8});
        view_builder views{config, 224, found.indices};
        for (std::size_t n = 0; n < views.wanted().size(); ++n) views.put(views.wanted()[n], view_pixels(found.frames[n]));
        for (std::size_t i = 0; i < found.shown.size(); ++i)
            CHECK(views.wanted()[found.shown[i]] == static_cast<std::size_t>(found.indices.data()[i]));
        auto const clip = std::move(views).clip();
        REQUIRE(clip.extents() == expected.clip.extents());
        CHECK(std::ranges::equal(clip, expected.clip));
    }
}

TEST_CASE("sample_video: what cannot be sampled is said as preprocess_video says it") {
    video_reader reader{demo(), {}};
    CHECK_THROWS_AS(static_cast<void>(sample_video(reader, {.clips = 1, .crops = 2}, 8, 224)), model_error);
    CHECK_THROWS_AS(static_cast<void>(sample_video(reader, {.clips = 1, .crops = 1, .resize = 200}, 8, 224)), model_error);
}
