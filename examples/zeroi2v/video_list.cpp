#include "video_list.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/config_json.hpp>
#include <zeroi2v/io/printable.hpp>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>

namespace zeroi2v::program {

std::vector<listed_video> read_video_list(std::filesystem::path const& path) {
    auto const text = read_text_file(path);
    std::string const name = printable(path.native(), 4096);
    std::vector<listed_video> videos;
    std::size_t number = 0;
    std::string_view rest = text;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    while (!rest.empty()) {
        ++number;
        auto const end = std::min(rest.find('\n'), rest.size());
        auto line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        auto const is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
        while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
        if (line.empty()) continue;
        auto const blank = line.find_last_of(" \t");
        auto const digits = blank == std::string_view::npos ? std::string_view{} : line.substr(blank + 1);
        std::size_t label = 0;
        auto const [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), label);
        auto video = blank == std::string_view::npos ? std::string_view{} : line.substr(0, blank);
        while (!video.empty() && is_blank(video.back())) video.remove_suffix(1);
        if (fault != std::errc{} || stop != digits.data() + digits.size() || digits.empty() || video.empty())
            throw usage_error{error_code::usage, name + ": line " + std::to_string(number) + ": '" + printable(line, 200) + "' found, a path, a blank and a class number expected"};
        if (video.find('\0') != std::string_view::npos)
            throw usage_error{error_code::usage, name + ": line " + std::to_string(number) + ": a NUL byte found, a path without one expected"};
        videos.push_back({std::string{video}, path.parent_path() / std::filesystem::path{std::string{video}}, label, number});
    }
    if (videos.empty()) throw usage_error{error_code::usage, name + ": no line found, at least one video expected"};
    return videos;
}

void require_classes(std::vector<listed_video> const& videos, std::filesystem::path const& list, std::size_t classes) {
    for (auto const& video : videos)
        if (video.label >= classes)
            throw model_error{error_code::bad_labels, printable(list.native(), 4096) + ": line " + std::to_string(video.line) + ": class "
                                                          + std::to_string(video.label) + " found, 0 to " + std::to_string(classes - 1) + " expected"};
}

} // namespace zeroi2v::program
