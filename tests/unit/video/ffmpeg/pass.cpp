// What is damage and what is not: tests/data/videos, every kind of file that FFmpeg remarks on or leaves pictures out of.
#include <zeroi2v/video/ffmpeg.hpp>

#include "../encode.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <numeric>

using namespace zeroi2v;

namespace {

std::filesystem::path videos() { return std::filesystem::path{ZEROI2V_TEST_DATA} / "videos"; }

struct found {
    std::string code = "none", what;
    decode_report report;
    std::vector<std::uint64_t> hashes;
};

found decode(std::filesystem::path const& path, video_options const& options = {}) {
    found result;
    std::vector<std::size_t> all(5000);
    std::iota(all.begin(), all.end(), std::size_t{0});
    try {
        video_reader reader{path, options};
        result.report = reader.decode(all, [&](std::size_t, image_view pixels) { result.hashes.push_back(video_test::hash(pixels)); });
    } catch (error const& e) {
        result.code = e.code_name();
        result.what = e.what();
    }
    return result;
}

/// Copies packets to a container of the same kind, without those that `drop` names.
void remux(std::filesystem::path const& from, std::filesystem::path const& to, std::function<bool(std::size_t)> const& drop) {
    AVFormatContext* in = nullptr;
    video_test::ok(avformat_open_input(&in, from.c_str(), nullptr, nullptr), "open");
    video_test::ok(avformat_find_stream_info(in, nullptr), "streams");
    video_test::muxer out{to};
    AVStream* const stream = avformat_new_stream(out.get(), nullptr);
    video_test::ok(avcodec_parameters_copy(stream->codecpar, in->streams[0]->codecpar), "parameters");
    stream->codecpar->codec_tag = 0;
    stream->time_base = in->streams[0]->time_base;
    video_test::ok(avformat_write_header(out.get(), nullptr), "header");
    detail::ffmpeg_packet const packet{av_packet_alloc()};
    for (std::size_t i = 0; av_read_frame(in, packet.get()) >= 0; ++i) {
        if (drop(i)) {
            av_packet_unref(packet.get());
            continue;
        }
        av_packet_rescale_ts(packet.get(), in->streams[0]->time_base, stream->time_base);
        packet->pos = -1;
        video_test::ok(av_interleaved_write_frame(out.get(), packet.get()), "packet");
    }
    video_test::ok(av_write_trailer(out.get()), "trailer");
    avformat_close_input(&in);
}

} // namespace

TEST_CASE("sound files: the frames that ffprobe counts, strict and lenient, whatever FFmpeg remarks on") {
    std::ifstream list{videos() / "frames.txt"};
    std::string name;
    std::size_t frames = 0, files = 0;
    while (list >> name >> frames) {
        CAPTURE(name);
        files += 1;
        auto const strict = decode(videos() / name);
        CHECK(strict.what == "");
        CHECK(strict.report == decode_report{frames, 0});
        auto const lenient = decode(videos() / name, {.lenient = true});
        CHECK(lenient.report == decode_report{frames, 0});
        CHECK(lenient.hashes == strict.hashes);
        CHECK(decode(videos() / name, {.threads = 4}).hashes == strict.hashes);
    }
    CHECK(files >= 24);
}

TEST_CASE("two whole parts of a transport stream are the frames of one, twice") {
    auto const joined = decode(videos() / "joined.ts");
    REQUIRE(joined.hashes.size() == 20);
    for (std::size_t i = 0; i < 10; ++i) CHECK(joined.hashes[i] == joined.hashes[i + 10]);
}

TEST_CASE("a part that begins between keyframes, behind another: strict refuses it where it begins, lenient counts it") {
    for (auto const& [name, whole] : {std::pair{"damaged_h264_joined_between.ts", 30U}, std::pair{"damaged_hevc_joined_between.ts", 30U}}) {
        CAPTURE(name);
        auto const strict = decode(videos() / name);
        CHECK(strict.code == "decode_failed");
        CHECK(strict.what.find("a reference picture is missing at frame " + std::to_string(whole)) != std::string::npos);
        CHECK(decode(videos() / name, {.threads = 4}).what == strict.what);
        auto const lenient = decode(videos() / name, {.lenient = true});
        CHECK(lenient.code == "none");
        CHECK(lenient.report.skipped >= 1);
        CHECK(lenient.report.decoded >= 40);
        CHECK(lenient.report.decoded + lenient.report.skipped == video_test::packets_of(videos() / name).size()); // each once
    }
}

