// What the program says: results on stdout, notices, progress and the one error line on stderr.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace zeroi2v::program {

/// Thrown where the reader of stdout has gone: the program ends with status 141, as a shell shows SIGPIPE.
struct closed_output {};

/// Statuses that no zeroi2v::error has.
inline constexpr int status_internal = 1;
inline constexpr int status_closed_output = 141;

/// Makes descriptors 0 to 2 exist, so that no file that is opened later becomes stdout; ignores SIGPIPE and SIGXFSZ, whose
/// failures are seen as errors of write; and lets SIGINT, SIGTERM and SIGHUP remove the temporary files and end the
/// program with 128 + the signal's number.
void prepare_process();

/// What a signal that ends the program must still remove beside temporary files: an async-signal-safe function, or null.
void set_last_act(void (*act)() noexcept) noexcept;
/// Removes temporary files and does the last act. Async-signal-safe.
void leave_nothing_behind() noexcept;

class console {
public:
    explicit console(bool quiet) noexcept : quiet_{quiet} {}

    [[nodiscard]] bool quiet() const noexcept { return quiet_; }

    /// Writes to stdout now.
    /// Errors  a reader that has gone -> closed_output; a full device -> resource_error write_failed.
    void print(std::string_view text) const;

    /// The same for what `--quiet` leaves out.
    void print_unless_quiet(std::string_view text) const;

    /// A line on stderr, unless `--quiet`.
    void notice(std::string_view text) const;

private:
    bool quiet_;
};

/// `zeroi2v: error[CODE]: ...` on stderr, in one line. Never throws.
void report_error(std::string_view code, std::string_view message) noexcept;

/// An exception as a user sees it.
struct failure {
    int status = status_internal; ///< with which the program ends
    std::string_view code = "internal";
    std::string message;
};
[[nodiscard]] failure describe(std::exception const& fault);

/// Reports an exception and gives the status with which the program ends.
[[nodiscard]] int report_exception(std::exception const& fault) noexcept;

/// `what: 3/10, 12 s` on stderr where it is a terminal and the work has lasted over 2 s; removed when the work ends.
class progress {
public:
    /// `total` 0: only the time is shown.
    progress(console const& out, std::string what, std::size_t total = 0);
    progress(progress const&) = delete;
    progress& operator=(progress const&) = delete;
    ~progress();

    void expect(std::size_t total) noexcept { total_.store(total, std::memory_order_relaxed); }
    void step(std::size_t done) noexcept { done_.store(done, std::memory_order_relaxed); }

private:
    void show();

    std::string what_;
    std::atomic<std::size_t> total_, done_{0};
    std::mutex mutex_;
    std::condition_variable ended_;
    bool end_ = false;
    std::thread shower_; ///< only where there is a terminal
};

/// Seconds since it was made.
class stopwatch {
public:
    [[nodiscard]] double seconds() const noexcept {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// A number in the C locale whatever the user's is: fixed, or with `digits` significant digits.
[[nodiscard]] std::string fixed(double value, int decimals);
[[nodiscard]] std::string scientific(double value, int digits = 3);
/// `1.5 MB`, `345 MB`.
[[nodiscard]] std::string bytes_text(double bytes);

} // namespace zeroi2v::program
