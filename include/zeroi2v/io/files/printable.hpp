// printable: names from files and command lines, made fit for one line of a message.
#pragma once

#include <zeroi2v/io/files/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace zeroi2v {

/// `text` on one line: newline, tab and CR as `\n`, `\t`, `\r`, every other control character as `\uXXXX`, a byte that is not UTF-8
/// as `\xNN`, and cut with `...` after `limit` bytes. A multi-byte UTF-8 character is never cut in the middle.
/// Test  tests/unit/io/files/printable.cpp
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t limit = 256) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::size_t end = text.size();
    if (end > limit) {
        end = limit;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    }
    std::string result;
    for (std::size_t i = 0, length = 0; i < end; i += length) {
        auto const rest = text.substr(i, end - i);
        char const c = text[i];
        auto const byte = static_cast<unsigned char>(c);
        length = 1;
        if (c == '\n')
            result += "\\n";
        else if (c == '\t')
            result += "\\t";
        else if (c == '\r')
            result += "\\r";
        else if (auto const control = detail::control_at(rest)) {
            detail::append_escape(result, control->point);
            length = control->length;
        } else if ((length = detail::utf8_length(rest)) > 0)
            result += rest.substr(0, length);
        else {
            result.append("\\x").append(1, digits[byte >> 4U]).append(1, digits[byte & 15U]);
            length = 1;
        }
    }
    if (end < text.size()) result += "...";
    return result;
}

/// `printable` in double quotes.
[[nodiscard]] inline std::string quoted_name(std::string_view name, std::size_t limit = 256) {
    return '"' + printable(name, limit) + '"';
}

/// `a, b, c`; after the first `limit` names only how many more there are.
[[nodiscard]] inline std::string list_names(std::span<std::string const> names, std::size_t limit = 20) {
    std::string result;
    for (std::size_t i = 0; i < std::min(names.size(), limit); ++i)
        result.append(i == 0 ? "" : ", ").append(printable(names[i]));
    if (names.size() > limit) result += " and " + std::to_string(names.size() - limit) + " more";
    return result;
}

} // namespace zeroi2v