TEST_CASE("a picture that FFmpeg loses in silence is damage") {
    auto const whole = decode(videos() / "full.mp4");
    REQUIRE(whole.report == decode_report{25, 0});
    auto const flipped = decode(videos() / "flipped.mp4"); // one bit of the slice header of packet 20
    CHECK(flipped.code == "decode_failed");
    CHECK(flipped.what.find("at frame 20") != std::string::npos);
    auto const lenient = decode(videos() / "flipped.mp4", {.lenient = true});
    CHECK(lenient.report.skipped >= 1);
    CHECK(lenient.report.decoded + lenient.report.skipped == 25);
}

TEST_CASE("a reference picture whose packet is missing is damage, in every container; one that nobody refers to is not") {
    video_test::temporary_folder const folder;
    for (std::string const encoder : {"libx264", "libx265"})
        for (std::string const file : {"a.mp4", "a.mkv", "a.ts"}) {
            CAPTURE(encoder);
            CAPTURE(file);
            video_test::encode(folder / file, {.encoder = encoder, .frames = 30, .group = 30, .b_frames = 0,
                                               .settings = encoder == "libx265" ? std::vector<std::pair<std::string, std::string>>{{"x265-params", "log-level=none"}}
                                                                                : std::vector<std::pair<std::string, std::string>>{}});
            for (std::size_t const lost : {1U, 2U, 13U, 28U}) {
                remux(folder / file, folder / ("lost_" + file), [&](std::size_t i) { return i == lost; });
                auto const strict = decode(folder / ("lost_" + file));
                CHECK(strict.code == "decode_failed");
                CHECK(strict.what.find("a reference picture is missing at frame " + std::to_string(lost)) != std::string::npos);
                auto const lenient = decode(folder / ("lost_" + file), {.lenient = true});
                CHECK(lenient.report.skipped >= 1);
                CHECK(lenient.report.decoded + lenient.report.skipped == 29);
            }
            remux(folder / file, folder / ("lost_" + file), [](std::size_t i) { return i == 29; });
            CHECK(decode(folder / ("lost_" + file)).report == decode_report{29, 0});
        }
}

TEST_CASE("a recording that begins between keyframes is sound: what precedes its first picture is not missed") {
    video_test::temporary_folder const folder;
    for (std::string const encoder : {"libx264", "libx265", "mpeg2video", "libvpx-vp9"}) {
        std::string const file = encoder == "libvpx-vp9" ? "a.mkv" : "a.ts";
        video_test::encode(folder / file, {.encoder = encoder, .frames = 30, .group = 10, .b_frames = 0,
                                           .settings = encoder == "libx265" ? std::vector<std::pair<std::string, std::string>>{{"x265-params", "log-level=none:keyint=10:min-keyint=10"}}
                                                                            : std::vector<std::pair<std::string, std::string>>{}});
        remux(folder / file, folder / ("late_" + file), [](std::size_t i) { return i < 3; });
        CAPTURE(encoder);
        auto const strict = decode(folder / ("late_" + file));
        CHECK(strict.what == "");
        CHECK(strict.report.decoded >= 20);
        CHECK(decode(folder / ("late_" + file), {.lenient = true}).report == strict.report);
    }
}

TEST_CASE("VP8 and VP9 that begin between keyframes have the same frames on any number of threads") {
    video_test::temporary_folder const folder;
    for (std::string const encoder : {"libvpx", "libvpx-vp9"}) {
        CAPTURE(encoder);
        video_test::encode(folder / "a.webm", {.encoder = encoder, .frames = 30, .group = 10, .b_frames = 0, .settings = {{"cpu-used", "8"}, {"deadline", "realtime"}}});
        remux(folder / "a.webm", folder / "late.webm", [](std::size_t i) { return i < 3; });
        auto const one = decode(folder / "late.webm", {.threads = 1});
        CHECK(one.what == "");
        CHECK(one.report == decode_report{20, 0});
        for (int const threads : {2, 4, 16}) {
            auto const several = decode(folder / "late.webm", {.threads = threads});
            CHECK(several.what == "");
            CHECK(several.report == one.report);
            CHECK(several.hashes == one.hashes);
        }
    }
}

