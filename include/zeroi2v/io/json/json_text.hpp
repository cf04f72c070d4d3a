// json_text: what must hold for a JSON text from a file before a parser may see it.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace zeroi2v {

/// How far a text may go.
struct json_limits {
    std::size_t depth = 64;                                           ///< of nested objects and arrays
    std::size_t members = std::size_t(-1);                            ///< of the outermost object
    std::size_t name_bytes = std::numeric_limits<std::size_t>::max(); ///< of a name in the outermost object, unescaped
    std::size_t elements = std::size_t(-1);                           ///< of any one list or object (json_value::parse)
};

/// What is wrong with a text, and at which byte.
struct json_fault {
    error_code code;
    std::size_t position;
    std::string sentence;
};

/// `line L, column C` of a byte, both from 1; columns count bytes.
[[nodiscard]] inline std::string line_and_column(std::string_view text, std::size_t position) {
    auto const leading = text.substr(0, std::min(position, text.size()));
    auto const line = std::count(leading.begin(), leading.end(), '\n') + 1;
    auto const last = leading.rfind('\n');
    auto const column = last == std::string_view::npos ? leading.size() + 1 : leading.size() - last;
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

namespace detail {

/// The value of `\uXXXX` at `position`; nothing where it is something else.
[[nodiscard]] constexpr std::optional<unsigned> unicode_escape(std::string_view text, std::size_t position) noexcept {
    if (position > text.size() || text.size() - position < 6 || text[position] != '\\' || text[position + 1] != 'u')
        return std::nullopt;
    unsigned value = 0;
    for (std::size_t i = position + 2; i < position + 6; ++i) {
        char const c = text[i];
        unsigned digit = 0;
        if (c >= '0' && c <= '9')
            digit = static_cast<unsigned>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<unsigned>(c - 'a') + 10U;
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<unsigned>(c - 'A') + 10U;
        else
            return std::nullopt;
        value = value * 16U + digit;
    }
    return value;
}

inline void append_utf8(std::string& out, unsigned point) {
    auto const add = [&](unsigned byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (point < 0x80U) {
        add(point);
    } else if (point < 0x800U) {
        add(0xC0U | point >> 6U);
        add(0x80U | (point & 0x3FU));
    } else if (point < 0x10000U) {
        add(0xE0U | point >> 12U);
        add(0x80U | (point >> 6U & 0x3FU));
        add(0x80U | (point & 0x3FU));
    } else {
        add(0xF0U | point >> 18U);
        add(0x80U | (point >> 12U & 0x3FU));
        add(0x80U | (point >> 6U & 0x3FU));
        add(0x80U | (point & 0x3FU));
    }
}

/// A character that ends a plain piece of a JSON string.
[[nodiscard]] constexpr bool is_special(char c) noexcept {
    auto const byte = static_cast<unsigned char>(c);
    return (byte == '"') | (byte == '\\') | (byte < 0x20U) | (byte >= 0x80U);
}

struct scanned_string {
    std::size_t end;                 // one behind the closing quote
    std::optional<json_fault> fault; // then `end` says nothing
};

/// The JSON string whose opening quote is at `begin`.
[[nodiscard]] inline scanned_string scan_json_string(std::string_view text, std::size_t begin) {
    auto const fault = [](error_code code, std::size_t position, char const* sentence) {
        return scanned_string{0, json_fault{code, position, sentence}};
    };
    for (std::size_t i = begin + 1; i < text.size();) {
        constexpr std::size_t block =
            32; // nothing but plain ASCII: seen at once by whatever vector unit the compiler has
        if (text.size() - i >= block) {
            bool special = false;
            for (std::size_t j = 0; j < block; ++j) special |= is_special(text[i + j]);
            if (!special) {
                i += block;
                continue;
            }
        }
        auto const byte = static_cast<unsigned char>(text[i]);
        if (byte == '"') return {i + 1, std::nullopt};
        if (byte == 0) return fault(error_code::bad_json, i, "a NUL byte");
        if (byte < 0x20U) return fault(error_code::bad_json, i, "a control character in a string, expected its escape");
        if (byte >= 0x80U) {
            auto const length = utf8_length(text.substr(i));
            if (length == 0) return fault(error_code::header_not_utf8, i, "not UTF-8");
            i += length;
        } else if (byte != '\\') {
            ++i;
        } else if (i + 1 < text.size() && std::string_view{"\"\\/bfnrt"}.find(text[i + 1]) != std::string_view::npos) {
            i += 2;
        } else {
            auto const unit = unicode_escape(text, i);
            if (!unit) return fault(error_code::bad_json, i, "no escape of JSON");
            bool const high = *unit >= 0xD800U && *unit <= 0xDBFFU;
            bool const low = *unit >= 0xDC00U && *unit <= 0xDFFFU;
            auto const second = high ? unicode_escape(text, i + 6) : std::nullopt;
            if (low || (high && !(second && *second >= 0xDC00U && *second <= 0xDFFFU)))
                return fault(error_code::header_not_utf8, i, "half of a surrogate pair in an escape");
            i += high ? 12 : 6;
        }
    }
    return fault(error_code::bad_json, begin, "a string without an end");
}

/// The text that the inside of a scanned JSON string stands for, as UTF-8.
[[nodiscard]] inline std::string unescape_json(std::string_view raw) {
    std::string result;
    result.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size();) {
        auto const plain = std::min(raw.find('\\', i), raw.size());
        result.append(raw.substr(i, plain - i));
        i = plain;
        if (i == raw.size()) break;
        if (auto const unit = unicode_escape(raw, i)) {
            bool const pair = *unit >= 0xD800U && *unit <= 0xDBFFU;
            unsigned const point =
                pair ? 0x10000U + ((*unit - 0xD800U) << 10U) + (unicode_escape(raw, i + 6).value_or(0xDC00U) - 0xDC00U)
                     : *unit;
            append_utf8(result, point);
            i += pair ? 12 : 6;
            continue;
        }
        constexpr std::string_view escapes = "\"\\/bfnrt";
        constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
        result += meanings[escapes.find(raw[i + 1])];
        i += 2;
    }
    return result;
}

} // namespace detail

/// The first fault of `text` that a JSON parser may overlook, answer by recursion, or answer too late or with a message
/// as long as the text: a byte order mark, NUL, bytes that are not UTF-8, broken strings, escapes of half a surrogate
/// pair, endless numbers and blanks, more nesting, members or name than `limits`. The rest of the grammar is the
/// parser's.
///
/// Cost    one pass, no memory; about 0.2 s for 100 MB.
/// Errors  none thrown: bad_json, header_not_utf8, too_deep, too_many_tensors or name_too_long come back as a value.
/// Test    tests/unit/io/json/json_reader.cpp
[[nodiscard]] inline std::optional<json_fault> find_json_fault(std::string_view text, json_limits const& limits = {}) {
    constexpr std::size_t longest_escape = 6; // `\u0041`: six bytes that stand for one
    constexpr std::size_t longest_number = 1'000;
    constexpr std::size_t longest_blank = 1'000'000;
    constexpr auto unlimited = std::numeric_limits<std::size_t>::max();
    auto const raw_name_bytes =
        limits.name_bytes > unlimited / longest_escape ? unlimited : limits.name_bytes * longest_escape;
    auto const fault = [](error_code code, std::size_t position, std::string sentence) {
        return std::optional{json_fault{code, position, std::move(sentence)}};
    };
    if (text.starts_with("\xEF\xBB\xBF")) return fault(error_code::bad_json, 0, "a byte order mark, expected '{'");

    bool name_expected = false; // the next string in the outermost object is a name
    std::size_t depth = 0;
    std::size_t members = 1;
    for (std::size_t i = 0; i < text.size();) {
        char const c = text[i];
        switch (c) {
        case '"': {
            auto const string = detail::scan_json_string(text, i);
            if (string.fault) return string.fault;
            if (depth == 1 && std::exchange(name_expected, false) && string.end - i - 2 > raw_name_bytes)
                return fault(error_code::name_too_long, i,
                             "a name of more than " + std::to_string(limits.name_bytes) + " bytes");
            i = string.end;
            continue;
        }
        case '{':
        case '[':
            if (++depth > limits.depth)
                return fault(error_code::too_deep, i, "nested more than " + std::to_string(limits.depth) + " deep");
            name_expected = depth == 1 && c == '{';
            break;
        case '}':
        case ']':
            if (depth > 0) --depth;
            break;
        case ',':
            if (depth != 1) break;
            name_expected = true;
            if (++members > limits.members)
                return fault(error_code::too_many_tensors, i,
                             "more than " + std::to_string(limits.members) + " entries");
            break;
        case ' ':
        case '\t':
        case '\n':
        case '\r': {
            auto const end = std::min(text.find_first_not_of(" \t\n\r", i), text.size());
            if (end - i > longest_blank && end != text.size())
                return fault(error_code::bad_json, i, "more than " + std::to_string(longest_blank) + " blanks");
            i = end;
            continue;
        }
        case '0':
        case '1':
        case '2':
        case '3':
        case '4':
        case '5':
        case '6':
        case '7':
        case '8':
        case '9': {
            auto const rest = text.substr(i, longest_number + 1);
            auto const end = i + std::min(rest.find_first_not_of("0123456789.eE+-"), rest.size());
            if (end - i > longest_number)
                return fault(error_code::bad_json, i,
                             "a number of more than " + std::to_string(longest_number) + " characters");
            i = end;
            continue;
        }
        case '\0': return fault(error_code::bad_json, i, "a NUL byte");
        default:
            if (static_cast<unsigned char>(c) >= 0x80U)
                return detail::utf8_length(text.substr(i)) == 0
                           ? fault(error_code::header_not_utf8, i, "not UTF-8")
                           : fault(error_code::bad_json, i, "a character outside of a string");
        }
        ++i;
    }
    return std::nullopt;
}

namespace detail {

/// Bytes at the front of `text`, where no UTF-8 character is, that one U+FFFD stands for: the longest beginning of a
/// character, or one byte (the Unicode Standard, section 3.9).
[[nodiscard]] constexpr std::size_t broken_utf8_length(std::string_view text) noexcept {
    auto const first = static_cast<unsigned char>(text.front());
    auto const whole = std::min<std::size_t>(first >= 0xF0U ? 3 : first >= 0xE0U ? 2 : 1, text.size()); // a longer one would be a character
    for (std::size_t length = whole; length > 1; --length) {
        char completed[4] = {text[0], text[1], length > 2 ? text[2] : '\x80', '\x80'};
        if (utf8_length({completed, sizeof completed}) != 0) return length;
    }
    return 1;
}

} // namespace detail

/// `text` as a JSON string with its quotes: `"`, `\` and control characters escaped, the bidirectional ones too; what is not
/// UTF-8 becomes U+FFFD; the rest stays as it is.
inline void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
        length = detail::utf8_length(text.substr(i));
        if (length == 0) {
            length = detail::broken_utf8_length(text.substr(i));
            out += "\xEF\xBF\xBD";
            continue;
        }
        switch (text[i]) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
            if (auto const control = detail::control_at(text.substr(i, length))) detail::append_escape(out, control->point);
            else out.append(text.substr(i, length));
        }
    }
    out += '"';
}

} // namespace zeroi2v
