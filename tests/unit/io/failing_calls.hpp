// System calls of this test program that fail on demand: what no file system of a test machine does when it is asked.
#pragma once

#include <cstddef>

namespace test {

enum class system_call { write, fsync, close, openat, fallocate, renameat2 };

/// While it lives, the calls from `first` on, `times` of them, fail with `number`; the first call after it was made is 1.
/// A write that fails with 0 gives 0 bytes. One at a time; calls of every thread count.
class failing_calls {
public:
    failing_calls(system_call which, std::size_t first, int number, std::size_t times = 1) noexcept;
    failing_calls(failing_calls const&) = delete;
    failing_calls& operator=(failing_calls const&) = delete;
    ~failing_calls();

    /// Of that system call, failed or not.
    [[nodiscard]] static std::size_t calls() noexcept;
};

} // namespace test
