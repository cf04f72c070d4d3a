#include <zeroi2v/video/ffmpeg/convert.hpp>

#include "../support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

using namespace zeroi2v;
using detail::ffmpeg_converter, detail::ffmpeg_frame, detail::ffmpeg_orientation;

namespace {

ffmpeg_frame frame_of(AVPixelFormat format, int width, int height) {
    ffmpeg_frame frame{av_frame_alloc()};
    frame->format = format;
    frame->width = width;
    frame->height = height;
    REQUIRE(av_frame_get_buffer(frame.get(), 0) >= 0);
    return frame;
}

ffmpeg_frame frame_of(image const& pixels) {
    auto frame = frame_of(AV_PIX_FMT_RGB24, static_cast<int>(pixels.extent(1)), static_cast<int>(pixels.extent(0)));
    for (std::size_t y = 0; y < pixels.extent(0); ++y) std::memcpy(frame->data[0] + static_cast<int>(y) * frame->linesize[0], &pixels(y, std::size_t{0}, std::size_t{0}), pixels.extent(1) * 3);
    return frame;
}

/// All of one colour, 4:2:0.
ffmpeg_frame frame_of(int y, int u, int v, AVColorSpace space, AVColorRange range) {
    auto frame = frame_of(AV_PIX_FMT_YUV420P, 32, 32);
    for (int plane = 0; plane < 3; ++plane)
        for (int row = 0; row < (plane == 0 ? 32 : 16); ++row) std::memset(frame->data[plane] + row * frame->linesize[plane], plane == 0 ? y : plane == 1 ? u : v, plane == 0 ? 32 : 16);
    frame->colorspace = space;
    frame->color_range = range;
    return frame;
}

bool same(image_view a, image const& b) {
    if (size_of(a) != size_of(view_pixels(b))) return false;
    for (std::size_t y = 0; y < a.extent(0); ++y)
        if (std::memcmp(a.data() + y * a.stride(0), &b(y, std::size_t{0}, std::size_t{0}), a.extent(1) * 3) != 0) return false;
    return true;
}

} // namespace

TEST_CASE("ffmpeg_converter: pictures of changing sizes, turned and not, one dimension at a time") {
    std::string const name = "file";
    ffmpeg_converter convert{name};
    orientation const quarter{0, -1, 1, 0}, half{-1, 0, 0, -1};
    std::uint32_t seed = 1;
    for (auto const& [height, width] : {std::pair{6U, 4U}, {6U, 9U}, {7U, 9U}, {9U, 7U}, {9U, 7U}, {1U, 1U}, {3U, 200U}, {6U, 4U}}) {
        image const pixels = video_test::noise(height, width, ++seed);
        auto const frame = frame_of(pixels);
        image_view const upright = convert(*frame, {});
        CHECK(same(upright, pixels));
        CHECK(upright.stride(0) % 64 == 0);
        CHECK(upright.stride(0) >= width * 3 + 64); // room for what vector code writes beyond a row
        for (orientation const way : {quarter, half}) {
            image_size const size = way.turned({height, width});
            image expected{size.height, size.width, std::size_t{3}};
            orient(view_pixels(pixels), way, expected);
            CHECK(same(convert(*frame, way), expected));
        }
    }
}

TEST_CASE("ffmpeg_converter: the matrix and the range that a frame states, BT.601 and narrow where it states none; a change counts") {
    struct entry {
        AVColorSpace space;
        double kr, kb;
    };
    std::string const name = "file";
    ffmpeg_converter convert{name};
    for (entry const& e : {entry{AVCOL_SPC_BT709, 0.2126, 0.0722}, {AVCOL_SPC_UNSPECIFIED, 0.299, 0.114}, {AVCOL_SPC_FCC, 0.30, 0.11}, {AVCOL_SPC_BT470BG, 0.299, 0.114},
                           {AVCOL_SPC_SMPTE170M, 0.299, 0.114}, {AVCOL_SPC_SMPTE240M, 0.212, 0.087}, {AVCOL_SPC_YCGCO, 0.299, 0.114}, {AVCOL_SPC_BT2020_NCL, 0.2627, 0.0593},
                           {AVCOL_SPC_BT2020_CL, 0.2627, 0.0593}, {AVCOL_SPC_RGB, 0.299, 0.114}})
        for (AVColorRange const range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG, AVCOL_RANGE_UNSPECIFIED})
            for (auto const& [y, u, v] : {std::array{90, 100, 170}, std::array{140, 160, 90}, std::array{200, 128, 128}}) {
                CAPTURE(e.space);
                CAPTURE(range);
                auto const frame = frame_of(y, u, v, e.space, range);
                image_view const found = convert(*frame, {});
                bool const full = range == AVCOL_RANGE_JPEG;
                double const luma = full ? y : (y - 16) * 255.0 / 219.0, scale = full ? 1.0 : 255.0 / 224.0;
                double const red = luma + 2 * (1 - e.kr) * (v - 128) * scale, blue = luma + 2 * (1 - e.kb) * (u - 128) * scale;
                double const green = (luma - e.kr * red - e.kb * blue) / (1 - e.kr - e.kb);
                std::uint8_t const* const at = found.data() + 9 * found.stride(0) + 27;
                CHECK(std::abs(at[0] - red) <= 2.5);
                CHECK(std::abs(at[1] - green) <= 2.5);
                CHECK(std::abs(at[2] - blue) <= 2.5);
            }
}