TEST_CASE("mpegts: bytes that are missing within a picture are damage; a counter that jumps where a picture begins is none") {
    video_test::temporary_folder const folder;
    for (std::string const encoder : {"libx264", "mpeg2video"}) {
        CAPTURE(encoder);
        video_test::encode(folder / "a.ts", {.encoder = encoder, .width = 128, .height = 96, .frames = 20, .b_frames = 0});
        auto const content = video_test::read_file(folder / "a.ts");
        std::vector<std::size_t> begins, continues; // packets of the video that have a counter
        for (std::size_t at = 0; at < content.size(); at += 188)
            if (((content[at + 1] & 0x1fU) << 8U | content[at + 2]) == 256 && (content[at + 3] & 0x10U) != 0) ((content[at + 1] & 0x40U) != 0 ? begins : continues).push_back(at);
        auto const jumped = [&](std::size_t from, std::size_t gone) { // `gone` bytes at `from` are gone, or counters jump there
            auto changed = content;
            for (std::size_t at = from; gone == 0 && at < changed.size(); at += 188)
                if (((changed[at + 1] & 0x1fU) << 8U | changed[at + 2]) == 256 && (changed[at + 3] & 0x10U) != 0)
                    changed[at + 3] = static_cast<std::uint8_t>((changed[at + 3] & 0xf0U) | ((changed[at + 3] + 5U) & 15U));
            changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(from), changed.begin() + static_cast<std::ptrdiff_t>(from + gone));
            video_test::write_file(folder / "changed.ts", changed);
            return folder / "changed.ts";
        };
        CHECK(detail::transport_losses(video_file{folder / "a.ts"}, 256).count == 0);
        std::size_t within = 0;
        for (std::size_t const at : continues) {
            if (content.size() < at + 376 || std::find(continues.begin(), continues.end(), at + 188) == continues.end()) continue;
            auto const path = jumped(at, 188);
            CHECK(detail::transport_losses(video_file{path}, 256).count == 1);
            CHECK(detail::transport_losses(video_file{path}, 257).count == 0);
            if (within++ % 4 != 0) continue;
            CHECK(decode(path).code == "decode_failed");
            CHECK(decode(path, {.lenient = true}).report.skipped >= 1);
        }
        CHECK(within > 4);
        CHECK(decode(jumped(begins[8], 0)).report == decode_report{20, 0});
        CHECK(detail::transport_losses(video_file{folder / "changed.ts"}, 256).count == 0);
        static_cast<void>(jumped(continues[0], 0)); // nothing is missing but the counter says so
        CHECK(detail::transport_losses(video_file{folder / "changed.ts"}, 256).count == 1);
    }
}

TEST_CASE("MPEG-2: a P picture whose packet is missing, and a part that begins between I pictures behind another, are damage") {
    video_test::temporary_folder const folder;
    for (std::string const file : {"a.ts", "a.mpg"}) {
        CAPTURE(file);
        video_test::encode(folder / file, {.encoder = "mpeg2video", .frames = 48, .group = 12, .b_frames = 2});
        CHECK(decode(folder / file).report == decode_report{48, 0});
        remux(folder / file, folder / ("lost_" + file), [](std::size_t i) { return i == 4; }); // I P B B P
        auto const strict = decode(folder / ("lost_" + file));
        CHECK(strict.code == "decode_failed");
        CHECK(strict.what.find("a reference picture is missing") != std::string::npos);
        CHECK(decode(folder / ("lost_" + file), {.lenient = true}).report.skipped >= 1);
    }
    auto const content = video_test::read_file(folder / "a.ts");
    auto const places = video_test::packets_of(folder / "a.ts");
    for (std::size_t const begin : {1U, 2U, 4U, 7U, 8U}) {
        CAPTURE(begin);
        auto joined = content;
        joined.insert(joined.end(), content.begin() + static_cast<std::ptrdiff_t>(places[begin].first), content.end());
        video_test::write_file(folder / "joined.ts", joined);
        CHECK(decode(folder / "joined.ts").code == "decode_failed");
        CHECK(decode(folder / "joined.ts", {.lenient = true}).report.skipped >= 1);
    }
    auto joined = content;
    joined.insert(joined.end(), content.begin(), content.end());
    video_test::write_file(folder / "joined.ts", joined);
    CHECK(decode(folder / "joined.ts").report == decode_report{96, 0});
}

