#include "console.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

namespace zeroi2v::program {
namespace {

/// Held while the terminal is written to: a line of progress never comes between what is said and its place.
std::mutex terminal;

/// Whether a line of progress stands on the terminal. An atomic for the sake of end_on_signal, which can hold no mutex.
std::atomic<bool> line_is_shown{false};
constexpr std::string_view empty_line = "\r\x1b[K";

std::atomic<void (*)() noexcept> last_act{nullptr};
static_assert(decltype(last_act)::is_always_lock_free);

extern "C" void end_on_signal(int signal) {
    leave_nothing_behind();
    if (line_is_shown && ::write(STDERR_FILENO, empty_line.data(), empty_line.size()) < 0) {}
    char line[] = "zeroi2v: error[interrupted]: stopped by signal 00\n";
    for (char* at = line; *at != '\0'; ++at) {
        if (at[0] != '0' || at[1] != '0') continue;
        at[0] = static_cast<char>('0' + signal / 10);
        at[1] = static_cast<char>('0' + signal % 10);
        break;
    }
    if (::write(STDERR_FILENO, line, sizeof line - 1) < 0) {}
    ::_exit(128 + signal);
}

bool write_all(int descriptor, std::string_view text) noexcept {
    while (!text.empty()) {
        auto const done = ::write(descriptor, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(done));
    }
    return true;
}

bool stdout_was_closed = false;

void remove_line() noexcept {
    if (line_is_shown.exchange(false)) write_all(STDERR_FILENO, empty_line);
}

} // namespace

void set_last_act(void (*act)() noexcept) noexcept { last_act = act; }

void leave_nothing_behind() noexcept {
    remove_temporary_files();
    if (auto const act = last_act.load()) act();
}

void prepare_process() {
    for (int descriptor = 0; descriptor <= 2; ++descriptor) {
        if (::fcntl(descriptor, F_GETFD) != -1) continue;
        if (descriptor == STDOUT_FILENO) stdout_was_closed = true;
        if (::open("/dev/null", O_RDWR) != descriptor) ::_exit(status_internal); // the lowest free one is this one
    }
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, nullptr);
    ::sigaction(SIGXFSZ, &ignore, nullptr);
    struct sigaction end {};
    end.sa_handler = end_on_signal;
    sigfillset(&end.sa_mask);
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction before {};
        ::sigaction(signal, nullptr, &before);
        if (before.sa_handler != SIG_IGN) ::sigaction(signal, &end, nullptr); // nohup, or the background of a script
    }
    // glibc would raise the threshold with each matrix that is freed, and keep the holes between those that stay.
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

void console::print(std::string_view text) const {
    if (stdout_was_closed) throw closed_output{};
    std::lock_guard const lock{terminal};
    remove_line();
    if (write_all(STDOUT_FILENO, text)) return;
    if (errno == EPIPE || errno == EBADF) throw closed_output{};
    throw resource_error{error_code::write_failed, "stdout: cannot be written: " + std::generic_category().message(errno)};
}

void console::print_unless_quiet(std::string_view text) const {
    if (!quiet_) print(text);
}

void console::notice(std::string_view text) const {
    if (quiet_) return;
    std::lock_guard const lock{terminal};
    remove_line();
    write_all(STDERR_FILENO, "zeroi2v: " + printable(text, 4096) + "\n");
}

void report_error(std::string_view code, std::string_view message) noexcept {
    try {
        std::lock_guard const lock{terminal};
        remove_line();
        write_all(STDERR_FILENO, "zeroi2v: error[" + std::string{code} + "]: " + printable(message, 16384) + "\n");
    } catch (...) { // no memory for one line
        write_all(STDERR_FILENO, "zeroi2v: error[out_of_memory]: memory: none left\n");
    }
}

failure describe(std::exception const& fault) {
    if (auto const* const known = dynamic_cast<error const*>(&fault)) return {known->exit_status(), known->code_name(), known->what()};
    if (dynamic_cast<std::bad_alloc const*>(&fault) != nullptr || dynamic_cast<std::length_error const*>(&fault) != nullptr)
        return {7, to_string(error_code::out_of_memory), "memory: none left"};
    if (auto const* const refused = dynamic_cast<std::system_error const*>(&fault); refused != nullptr && refused->code() == std::errc::resource_unavailable_try_again)
        return {7, to_string(error_code::thread_unavailable), "threads: the system gave none (" + refused->code().message() + "), one more expected"};
    return {.message = fault.what()};
}

int report_exception(std::exception const& fault) noexcept {
    try {
        auto const seen = describe(fault);
        report_error(seen.code, seen.message);
        return seen.status;
    } catch (...) { // no memory for the message
        report_error(to_string(error_code::out_of_memory), "memory: none left");
        return 7;
    }
}

progress::progress(console const& out, std::string what, std::size_t total) : what_{std::move(what)}, total_{total} {
    if (out.quiet() || ::isatty(STDERR_FILENO) != 1) return;
    try {
        shower_ = std::thread{[this] {
            try {
                show();
            } catch (...) { // no memory for a line: the work goes on unseen
            }
        }};
    } catch (std::system_error const&) { // no thread to be had: the work goes on unseen
    }
}

progress::~progress() {
    if (!shower_.joinable()) return;
    {
        std::lock_guard const lock{mutex_};
        end_ = true;
    }
    ended_.notify_one();
    shower_.join();
}

void progress::show() {
    stopwatch const clock;
    std::unique_lock lock{mutex_};
    if (ended_.wait_for(lock, std::chrono::seconds{2}, [this] { return end_; })) return;
    do {
        std::string line{empty_line};
        line += printable(what_, 200) + ": ";
        if (auto const total = total_.load(std::memory_order_relaxed); total > 0)
            line += std::to_string(done_.load(std::memory_order_relaxed)) + "/" + std::to_string(total) + ", ";
        std::lock_guard const shown{terminal};
        line_is_shown = true;
        write_all(STDERR_FILENO, line + fixed(clock.seconds(), 0) + " s");
    } while (!ended_.wait_for(lock, std::chrono::milliseconds{500}, [this] { return end_; }));
    std::lock_guard const shown{terminal};
    remove_line();
}

std::string fixed(double value, int decimals) {
    std::array<char, 400> text{};
    auto const [end, fault] = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, decimals);
    return fault == std::errc{} ? std::string{text.data(), end} : "?";
}

std::string scientific(double value, int digits) {
    if (value == 0) return "0";
    std::array<char, 64> text{};
    auto const [end, fault] = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits);
    return fault == std::errc{} ? std::string{text.data(), end} : "?";
}

std::string bytes_text(double bytes) {
    if (bytes < 1e3) return fixed(bytes, 0) + " B";
    if (bytes < 1e6) return fixed(bytes / 1e3, 1) + " kB";
    if (bytes < 1e8) return fixed(bytes / 1e6, 1) + " MB";
    if (bytes < 1e9) return fixed(bytes / 1e6, 0) + " MB";
    return fixed(bytes / 1e9, 2) + " GB";
}

} // namespace zeroi2v::program
