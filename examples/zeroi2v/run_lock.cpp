#include "run_lock.hpp"

#include "console.hpp"
#include "ranks.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace zeroi2v::program {
namespace {

[[noreturn]] void refuse(std::filesystem::path const& path, std::string const& sentence) {
    throw usage_error{error_code::unwritable_output, printable(path.native(), 4096) + ": " + sentence + "; it stays as it is"};
}

/// Where it may be a rank of the same job that holds it.
char const* hint() noexcept {
    return ranks() == nullptr && std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr ? " (mpirun started this program, which was built without ZEROI2V_MPI)" : "";
}

bool leads_to_empty(char const* path, file_identity const& expected) noexcept {
    struct ::stat there {};
    return ::lstat(path, &there) == 0 && S_ISREG(there.st_mode) && there.st_size == 0 && zeroi2v::detail::identity_of(there) == expected;
}

// The lock that this process made, in static memory: a signal handler may neither lock nor allocate.
std::array<char, 4097> made_path{};
file_identity made_identity{};

void remove_made_lock() noexcept {
    if (leads_to_empty(made_path.data(), made_identity)) ::unlink(made_path.data());
}

/// Lets a signal remove the file of this identity under this name.
void remove_at_signal(std::filesystem::path const& path, file_identity const& identity) noexcept {
    if (path.native().size() >= made_path.size()) return;
    set_last_act(nullptr);
    made_path.fill('\0');
    std::ranges::copy(path.native(), made_path.begin());
    made_identity = identity;
    set_last_act(remove_made_lock);
}

/// A new file under the name that is locked already when it appears, so that no other run can get hold of it first, and that a
/// signal removes from then on. -1 with EEXIST where something stands there.
int make_locked(std::filesystem::path const& path) {
    auto const folder = zeroi2v::detail::folder_of(path);
    int const made = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (made >= 0) {
        auto const way = "/proc/self/fd/" + std::to_string(made);
        struct ::stat status {};
        if (::fstat(made, &status) == 0) remove_at_signal(path, zeroi2v::detail::identity_of(status));
        if (::flock(made, LOCK_EX | LOCK_NB) == 0 && ::linkat(AT_FDCWD, way.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return made;
        int const reason = errno;
        set_last_act(nullptr);
        ::close(made);
        errno = reason;
        if (reason == EEXIST) return -1;
    }
    // A file system without nameless files: under its name first, locked by whoever comes first.
    return ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0666);
}

} // namespace

run_lock::run_lock(std::filesystem::path const& output, std::span<std::filesystem::path const> others) : path_{path_of(output)} {
    for (;;) {
        open(others);
        if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
            int const reason = errno;
            if (reason != EWOULDBLOCK && made_ && is_in_place()) ::unlink(path_.c_str());
            ::close(std::exchange(descriptor_, -1));
            if (reason == EWOULDBLOCK)
                throw training_error{error_code::bad_state, printable(path_.native(), 4096) + ": another run holds it, this output for one run only expected" + hint()};
            refuse(path_, "cannot be locked: " + std::generic_category().message(reason));
        }
        if (is_in_place()) break;
        ::close(std::exchange(descriptor_, -1)); // removed meanwhile by the run that held it
    }
    if (made_) remove_at_signal(path_, identity_);
}

run_lock::~run_lock() {
    if (made_) set_last_act(nullptr);
    if (made_ && is_in_place()) ::unlink(path_.c_str());
    ::close(descriptor_);
}

void run_lock::open(std::span<std::filesystem::path const> others) {
    constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    for (;;) {
        descriptor_ = make_locked(path_);
        made_ = descriptor_ >= 0;
        if (!made_ && errno == EEXIST) {
            struct ::stat there {};
            if (::lstat(path_.c_str(), &there) == 0 && S_ISREG(there.st_mode)) { // no device is opened to see what it is
                replaced_file const lock{path_};
                for (auto const& other : others) lock.require_not(other);
            } else if (errno == ENOENT) {
                continue;
            } else {
                refuse(path_, "is no regular file, an empty one or none expected, as the lock of a run");
            }
            descriptor_ = ::open(path_.c_str(), flags);
            if (descriptor_ < 0 && errno == ENOENT) continue; // removed meanwhile by the run that held it
        }
        if (descriptor_ < 0 && zeroi2v::detail::is_lack(errno))
            throw resource_error{error_code::open_failed, printable(path_.native(), 4096) + ": cannot be opened: " + std::generic_category().message(errno)};
        if (descriptor_ < 0) refuse(path_, "cannot be opened: " + std::generic_category().message(errno));
        struct ::stat status {};
        bool const known = ::fstat(descriptor_, &status) == 0;
        if (known && S_ISREG(status.st_mode) && status.st_size == 0) {
            identity_ = zeroi2v::detail::identity_of(status);
            return;
        }
        ::close(std::exchange(descriptor_, -1));
        refuse(path_, std::to_string(status.st_size) + " bytes found, an empty file or none expected, as the lock of a run");
    }
}

/// The name leads to the file that is locked, and nobody has written into it.
bool run_lock::is_in_place() const noexcept { return leads_to_empty(path_.c_str(), identity_); }

} // namespace zeroi2v::program
