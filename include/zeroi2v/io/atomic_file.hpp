// atomic_file: an output that appears under its name complete and durable, or not at all.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/file.hpp>
#include <zeroi2v/io/printable.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace zeroi2v {

namespace detail {

/// Temporary files of this process, in static memory: a signal handler may neither lock nor allocate.
struct temporary_slot {
    enum : int { empty, claimed, in_use };
    static constexpr std::size_t name_bytes = 64;

    std::atomic<int> state{empty};
    int folder{-1};
    ::pid_t owner{};
    std::array<char, name_bytes> name{};
};
static_assert(std::atomic<int>::is_always_lock_free);

/// Outputs that may be open at the same time.
inline std::array<temporary_slot, 64> temporary_slots{};

[[nodiscard]] inline std::optional<file_identity> identity_at(std::filesystem::path const& path) noexcept {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return identity_of(status);
}

[[nodiscard]] inline std::filesystem::path folder_of(std::filesystem::path const& target) {
    auto const parent = target.parent_path();
    return parent.empty() ? std::filesystem::path{"."} : parent;
}

} // namespace detail

/// Removes the temporary files that this process has open at this moment. Async-signal-safe: what a handler of SIGINT
/// or SIGTERM calls before it ends the process. An atomic_file that is still alive can no longer be committed.
inline void remove_temporary_files() noexcept {
    int const saved = errno;
    for (auto& slot : detail::temporary_slots)
        if (slot.state.load(std::memory_order_acquire) == detail::temporary_slot::in_use && slot.owner == ::getpid())
            ::unlinkat(slot.folder, slot.name.data(), 0);
    errno = saved;
}

namespace detail {

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
    explicit replaced_file(std::filesystem::path const& target)
        : target_{target}, identity_{detail::identity_at(target)}, folder_{identity_ ? detail::identity_at(detail::folder_of(detail::end_of_links(target))) : std::nullopt} {}

    [[nodiscard]] bool exists() const noexcept { return identity_.has_value(); }

    /// Errors  it is `input`, by device and inode through any link -> usage_error same_file.
    void require_not(std::filesystem::path const& input) const {
        if (identity_ && detail::identity_at(input) == identity_) refuse(": is the same file as the input ", input);
    }
    /// The same, where an input may be a folder whose files are read.
    /// Errors  it is `input`, or lies in it -> usage_error same_file.
    void require_not_in(std::filesystem::path const& input) const {
        auto const other = identity_ ? detail::identity_at(input) : std::nullopt;
        if (!other) return;
        if (other == identity_) refuse(": is the same file as the input ", input);
        if (other == folder_) refuse(": lies in the input ", input);
    }

private:
    [[noreturn]] void refuse(std::string const& what, std::filesystem::path const& input) const {
        throw usage_error{error_code::same_file, printable(target_.native(), 4096) + what + printable(input.native(), 4096) + ", expected another one"};
    }

    std::filesystem::path target_;
    std::optional<file_identity> identity_, folder_;
};

/// Says before any work is done whether `target` can be written: its folder is there and writable, what stands there
/// is nothing or a writable regular file that this user may replace, and is none of `inputs` (by device and inode, through
/// any link) nor in a folder among them. A symbolic link stands for what it leads to, be it there or not.
///
/// Errors  usage_error same_file, unwritable_output.     Test  tests/unit/io/atomic_file.cpp
inline void check_output(std::filesystem::path const& target, std::span<std::filesystem::path const> inputs = {}) {
    auto const refuse = [&](std::string const& sentence) {
        throw usage_error{error_code::unwritable_output, printable(target.native(), 4096) + ": " + sentence};
    };
    if (target.empty()) refuse("an empty path cannot be written");
    if (!target.has_filename()) refuse("is a folder, expected the name of a file");
    auto const place = detail::end_of_links(target);
    struct ::stat there {}, folder_status {};
    bool const exists = ::stat(target.c_str(), &there) == 0;
    if (exists) {
        replaced_file const replaced{target};
        for (auto const& input : inputs) replaced.require_not(input);
        if (S_ISDIR(there.st_mode)) refuse("is a folder, expected the name of a file");
        if (!S_ISREG(there.st_mode)) refuse("is a device or pipe, expected a regular file");
        if (::access(target.c_str(), W_OK) != 0) refuse("cannot be written: " + detail::errno_text(errno));
    } else if (errno != ENOENT) {
        refuse("cannot be written: " + detail::errno_text(errno));
    }
    auto const folder = detail::folder_of(place);
    if (::stat(folder.c_str(), &folder_status) != 0) refuse("its folder cannot be used: " + detail::errno_text(errno));
    if (!S_ISDIR(folder_status.st_mode)) refuse("its folder is no folder");
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
        refuse("its folder cannot be written: " + detail::errno_text(errno));
    // In a folder such as /tmp only their owners, its own and root may replace files.
    auto const user = ::geteuid();
    if (exists && (folder_status.st_mode & S_ISVTX) != 0 && user != 0 && user != there.st_uid && user != folder_status.st_uid)
        refuse("belongs to another user, who alone may replace it in this folder");
}

