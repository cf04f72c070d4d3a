// file: an open regular file, read at any offset, whole or not at all.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file_kind.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace zeroi2v {

/// Device and inode: equal exactly where two paths lead to the same file, through any link.
struct file_identity {
    std::uint64_t device{};
    std::uint64_t inode{};
    friend bool operator==(file_identity const&, file_identity const&) noexcept = default;
};

namespace detail {

/// The system's sentence for an errno; thread-safe.
[[nodiscard]] inline std::string errno_text(int number) { return std::generic_category().message(number); }

/// Whether a file could not be opened for want of descriptors, of this process or of the system: no fault of the file.
[[nodiscard]] inline bool is_lack(int number) noexcept { return number == EMFILE || number == ENFILE; }

[[nodiscard]] inline file_identity identity_of(struct ::stat const& status) noexcept {
    return {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino)};
}

} // namespace detail

/// A regular file, open for reading. Moves only. Const members may run concurrently.
///
/// A folder, FIFO, socket or device is refused without waiting for it, and so is what can only be read forever.
/// Errors  checkpoint_error open_failed: missing, no permission, not a regular file; read_failed: see `read_at`.
///         No descriptor left -> resource_error open_failed.
/// Test    tests/unit/io/files/file.cpp
class file {
public:
    explicit file(std::filesystem::path path) : path_{std::move(path)}, name_{printable(path_.native(), 4096)} {
        do descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        while (descriptor_ < 0 && errno == EINTR);
        if (descriptor_ < 0 && detail::is_lack(errno))
            throw resource_error{error_code::open_failed, name_ + ": cannot be opened: " + detail::errno_text(errno)};
        if (descriptor_ < 0) throw failure(error_code::open_failed, "cannot be opened: " + detail::errno_text(errno));
        try {
            inspect();
        } catch (...) {
            ::close(descriptor_);
            throw;
        }
    }

    file(file&& other) noexcept
        : path_{std::move(other.path_)},
          name_{std::move(other.name_)},
          descriptor_{std::exchange(other.descriptor_, -1)},
          size_{std::exchange(other.size_, 0)},
          identity_{other.identity_},
          kind_{other.kind_} {}
    file& operator=(file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(name_, other.name_);
        std::swap(descriptor_, other.descriptor_);
        std::swap(size_, other.size_);
        std::swap(identity_, other.identity_);
        std::swap(kind_, other.kind_);
        return *this;
    }
    ~file() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }

    [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
    /// The path as messages show it, on one line.
    [[nodiscard]] std::string const& name() const noexcept { return name_; }
    /// Bytes, as they were when the file was opened.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] file_identity identity() const noexcept { return identity_; }
    /// What the first bytes say that the file is.
    [[nodiscard]] file_kind kind() const noexcept { return kind_; }

    /// Fills `out` with the bytes that begin at `offset`.
    /// Errors  checkpoint_error read_failed: the range is not inside the file, the file became shorter, or the system
    ///         could not read it. What `out` then holds is unspecified.
    void read_at(std::uint64_t offset, std::span<std::byte> out) const {
        if (offset > size_ || out.size() > size_ - offset)
            throw failure(error_code::read_failed,
                          range(offset, out.size()) + " are not inside the file of " + std::to_string(size_));
        for (std::size_t done = 0; done < out.size();) {
            // Linux transfers at most 2^31 - 4096 bytes at a time.
            auto const wanted = std::min<std::size_t>(out.size() - done, std::size_t{1} << 30U);
            auto const got = ::pread(descriptor_, out.data() + done, wanted, static_cast<::off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0)
                throw failure(error_code::read_failed, range(offset, out.size()) + ": " + detail::errno_text(errno));
            if (got == 0)
                throw failure(error_code::read_failed, range(offset, out.size()) + ": the file ends after "
                                                           + std::to_string(offset + done)
                                                           + " bytes, it was truncated while reading");
            done += static_cast<std::size_t>(got);
        }
    }

    /// A checkpoint_error whose message begins with this file's name.
    [[nodiscard]] checkpoint_error failure(error_code code, std::string const& sentence) const {
        return checkpoint_error{code, name_ + ": " + sentence};
    }

private:
    void inspect() {
        struct ::stat status {};
        if (::fstat(descriptor_, &status) != 0)
            throw failure(error_code::open_failed, "cannot be examined: " + detail::errno_text(errno));
        if (!S_ISREG(status.st_mode))
            throw failure(error_code::open_failed,
                          std::string{"is "} + type_name(status.st_mode) + ", expected a regular file");
        size_ = static_cast<std::uint64_t>(status.st_size);
        if (size_ > static_cast<std::uint64_t>(std::numeric_limits<::off_t>::max()))
            throw failure(error_code::open_failed, "is larger than this system can address");
        identity_ = detail::identity_of(status);
        std::array<std::byte, detect_kind_bytes> head{};
        auto const first = std::span{head}.first(static_cast<std::size_t>(std::min<std::uint64_t>(size_, head.size())));
        read_at(0, first);
        kind_ = detect_kind(first, size_);
    }

    [[nodiscard]] static char const* type_name(::mode_t mode) noexcept {
        if (S_ISDIR(mode)) return "a folder";
        if (S_ISFIFO(mode)) return "a FIFO";
        if (S_ISSOCK(mode)) return "a socket";
        if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
        return "no regular file";
    }

    [[nodiscard]] static std::string range(std::uint64_t offset, std::uint64_t length) {
        return "bytes [" + std::to_string(offset) + ", " + std::to_string(offset + length) + ")";
    }

    std::filesystem::path path_;
    std::string name_;
    int descriptor_{-1};
    std::uint64_t size_{};
    file_identity identity_{};
    file_kind kind_{file_kind::unknown};
};

} // namespace zeroi2v
