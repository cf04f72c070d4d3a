// utf8: whether bytes are UTF-8, and where they stop being it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace zeroi2v {

namespace detail {

/// Bytes of the UTF-8 character at the front of `text`, which is not empty; 0 where there is none (stray or missing
/// continuation bytes, overlong forms, surrogates, beyond U+10FFFF).
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text) noexcept {
    auto const at = [&](std::size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    auto const continues = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    unsigned const first = at(0);
    if (first < 0x80U) return 1;
    if (first >= 0xC2U && first <= 0xDFU) return continues(1) ? 2 : 0;
    if (first >= 0xE0U && first <= 0xEFU) {
        unsigned const low = first == 0xE0U ? 0xA0U : 0x80U;
        unsigned const high = first == 0xEDU ? 0x9FU : 0xBFU;
        return at(1) >= low && at(1) <= high && continues(2) ? 3 : 0;
    }
    if (first >= 0xF0U && first <= 0xF4U) {
        unsigned const low = first == 0xF0U ? 0x90U : 0x80U;
        unsigned const high = first == 0xF4U ? 0x8FU : 0xBFU;
        return at(1) >= low && at(1) <= high && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

} // namespace detail

/// The first position in `text` that is not UTF-8.
/// Source  the Unicode Standard, table 3-7.     Test  tests/unit/io/json_reader.cpp
[[nodiscard]] constexpr std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size();) {
        constexpr std::size_t block = 32; // all ASCII: seen at once by whatever vector unit the compiler has
        if (text.size() - i >= block) {
            unsigned char all = 0;
            for (std::size_t j = 0; j < block; ++j)
                all = static_cast<unsigned char>(all | static_cast<unsigned char>(text[i + j]));
            if (all < 0x80U) {
                i += block;
                continue;
            }
        }
        auto const length = detail::utf8_length(text.substr(i));
        if (length == 0) return i;
        i += length;
    }
    return std::nullopt;
}

} // namespace zeroi2v