/// What a commit does where something stands under the name already.
enum class if_there { replace, refuse };

/// Bytes for a file that appears under its name at `commit`, durable, and replaces what stood there in one step.
///
/// They go to a temporary file in the same folder, which disappears with this object, at any failure, and by
/// `remove_temporary_files`. A symbolic link as target stays a link; the permissions of a file that is replaced stay.
/// In a folder that may be written but not read the file is durable, its name only once the system has written it.
/// Errors  before work, in the constructor: see `check_output`. During it: resource_error write_failed with the
///         system's reason; what stood under the name is untouched then. (Past RLIMIT_FSIZE the system sends SIGXFSZ,
///         which ends a program that does not ignore it.)
/// Test    tests/unit/io/atomic_file.cpp
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path target, std::span<std::filesystem::path const> inputs = {})
        : name_{printable(target.native(), 4096)} {
        check_output(target, inputs);
        target = detail::end_of_links(std::move(target));
        final_name_ = target.filename().native();
        try {
            open_folder(detail::folder_of(target));
            create_temporary();
            keep_permissions();
        } catch (...) {
            discard();
            throw;
        }
    }

    atomic_file(atomic_file&& other) noexcept
        : name_{std::move(other.name_)},
          final_name_{std::move(other.final_name_)},
          slot_{std::exchange(other.slot_, nullptr)},
          folder_{std::exchange(other.folder_, -1)},
          folder_is_readable_{other.folder_is_readable_},
          descriptor_{std::exchange(other.descriptor_, -1)},
          size_{other.size_} {}
    atomic_file& operator=(atomic_file&&) = delete;
    ~atomic_file() { discard(); }

    /// The target as messages show it.
    [[nodiscard]] std::string const& name() const noexcept { return name_; }
    /// Bytes written so far.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// Asks the file system for room for `bytes` in all, where it can tell beforehand.
    void reserve(std::uint64_t bytes) {
#ifdef __linux__
        if (bytes == 0 || !std::in_range<::off_t>(bytes)) return;
        int result = 0;
        do result = ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<::off_t>(bytes));
        while (result != 0 && errno == EINTR);
        if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            fail(std::to_string(bytes) + " bytes wanted", errno);
#else
        static_cast<void>(bytes);
#endif
    }

    /// Appends.
    void write(std::span<std::byte const> bytes) {
        if (descriptor_ < 0) fail("cannot be written", EBADF);
        while (!bytes.empty()) {
            auto const wanted = std::min<std::size_t>(bytes.size(), std::size_t{1} << 30U);
            auto const done = ::write(descriptor_, bytes.data(), wanted);
            if (done < 0 && errno == EINTR) continue;
            if (done <= 0) fail("cannot be written after " + std::to_string(size_) + " bytes", done < 0 ? errno : EIO);
            bytes = bytes.subspan(static_cast<std::size_t>(done));
            size_ += static_cast<std::uint64_t>(done);
        }
    }
    void write(std::string_view text) { write(std::as_bytes(std::span{text.data(), text.size()})); }

    /// Makes the bytes durable and puts them under the target's name. Nothing can be written afterwards.
    /// Errors  resource_error write_failed; also where something stands there that must stay.
    void commit(if_there what = if_there::replace) {
        if (descriptor_ < 0) fail("cannot be committed", EBADF);
        if (synchronize(descriptor_) != 0) fail("cannot be made durable", errno);
        // After EINTR the descriptor is closed on Linux, and the bytes are durable already.
        if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail("cannot be closed", errno);
        if (!put_in_place(what)) fail("cannot be put in place", errno);
        release_slot();
        int const synchronized = folder_is_readable_ ? synchronize(folder_) : 0;
        int const reason = errno;
        discard();
        if (synchronized != 0) fail("is in place, but its folder cannot be made durable", reason);
    }

