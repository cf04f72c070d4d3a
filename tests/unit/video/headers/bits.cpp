#include <zeroi2v/video/headers/bits.hpp>

#include <doctest/doctest.h>

using namespace zeroi2v::detail;
using bytes = std::vector<std::uint8_t>;

TEST_CASE("bit_reader: bits, Exp-Golomb codes, and the end") {
    bytes const data{0b1'010'011'0, 0b0100'0010, 0b1'0000000};
    bit_reader in{data};
    CHECK(in.ue() == 0);
    CHECK(in.ue() == 1);
    CHECK(in.ue() == 2);
    CHECK(in.ue() == 3); // 00100
    CHECK(in.ue() == 4); // 00101, over the border of a byte
    CHECK(in.sound());
    CHECK(in.bits(7) == 0);
    CHECK(in.sound());
    CHECK(in.bits(1) == 0);
    CHECK(!in.sound());

    bytes const signs{0b1'010'011'0, 0b0100'0010, 0b1'0000000};
    bit_reader signed_in{signs};
    for (int const expected : {0, 1, -1, 2, -2}) CHECK(signed_in.se() == expected);

    bytes const zeros(9);
    bit_reader endless{zeros};
    static_cast<void>(endless.ue());
    CHECK(!endless.sound());
    bit_reader none{byte_span{}};
    static_cast<void>(none.ue());
    CHECK(!none.sound());
}

TEST_CASE("nal_units: by length, by start code, and what only looks like one") {
    auto const sizes = [](bytes const& packet, unsigned length) {
        std::vector<std::size_t> found;
        for (auto const unit : nal_units(packet, length)) found.push_back(unit.size());
        return found;
    };
    CHECK(sizes({0, 0, 0, 2, 7, 7, 0, 0, 0, 1, 8}, 4) == std::vector<std::size_t>{2, 1});
    CHECK(sizes({2, 7, 7, 1, 8}, 1) == std::vector<std::size_t>{2, 1});
    CHECK(sizes({0, 0, 1, 7, 7, 7, 0, 0, 1, 8}, 0) == std::vector<std::size_t>{3, 1});
    CHECK(sizes({0, 0, 0, 1, 7, 7, 0, 0, 0, 1, 8}, 0) == std::vector<std::size_t>{3, 1});
    bytes long_unit(4 + 300, 9); // its length, 00 00 01 2c, begins as a start code does
    long_unit[0] = long_unit[1] = 0, long_unit[2] = 1, long_unit[3] = 0x2c;
    CHECK(sizes(long_unit, 4) == std::vector<std::size_t>{300});
    CHECK(sizes({0, 0, 0, 1, 9, 9, 9, 0, 0, 1, 9, 9}, 4) == std::vector<std::size_t>{3, 2}); // start codes after all
    CHECK(sizes({0, 0, 0, 9, 7, 7}, 4).empty());
    CHECK(sizes({}, 4).empty());
    CHECK(sizes({}, 0).empty());
    CHECK(sizes({0, 0, 1}, 0).empty());
}

TEST_CASE("nal_payload: the bytes that keep start codes out are gone") {
    bytes const unit{0x65, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3};
    CHECK(nal_payload(unit, 1, 100) == bytes{0, 0, 1, 0, 0, 0, 0});
    CHECK(nal_payload(unit, 1, 2) == bytes{0, 0});
    CHECK(nal_payload(unit, 50, 2).empty());
}
