#include <zeroi2v/video/video_file.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

using namespace zeroi2v;

TEST_CASE("video_file opens regular files only, and never waits") {
    video_test::temporary_folder const folder;
    video_test::write_file(folder / "a", {1, 2, 3});
    video_file const file{folder / "a"};
    CHECK(file.size() == 3);
    std::array<std::uint8_t, 4> bytes{};
    CHECK(file.read_at(1, bytes) == 2);
    CHECK(bytes[1] == 3);
    CHECK(file.read_at(3, bytes) == 0);
    CHECK(file.read_at(-1, bytes) < 0);

    auto const opening = [](std::filesystem::path const& path) {
        return video_test::code_of([&] { video_file{path}; });
    };
    CHECK(opening(folder / "missing") == "open_failed");
    CHECK(opening(folder / "") == "open_failed");
    CHECK(opening("/dev/zero") == "open_failed");
    CHECK(opening("") == "open_failed");
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    CHECK(opening(folder / "fifo") == "open_failed");
    for (char const* path :
         {"http://127.0.0.1/a.mp4", "file:/etc/passwd", "concat:a|b", "subfile:,,start,0,end,9,,:a", "pipe:0"})
        CHECK(opening(path) == "open_failed");
    try {
        video_file{folder / "fifo"};
    } catch (video_error const& e) {
        CHECK(std::string{e.what()}.find("a FIFO found, a regular file expected") != std::string::npos);
        CHECK(e.exit_status() == 5);
    }
}

TEST_CASE("a process without a free descriptor is short of resources, the video is not at fault") {
    video_test::temporary_folder const folder;
    video_test::write_file(folder / "a", {1, 2, 3});
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit const none{0, before.rlim_max};
    int status = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    try {
        video_file{folder / "a"};
    } catch (error const& fault) {
        status = fault.exit_status();
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(status == 7);
}