TEST_CASE("ffmpeg_converter: a format that has no pixels is refused by name") {
    detail::ffmpeg_silence const silence{true};
    std::string const name = "file";
    ffmpeg_converter convert{name};
    for (auto const& [format, words] : {std::pair{AV_PIX_FMT_VAAPI, "vaapi"}, {AV_PIX_FMT_NONE, "unknown"}}) {
        ffmpeg_frame const frame{av_frame_alloc()};
        frame->format = format;
        frame->width = 16;
        frame->height = 8;
        try {
            static_cast<void>(convert(*frame, {}));
            FAIL("converted");
        } catch (video_error const& fault) {
            CHECK(fault.code() == error_code::unsupported_format);
            CHECK(std::string{fault.what()} == "file: pixel format " + std::string{words} + " of 16x8 found, one that FFmpeg converts to RGB expected");
        }
    }
    image const pixels = video_test::noise(4, 4); // and the converter is as good as before
    CHECK(same(convert(*frame_of(pixels), {}), pixels));
}

namespace {

using matrix = std::array<std::int32_t, 9>;

/// What the side data of a frame and of its stream make.
std::string way_of(std::optional<matrix> const& of_frame, std::optional<matrix> const& of_stream, std::size_t frame_bytes = sizeof(matrix), std::size_t stream_bytes = sizeof(matrix)) {
    AVFormatContext* const context = avformat_alloc_context();
    AVStream* const stream = avformat_new_stream(context, nullptr);
    ffmpeg_frame const frame{av_frame_alloc()};
    if (of_frame) std::memcpy(av_frame_new_side_data(frame.get(), AV_FRAME_DATA_DISPLAYMATRIX, frame_bytes)->data, of_frame->data(), std::min(frame_bytes, sizeof(matrix)));
    if (of_stream) std::memcpy(av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, stream_bytes), of_stream->data(), std::min(stream_bytes, sizeof(matrix)));
    std::string found;
    try {
        orientation const way = ffmpeg_orientation(of_frame ? frame.get() : nullptr, *stream, "file");
        found = std::to_string(way.xx) + " " + std::to_string(way.xy) + " " + std::to_string(way.yx) + " " + std::to_string(way.yy);
    } catch (video_error const& fault) {
        CHECK(fault.code() == error_code::unsupported_format);
        found = fault.what();
    }
    avformat_free_context(context);
    return found;
}

} // namespace

TEST_CASE("ffmpeg_orientation: a frame's matrix, else its stream's; quarter turns and mirrors of any scale") {
    constexpr std::int32_t one = 1 << 16;
    auto const of = [](double a, double b, double c, double d) {
        matrix m{};
        m[0] = static_cast<std::int32_t>(std::lround(a * one));
        m[1] = static_cast<std::int32_t>(std::lround(b * one));
        m[3] = static_cast<std::int32_t>(std::lround(c * one));
        m[4] = static_cast<std::int32_t>(std::lround(d * one));
        m[8] = 1 << 30;
        return m;
    };
    CHECK(way_of({}, {}) == "1 0 0 1");
    for (int const turn : {0, 1, 2, 3})
        for (int const mirror : {-1, 1})
            for (double const scale : {0.25, 1.0, 3.0}) {
                double const c = std::array{1, 0, -1, 0}[static_cast<std::size_t>(turn)] * scale, s = std::array{0, 1, 0, -1}[static_cast<std::size_t>(turn)] * scale;
                auto const is = of(c, s, -s * mirror, c * mirror);
                auto const whole = [&](double x) { return std::to_string(static_cast<int>(std::lround(x / scale))); };
                std::string const expected = whole(c) + " " + whole(-s * mirror) + " " + whole(s) + " " + whole(c * mirror);
                CHECK(way_of(is, {}) == expected);
                CHECK(way_of({}, is) == expected);
                CHECK(way_of(is, of(0, 1, 1, 0)) == expected);
            }
    auto const turned = of(0, 1, -1, 0);
    CHECK(way_of(turned, {}) == "0 -1 1 0");
    CHECK(way_of(turned, {}, sizeof(matrix) - 1) == "1 0 0 1"); // no whole matrix
    CHECK(way_of({}, turned, 0, sizeof(matrix) - 1) == "1 0 0 1");
    CHECK(way_of(turned, turned, sizeof(matrix) - 1) == "0 -1 1 0");
    CHECK(way_of(matrix{}, turned) == "1 0 0 1"); // all zeros say nothing
    CHECK(way_of(of(0.01, 1, -0.99, 0.015), {}) == "0 -1 1 0");
    for (matrix const& askew : {of(0.03, 1, -1, 0), of(0, 1, -0.97, 0), of(1, 1, 0, 1), of(1, 0, 0, 0), of(0, 1, 0, 0), of(0, 0, 1, 0), of(0, 0, 0, 1), of(1, 0, 1, 1), of(1, 0, 1, 0), of(0, 1, 1, 1), of(1, 1, 1, 1)})
        CHECK(way_of(askew, {}).find("degrees found, quarter turns and mirrors expected") != std::string::npos);
    matrix thirty{};
    av_display_rotation_set(thirty.data(), 30);
    std::string const said = way_of(thirty, {}), words = "file: rotation by ";
    REQUIRE(said.find(words) == 0);
    CHECK(std::stod(said.substr(words.size())) == doctest::Approx(30).epsilon(1e-3));
}
