// output_place: where an output goes, and what it would replace there, judged before any work.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace zeroi2v {

namespace detail {

[[nodiscard]] inline std::optional<file_identity> identity_at(std::filesystem::path const& path) noexcept {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return identity_of(status);
}

[[nodiscard]] inline std::filesystem::path folder_of(std::filesystem::path const& target) {
    auto const parent = target.parent_path();
    return parent.empty() ? std::filesystem::path{"."} : parent;
}

/// Where the bytes for `target` go: the end of its symbolic links, where nothing is there yet too.
[[nodiscard]] inline std::filesystem::path end_of_links(std::filesystem::path target) {
    std::error_code fault;
    if (!std::filesystem::is_symlink(target, fault)) return target;
    if (auto real = std::filesystem::canonical(target, fault); !fault) return real;
    for (int links = 0; links < 40; ++links) { // as many as Linux follows
        auto const next = std::filesystem::read_symlink(target, fault);
        if (fault) break;
        target = folder_of(target) / next;
    }
    return target;
}

} // namespace detail

/// The file that an output of this name would replace, if there is one, looked at once.
class replaced_file {
public:
    explicit replaced_file(std::filesystem::path const& target) : replaced_file{target, detail::end_of_links(target)} {}
    /// What stands under `name` in an open folder, itself and not what a link there leads to; `target` is what messages call it.
    replaced_file(std::filesystem::path target, int folder, std::string name) : target_{std::move(target)}, name_{std::move(name)} {
        struct ::stat status {};
        if (::fstatat(folder, name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) identity_ = detail::identity_of(status);
        if (::fstat(folder, &status) == 0) folder_ = detail::identity_of(status);
    }

    [[nodiscard]] bool exists() const noexcept { return identity_.has_value(); }
    /// Within its folder, behind all links.
    [[nodiscard]] std::string const& name() const noexcept { return name_; }

    /// Errors  it is `input`, by device and inode through any link -> usage_error same_file.
    void require_not(std::filesystem::path const& input) const {
        if (identity_ && detail::identity_at(input) == identity_) refuse(": is the same file as the input ", input);
    }
    /// Errors  it is the file that stood under `input` when that was read -> usage_error same_file.
    void require_not(std::filesystem::path const& input, std::optional<file_identity> const& when_read) const {
        if (identity_ && when_read == identity_) refuse(": is the same file as the input ", input);
        require_not(input);
    }
    /// The same, where an input may be a folder whose files are read.
    /// Errors  it is `input`, or lies in it -> usage_error same_file.
    void require_not_in(std::filesystem::path const& input) const {
        auto const other = identity_ ? detail::identity_at(input) : std::nullopt;
        if (!other) return;
        if (other == identity_) refuse(": is the same file as the input ", input);
        if (other == folder_) refuse(": lies in the input ", input);
    }
    /// Errors  the output has the name of `input` in its folder, be there a file or not -> usage_error same_file.
    void require_other_name(std::filesystem::path const& input) const {
        if (folder_ && input.filename() == name_ && detail::identity_at(detail::folder_of(input)) == folder_) refuse(": has the name of the input ", input);
    }

private:
    replaced_file(std::filesystem::path const& target, std::filesystem::path const& place)
        : target_{target}, name_{place.filename().native()}, identity_{detail::identity_at(place)}, folder_{detail::identity_at(detail::folder_of(place))} {}

    [[noreturn]] void refuse(std::string const& what, std::filesystem::path const& input) const {
        throw usage_error{error_code::same_file, printable(target_.native(), 4096) + what + printable(input.native(), 4096) + ", expected another one"};
    }

    std::filesystem::path target_;
    std::string name_;
    std::optional<file_identity> identity_, folder_;
};

namespace detail {

/// The folder of an output, open, and the output's name in it. Its links are followed once: whoever turns one later moves nothing.
class output_place {
public:
    /// Errors  as check_output.
    output_place(std::filesystem::path const& target, std::span<std::filesystem::path const> inputs) : shown_{target} {
        if (target.empty()) refuse("an empty path cannot be written");
        if (!target.has_filename()) refuse("is a folder, expected the name of a file");
        struct ::stat there {};
        if (::stat(target.c_str(), &there) == 0) require_regular(there); // of /proc/self/fd/1, say, which has no place
        else if (errno != ENOENT) refuse("cannot be written: " + errno_text(errno));
        auto const place = end_of_links(target);
        name_ = place.filename().native();
        open(folder_of(place));
        try {
            judge(inputs);
        } catch (...) {
            close();
            throw;
        }
    }
    output_place(output_place&& other) noexcept
        : shown_{std::move(other.shown_)}, name_{std::move(other.name_)}, folder_{std::exchange(other.folder_, -1)}, readable_{other.readable_} {}
    output_place& operator=(output_place&&) = delete;
    ~output_place() { close(); }

