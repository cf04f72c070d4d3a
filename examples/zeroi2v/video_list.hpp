// Lists of videos and their classes, as eval and train take them.
#pragma once

#include <zeroi2v/io/files/atomic_file.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {

/// `path label` per line, the label after the last blank; paths are relative to the list's folder.
///
/// Kept as its text and where its lines begin: at most twice the file in memory.
class video_list {
public:
    static constexpr std::size_t longest_line = std::size_t{64} << 10U;

    /// Errors  unreadable, UTF-16, a NUL byte, a line without a label or beyond the longest, no line at all -> usage_error.
    explicit video_list(std::filesystem::path path);

    /// What messages call it.
    [[nodiscard]] std::string const& name() const noexcept { return name_; }
    [[nodiscard]] std::size_t size() const noexcept { return begins_.size(); }
    /// The path of video i, as the list has it.
    [[nodiscard]] std::string_view text(std::size_t i) const noexcept;
    [[nodiscard]] std::filesystem::path path(std::size_t i) const { return folder_ / text(i); }
    [[nodiscard]] std::uint64_t label(std::size_t i) const noexcept;
    /// CRC-32 of the text.
    [[nodiscard]] std::uint32_t checksum() const noexcept;

    /// Errors  a label that is no class -> model_error bad_labels with its line.
    void require_classes(std::size_t classes) const;
    /// Errors  a video of the list, or what lies in a folder of the list, is `output`, by device and inode -> usage_error same_file.
    /// Cost    one look at the file system for each video where `output` exists.
    void require_output(replaced_file const& output) const;
    /// Errors  a video of the list has the name of `output` in its folder, be the video there yet or not -> usage_error same_file.
    void require_other_name(replaced_file const& output) const;

private:
    std::string name_;
    std::filesystem::path folder_;
    std::string text_;
    std::vector<std::uint32_t> begins_; ///< of the lines in text_
};

} // namespace zeroi2v::program