TEST_CASE("matroska: destroyed bytes between blocks are damage, however few frames vanish; whole files of every kind are sound") {
    video_test::temporary_folder const folder;
    for (auto const& [file, muxing] : std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>>{
             {"a.mkv", {}}, {"live.mkv", {{"live", "1"}}}, {"small.mkv", {{"cluster_size_limit", "2000"}}}, {"front.mkv", {{"cues_to_front", "1"}, {"reserve_index_space", "2000"}}}, {"a.webm", {}}}) {
        CAPTURE(file);
        bool const webm = file == "a.webm";
        video_test::encode(folder / file, {.encoder = webm ? "libvpx" : "libx264", .frames = 30, .b_frames = webm ? 0 : 2, .muxing = muxing});
        CHECK(detail::damage_of(video_file{folder / file}, "matroska,webm").what == "");
        CHECK(decode(folder / file).report == decode_report{30, 0});
        auto const content = video_test::read_file(folder / file);
        auto const places = video_test::packets_of(folder / file);
        for (std::size_t i = 3; i < 25; i += 5) {
            auto zeroed = content;
            std::size_t const begin = places[i].first - 8; // over the header of the block
            std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(begin), 16, std::uint8_t{0});
            video_test::write_file(folder / "zeroed.mkv", zeroed);
            CHECK(detail::damage_of(video_file{folder / "zeroed.mkv"}, "matroska,webm").count == 1);
            CHECK(decode(folder / "zeroed.mkv").code == "decode_failed");
            CHECK(decode(folder / "zeroed.mkv", {.lenient = true}).report.skipped >= 1);
        }
    }
}

TEST_CASE("MPEG-4 part 2: a coded picture that gives none is damage") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.mp4", {.encoder = "mpeg4", .width = 128, .height = 96, .frames = 30, .b_frames = 0, .settings = {{"b", "2000000"}}});
    CHECK(decode(folder / "a.mp4").report == decode_report{30, 0});
    auto content = video_test::read_file(folder / "a.mp4");
    auto const place = video_test::packets_of(folder / "a.mp4")[14].first;
    REQUIRE(content[place + 3] == 0xb6);
    std::size_t silent = 0;
    for (unsigned bit = 0; bit < 32; ++bit) {
        auto flipped = content;
        flipped[place + 4 + bit / 8] ^= static_cast<std::uint8_t>(0x80U >> bit % 8);
        video_test::write_file(folder / "flipped.mp4", flipped);
        auto const lenient = decode(folder / "flipped.mp4", {.lenient = true});
        CHECK(lenient.report.decoded + lenient.report.skipped >= 30);
        auto const strict = decode(folder / "flipped.mp4");
        CHECK((strict.code == "decode_failed" || strict.report.decoded == 30));
        silent += strict.what.find("a picture is missing") != std::string::npos ? 1U : 0U;
    }
    CHECK(silent >= 1);
}

TEST_CASE("an mp4 whose index promises frames that are not in the file is cut, wherever it was cut") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.mp4", {.encoder = "mpeg4", .frames = 20, .b_frames = 0, .muxing = {{"movflags", "faststart"}}});
    auto const content = video_test::read_file(folder / "a.mp4");
    auto const places = video_test::packets_of(folder / "a.mp4");
    REQUIRE(places.size() == 20);
    for (std::size_t const kept : {19U, 12U, 1U})
        for (std::size_t const more : {0U, 5U}) {
            CAPTURE(kept);
            CAPTURE(more);
            video_test::write_file(folder / "cut.mp4", {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(places[kept].first + more)});
            CHECK(decode(folder / "cut.mp4").code == "decode_failed");
            auto const lenient = decode(folder / "cut.mp4", {.lenient = true});
            CHECK(lenient.report == decode_report{kept, 20 - kept});
        }
}

