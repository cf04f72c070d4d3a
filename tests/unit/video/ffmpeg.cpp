#include <zeroi2v/video/ffmpeg.hpp>

#include "encode.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <sys/stat.h>

using namespace zeroi2v;
using video_test::code_of;
using video_test::encode;
using video_test::recipe;

namespace {

std::vector<std::size_t> numbers(std::size_t count) {
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
}

struct outcome {
    std::string code = "none";
    std::string what;
    int exit_status = 0;
    decode_report report;
    std::vector<std::uint64_t> hashes;
    std::vector<int> painted; // the numbers that the frames carry
    std::vector<image_size> sizes;
};

outcome decode_all(std::filesystem::path const& path, video_options const& options = {}) {
    outcome result;
    try {
        video_reader reader{path, options};
        auto const all = numbers(5000);
        result.report = reader.decode(all, [&](std::size_t index, image_view pixels) {
            REQUIRE(index == result.hashes.size());
            result.hashes.push_back(video_test::hash(pixels));
            result.sizes.push_back(size_of(pixels));
            result.painted.push_back(pixels.extent(0) >= 8 && pixels.extent(1) >= 8 ? video_test::number_of(pixels)
                                                                                    : 0);
        });
    } catch (error const& e) {
        result.code = e.code_name();
        result.what = e.what();
        result.exit_status = e.exit_status();
    }
    return result;
}

bool counts_up(std::vector<int> const& painted, int first = 0) {
    for (std::size_t i = 0; i < painted.size(); ++i)
        if (painted[i] != first + static_cast<int>(i)) return false;
    return !painted.empty();
}

double farthest(image const& pixels, double from) {
    double most = 0;
    for (std::uint8_t const value : pixels) most = std::max(most, std::abs(value - from));
    return most;
}

/// Makes the packet counters of joined transport streams go on, as if they were one.
void number_transport_packets(video_test::bytes& content) {
    std::array<int, 8192> counters{};
    for (std::size_t at = 0; at + 188 <= content.size(); at += 188) {
        auto& counter = counters[static_cast<std::size_t>((content[at + 1] & 0x1f) << 8 | content[at + 2])];
        if ((content[at + 3] & 0x10) == 0) continue;
        content[at + 3] = static_cast<std::uint8_t>((content[at + 3] & 0xf0) | (counter++ & 0x0f));
    }
}

void replace(video_test::bytes& content, std::string const& from, std::string const& to) {
    auto at = content.begin();
    while ((at = std::search(at, content.end(), from.begin(), from.end())) != content.end())
        at = std::copy(to.begin(), to.end(), at);
}

video_options lenient() { return {.lenient = true}; }

} // namespace

TEST_CASE("video_reader: every container and codec, frames in order of display") {
    video_test::temporary_folder const folder;
    struct entry {
        char const* file;
        recipe how;
        char const* format;
        char const* codec;
    };
    for (entry const& e :
         {entry{"a.mp4", {}, "mov,mp4,m4a,3gp,3g2,mj2", "h264"}, entry{"a.mov", {}, "mov,mp4,m4a,3gp,3g2,mj2", "h264"},
          entry{"a.mkv", {}, "matroska,webm", "h264"}, entry{"a.ts", {}, "mpegts", "h264"},
          entry{"a.webm", {.encoder = "libvpx-vp9", .b_frames = 0}, "matroska,webm", "vp9"},
          entry{"a.avi", {.encoder = "mpeg4", .b_frames = 0}, "avi", "mpeg4"},
          entry{"b.avi", {.encoder = "mpeg4", .b_frames = 2}, "avi", "mpeg4"},
          entry{"a.mpg", {.encoder = "mpeg2video", .b_frames = 2}, "mpeg", "mpeg2video"},
          entry{"a.ogg", {.encoder = "libtheora", .b_frames = 0}, "ogg", "theora"},
          entry{"frag.mp4", {.muxing = {{"movflags", "frag_keyframe+empty_moov"}}}, "mov,mp4,m4a,3gp,3g2,mj2", "h264"},
          entry{"b.mkv", {.encoder = "ffv1", .b_frames = 0}, "matroska,webm", "ffv1"}}) {
        CAPTURE(e.file);
        recipe how = e.how;
        if (how.encoder == "libtheora")
            how.settings = {{"flags", "+qscale"}, {"global_quality", "1180"}};
        else if (how.encoder != "libx264" && how.encoder != "ffv1")
            how.settings = {{"b", "2000000"}};
        encode(folder / e.file, how);
        video_reader reader{folder / e.file};
        CHECK(reader.info().format == e.format);
        CHECK(reader.info().codec == e.codec);
        CHECK(reader.info().size == image_size{48, 64});
        CHECK(reader.info().frames_per_second == doctest::Approx(25).epsilon(0.1));
        CHECK(reader.expected_frames() == 20);
        outcome const all = decode_all(folder / e.file);
        CHECK(all.what == "");
        CHECK(all.report.decoded == 20);
        CHECK(all.report.skipped == 0);
        CHECK(counts_up(all.painted));
        for (int const threads : {2, 5}) CHECK(decode_all(folder / e.file, {.threads = threads}).hashes == all.hashes);
        CHECK(decode_all(folder / e.file, lenient()).hashes == all.hashes);
    }
}

