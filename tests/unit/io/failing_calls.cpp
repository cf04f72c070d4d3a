#include "failing_calls.hpp"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

std::atomic<int> chosen{-1}, error_number{0};
std::atomic<std::size_t> first_one{0}, how_many{0}, seen{0};

/// Counts a call; whether it is one that fails, with errno set.
bool fails(test::system_call which) noexcept {
    if (chosen != static_cast<int>(which)) return false;
    std::size_t const number = ++seen;
    if (number < first_one || number >= first_one + how_many) return false;
    errno = error_number;
    return true;
}

} // namespace

test::failing_calls::failing_calls(system_call which, std::size_t first, int number, std::size_t times) noexcept {
    error_number = number;
    first_one = first;
    how_many = times;
    seen = 0;
    chosen = static_cast<int>(which);
}

test::failing_calls::~failing_calls() { chosen = -1; }

std::size_t test::failing_calls::calls() noexcept { return seen; }

// These stand in front of the C library's, for every call of this program.
extern "C" {

::ssize_t write(int descriptor, void const* bytes, std::size_t count) {
    if (descriptor > STDERR_FILENO && fails(test::system_call::write)) return error_number == 0 ? 0 : -1;
    return ::syscall(SYS_write, descriptor, bytes, count);
}

int fsync(int descriptor) { return fails(test::system_call::fsync) ? -1 : static_cast<int>(::syscall(SYS_fsync, descriptor)); }

/// Closes in any case, as Linux does.
int close(int descriptor) {
    bool const failing = fails(test::system_call::close);
    int const result = static_cast<int>(::syscall(SYS_close, descriptor));
    if (!failing) return result;
    errno = error_number;
    return -1;
}

int openat(int folder, char const* path, int flags, ...) {
    ::mode_t mode = 0;
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        std::va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, ::mode_t);
        va_end(rest);
    }
    return fails(test::system_call::openat) ? -1 : static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

int fallocate(int descriptor, int mode, ::off_t offset, ::off_t length) {
    return fails(test::system_call::fallocate) ? -1 : static_cast<int>(::syscall(SYS_fallocate, descriptor, mode, offset, length));
}

int renameat2(int from, char const* old, int to, char const* fresh, unsigned flags) {
    return fails(test::system_call::renameat2) ? -1 : static_cast<int>(::syscall(SYS_renameat2, from, old, to, fresh, flags));
}

} // extern "C"
