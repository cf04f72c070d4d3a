#include <zeroi2v/video/headers/packet_headers.hpp>

#include "../support.hpp"

#include <doctest/doctest.h>

using namespace zeroi2v::detail;
using video_test::bytes;

TEST_CASE("vp8_headers: a frame that is shown is promised, a hidden or empty one is not") {
    vp8_headers headers;
    CHECK(headers.read(7, bytes{0x10, 0, 0, 0}).picture == 7);
    CHECK(!headers.read(8, bytes{0x01, 0, 0, 0}).picture);
    CHECK(!headers.read(9, bytes{}).picture);
    CHECK(!headers.read(9, bytes{0x10}).picture);
}

TEST_CASE("mpeg_headers: a frame, two fields in one packet or in two, and no picture") {
    auto const picture = [](std::initializer_list<int> structures) {
        bytes packet;
        for (int const structure : structures) {
            bytes const head{0, 0, 1, 0, 0, 0x10, 0, 0};
            packet.insert(packet.end(), head.begin(), head.end());
            bytes const extension{0, 0, 1, 0xb5, 0x8f, 0xff, static_cast<std::uint8_t>(0xf0 | structure), 0};
            if (structure != 0) packet.insert(packet.end(), extension.begin(), extension.end()); // not in MPEG-1
            bytes const slices{0, 0, 1, 1, 5, 5, 5, 0, 0, 1, 2, 5};
            packet.insert(packet.end(), slices.begin(), slices.end());
        }
        return packet;
    };
    mpeg_headers headers;
    CHECK(headers.read(1, picture({0})).picture == 1);
    CHECK(headers.read(2, picture({3})).picture == 2);
    CHECK(!headers.read(3, picture({1})).picture);
    CHECK(headers.read(4, picture({2})).picture == 3);
    CHECK(headers.read(5, picture({1, 2})).picture == 5);
    CHECK(!headers.read(6, picture({})).picture);
    CHECK(!headers.read(7, picture({2})).picture);
    CHECK(headers.read(8, picture({3})).picture == 8); // a field that stays alone is not missed
    CHECK(!headers.read(9, bytes{0, 0, 1}).picture);
}
