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

TEST_CASE("missing_mp4_index: every cut of an mp4 before the end of its index, and no other file") {
    video_test::temporary_folder const folder;
    video_test::encode(folder / "a.mp4", {.frames = 8});
    auto const content = video_test::read_file(folder / "a.mp4");
    std::string const mark = "moov";
    auto const index = std::search(content.begin(), content.end(), mark.begin(), mark.end()) - content.begin() - 4;
    REQUIRE(index > 100);
    auto const said = [&](std::size_t length) {
        video_test::write_file(folder / "cut", {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(length)});
        return detail::missing_mp4_index(video_file{folder / "cut"}).value_or("");
    };
    CHECK(said(content.size()) == "");
    CHECK(said(content.size() - 1).find("its index (moov) ends beyond it") != std::string::npos);
    for (auto length = static_cast<std::size_t>(index); length > 8; length -= 7) CHECK(said(length).find("no index (moov) found") != std::string::npos);
    CHECK(said(0) == "");
    CHECK(said(7) == "");
    for (std::string const text : {"the quick brown fox jumps", "OggS and so on and so on", "\0\0\0\0moof"}) {
        video_test::write_file(folder / "text", {text.begin(), text.end()});
        CHECK(!detail::missing_mp4_index(video_file{folder / "text"}));
    }
    // sizes that lead nowhere end the walk
    video_test::write_file(folder / "zero", {0, 0, 0, 3, 'f', 't', 'y', 'p', 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(detail::missing_mp4_index(video_file{folder / "zero"}));
    video_test::write_file(folder / "large", {0, 0, 0, 1, 'm', 'd', 'a', 't', 255, 255, 255, 255, 255, 255, 255, 255});
    CHECK(detail::missing_mp4_index(video_file{folder / "large"}));
}