TEST_CASE("a film of three hours at 60 frames a second is within the limits: no limit grows faster than packets and pixels") {
    constexpr std::uint64_t frames = 3 * 3600 * 60;
    static_assert(video_options{}.max_packets >= frames);
    static_assert(video_options{}.max_total_pixels >= frames * 3840 * 2160);
    static_assert(video_options{}.max_pixels >= 3840 * 2160);
    // The hundredth part of it, with the hundredth part of the limits.
    constexpr std::uint64_t part = frames / 100;
    video_test::temporary_folder const folder;
    {
        video_test::muxer out{folder / "film.mkv"};
        AVStream* const stream = avformat_new_stream(out.get(), nullptr);
        *stream->codecpar = AVCodecParameters{*stream->codecpar};
        stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
        stream->codecpar->codec_id = AV_CODEC_ID_RAWVIDEO;
        stream->codecpar->format = AV_PIX_FMT_YUV420P;
        stream->codecpar->codec_tag = MKTAG('I', '4', '2', '0');
        stream->codecpar->width = stream->codecpar->height = 2;
        stream->time_base = {1, 1000};
        video_test::ok(avformat_write_header(out.get(), nullptr), "header");
        std::array<std::uint8_t, 6> pixels{90, 90, 90, 90, 128, 128};
        detail::ffmpeg_packet const packet{av_packet_alloc()};
        for (std::uint64_t i = 0; i < part; ++i) {
            packet->data = pixels.data();
            packet->size = pixels.size();
            packet->pts = packet->dts = static_cast<std::int64_t>(i * 1000 / 60);
            packet->flags = AV_PKT_FLAG_KEY;
            video_test::ok(av_write_frame(out.get(), packet.get()), "packet");
        }
        video_test::ok(av_write_trailer(out.get()), "trailer");
    }
    video_reader reader{folder / "film.mkv", {.max_packets = video_options{}.max_packets / 100, .max_total_pixels = 4 * part}};
    CHECK(reader.decode({}, [](std::size_t, image_view) {}) == decode_report{part, 0});
}

TEST_CASE("rows that a decoder leaves as it got them are damage: strict names the frame, lenient counts it and goes on") {
    video_test::temporary_folder const folder;
    auto const lines = [](int count) { // QuickTime RLE: the first `count` of 48 rows of 64 pixels
        video_test::bytes packet{0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(count), 0, 0};
        for (int i = 0; i < count; ++i) packet.insert(packet.end(), {1, static_cast<std::uint8_t>(-64), 200, 100, 50, 0xff});
        packet[3] = static_cast<std::uint8_t>(packet.size());
        return packet;
    };
    auto const write = [&](std::vector<int> const& packets) {
        video_test::muxer out{folder / "a.mov"};
        AVStream* const stream = avformat_new_stream(out.get(), nullptr);
        stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
        stream->codecpar->codec_id = AV_CODEC_ID_QTRLE;
        stream->codecpar->bits_per_coded_sample = 24;
        stream->codecpar->width = 64;
        stream->codecpar->height = 48;
        stream->time_base = {1, 25};
        video_test::ok(avformat_write_header(out.get(), nullptr), "header");
        for (std::size_t i = 0; i < packets.size(); ++i) {
            auto content = lines(packets[i]);
            detail::ffmpeg_packet const packet{av_packet_alloc()};
            video_test::ok(av_new_packet(packet.get(), static_cast<int>(content.size())), "packet");
            std::copy(content.begin(), content.end(), packet->data);
            packet->pts = packet->dts = av_rescale_q(static_cast<std::int64_t>(i), {1, 25}, stream->time_base);
            packet->duration = av_rescale_q(1, {1, 25}, stream->time_base);
            packet->flags = AV_PKT_FLAG_KEY;
            video_test::ok(av_write_frame(out.get(), packet.get()), "packet");
        }
        video_test::ok(av_write_trailer(out.get()), "trailer");
    };
    write({48, 20, 48}); // rows that were written before stay
    auto const sound = decode(folder / "a.mov");
    CHECK(sound.what == "");
    CHECK(sound.report == decode_report{3, 0});
    write({20, 47, 48, 48});
    auto const strict = decode(folder / "a.mov");
    CHECK(strict.code == "decode_failed");
    CHECK(strict.what == (folder / "a.mov").string() + ": rows that were not decoded at frame 0, an undamaged frame expected");
    auto const lenient = decode(folder / "a.mov", {.lenient = true});
    CHECK(lenient.report == decode_report{2, 2});
    CHECK(lenient.hashes == std::vector<std::uint64_t>{sound.hashes[0], sound.hashes[0]});
}