TEST_CASE("decode_frames: any order, repeated, and only numbers that exist; a reader may be used again") {
    video_test::temporary_folder const folder;
    encode(folder / "a.mp4", {});
    std::vector<std::size_t> const wanted{7, 0, 19, 7};
    auto const some = decode_frames(folder / "a.mp4", wanted);
    REQUIRE(some.frames.size() == 4);
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(video_test::number_of(view_pixels(some.frames[i])) == static_cast<int>(wanted[i]));
    CHECK(some.report.decoded == 20);
    CHECK(decode_frames(folder / "a.mp4", {}).frames.empty());
    CHECK(code_of([&] { return decode_frames(folder / "a.mp4", numbers(21)); }) == "no_frames");
    video_reader reader{folder / "a.mp4"};
    for (int pass = 0; pass < 3; ++pass) {
        int seen = 0;
        CHECK(reader.decode(numbers(20), [&](std::size_t, image_view) { ++seen; }).decoded == 20);
        CHECK(seen == 20);
    }
}

TEST_CASE("a sound file is decoded once, one of a single frame too") {
    video_test::temporary_folder const folder;
    for (int const frames : {1, 2}) {
        encode(folder / "a.avi", {.encoder = "mpeg4", .frames = frames, .b_frames = 0});
        video_reader reader{folder / "a.avi"};
        auto content = video_test::read_file(folder / "a.avi");
        auto const [place, size] = video_test::packets_of(folder / "a.avi").front();
        std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(place), size, std::uint8_t{0xff});
        decode_report report; // who reads the file a second time finds another
        CHECK(code_of([&] { report = reader.decode(numbers(2), [&](std::size_t, image_view) { video_test::write_file(folder / "a.avi", content); }); }) == "none");
        CHECK(report == decode_report{static_cast<std::size_t>(frames), 0});
        CHECK(code_of([&] { return reader.decode(numbers(2), [](std::size_t, image_view) {}); }) == "decode_failed");
    }
}

TEST_CASE("D3: variable rate, negative and odd time stamps, edit lists, counts that lie") {
    video_test::temporary_folder const folder;
    encode(folder / "vfr.mkv", {.time = [](int i) { return std::int64_t{i} * i * 7 + i; }});
    CHECK(counts_up(decode_all(folder / "vfr.mkv").painted));
    encode(folder / "late.mp4", {.time = [](int i) { return std::int64_t{i} * 40 + 5000; }});
    CHECK(decode_all(folder / "late.mp4").report.decoded == 20);
    // the edit list cuts what lies before 0: of 20 frames the first 5 are decoded but not shown
    encode(folder / "negative.mp4",
           {.muxing = {{"avoid_negative_ts", "disabled"}}, .time = [](int i) { return std::int64_t{i - 5} * 40; }});
    outcome const cut = decode_all(folder / "negative.mp4");
    CHECK(cut.report.decoded == 15);
    CHECK(counts_up(cut.painted, 5));

    encode(folder / "a.avi", {.encoder = "mpeg4", .b_frames = 0});
    auto content = video_test::read_file(folder / "a.avi");
    std::string const mark = "strh";
    auto const header = std::search(content.begin(), content.end(), mark.begin(), mark.end());
    REQUIRE(header != content.end());
    header[8 + 32] = 0xe8; // dwLength: 1000
    header[8 + 33] = 0x03;
    video_test::write_file(folder / "lies.avi", content);
    video_reader reader{folder / "lies.avi"};
    CHECK(reader.expected_frames() == 1000);
    CHECK(decode_all(folder / "lies.avi").report.decoded == 20);
}

