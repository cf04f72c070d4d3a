// crc32: the checksum of ZIP entries, sixteen bytes at a time.
#pragma once

#include <zeroi2v/io/files/little_endian.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace zeroi2v {

namespace detail {

/// Table s advances a checksum over one byte followed by s zero bytes.
[[nodiscard]] constexpr std::array<std::array<std::uint32_t, 256>, 16> make_crc32_tables() noexcept {
    std::array<std::array<std::uint32_t, 256>, 16> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
        tables[0][byte] = crc;
    }
    for (std::size_t s = 1; s < tables.size(); ++s)
        for (std::size_t byte = 0; byte < 256; ++byte)
            tables[s][byte] = (tables[s - 1][byte] >> 8U) ^ tables[0][tables[s - 1][byte] & 0xFFU];
    return tables;
}

inline constexpr auto crc32_tables = make_crc32_tables();

} // namespace detail

/// CRC-32 of ISO 3309 and ZIP (reflected polynomial 0xEDB88320), fed in pieces of any length.
///
/// Cost  one table look-up a byte, sixteen of them independent ("slicing by 16", Kounavis and Berry 2005).
/// Test  tests/unit/io/files/crc32.cpp
class crc32 {
public:
    constexpr void update(std::span<std::byte const> bytes) noexcept {
        auto const& t = detail::crc32_tables;
        std::uint32_t crc = state_;
        while (bytes.size() >= 16) {
            std::uint64_t const low = load_le<std::uint64_t>(bytes.data()) ^ crc;
            std::uint64_t const high = load_le<std::uint64_t>(bytes.data() + 8);
            crc = t[15][low & 0xFFU] ^ t[14][low >> 8U & 0xFFU] ^ t[13][low >> 16U & 0xFFU] ^ t[12][low >> 24U & 0xFFU]
                  ^ t[11][low >> 32U & 0xFFU] ^ t[10][low >> 40U & 0xFFU] ^ t[9][low >> 48U & 0xFFU] ^ t[8][low >> 56U]
                  ^ t[7][high & 0xFFU] ^ t[6][high >> 8U & 0xFFU] ^ t[5][high >> 16U & 0xFFU]
                  ^ t[4][high >> 24U & 0xFFU] ^ t[3][high >> 32U & 0xFFU] ^ t[2][high >> 40U & 0xFFU]
                  ^ t[1][high >> 48U & 0xFFU] ^ t[0][high >> 56U];
            bytes = bytes.subspan(16);
        }
        for (std::byte const b : bytes) crc = (crc >> 8U) ^ t[0][(crc ^ std::to_integer<std::uint32_t>(b)) & 0xFFU];
        state_ = crc;
    }

    [[nodiscard]] constexpr std::uint32_t value() const noexcept { return ~state_; }

    [[nodiscard]] static constexpr std::uint32_t of(std::span<std::byte const> bytes) noexcept {
        crc32 checksum;
        checksum.update(bytes);
        return checksum.value();
    }

private:
    std::uint32_t state_{0xFFFFFFFFU};
};

} // namespace zeroi2v
