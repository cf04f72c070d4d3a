// video_file: a regular file opened for reading, the only way by which bytes reach a demuxer.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace zeroi2v {

/// The path is a path and nothing else: `http://...` or `concat:...` names a file of that name, or none.
///
/// Errors  missing, no permission, or not a regular file (folder, FIFO, device) -> video_error open_failed. A FIFO
///         does not block. No descriptor left -> resource_error open_failed; no memory -> out_of_memory.
/// Test    tests/unit/video/video_file.cpp
class video_file {
public:
    explicit video_file(std::filesystem::path const& path) : name_{path.string()} {
        descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        int const fault = descriptor_ < 0 ? errno : 0;
        if (fault == EMFILE || fault == ENFILE || fault == ENOMEM) // the system's lack, not the video's
            throw resource_error{fault == ENOMEM ? error_code::out_of_memory : error_code::open_failed,
                                 name_ + ": " + std::strerror(fault)};
        if (fault != 0)
            throw video_error{error_code::open_failed,
                              name_ + ": " + std::strerror(fault) + ", a readable file expected"};
        struct stat status {};
        int const failed = ::fstat(descriptor_, &status) != 0 ? errno : 0;
        if (failed != 0 || !S_ISREG(status.st_mode)) {
            ::close(descriptor_);
            throw video_error{error_code::open_failed,
                              name_ + ": " + (failed != 0 ? std::strerror(failed) : kind(status.st_mode))
                                  + " found, a regular file expected"};
        }
        size_ = status.st_size;
    }
    video_file(video_file const&) = delete;
    video_file& operator=(video_file const&) = delete;
    ~video_file() { ::close(descriptor_); }

    [[nodiscard]] std::string const& name() const noexcept { return name_; }
    [[nodiscard]] std::int64_t size() const noexcept { return size_; }

    /// Reads at most bytes.size() bytes at `offset`: their number, 0 at the end, or the negative errno.
    [[nodiscard]] std::ptrdiff_t read_at(std::int64_t offset, std::span<std::uint8_t> bytes) const noexcept {
        for (;;) {
            auto const got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (got >= 0) return got;
            if (errno != EINTR) return -errno;
        }
    }

private:
    [[nodiscard]] static char const* kind(mode_t mode) noexcept {
        return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a FIFO" : "a device or socket";
    }

    std::string name_;
    int descriptor_ = -1;
    std::int64_t size_ = 0;
};

} // namespace zeroi2v
