// text_file: a text that a user wrote, whichever editor wrote it.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace zeroi2v {

inline constexpr std::size_t largest_text_file = std::size_t{64} << 20U;

namespace detail {

/// Whether a text with NUL bytes is UTF-16 without a mark: they are all in one half of its units of two bytes, and there is one
/// beside every line feed, or, in a text of one line, in every second unit.
[[nodiscard]] inline bool is_unmarked_utf16(std::string_view text) noexcept {
    if (text.size() % 2 != 0) return false;
    std::size_t nuls = 0, line_feeds = 0, ends = 0;
    std::size_t const half = text.find('\0') % 2;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') ++line_feeds;
        if (text[i] != '\0') continue;
        if (i % 2 != half) return false;
        ++nuls;
        if (text[i ^ 1U] == '\n') ++ends;
    }
    return line_feeds == ends && (ends > 0 || nuls * 4 >= text.size());
}

/// What makes `text` no text in UTF-8, as a message says it; empty where nothing does.
[[nodiscard]] inline std::string_view foreign_text(std::string_view text) noexcept {
    using namespace std::string_view_literals;
    if (text.starts_with("\xFF\xFE\0\0"sv) || text.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
    if (text.starts_with("\xFF\xFE"sv) || text.starts_with("\xFE\xFF"sv)) return "UTF-16";
    if (text.find('\0') == std::string_view::npos) return {};
    return is_unmarked_utf16(text) ? "UTF-16" : "a NUL byte";
}

} // namespace detail

/// The bytes of a file as they are.
/// Errors  unreadable, or larger than `limit` -> usage_error open_failed, read_failed.    Cost  memory of the file's size.
[[nodiscard]] inline std::string read_whole_file(std::filesystem::path const& path, std::size_t limit = largest_text_file) {
    try {
        file const opened{path};
        if (opened.size() > limit)
            throw opened.failure(error_code::open_failed,
                                 std::to_string(opened.size()) + " bytes found, a text of at most " + std::to_string(limit) + " expected");
        std::string content(static_cast<std::size_t>(opened.size()), '\0');
        opened.read_at(0, std::as_writable_bytes(std::span{content}));
        return content;
    } catch (checkpoint_error const& fault) {
        throw usage_error{fault.code(), fault.what()};
    }
}

/// The text of a file that a user wrote: a list, class names, a configuration. Without a byte order mark; its other bytes
/// are as they were, since a list holds paths, and those are bytes.
///
/// Errors  as read_whole_file; UTF-16, UTF-32 or a NUL byte -> usage_error with the code `foreign`.
/// Cost    memory of the file's size.    Test  tests/unit/io/files/text_file.cpp
[[nodiscard]] inline std::string read_text_file(std::filesystem::path const& path, error_code foreign, std::size_t limit = largest_text_file) {
    auto content = read_whole_file(path, limit);
    if (auto const found = detail::foreign_text(content); !found.empty())
        throw usage_error{foreign, printable(path.native(), 4096) + ": " + std::string{found} + " found, UTF-8 expected"};
    if (content.starts_with("\xEF\xBB\xBF")) content.erase(0, 3);
    return content;
}

/// The lines of a text in order, without LF or CRLF; the last one may lack it. Copies nothing.
///
///     text_lines lines{text};
///     while (lines.next()) use(lines.line());
class text_lines {
public:
    explicit text_lines(std::string_view text) noexcept : text_{text} {}

    /// Goes to the next line; false where there is none.
    [[nodiscard]] bool next() noexcept {
        if (begin_ == text_.size()) return false;
        auto const end = std::min(text_.find('\n', begin_), text_.size());
        offset_ = begin_;
        line_ = text_.substr(begin_, end - begin_);
        if (line_.ends_with('\r')) line_.remove_suffix(1);
        begin_ = std::min(end + 1, text_.size());
        ++number_;
        return true;
    }

    [[nodiscard]] std::string_view line() const noexcept { return line_; }
    /// Of the line in the text.
    [[nodiscard]] std::size_t offset() const noexcept { return offset_; }
    /// Where the next line begins, behind the line feed.
    [[nodiscard]] std::size_t end() const noexcept { return begin_; }
    /// From 1.
    [[nodiscard]] std::size_t number() const noexcept { return number_; }

private:
    std::string_view text_, line_{};
    std::size_t begin_ = 0, offset_ = 0, number_ = 0;
};

} // namespace zeroi2v
