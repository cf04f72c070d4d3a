#include <zeroi2v/video/video_file.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include <fcntl.h>
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

TEST_CASE("video_file says what it found, by its name, and lets its descriptor go") {
    video_test::temporary_folder const folder;
    video_test::bytes content(5000);
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * 7 % 251);
    video_test::write_file(folder / "a", content);
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    auto const words = [](std::filesystem::path const& path) {
        try {
            video_file{path};
        } catch (video_error const& fault) {
            CHECK(fault.code() == error_code::open_failed);
            return std::string{fault.what()};
        }
        return std::string{"nothing thrown"};
    };
    std::string const end = " found, a regular file expected";
    CHECK(words(folder / "") == (folder / "").string() + ": a folder" + end);
    CHECK(words(folder / "fifo") == (folder / "fifo").string() + ": a FIFO" + end);
    CHECK(words("/dev/zero") == "/dev/zero: a device or socket" + end);
    CHECK(words(folder / "missing") == (folder / "missing").string() + ": No such file or directory, a readable file expected");
    auto const open_now = [] { return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{}); };
    auto const before = open_now();
    for (int i = 0; i < 3; ++i) {
        video_file const file{folder / "a"};
        CHECK(file.name() == (folder / "a").string());
        CHECK(file.size() == 5000);
        CHECK(open_now() == before + 1);
        for (auto const& [offset, count] : {std::pair{0, 5000}, {0, 10}, {4990, 20}, {17, 4000}, {5000, 1}, {6000, 1}}) {
            video_test::bytes bytes(static_cast<std::size_t>(count));
            auto const wanted = std::max(0, std::min(count, 5000 - offset));
            CHECK(file.read_at(offset, bytes) == wanted);
            CHECK(std::equal(bytes.begin(), bytes.begin() + wanted, content.begin() + std::min(offset, 5000)));
        }
        for (auto const& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) { // no program that is started inherits it
            std::error_code ignored;
            if (std::filesystem::read_symlink(entry, ignored) == std::filesystem::canonical(folder / "a"))
                CHECK((::fcntl(std::stoi(entry.path().filename().string()), F_GETFD) & FD_CLOEXEC) != 0);
        }
        static_cast<void>(words(folder / ""));
        static_cast<void>(words(folder / "fifo"));
    }
    CHECK(open_now() == before);
}

TEST_CASE("a process without a free descriptor is short of resources, the video is not at fault") {
    video_test::temporary_folder const folder;
    video_test::write_file(folder / "a", {1, 2, 3});
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit const none{0, before.rlim_max};
    int status = 0;
    std::string words;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    try {
        video_file{folder / "a"};
    } catch (error const& fault) {
        status = fault.exit_status();
        words = std::string{fault.code_name()} + ": " + fault.what();
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(status == 7);
    CHECK(words == "open_failed: " + (folder / "a").string() + ": Too many open files");
}
