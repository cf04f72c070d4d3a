#include <zeroi2v/video/container_damage.hpp>

#include "encode.hpp"

#include <doctest/doctest.h>

using namespace zeroi2v;

TEST_CASE("damage_of: whole files have none, every cut one shows, whatever is in it is no trap") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.mkv", {.frames = 8});
    video_test::encode(folder / "a.ts", {.frames = 8});
    video_test::encode(folder / "a.ogg", {.encoder = "libtheora", .frames = 8, .b_frames = 0});
    struct entry {
        char const* file;
        char const* format;
        bool every_cut; // else only those within a packet
    };
    for (entry const e :
         {entry{"a.mkv", "matroska,webm", true}, entry{"a.ts", "mpegts", false}, entry{"a.ogg", "ogg", true}}) {
        CAPTURE(e.file);
        auto const content = video_test::read_file(folder / e.file);
        CHECK(detail::damage_of(video_file{folder / e.file}, e.format).what == "");
        for (std::size_t length = content.size() - 1; length > 2000; length -= 61) {
            video_test::write_file(folder / "cut",
                                   {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(length)});
            auto const damage = detail::damage_of(video_file{folder / "cut"}, e.format);
            if (e.every_cut || length % 188 != 0) CHECK(damage.count == 1);
        }
        for (std::size_t length = 0; length < 300; ++length) {
            video_test::write_file(folder / "cut",
                                   {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(length)});
            CHECK_NOTHROW(static_cast<void>(detail::damage_of(video_file{folder / "cut"}, e.format)));
        }
    }
    auto ogg = video_test::read_file(folder / "a.ogg");
    ogg[ogg.size() / 2] ^= 1U;
    video_test::write_file(folder / "flip.ogg", ogg);
    CHECK(detail::damage_of(video_file{folder / "flip.ogg"}, "ogg").what.find("checksum") != std::string::npos);
    for (char const* format : {"mov,mp4,m4a,3gp,3g2,mj2", "avi", "mpeg"})
        CHECK(detail::damage_of(video_file{folder / "flip.ogg"}, format).count == 0);
}