    [[nodiscard]] int folder() const noexcept { return folder_; }
    [[nodiscard]] bool folder_is_readable() const noexcept { return readable_; }
    [[nodiscard]] std::string const& name() const noexcept { return name_; }
    [[nodiscard]] replaced_file replaced() const { return {shown_, folder_, name_}; }
    void close() noexcept {
        if (folder_ >= 0) ::close(std::exchange(folder_, -1));
    }

private:
    [[noreturn]] void refuse(std::string const& sentence) const {
        throw usage_error{error_code::unwritable_output, printable(shown_.native(), 4096) + ": " + sentence};
    }

    void require_regular(struct ::stat const& there) const {
        if (S_ISDIR(there.st_mode)) refuse("is a folder, expected the name of a file");
        if (S_ISLNK(there.st_mode)) refuse("cannot be written: " + errno_text(ELOOP));
        if (!S_ISREG(there.st_mode)) refuse("is a device or pipe, expected a regular file");
    }

    /// A folder that may be entered and written but not listed, as a drop box, is opened as a place only: no fsync of it.
    void open(std::filesystem::path const& folder) {
        folder_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder_ < 0 && errno == EACCES) {
            readable_ = false;
            folder_ = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (folder_ >= 0) return;
        int const reason = errno;
        if (is_lack(reason)) throw resource_error{error_code::write_failed, printable(shown_.native(), 4096) + ": its folder cannot be opened: " + errno_text(reason)};
        refuse(reason == ENOTDIR ? "its folder is no folder" : "its folder cannot be used: " + errno_text(reason));
    }

    void judge(std::span<std::filesystem::path const> inputs) const {
        struct ::stat there {}, folder_status {};
        bool const exists = ::fstatat(folder_, name_.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
        if (exists) {
            auto const here = replaced();
            for (auto const& input : inputs) here.require_not(input);
            require_regular(there);
            if (::faccessat(folder_, name_.c_str(), W_OK, 0) != 0) refuse("cannot be written: " + errno_text(errno));
        } else if (errno != ENOENT) {
            refuse("cannot be written: " + errno_text(errno));
        }
        if (::fstat(folder_, &folder_status) != 0) refuse("its folder cannot be used: " + errno_text(errno));
        if (::faccessat(folder_, ".", W_OK | X_OK, 0) != 0) refuse("its folder cannot be written: " + errno_text(errno));
        // In a folder such as /tmp only their owners, its own and root may replace files.
        auto const user = ::geteuid();
        if (exists && (folder_status.st_mode & S_ISVTX) != 0 && user != 0 && user != there.st_uid && user != folder_status.st_uid)
            refuse("belongs to another user, who alone may replace it in this folder");
    }

    std::filesystem::path shown_;
    std::string name_;
    int folder_{-1};
    bool readable_{true};
};

} // namespace detail

/// Says before any work is done whether `target` can be written: its folder is there and writable, what stands there
/// is nothing or a writable regular file that this user may replace, and is none of `inputs` (by device and inode, through
/// any link) nor in a folder among them. A symbolic link stands for what it leads to, be it there or not.
///
/// Errors  usage_error same_file, unwritable_output; no descriptor left -> resource_error.     Test  tests/unit/io/files/atomic_file.cpp
inline void check_output(std::filesystem::path const& target, std::span<std::filesystem::path const> inputs = {}) {
    static_cast<void>(detail::output_place{target, inputs});
}

} // namespace zeroi2v