TEST_CASE("D5: tiny and odd sizes; more pixels than allowed are refused before a decoder opens") {
    video_test::temporary_folder const folder;
    for (auto const& [width, height] :
         {std::pair{1, 1}, std::pair{5, 3}, std::pair{3, 5}, std::pair{31, 17}, std::pair{2, 1}})
        for (AVPixelFormat const format : {AV_PIX_FMT_BGRA, AV_PIX_FMT_YUV420P}) {
            auto const path = folder / ("s" + std::to_string(width) + "x" + std::to_string(height) + ".mkv");
            encode(path, {.encoder = "ffv1",
                          .format = format,
                          .width = width,
                          .height = height,
                          .frames = 3,
                          .b_frames = 0,
                          .paint = [](AVFrame& frame, int i) {
                              for (int plane = 0; plane < 4 && frame.data[plane] != nullptr; ++plane)
                                  for (int y = 0; y < (plane > 0 ? (frame.height + 1) / 2 : frame.height); ++y)
                                      std::memset(frame.data[plane] + y * frame.linesize[plane],
                                                  plane > 0 ? 128 : 40 + 10 * i,
                                                  static_cast<std::size_t>(frame.linesize[plane]));
                          }});
            auto const frames = decode_frames(path, numbers(3));
            CHECK(frames.report.decoded == 3);
            for (std::size_t i = 0; i < 3; ++i) {
                REQUIRE(frames.frames[i].extent(0) == static_cast<std::size_t>(height));
                REQUIRE(frames.frames[i].extent(1) == static_cast<std::size_t>(width));
                double const luma = 40.0 + 10.0 * static_cast<double>(i);
                double const expected = format == AV_PIX_FMT_BGRA ? luma : (luma - 16.0) * 255.0 / 219.0;
                CHECK(farthest(frames.frames[i], expected) <= 2.5); // swscale's own 8-bit arithmetic
            }
        }
    video_test::claim(folder / "huge.mkv", AV_CODEC_ID_FFV1, 100000, 100000, {1, 2, 3, 4}, 3);
    video_test::claim(folder / "large.mkv", AV_CODEC_ID_MPEG4, 16384, 16384, {1, 2, 3, 4}, 3);
    for (char const* file : {"huge.mkv", "large.mkv"}) {
        outcome const refused = decode_all(folder / file);
        CAPTURE(refused.what);
        CHECK(refused.code == "limit_exceeded");
        CHECK(refused.exit_status == 5);
    }
    encode(folder / "a.mp4", {});
    CHECK(decode_all(folder / "a.mp4", {.max_pixels = 64 * 48}).code == "none");
    CHECK(decode_all(folder / "a.mp4", {.max_pixels = 64 * 48 - 1}).code == "limit_exceeded");
}

