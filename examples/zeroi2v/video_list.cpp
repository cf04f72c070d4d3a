#include "video_list.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/text_file.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace zeroi2v::program {
namespace {

static_assert(largest_text_file <= std::numeric_limits<std::uint32_t>::max());

struct entry {
    std::string_view video;
    std::uint64_t label;
};

std::string_view without_blanks_behind(std::string_view text) noexcept {
    auto const last = text.find_last_not_of(" \t\r");
    return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

/// What a line says that is not empty; nothing where it is none of `path label`.
std::optional<entry> entry_of(std::string_view line) noexcept {
    auto const blank = line.find_last_of(" \t");
    if (blank == std::string_view::npos) return std::nullopt;
    auto const digits = line.substr(blank + 1);
    entry result{without_blanks_behind(line.substr(0, blank)), 0};
    auto const [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), result.label);
    if (fault != std::errc{} || stop != digits.data() + digits.size() || result.video.empty()) return std::nullopt;
    return result;
}

entry entry_at(std::string_view text, std::size_t begin) noexcept {
    return entry_of(without_blanks_behind(text.substr(begin, text.find('\n', begin) - begin))).value_or(entry{});
}

} // namespace

video_list::video_list(std::filesystem::path path)
    : name_{printable(path.native(), 4096)}, folder_{path.parent_path()}, text_{read_text_file(path, error_code::usage)} {
    std::size_t lines_with_text = 0;
    for (text_lines lines{text_}; lines.next();) {
        auto const line = without_blanks_behind(lines.line());
        if (line.empty()) continue;
        if (line.size() > longest_line)
            throw usage_error{error_code::usage, name_ + ": line " + std::to_string(lines.number()) + ": " + std::to_string(line.size()) + " bytes found, at most "
                                                     + std::to_string(longest_line) + " expected"};
        if (!entry_of(line))
            throw usage_error{error_code::usage, name_ + ": line " + std::to_string(lines.number()) + ": '" + printable(line, 200)
                                                     + "' found, a path, a blank and a class number expected"};
        ++lines_with_text;
    }
    if (lines_with_text == 0) throw usage_error{error_code::usage, name_ + ": no line found, at least one video expected"};
    begins_.reserve(lines_with_text); // counted before: a vector that grows takes twice as much
    for (text_lines lines{text_}; lines.next();)
        if (!without_blanks_behind(lines.line()).empty()) begins_.push_back(static_cast<std::uint32_t>(lines.offset()));
}

std::string_view video_list::text(std::size_t i) const noexcept { return entry_at(text_, begins_[i]).video; }

std::uint64_t video_list::label(std::size_t i) const noexcept { return entry_at(text_, begins_[i]).label; }

std::uint32_t video_list::checksum() const noexcept { return crc32::of(std::as_bytes(std::span{text_.data(), text_.size()})); }

void video_list::require_classes(std::size_t classes) const {
    for (std::size_t i = 0; i < size(); ++i)
        if (label(i) >= classes) {
            auto const line = 1 + std::ranges::count(std::string_view{text_}.substr(0, begins_[i]), '\n');
            throw model_error{error_code::bad_labels, name_ + ": line " + std::to_string(line) + ": class " + std::to_string(label(i)) + " found, 0 to "
                                                          + std::to_string(classes - 1) + " expected"};
        }
}

void video_list::require_output(replaced_file const& output) const {
    for (std::size_t i = 0; output.exists() && i < size(); ++i) output.require_not_in(path(i));
}

void video_list::require_other_name(replaced_file const& output) const {
    for (std::size_t i = 0; i < size(); ++i)
        if (text(i).ends_with(output.name())) output.require_other_name(path(i));
}

} // namespace zeroi2v::program
