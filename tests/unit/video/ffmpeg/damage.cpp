#include <zeroi2v/video/ffmpeg/damage.hpp>

#include <doctest/doctest.h>

using namespace zeroi2v::detail;

TEST_CASE("picture_ledger: a promised picture that never comes is missed, once, in order") {
    picture_ledger ledger;
    for (std::uint64_t n = 1; n <= 300; ++n) {
        ledger.expect(n, static_cast<std::int64_t>(n));
        if (n != 5 && n != 200) ledger.arrived(n, static_cast<std::int64_t>(n));
        auto const missing = ledger.missing(n, true);
        CHECK(missing.has_value() == (n == 5 + picture_ledger::most_delay + 1));
        if (missing) CHECK(*missing == 5);
    }
    CHECK(ledger.missing(1000, true) == 200);
    CHECK(ledger.later_than(200) == 100);
    CHECK(!ledger.missing(1000, true));
}

TEST_CASE("picture_ledger: what is shown before the first frame, or too late for the order, is not missed") {
    picture_ledger ledger;
    ledger.expect(1, 400); // leading pictures of an open group: sent after the first frame, shown before it
    ledger.expect(2, 200);
    ledger.expect(3, 300);
    ledger.arrived(1, 400);
    ledger.expect(4, 800);
    ledger.arrived(4, 800);
    ledger.expect(5, 600); // comes after 4 has gone out
    ledger.expect(6, 900); // lost
    ledger.expect(7, AV_NOPTS_VALUE);
    CHECK(ledger.missing(1000, true) == 6);
    CHECK(!ledger.missing(1000, true));

    picture_ledger timeless; // without time stamps only a decoder that keeps order can be judged
    timeless.expect(1, AV_NOPTS_VALUE);
    timeless.expect(2, AV_NOPTS_VALUE);
    timeless.arrived(2, AV_NOPTS_VALUE);
    timeless.expect(3, AV_NOPTS_VALUE);
    CHECK(timeless.missing(1000, false) == 3);

    picture_ledger other; // another recording begins at 0 again
    for (std::uint64_t n = 1; n <= 50; ++n) other.expect(n, static_cast<std::int64_t>(1000 + n)), other.arrived(n, static_cast<std::int64_t>(1000 + n));
    for (std::uint64_t n = 51; n <= 100; ++n) {
        other.expect(n, static_cast<std::int64_t>(n));
        if (n != 80) other.arrived(n, static_cast<std::int64_t>(n));
    }
    CHECK(other.missing(1000, true) == 80);

    picture_ledger dropped;
    dropped.expect(1, 1);
    dropped.arrived(1, 1);
    dropped.expect(2, 2);
    dropped.forget();
    dropped.expect(3, 3);
    dropped.settle(3);
    CHECK(!dropped.missing(1000, false));
}

TEST_CASE("ffmpeg_has_unwritten_row: memory as a decoder gets it, whole or a field of it, and nothing that was written") {
    for (AVPixelFormat const format : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10LE, AV_PIX_FMT_GRAY8, AV_PIX_FMT_RGB24}) {
        ffmpeg_decoder const context{avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264))};
        context->width = context->coded_width = 64;
        context->height = context->coded_height = 48;
        context->pix_fmt = format;
        REQUIRE(avcodec_open2(context.get(), nullptr, nullptr) >= 0);
        for (int const written : {0, 1, 47, 48}) {
            ffmpeg_frame const frame{av_frame_alloc()};
            frame->width = 64;
            frame->height = 48;
            frame->format = format;
            REQUIRE(ffmpeg_marked_buffer(context.get(), frame.get(), 0) >= 0);
            for (std::uint8_t const value : {std::uint8_t{0}, std::uint8_t{1}}) { // dark pictures are pictures
                for (int y = 0; y < written; ++y) std::memset(frame->data[0] + y * frame->linesize[0], value, static_cast<std::size_t>(std::min(frame->linesize[0], 64)));
                CHECK(ffmpeg_has_unwritten_row(*frame) == (written < 48));
            }
        }
    }
}