TEST_CASE("D6: bit depth, alpha and gray; rotation; changes in mid-stream") {
    video_test::temporary_folder const folder;
    // exact where the stored values are RGB
    auto const paint_bgra = [](AVFrame& frame, int) {
        for (int y = 0; y < frame.height; ++y)
            for (int x = 0; x < frame.width * 4; ++x)
                frame.data[0][y * frame.linesize[0] + x] = static_cast<std::uint8_t>(x * 7 + y * 13);
    };
    encode(folder / "alpha.mkv", {.encoder = "ffv1",
                                  .format = AV_PIX_FMT_BGRA,
                                  .width = 9,
                                  .height = 5,
                                  .frames = 1,
                                  .b_frames = 0,
                                  .paint = paint_bgra});
    auto const alpha = decode_frames(folder / "alpha.mkv", numbers(1)).frames.at(0);
    for (std::size_t y = 0; y < 5; ++y)
        for (std::size_t x = 0; x < 9; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                CHECK(alpha(y, x, c) == static_cast<std::uint8_t>((x * 4 + 2 - c) * 7 + y * 13));
    auto const paint_ten_bits = [](AVFrame& frame, int) {
        for (int plane = 0; plane < 3 && frame.data[plane] != nullptr; ++plane)
            for (int i = 0; i < frame.linesize[plane] * (plane > 0 ? frame.height / 2 : frame.height); i += 2) {
                frame.data[plane][i] = static_cast<std::uint8_t>((plane > 0 ? 512 : 500) & 255);
                frame.data[plane][i + 1] = static_cast<std::uint8_t>((plane > 0 ? 512 : 500) >> 8);
            }
    };
    for (AVPixelFormat const format : {AV_PIX_FMT_YUV420P10LE, AV_PIX_FMT_GRAY10LE}) {
        encode(folder / "ten.mkv",
               {.encoder = "ffv1", .format = format, .frames = 1, .b_frames = 0, .paint = paint_ten_bits});
        CHECK(farthest(decode_frames(folder / "ten.mkv", numbers(1)).frames.at(0), (125.0 - 16.0) * 255.0 / 219.0)
              <= 2.5);
    }

    encode(folder / "upright.mp4", {.frames = 2});
    image const upright = decode_frames(folder / "upright.mp4", numbers(1)).frames.at(0);
    struct turn {
        int degrees; // as a player turns the picture, clockwise
        orientation way;
    };
    for (turn const t : {turn{90, {0, -1, 1, 0}}, turn{180, {-1, 0, 0, -1}}, turn{270, {0, 1, -1, 0}}}) {
        encode(folder / "turned.mp4", {.frames = 2, .rotation = t.degrees});
        video_reader reader{folder / "turned.mp4"};
        image const turned = decode_frames(folder / "turned.mp4", numbers(1)).frames.at(0);
        image_size const size = t.way.turned({48, 64});
        CHECK(reader.info().size == size);
        image expected{size.height, size.width, std::size_t{3}};
        orient(view_pixels(upright), t.way, expected);
        CHECK(std::equal(turned.begin(), turned.end(), expected.begin(), expected.end()));
    }
    encode(folder / "askew.mp4", {.frames = 2, .rotation = 30});
    CHECK(decode_all(folder / "askew.mp4").code == "unsupported_format");

    auto const joined = [&](recipe const& first, recipe const& second) {
        encode(folder / "1.ts", first);
        encode(folder / "2.ts", second);
        auto content = video_test::read_file(folder / "1.ts");
        auto const more = video_test::read_file(folder / "2.ts");
        content.insert(content.end(), more.begin(), more.end());
        number_transport_packets(content);
        video_test::write_file(folder / "joined.ts", content);
        return decode_all(folder / "joined.ts");
    };
    auto const later = [](int i) { return std::int64_t{i + 6} * 40; };
    outcome const size = joined({.frames = 6}, {.width = 80, .frames = 6, .time = later});
    CHECK(size.what == ""); // a change of size is no damage
    CHECK(size.report == decode_report{12, 0});
    CHECK(size.sizes[5] == image_size{48, 64});
    CHECK(size.sizes[6] == image_size{48, 80});
    outcome const depth =
        joined({.frames = 6}, {.format = AV_PIX_FMT_YUV420P10LE, .frames = 6, .time = later, .paint = paint_ten_bits});
    CHECK(depth.what == "");
    CHECK(depth.report.decoded == 12);
    CHECK(depth.painted[5] == 5);
    CHECK(depth.painted[6] == 12); // 125 of 255
}

TEST_CASE("D1, D7: what is no video of a known container is refused, and nothing else is opened") {
    video_test::temporary_folder const folder;
    auto const refusal = [&](std::string const& name, std::string const& text) {
        video_test::write_file(folder / name, {text.begin(), text.end()});
        return decode_all(folder / name);
    };
    encode(folder / "a.mp4", {});
    CHECK(refusal("empty.mp4", "").code == "unsupported_format");
    CHECK(refusal("text.mp4", "the quick brown fox\n").code == "unsupported_format");
    CHECK(refusal("text.mp4", "the quick brown fox\n").what.find("Invalid data found when processing input")
          != std::string::npos);
    CHECK(refusal("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.mp4\n#EXT-X-ENDLIST\n").code
          == "unsupported_format");
    CHECK(refusal("joined.mkv", "ffconcat version 1.0\nfile a.mp4\n").code == "unsupported_format");
    CHECK(
        refusal("dash.mp4", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"x\"></MPD>")
            .code
        == "unsupported_format");
    CHECK(refusal("scene.avi", std::string(2000, '\0')).code == "unsupported_format");
    for (auto const& [name, encoder, format] :
         {std::tuple{"a.png", "png", AV_PIX_FMT_RGB24}, std::tuple{"a.jpg", "mjpeg", AV_PIX_FMT_YUVJ420P},
          std::tuple{"a.gif", "gif", AV_PIX_FMT_RGB8}}) {
        encode(folder / name, {.encoder = encoder,
                               .format = format,
                               .frames = 1,
                               .b_frames = 0,
                               .muxing = {{"update", "1"}},
                               .paint = [](AVFrame&, int) {}});
        outcome const image = decode_all(folder / name);
        CHECK(image.code == "unsupported_format");
        CHECK(image.exit_status == 5);
    }
    video_test::claim(folder / "sound.mkv", AV_CODEC_ID_PCM_S16LE, 0, 0, video_test::bytes(160), 5, AVMEDIA_TYPE_AUDIO);
    CHECK(decode_all(folder / "sound.mkv").code == "no_stream");
    std::string const local = (folder / "a.mp4").string();
    for (std::string const& path :
         {"file:" + local, "concat:" + local, "subfile:,,start,0,end,0,,:" + local, "async:" + local,
          std::string{"http://127.0.0.1:9/a.mp4"}, std::string{"data:video/mp4;base64,AAAA"}}) {
        outcome const none = decode_all(path);
        CHECK(none.code == "open_failed");
        CHECK(none.exit_status == 5);
    }
    REQUIRE(::mkfifo((folder / "fifo.mp4").c_str(), 0600) == 0);
    CHECK(decode_all(folder / "fifo.mp4").code == "open_failed");
    CHECK(decode_all(folder / "").code == "open_failed");

    encode(folder / "secret.mp4", {.muxing = {{"encryption_scheme", "cenc-aes-ctr"},
                                              {"encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"},
                                              {"encryption_kid", "a7e61c373e219033c21091fa607bf3b8"}}});
    for (auto const& options : {video_options{}, lenient()}) {
        outcome const secret = decode_all(folder / "secret.mp4", options);
        CHECK(secret.code == "decode_failed");
        CHECK(secret.report.decoded == 0);
    }
}

TEST_CASE("D8: budgets of packets and pixels, none of time") {
    video_test::temporary_folder const folder;
    encode(folder / "a.mp4", {});
    CHECK(decode_all(folder / "a.mp4", {.max_packets = 20}).code == "none");
    CHECK(decode_all(folder / "a.mp4", {.max_packets = 19}).code == "limit_exceeded");
    CHECK(decode_all(folder / "a.mp4", {.max_total_pixels = 20 * 64 * 48}).code == "none");
    CHECK(decode_all(folder / "a.mp4", {.max_total_pixels = 20 * 64 * 48 - 1}).code == "limit_exceeded");
    for (auto const& [options, name] : {std::pair{video_options{.max_packets = 19}, "(--max-packets)"},
                                        std::pair{video_options{.max_pixels = 64 * 48 - 1}, "(--max-pixels)"},
                                        std::pair{video_options{.max_total_pixels = 1}, "(--max-total-pixels)"}})
        CHECK(decode_all(folder / "a.mp4", options).what.find(name) != std::string::npos);
    CHECK(video_options{}.max_total_pixels == std::uint64_t{1} << 43U); // three hours of 3840x2160 at 60 frames a second
    // thousands of frames in a byte each
    video_test::claim(folder / "bomb.mkv", AV_CODEC_ID_MPEG4, 64, 48, {0}, 1500);
    CHECK(decode_all(folder / "bomb.mkv", {.lenient = true, .max_packets = 300}).code == "limit_exceeded");
    CHECK(video_reader(folder / "bomb.mkv", {.max_packets = 300}).expected_frames() == 300);
}

TEST_CASE("D10: a codec without a decoder is named; FFmpeg at run time is that of the headers") {
    video_test::temporary_folder const folder;
    encode(folder / "a.mp4", {});
    auto content = video_test::read_file(folder / "a.mp4");
    replace(content, "avc1", "zzz9");
    replace(content, "isomiso2zzz9", "isomiso2avc1");
    video_test::write_file(folder / "unknown.mp4", content);
    outcome const unknown = decode_all(folder / "unknown.mp4");
    CHECK(unknown.code == "codec_unavailable");
    CHECK(unknown.what.find("zzz9") != std::string::npos);
    if (avcodec_find_decoder(AV_CODEC_ID_AVS2) == nullptr) {
        video_test::claim(folder / "avs2.avi", AV_CODEC_ID_AVS2, 64, 48, {1, 2, 3}, 2);
        outcome const missing = decode_all(folder / "avs2.avi");
        CHECK(missing.code == "codec_unavailable");
        CHECK(missing.what.find("the codec avs2 found") != std::string::npos);
    }
    CHECK_NOTHROW(detail::require_ffmpeg_versions());
}

TEST_CASE("D2: cut and damaged files; strict names the frame, lenient skips and counts, nothing else moves") {
    video_test::temporary_folder const folder;
    for (char const* name : {"a.mp4", "a.mkv", "a.ts", "a.avi"}) {
        CAPTURE(name);
        std::string const file = name;
        recipe const how{.encoder = file.ends_with("avi") ? "mpeg4" : "libx264",
                         .frames = 40,
                         .group = 10,
                         .b_frames = 0,
                         .muxing = file.ends_with("mp4")
                                       ? std::vector<std::pair<std::string, std::string>>{{"movflags", "faststart"}}
                                       : std::vector<std::pair<std::string, std::string>>{}};
        encode(folder / file, how);
        auto const whole = decode_all(folder / file);
        REQUIRE(whole.report.decoded == 40);
        auto content = video_test::read_file(folder / file);
        auto const places = video_test::packets_of(folder / file);
        REQUIRE(places.size() == 40);

        auto cut = content;
        cut.resize(places[25].first + places[25].second / 2);
        video_test::write_file(folder / ("cut_" + file), cut);
        outcome const strict = decode_all(folder / ("cut_" + file));
        CHECK(strict.code == "decode_failed");
        CHECK(strict.exit_status == 5);
        CHECK(strict.what.find("frame 2") != std::string::npos); // 24 to 26
        outcome const cut_lenient = decode_all(folder / ("cut_" + file), lenient());
        CHECK(cut_lenient.what == "");
        CHECK(cut_lenient.report.decoded >= 24);
        CHECK(cut_lenient.report.decoded <= 26);
        CHECK(cut_lenient.report.skipped >= 1);
        for (std::size_t i = 0; i < 24; ++i) CHECK(cut_lenient.hashes[i] == whole.hashes[i]);

        if (file == "a.ts") continue; // whose packets are spread over several places
        auto smashed = content;
        auto const [at, size] = places[14];
        for (std::size_t i = size / 4; i < size; ++i) smashed[at + i] = static_cast<std::uint8_t>(i * 37);
        video_test::write_file(folder / ("smashed_" + file), smashed);
        outcome const refused = decode_all(folder / ("smashed_" + file));
        CHECK(refused.code == "decode_failed");
        CHECK(refused.what.find("frame 14") != std::string::npos);
        outcome const skipped = decode_all(folder / ("smashed_" + file), lenient());
        CHECK(skipped.code == "none");
        CHECK(skipped.report.skipped == 1);
        CHECK(skipped.report.decoded == 39);
        for (std::size_t i = 0; i < 14; ++i) CHECK(skipped.hashes[i] == whole.hashes[i]);
        for (std::size_t i = 20; i < 40; ++i)
            CHECK(skipped.hashes[i - 1] == whole.hashes[i]); // the next group is sound
        for (int again = 0; again < 3; ++again)
            CHECK(decode_all(folder / ("smashed_" + file), {.lenient = true, .threads = 1 + again}).hashes
                  == skipped.hashes);
    }
    encode(folder / "end.mp4", {});
    auto content = video_test::read_file(folder / "end.mp4");
    content.resize(content.size() * 6 / 10); // the index stands at the end of this one
    video_test::write_file(folder / "end.mp4", content);
    outcome const cut = decode_all(folder / "end.mp4");
    CHECK(cut.code == "decode_failed");
    CHECK(cut.what.find("the file is cut: no index (moov) found in it") != std::string::npos);
}

TEST_CASE("D2: a decoder whose frame threads would end the process on damage gets one thread") {
    video_test::temporary_folder const folder;
    for (std::string const file : {"a.avi", "a.mkv"}) {
        CAPTURE(file);
        encode(folder / file, {.encoder = "mpeg4", .frames = 30, .b_frames = 0});
        auto const content = video_test::read_file(folder / file);
        auto const places = video_test::packets_of(folder / file);
        REQUIRE(places.size() == 30);
        auto const whole = decode_all(folder / file, {.threads = 1});
        CHECK(decode_all(folder / file, {.threads = 4}).hashes == whole.hashes);
        std::size_t refused = 0;
        for (std::size_t i = 5; i < 25; ++i) {
            auto damaged = content;
            for (std::size_t at = places[i].second / 2; at < places[i].second; ++at)
                damaged[places[i].first + at] = static_cast<std::uint8_t>(at * 37 + i);
            video_test::write_file(folder / ("damaged_" + file), damaged);
            outcome const found = decode_all(folder / ("damaged_" + file), {.threads = 4});
            CHECK((found.code == "none" || found.code == "decode_failed"));
            CHECK(found.what == decode_all(folder / ("damaged_" + file), {.threads = 1}).what);
            refused += found.code == "decode_failed" ? 1U : 0U;
        }
        CHECK(refused >= 15);
    }
}

TEST_CASE("D2: 200 random damages, strict and lenient: a result or a typed error, the same every time") {
    video_test::temporary_folder const folder;
    // A stored file: an encoder does not promise the same bytes each time.
    auto const sound = std::filesystem::path{ZEROI2V_TEST_DATA} / "videos" / "full.mp4";
    auto const content = video_test::read_file(sound);
    auto const whole = decode_all(sound);
    std::mt19937 random{3};
    std::size_t refused = 0, skipped = 0, unchanged = 0;
    for (int round = 0; round < 200; ++round) {
        auto damaged = content;
        switch (round % 4) {
        case 0: damaged.resize(random() % content.size()); break;
        case 1: damaged[random() % content.size()] ^= static_cast<std::uint8_t>(1U << random() % 8); break;
        case 2:
            for (int i = 0; i < 20; ++i) damaged[random() % content.size()] = static_cast<std::uint8_t>(random());
            break;
        default: {
            std::size_t const from = random() % content.size(), to = random() % content.size(),
                              most = content.size() - std::max(from, to);
            std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(from), std::min<std::size_t>(most, 300),
                        damaged.begin() + static_cast<std::ptrdiff_t>(to));
        }
        }
        CAPTURE(round);
        video_test::write_file(folder / "d.mp4", damaged);
        auto const start = std::chrono::steady_clock::now();
        outcome const strict = decode_all(folder / "d.mp4");
        outcome const loose = decode_all(folder / "d.mp4", lenient());
        CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{10});
        for (outcome const* each : {&strict, &loose}) CHECK((each->code == "none" || each->exit_status == 5));
        CHECK(strict.report.skipped == 0);
        CHECK(decode_all(folder / "d.mp4", lenient()).hashes == loose.hashes);
        refused += strict.code != "none" ? 1U : 0U;
        skipped += loose.report.skipped > 0 ? 1U : 0U;
        unchanged += strict.hashes == whole.hashes ? 1U : 0U;
    }
    MESSAGE("refused " << refused << ", skipped in lenient mode " << skipped << ", unchanged " << unchanged
                       << " of 200");
    CHECK(refused >= 100);
    CHECK(skipped >= 50);
}

TEST_CASE("FFmpeg's log level is put back") {
    video_test::temporary_folder const folder;
    int const before = av_log_get_level();
    av_log_set_level(AV_LOG_ERROR);
    encode(folder / "a.mp4", {});
    CHECK(decode_all(folder / "a.mp4").code == "none");
    CHECK(av_log_get_level() == AV_LOG_ERROR);
    CHECK(decode_all("missing.mp4").code == "open_failed");
    CHECK(av_log_get_level() == AV_LOG_ERROR);
    {
        detail::ffmpeg_silence const outer{true};
        detail::ffmpeg_silence const inner{true};
        CHECK(av_log_get_level() == AV_LOG_QUIET);
    }
    CHECK(av_log_get_level() == AV_LOG_ERROR);
    av_log_set_level(before);
}
