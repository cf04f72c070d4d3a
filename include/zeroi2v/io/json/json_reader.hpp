// json_reader: pulls the tokens of a JSON text in the order in which a caller expects them.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_text.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace zeroi2v {

/// A position in a JSON text. The caller knows the grammar and asks; there is no tree, no recursion, and no copy but of
/// the string that was asked for.
///
/// For headers of up to 100 MB from anywhere, where a general parser takes 12 to 25 ns and three bytes per byte.
/// Errors  checkpoint_error bad_json with line and column, header_not_utf8 for half a surrogate pair.
/// Test    tests/unit/io/json/json_reader.cpp
class json_reader {
public:
    /// `text` is UTF-8; `file` and `part`, which may be empty, begin each message.
    json_reader(std::string_view text, std::string_view file, std::string_view part) noexcept
        : text_{text}, file_{file}, part_{part} {}

    /// The next character that is not blank; nothing at the end.
    [[nodiscard]] std::optional<char> peek() noexcept {
        while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
        if (at_ == text_.size()) return std::nullopt;
        return text_[at_];
    }
    /// Takes `c` if it is next.
    [[nodiscard]] bool accept(char c) noexcept {
        if (peek() != c) return false;
        ++at_;
        return true;
    }
    /// Takes `word` if it is next.
    [[nodiscard]] bool accept_word(std::string_view word) noexcept {
        static_cast<void>(peek());
        if (!text_.substr(at_).starts_with(word)) return false;
        at_ += word.size();
        return true;
    }
    void expect(char c) {
        if (!accept(c)) unexpected(std::string{'\''} + c + '\'');
    }
    void expect_end() {
        if (peek()) unexpected("nothing behind the value");
    }

    /// A string, unescaped. More than `limit` bytes are not copied: nothing comes back.
    [[nodiscard]] std::optional<std::string> string(std::string_view expected, std::size_t limit) {
        if (peek() != '"') unexpected(expected);
        auto const scanned = detail::scan_json_string(text_, at_);
        if (scanned.fault) fail(scanned.fault->code, scanned.fault->position, scanned.fault->sentence);
        auto const raw = text_.substr(at_ + 1, scanned.end - at_ - 2);
        if (raw.size() / longest_escape > limit) return std::nullopt;
        auto result = detail::unescape_json(raw);
        if (result.size() > limit) return std::nullopt;
        at_ = scanned.end;
        return result;
    }

    /// The characters of a number and all that could be taken for one, at most a hundred; empty where something else is
    /// next.
    [[nodiscard]] std::string_view number() noexcept {
        constexpr std::size_t limit = 100;
        static_cast<void>(peek());
        auto const rest = text_.substr(at_, limit);
        auto const token = rest.substr(0, rest.find_first_not_of("0123456789.eE+-"));
        at_ += token.size();
        return token;
    }

    /// The byte at which the next token begins, or the end.
    [[nodiscard]] std::size_t position() noexcept {
        static_cast<void>(peek());
        return at_;
    }

    [[noreturn]] void fail(error_code code, std::size_t position, std::string_view sentence) const {
        auto const where =
            code == error_code::header_not_utf8 ? "byte " + std::to_string(position) : line_and_column(text_, position);
        throw checkpoint_error{
            code,
            std::string{file_}.append(": ").append(part_).append(part_.empty() ? "" : ", ").append(where).append(": ").append(sentence)};
    }
    /// What is next is not what the grammar has there.
    [[noreturn]] void unexpected(std::string_view expected) {
        auto const next = peek();
        std::string found = "the end";
        if (next == '\0')
            found = "a NUL byte";
        else if (text_.substr(at_).starts_with("\xEF\xBB\xBF"))
            found = "a byte order mark";
        else if (next)
            found = '\''
                    + printable(text_.substr(at_, std::max<std::size_t>(1, detail::utf8_length(text_.substr(at_)))))
                    + '\'';
        fail(error_code::bad_json, at_, found + ", expected " + std::string{expected});
    }

private:
    static constexpr std::size_t longest_escape = 6; // `\u0041`: six bytes that stand for one

    [[nodiscard]] static constexpr bool is_blank(char c) noexcept {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
    }

    std::string_view text_;
    std::string_view file_;
    std::string_view part_;
    std::size_t at_{};
};

/// A non-negative integer as JSON spells it: digits only, no leading zero. Nothing where it is
/// no such, or does not fit.
[[nodiscard]] inline std::optional<std::uint64_t> parse_json_unsigned(std::string_view token) noexcept {
    std::uint64_t value = 0;
    auto const* const end = token.data() + token.size();
    auto const [stop, status] = std::from_chars(token.data(), end, value);
    if (token.empty() || stop != end || status != std::errc{} || (token.size() > 1 && token.front() == '0'))
        return std::nullopt;
    return value;
}

} // namespace zeroi2v
