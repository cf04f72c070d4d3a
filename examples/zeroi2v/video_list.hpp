// Lists of videos and their classes, as eval and train take them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace zeroi2v::program {

struct listed_video {
    std::string text; ///< as the list has it
    std::filesystem::path path;
    std::size_t label;
    std::size_t line;
};

/// `path label` per line, the label after the last blank; paths are relative to the list's folder.
/// A byte order mark at the beginning is passed over.
/// Errors  unreadable, a line without a label, or a NUL byte in a path -> usage_error.
[[nodiscard]] std::vector<listed_video> read_video_list(std::filesystem::path const& path);

/// Errors  a label that is no class -> model_error bad_labels with its line.
void require_classes(std::vector<listed_video> const& videos, std::filesystem::path const& list, std::size_t classes);

} // namespace zeroi2v::program
