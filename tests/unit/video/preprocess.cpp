#include <zeroi2v/video/preprocess.hpp>

#include "encode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

std::filesystem::path demo() { return std::filesystem::path{ZEROI2V_TEST_DATA} / "../../examples/data/demo.mp4"; }

// how many values of (3,S,S) differ from the normalised golden bytes
std::size_t differing(clip_tensor const& clip, std::size_t v, std::size_t t, std::uint8_t const* expected,
                      normalizer const& normalize) {
    std::size_t const plane = clip.extent(3) * clip.extent(4);
    float const* const values = &clip(v, t, 0, 0, 0);
    std::size_t count = 0;
    for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t i = 0; i < plane; ++i)
            count += values[c * plane + i] != normalize(c, expected[c * plane + i]) ? 1U : 0U;
    return count;
}

} // namespace

TEST_CASE("preprocess_video: dense views of the demo equal mmaction2's in every index and every byte") {
    input_config const config{.sampling = sampling_method::dense, .interval = 16, .clips = 3, .crops = 1};
    for (int const threads : {1, 3}) {
        auto const video = preprocess_video(demo(), config, 8, 224, {.threads = threads});
        CHECK(video.report.decoded == 280);
        CHECK(video.report.skipped == 0);
        CHECK(video.info.size == image_size{256, 340});
        CHECK(video.info.frames_per_second == doctest::Approx(28));
        REQUIRE(video.clip.extents() == dims<5>{3, 8, 3, 224, 224});
        CHECK(std::vector<std::int64_t>{video.indices.begin(), video.indices.end()}
              == video_test::golden_integers("demo.mp4.safetensors", "dense.frame_indices"));
        auto pixels = video_test::golden("demo.mp4.safetensors", "dense.view1");
        REQUIRE(pixels.size() == 8 * 3 * 224 * 224);
        normalizer const normalize{config.normalize};
        for (std::size_t t = 0; t < 8; ++t)
            CHECK(differing(video.clip, 1, t, &pixels[t * 3 * 224 * 224], normalize) == 0);
        pixels[1000] ^= 1U; // the comparison can fail
        CHECK(differing(video.clip, 1, 0, pixels.data(), normalize) == 1);
    }
}

TEST_CASE("preprocess_video: three crops of the demo equal mmaction2's in every index and every byte") {
    input_config const config{
        .sampling = sampling_method::uniform, .clips = 1, .crops = 3, .normalize = normalization::clip};
    auto const video = preprocess_video(demo(), config, 8, 224);
    REQUIRE(video.clip.extents() == dims<5>{3, 8, 3, 224, 224});
    auto const indices = video_test::golden_integers("demo.mp4.safetensors", "uniform.frame_indices");
    for (std::size_t v = 0; v < 3; ++v)
        for (std::size_t t = 0; t < 8; ++t) CHECK(video.indices(v, t) == indices[t]);
    auto const pixels = video_test::golden("demo.mp4.safetensors", "uniform.crops"); // (3,2,3,224,224): frames 0 and 7
    REQUIRE(pixels.size() == 3 * 2 * 3 * 224 * 224);
    normalizer const normalize{config.normalize};
    for (std::size_t crop = 0; crop < 3; ++crop)
        for (std::size_t f = 0; f < 2; ++f)
            CHECK(differing(video.clip, crop, f * 7, &pixels[(crop * 2 + f) * 3 * 224 * 224], normalize) == 0);
}

TEST_CASE("preprocess_video: indices are those of the frames that decode, whatever the container states") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.avi", {.encoder = "mpeg4", .b_frames = 0, .settings = {{"b", "2000000"}}});
    auto content = video_test::read_file(folder / "a.avi");
    std::string const mark = "strh";
    auto const header = std::search(content.begin(), content.end(), mark.begin(), mark.end());
    REQUIRE(header != content.end());
    input_config const config{.sampling = sampling_method::uniform, .clips = 2, .crops = 3, .resize = 40};
    auto const expected = preprocess_video(folder / "a.avi", config, 4, 32);
    CHECK(expected.report.decoded == 20);
    for (int const stated : {0, 1, 19, 21, 200}) {
        header[8 + 32] = static_cast<std::uint8_t>(stated);
        video_test::write_file(folder / "lies.avi", content);
        auto const video = preprocess_video(folder / "lies.avi", config, 4, 32);
        CHECK(video.report.decoded == 20);
        CHECK(std::equal(video.indices.begin(), video.indices.end(), expected.indices.begin(), expected.indices.end()));
        CHECK(std::equal(video.clip.begin(), video.clip.end(), expected.clip.begin(), expected.clip.end()));
    }
    auto const sampled = frame_sampler{config.sampling, 4, 1, 2}.sample(20);
    for (std::size_t v = 0; v < 6; ++v)
        for (std::size_t t = 0; t < 4; ++t) CHECK(expected.indices(v, t) == sampled(v % 2, t));
}

