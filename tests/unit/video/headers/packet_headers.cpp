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

TEST_CASE("mpeg4_headers: a coded picture is promised from the first I on; repeats, empty packets and packed ones are not") {
    auto const picture = [](unsigned kind, std::size_t size) {
        bytes packet{0, 0, 1, 0xb6, static_cast<std::uint8_t>(kind << 6U | 5U)};
        packet.resize(size, 0x55);
        return packet;
    };
    mpeg4_headers headers;
    CHECK(!headers.read(1, picture(1, 40)).picture);
    CHECK(headers.read(2, picture(0, 40)).picture == 2);
    CHECK(headers.read(3, picture(1, 40)).picture == 3);
    CHECK(headers.read(4, picture(2, 13)).picture == 4);
    CHECK(!headers.read(5, picture(1, 8)).picture);
    CHECK(!headers.read(6, {}).picture);
    CHECK(!headers.read(7, bytes{0x7f}).picture);
    auto packed = picture(1, 40);
    auto const more = picture(2, 40);
    packed.insert(packed.end(), more.begin(), more.end());
    CHECK(!headers.read(8, packed).picture);
    CHECK(!headers.read(9, picture(1, 40)).picture);
}

TEST_CASE("mpeg_headers: numbers of the order of display that are left out, out of order, or of another recording") {
    auto const picture = [](unsigned kind, unsigned order) {
        return bytes{0, 0, 1, 0, static_cast<std::uint8_t>(order >> 2U), static_cast<std::uint8_t>(order << 6U | kind << 3U), 0, 0, 0, 0, 1, 1, 5, 5, 5, 5};
    };
    struct entry {
        unsigned kind, order;
        bool lost;
    };
    auto const follows = [&](std::vector<entry> const& pictures) {
        mpeg_headers headers;
        std::uint64_t number = 0;
        for (entry const& e : pictures) {
            if (e.kind == 0)
                headers.joined();
            else if (headers.read(++number, picture(e.kind, e.order)).lost_reference != e.lost)
                return number;
        }
        return std::uint64_t{0};
    };
    CHECK(follows({{1, 2, false}, {3, 0, false}, {3, 1, false}, {2, 5, false}, {3, 3, false}, {3, 4, false}, {2, 6, false}, {2, 7, false}, {1, 0, false}, {2, 1, false}}) == 0);
    CHECK(follows({{1, 1022, false}, {2, 1, false}, {3, 1023, false}, {3, 0, false}, {2, 2, false}}) == 0); // ten bits
    CHECK(follows({{1, 0, false}, {3, 1, true}, {3, 2, true}, {2, 6, false}, {3, 4, false}}) == 0);         // P 3 is missing
    CHECK(follows({{1, 0, false}, {2, 1, false}, {2, 3, false}, {2, 4, true}, {2, 5, false}}) == 0);        // P 2 is missing
    CHECK(follows({{1, 0, false}, {2, 4, false}, {3, 1, false}, {2, 3, true}}) == 0);
    CHECK(follows({{1, 0, false}, {2, 1, false}, {0, 0, false}, {2, 2, true}, {3, 1, true}, {1, 0, false}, {2, 1, false}}) == 0);
    CHECK(follows({{2, 5, false}, {3, 9, false}, {1, 0, false}}) == 0); // begins between I pictures
}
