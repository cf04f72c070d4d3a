#include "clips.hpp"

#include "console.hpp"

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::program;

namespace {

std::filesystem::path const examples = std::filesystem::path{ZEROI2V_SOURCE_DIR} / "examples/data";
console const quiet{true};

video_queue::reading how(bool frames_only, std::size_t clips = 2) {
    return {.input = {.sampling = sampling_method::uniform, .clips = clips, .crops = 3, .resize = 40}, .frames = 4, .image_size = 32, .threads = 1,
            .frames_only = frames_only};
}

std::vector<std::filesystem::path> videos() {
    return {examples / "demo.mp4", examples / "nothing.mp4", examples / "moving_shapes/bar_growing.mp4", examples / "moving_shapes/labels.txt"};
}

/// Remembers what it was asked for.
struct noting_runner final : model_runner {
    std::size_t clips = 0, frames = 0, shown = 0;

    [[nodiscard]] device_kind device() const noexcept override { return device_kind::cuda; }
    [[nodiscard]] std::string description() const override { return "none"; }
    [[nodiscard]] std::size_t bytes() const override { return 0; }
    void forward(view<float const, 5> all, view<float, 2>, progress*) override { clips = all.extent(0); }
    void features(view<float const, 5>, view<float, 3>, progress*) override {}
    void forward(sampled_video const& video, input_config const&, view<float, 2>) override {
        frames = video.frames.size();
        shown = video.shown.size();
    }
};

} // namespace

TEST_CASE("video_queue: the same videos and errors in the same order, read ahead or not, as views or as frames") {
    for (bool const ahead : {false, true})
        for (bool const frames_only : {false, true}) {
            CAPTURE(ahead);
            CAPTURE(frames_only);
            video_queue queue{videos(), how(frames_only), ahead};
            for (std::size_t i = 0; i < 4; ++i) {
                CAPTURE(i);
                if (i % 2 == 1) {
                    CHECK_THROWS_AS(static_cast<void>(queue.next(quiet)), video_error);
                    continue;
                }
                auto const video = queue.next(quiet);
                CHECK(video.views == 6);
                CHECK(video.report.decoded == (i == 0 ? 280 : 8));
                CHECK(video.decode_s > 0);
                noting_runner runner;
                float none = 0;
                video.forward(runner, how(frames_only).input, view<float, 2>{&none, std::size_t{1}, std::size_t{1}});
                CHECK(runner.clips == (frames_only ? 0 : 6));
                CHECK(runner.shown == (frames_only ? 8 : 0));
                CHECK((runner.frames > 0) == frames_only);
                if (!frames_only) {
                    auto const expected = preprocess_video(videos()[i], how(false).input, 4, 32);
                    CHECK(std::ranges::equal(video.on_cpu().clip, expected.clip));
                }
            }
        }
}

TEST_CASE("video_queue: frames that would take more than 1 GiB are cut to views as they come") {
    for (std::size_t const clips : {500U, 1100U}) { // 340 x 256 x 3 bytes each, 4 frames per clip: 0.5 and 1.1 GiB, if none were shown twice
        video_queue queue{{examples / "demo.mp4"}, how(true, clips), false};
        auto const video = queue.next(quiet);
        CHECK(std::holds_alternative<sampled_video>(video.pixels) == (clips == 500));
        CHECK(video.views == 3 * clips);
    }
}

TEST_CASE("video_queue: may end before its videos do") {
    for (bool const ahead : {false, true}) {
        video_queue queue{videos(), how(true), ahead};
        static_cast<void>(queue.next(quiet));
    }
    video_queue const untouched{videos(), how(true), true};
}
