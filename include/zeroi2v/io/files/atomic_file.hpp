// atomic_file: an output that appears under its name complete and durable, or not at all.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/output_place.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// What else may not be replaced: throws a usage_error where the file is one of those.
using output_guard = std::function<void(replaced_file const&)>;

/// What a commit does where something stands under the name already.
enum class if_there { replace, refuse };

/// Bytes for a file that appears under its name at `commit`, durable, and replaces what stood there in one step.
///
/// They go to a temporary file in the same folder, which disappears with this object, at any failure, and by
/// `remove_temporary_files`. A symbolic link as target stays a link; the permissions of a file that is replaced stay.
/// In a folder that may be written but not read the file is durable, its name only once the system has written it.
/// What stands there is compared with the inputs once more right before it is replaced: with the files that they were when this
/// object was made and with those that they are by then, and given to `guard`.
/// Errors  before work, in the constructor: see `check_output`. During it: resource_error write_failed with the
///         system's reason, or with the input that would be lost; what stood under the name is untouched then. (Past
///         RLIMIT_FSIZE the system sends SIGXFSZ, which ends a program that does not ignore it.)
/// Test    tests/unit/io/files/atomic_file.cpp
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path const& target, std::span<std::filesystem::path const> inputs = {}, output_guard guard = {})
        : name_{printable(target.native(), 4096)}, place_{target, inputs}, guard_{std::move(guard)} {
        for (auto const& input : inputs) inputs_.emplace_back(input, detail::identity_at(input));
        try {
            create_temporary();
            keep_permissions();
        } catch (...) {
            discard();
            throw;
        }
    }

    atomic_file(atomic_file&& other) noexcept
        : name_{std::move(other.name_)},
          place_{std::move(other.place_)},
          guard_{std::move(other.guard_)},
          inputs_{std::move(other.inputs_)},
          slot_{std::exchange(other.slot_, nullptr)},
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
        synchronize_bytes();
        // After EINTR the descriptor is closed on Linux, and the bytes are durable already.
        if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail("cannot be closed", errno);
        put_in_place(what);
    }

    /// The same, for a file that grows on: gives its descriptor, which is the caller's and writes at the end.
    [[nodiscard]] int commit_open() {
        synchronize_bytes();
        if (::fcntl(descriptor_, F_SETFL, O_APPEND) != 0) fail("cannot be appended to", errno);
        int const open = std::exchange(descriptor_, -1);
        try {
            put_in_place(if_there::replace);
        } catch (...) {
            ::close(open);
            throw;
        }
        return open;
    }

private:
    [[noreturn]] void refuse(std::string const& sentence, int number) const {
        if (detail::is_lack(number)) throw resource_error{error_code::write_failed, name_ + ": " + sentence + ": " + detail::errno_text(number)};
        throw usage_error{error_code::unwritable_output, name_ + ": " + sentence + ": " + detail::errno_text(number)};
    }
    [[noreturn]] void fail(std::string const& sentence, int number) {
        discard();
        throw resource_error{error_code::write_failed, name_ + ": " + sentence + ": " + detail::errno_text(number)};
    }

    void claim_slot() {
        for (auto& slot : detail::temporary_slots) {
            int expected = detail::temporary_slot::empty;
            if (slot.state.compare_exchange_strong(expected, detail::temporary_slot::claimed)) {
                slot_ = &slot;
                slot.folder = place_.folder();
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
                    ::openat(place_.folder(), slot_->name.data(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
            while (descriptor_ < 0 && errno == EINTR);
            if (descriptor_ >= 0) return;
            int const reason = errno;
            slot_->state.store(detail::temporary_slot::claimed, std::memory_order_release); // not ours to remove
            if (reason == EEXIST && attempt < 100) continue;
            release_slot();
            refuse("cannot be written", reason);
        }
    }

    void synchronize_bytes() {
        if (descriptor_ < 0) fail("cannot be committed", EBADF);
        if (synchronize(descriptor_) != 0) fail("cannot be made durable", errno);
    }

    void put_in_place(if_there what) {
        require_no_input();
        if (!rename(what)) fail("cannot be put in place", errno);
        release_slot();
        int const synchronized = place_.folder_is_readable() ? synchronize(place_.folder()) : 0;
        int const reason = errno;
        discard();
        if (synchronized != 0) fail("is in place, but its folder cannot be made durable", reason);
    }

    void require_no_input() {
        try {
            auto const here = place_.replaced();
            for (auto const& [input, when_read] : inputs_) here.require_not(input, when_read);
            if (guard_) guard_(here);
        } catch (usage_error const& fault) {
            discard();
            throw resource_error{error_code::write_failed, std::string{fault.what()} + "; it stays as it is"};
        }
    }

    [[nodiscard]] bool rename(if_there what) const noexcept {
        int const folder = place_.folder();
        char const* const name = place_.name().c_str();
        if (what == if_there::refuse) {
            if (::renameat2(folder, slot_->name.data(), folder, name, RENAME_NOREPLACE) == 0) return true;
            if (errno != EINVAL && errno != ENOSYS) return false;
            struct ::stat there {}; // a file system that knows no such renaming: in two steps
            if (::fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
                errno = EEXIST;
                return false;
            }
        }
        return ::renameat(folder, slot_->name.data(), folder, name) == 0;
    }

    void keep_permissions() const noexcept {
        struct ::stat status {};
        if (::fstatat(place_.folder(), place_.name().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
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
        if (slot_ != nullptr && slot_->owner == ::getpid()) ::unlinkat(place_.folder(), slot_->name.data(), 0);
        release_slot();
        place_.close();
    }

    std::string name_;
    detail::output_place place_;
    output_guard guard_;
    std::vector<std::pair<std::filesystem::path, std::optional<file_identity>>> inputs_{};
    detail::temporary_slot* slot_{};
    int descriptor_{-1};
    std::uint64_t size_{};
};

} // namespace zeroi2v