TEST_CASE("a file that changes between two passes is refused: no third pass") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.avi", {.encoder = "mpeg4", .b_frames = 0});
    video_test::encode(folder / "short.avi", {.encoder = "mpeg4", .frames = 12, .b_frames = 0});
    auto content = video_test::read_file(folder / "a.avi");
    std::string const mark = "strh";
    auto const header = std::search(content.begin(), content.end(), mark.begin(), mark.end());
    REQUIRE(header != content.end());
    header[8 + 32] = 19; // of 20 frames: a second pass
    for (bool const changes : {false, true}) {
        video_test::write_file(folder / "b.avi", content);
        std::vector<std::size_t> asked;
        video_reader reader{folder / "b.avi"};
        auto const read = [&] {
            return detail::decode_sampled(
                reader,
                [&](std::size_t n) {
                    asked.push_back(n);
                    if (changes && asked.size() == 2) video_test::write_file(folder / "b.avi", video_test::read_file(folder / "short.avi"));
                    return frame_collector{frame_sampler{sampling_method::uniform, 4, 1, 1}.sample(n)};
                },
                [](frame_collector& sink, std::size_t, image_view pixels) { sink.put(pixels); });
        };
        if (changes) {
            try {
                static_cast<void>(read());
                FAIL("nothing thrown");
            } catch (resource_error const& fault) {
                CHECK(fault.code() == error_code::out_of_memory);
                CHECK(std::string{fault.what()} == (folder / "b.avi").string() + ": 12 frames found, 20 as in the pass before expected: FFmpeg lacked memory, or the file changes");
            }
        } else {
            auto [frames, report] = read();
            CHECK(report.decoded == 20);
            CHECK(std::move(frames).frames().size() == 4);
        }
        CHECK(asked == std::vector<std::size_t>{19, 20});
    }
}

TEST_CASE("D4, D9: one frame, fewer frames than the clip's reach, tiny pictures") {
    video_test::temporary_folder const folder;
    for (int const frames : {1, 2, 7}) {
        video_test::encode(folder / "few.mkv",
                           {.encoder = "ffv1", .width = 31, .height = 17, .frames = frames, .b_frames = 0});
        input_config const config{.interval = 16, .clips = 3};
        auto const video = preprocess_video(folder / "few.mkv", config, 8, 224);
        REQUIRE(video.report.decoded == static_cast<std::size_t>(frames));
        auto const sampled = frame_sampler{sampling_method::dense, 8, 16, 3}.sample(static_cast<std::size_t>(frames));
        CHECK(std::equal(video.indices.begin(), video.indices.end(), sampled.begin(), sampled.end()));
        // against the scalar path: decoded, resized whole, cropped
        std::vector<std::size_t> all;
        for (std::size_t i = 0; i < static_cast<std::size_t>(frames); ++i) all.push_back(i);
        auto const decoded = decode_frames(folder / "few.mkv", all);
        image_size const target = resized_to_short_side({17, 31}, 224);
        crop_window const window = centre_crop(target, 224);
        normalizer const normalize{config.normalize};
        std::vector<image> resized;
        for (image const& frame : decoded.frames) resized.push_back(resize(view_pixels(frame), target));
        std::size_t different = 0;
        for (std::size_t v = 0; v < 3; ++v)
            for (std::size_t t = 0; t < 8; ++t) {
                image const& whole = resized[static_cast<std::size_t>(video.indices(v, t))];
                for (std::size_t c = 0; c < 3; ++c)
                    for (std::size_t y = 0; y < 224; ++y)
                        for (std::size_t x = 0; x < 224; ++x)
                            different +=
                                video.clip(v, t, c, y, x) != normalize(c, whole(y + window.top, x + window.left, c))
                                    ? 1U
                                    : 0U;
            }
        CHECK(different == 0);
    }
    video_test::encode(folder / "dot.mkv", {.encoder = "ffv1", .width = 1, .height = 1, .frames = 2, .b_frames = 0});
    auto const dot = preprocess_video(folder / "dot.mkv", input_config{}, 2, 16);
    for (float const value : dot.clip) CHECK(value == value);
    CHECK(dot.clip(0, 0, 0, 0, 0) == dot.clip(0, 0, 0, 15, 15));
}

TEST_CASE("preprocess_video: the seconds of both parts are those of the whole call, the opening of the file with them") {
    using clock = std::chrono::steady_clock;
    using seconds = std::chrono::duration<double>;
    input_config const config{.sampling = sampling_method::uniform, .clips = 1};
    double opening = 1e9;
    for (int i = 0; i < 10; ++i) {
        auto const start = clock::now();
        video_reader const reader{demo()};
        opening = std::min(opening, seconds{clock::now() - start}.count());
    }
    bool found = false; // a machine at work may take time between two readings of the clock, but not each time
    for (int i = 0; i < 100 && !found; ++i) {
        auto const start = clock::now();
        auto const video = preprocess_video(demo(), config, 1, 16);
        double const all = seconds{clock::now() - start}.count();
        CHECK(video.decode_seconds > 0);
        CHECK(video.preprocess_seconds > 0);
        REQUIRE(video.decode_seconds + video.preprocess_seconds <= all);
        found = video.decode_seconds + video.preprocess_seconds > all - opening / 2;
    }
    CHECK(found);
}

TEST_CASE("preprocess_video: settings are judged before the file, and no frame is an error") {
    using video_test::code_of;
    CHECK(code_of([] { return preprocess_video("missing.mp4", input_config{}, 8, 225); }) == "bad_config");
    CHECK(code_of([] { return preprocess_video("missing.mp4", input_config{.crops = 2}, 8, 224); }) == "bad_config");
    CHECK(code_of([] { return preprocess_video("missing.mp4", input_config{.interval = 0}, 8, 224); }) == "bad_config");
    CHECK(code_of([] { return preprocess_video("missing.mp4", input_config{}, 0, 224); }) == "bad_config");
    CHECK(code_of([] { return preprocess_video("missing.mp4", input_config{}, 8, 224); }) == "open_failed");
    video_test::temporary_folder const folder;
    video_test::claim(folder / "nothing.mkv", AV_CODEC_ID_MPEG4, 64, 48, {1, 2, 3}, 3);
    CHECK(code_of([&] { return preprocess_video(folder / "nothing.mkv", input_config{}, 8, 224); }) == "decode_failed");
    CHECK(code_of([&] { return preprocess_video(folder / "nothing.mkv", input_config{}, 8, 224, {.lenient = true}); })
          == "no_frames");
}
