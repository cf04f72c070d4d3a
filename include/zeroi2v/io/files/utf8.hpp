// utf8: whether bytes are UTF-8, and where they stop being it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
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

/// A character that moves, hides or reorders what stands beside it on a terminal or page.
struct control_character {
    unsigned point;      ///< of Unicode
    std::size_t length;  ///< bytes
};

/// The control character at the front of `text`: C0 but tab and newline, U+007F to U+009F, the bidirectional controls U+202A
/// to U+202E and U+2066 to U+2069.
[[nodiscard]] constexpr std::optional<control_character> control_at(std::string_view text) noexcept {
    auto const at = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    if (text.empty()) return std::nullopt;
    unsigned const first = at(0), second = at(1), third = at(2);
    if ((first < 0x20U && first != '\t' && first != '\n') || first == 0x7FU) return control_character{first, 1};
    if (first == 0xC2U && second >= 0x80U && second <= 0x9FU) return control_character{second, 2};
    if (first == 0xE2U && second == 0x80U && third >= 0xAAU && third <= 0xAEU) return control_character{0x2000U + (third & 0x3FU), 3};
    if (first == 0xE2U && second == 0x81U && third >= 0xA6U && third <= 0xA9U) return control_character{0x2040U + (third & 0x3FU), 3};
    return std::nullopt;
}

/// `\uXXXX`, as JSON and messages show a control character.
inline void append_escape(std::string& out, unsigned point) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u";
    for (unsigned shift = 16; shift > 0; shift -= 4) out += digits[point >> (shift - 4) & 15U];
}

} // namespace detail

/// The first position in `text` that is not UTF-8.
/// Source  the Unicode Standard, table 3-7.     Test  tests/unit/io/json/json_reader.cpp
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