private:
    [[noreturn]] void refuse(std::string const& sentence, int number) const {
        throw usage_error{error_code::unwritable_output, name_ + ": " + sentence + ": " + detail::errno_text(number)};
    }
    [[noreturn]] void fail(std::string const& sentence, int number) {
        discard();
        throw resource_error{error_code::write_failed, name_ + ": " + sentence + ": " + detail::errno_text(number)};
    }

    /// A folder that may be entered and written but not listed, as a drop box, is opened as a place only: no fsync of it.
    void open_folder(std::filesystem::path const& folder) {
        folder_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder_ < 0 && errno == EACCES) {
            folder_is_readable_ = false;
            folder_ = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (folder_ < 0) refuse("its folder cannot be opened", errno);
    }

    void claim_slot() {
        for (auto& slot : detail::temporary_slots) {
            int expected = detail::temporary_slot::empty;
            if (slot.state.compare_exchange_strong(expected, detail::temporary_slot::claimed)) {
                slot_ = &slot;
                slot.folder = folder_;
                slot.owner = ::getpid();
                return;
            }
        }
        throw resource_error{error_code::write_failed, name_ + ": more than "
                                                           + std::to_string(detail::temporary_slots.size())
                                                           + " outputs are open at the same time"};
    }

    /// The name is registered before the file exists, so that no signal falls between the two.
    void create_temporary() {
        static std::atomic<unsigned> counter{0};
        claim_slot();
        for (int attempt = 0;; ++attempt) {
            auto const now =
                static_cast<unsigned long long>(std::chrono::steady_clock::now().time_since_epoch().count());
            std::snprintf(slot_->name.data(), slot_->name.size(), ".zeroi2v-%ld-%u-%llx.tmp",
                          static_cast<long>(slot_->owner), counter.fetch_add(1), now);
            slot_->state.store(detail::temporary_slot::in_use, std::memory_order_release);
            do
                descriptor_ =
                    ::openat(folder_, slot_->name.data(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
            while (descriptor_ < 0 && errno == EINTR);
            if (descriptor_ >= 0) return;
            int const reason = errno;
            slot_->state.store(detail::temporary_slot::claimed, std::memory_order_release); // not ours to remove
            if (reason == EEXIST && attempt < 100) continue;
            release_slot();
            refuse("cannot be written", reason);
        }
    }

    [[nodiscard]] bool put_in_place(if_there what) const noexcept {
        if (what == if_there::refuse) {
            if (::renameat2(folder_, slot_->name.data(), folder_, final_name_.c_str(), RENAME_NOREPLACE) == 0) return true;
            if (errno != EINVAL && errno != ENOSYS) return false;
            struct ::stat there {}; // a file system that knows no such renaming: in two steps
            if (::fstatat(folder_, final_name_.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
                errno = EEXIST;
                return false;
            }
        }
        return ::renameat(folder_, slot_->name.data(), folder_, final_name_.c_str()) == 0;
    }

    void keep_permissions() const noexcept {
        struct ::stat status {};
        if (::fstatat(folder_, final_name_.c_str(), &status, 0) == 0)
            static_cast<void>(::fchmod(descriptor_, status.st_mode & 0777U));
    }

    /// fsync; file systems that know no such thing are not at fault.
    [[nodiscard]] static int synchronize(int descriptor) noexcept {
        int result = 0;
        do result = ::fsync(descriptor);
        while (result != 0 && errno == EINTR);
        return result != 0 && (errno == EINVAL || errno == ENOTSUP) ? 0 : result;
    }

    void release_slot() noexcept {
        if (slot_ != nullptr) slot_->state.store(detail::temporary_slot::empty, std::memory_order_release);
        slot_ = nullptr;
    }

    void discard() noexcept {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
        if (slot_ != nullptr && slot_->owner == ::getpid()) ::unlinkat(folder_, slot_->name.data(), 0);
        release_slot();
        if (folder_ >= 0) ::close(std::exchange(folder_, -1));
    }

    std::string name_;
    std::string final_name_;
    detail::temporary_slot* slot_{};
    int folder_{-1};
    bool folder_is_readable_{true};
    int descriptor_{-1};
    std::uint64_t size_{};
};

} // namespace zeroi2v
