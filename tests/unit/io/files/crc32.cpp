#include <zeroi2v/io/files/crc32.hpp>

#include "../archives.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

using namespace zeroi2v;

namespace {

/// From the definition, bit by bit.
std::uint32_t slow_crc32(std::span<std::byte const> bytes) {
    std::uint32_t crc = 0xFFFFFFFFU;
    for (std::byte const b : bytes) {
        crc ^= std::to_integer<std::uint32_t>(b);
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0xEDB88320U : crc >> 1U;
    }
    return ~crc;
}

constexpr std::array check_digits{std::byte{'1'}, std::byte{'2'}, std::byte{'3'}, std::byte{'4'}, std::byte{'5'},
                                  std::byte{'6'}, std::byte{'7'}, std::byte{'8'}, std::byte{'9'}};
static_assert(crc32::of(check_digits) == 0xCBF43926U);

} // namespace

TEST_CASE("crc32 gives the published values") {
    CHECK(crc32::of({}) == 0);
    CHECK(crc32::of(test::bytes_of("a")) == 0xE8B7BE43U);
    CHECK(crc32::of(test::bytes_of("123456789")) == 0xCBF43926U);
    CHECK(crc32::of(test::bytes_of("The quick brown fox jumps over the lazy dog")) == 0x414FA339U);
}

TEST_CASE("crc32 equals the definition for every length and start up to 80, and for every cut") {
    std::mt19937 random{1};
    std::vector<std::byte> bytes(200);
    for (auto& b : bytes) b = static_cast<std::byte>(random() & 255U);
    std::span<std::byte const> const all{bytes};
    for (std::size_t first = 0; first < 16; ++first)
        for (std::size_t size = 0; size <= 80; ++size) {
            auto const part = all.subspan(first, size);
            CHECK(crc32::of(part) == slow_crc32(part));
        }
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        crc32 checksum;
        checksum.update(all.first(cut));
        checksum.update(all.subspan(cut));
        CHECK(checksum.value() == slow_crc32(all));
    }
}

TEST_CASE("crc32 sees every single changed bit") {
    std::vector<std::byte> bytes(67, std::byte{0x5A});
    auto const sound = crc32::of(bytes);
    for (auto& b : bytes)
        for (unsigned bit = 0; bit < 8; ++bit) {
            b ^= static_cast<std::byte>(1U << bit);
            CHECK(crc32::of(bytes) != sound);
            b ^= static_cast<std::byte>(1U << bit);
        }
}
