// thread_team: an executor with threads of its own, created once and kept.
#pragma once

#include <zeroi2v/parallel/executor.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace zeroi2v {

/// `threads` threads, the caller's included; thread i takes the parts i, i + concurrency(), ...
///
/// A worker waits for work by looking for a short time, then sleeps. A `run` inside a `run`, or while another thread runs
/// on the same team, is executed by its caller alone: never a deadlock, and the same bits. All parts are executed even
/// where one throws; then the exception of the lowest part is rethrown, and the team is usable as before.
/// After fork() the child has no workers: its runs are executed by their caller.
///
/// Errors  a thread that the system refuses is done without: concurrency() tells how many there are, requested() how many
///         were asked for. `threads` < 1 counts as 1.
/// Test    tests/unit/parallel/thread_team.cpp
class thread_team final : public executor {
public:
    explicit thread_team(int threads) : requested_{threads < 1 ? 1 : threads}, owner_{::getpid()} {
        auto const hardware = static_cast<int>(std::thread::hardware_concurrency());
        looks_ = requested_ <= hardware ? 4000 : 1;
        workers_.reserve(static_cast<std::size_t>(requested_ - 1));
        try {
            while (static_cast<int>(workers_.size()) + 1 < requested_) {
                int const index = static_cast<int>(workers_.size()) + 1;
                workers_.emplace_back([this, index] { work_as(index); });
            }
        } catch (std::exception const&) { // no thread or no memory for one: the team is as large as the system allows
        }
    }

    ~thread_team() override { stop(); }

    [[nodiscard]] int concurrency() const noexcept override { return static_cast<int>(workers_.size()) + 1; }

    /// The number asked for at construction, at least 1.
    [[nodiscard]] int requested() const noexcept { return requested_; }

    void run(int parts, function_ref<void(int)> work) override {
        if (parts <= 0) return;
        bool const alone = parts == 1 || workers_.empty() || owner_ != ::getpid()
                           || busy_.exchange(true, std::memory_order_acquire);
        if (alone) {
            run_alone(parts, work);
            return;
        }
        work_ = &work;
        parts_ = parts;
        failed_part_ = parts;
        unfinished_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
        generation_.fetch_add(1, std::memory_order_release);
        generation_.notify_all();
        execute(0);
        wait_while([this] { return unfinished_.load(std::memory_order_acquire); }, [](int left) { return left != 0; },
                   unfinished_);
        std::exception_ptr const failure = std::exchange(failure_, nullptr);
        busy_.store(false, std::memory_order_release);
        if (failure) std::rethrow_exception(failure);
    }

private:
    static void run_alone(int parts, function_ref<void(int)> work) {
        std::exception_ptr failure;
        for (int part = 0; part < parts; ++part) {
            try {
                work(part);
            } catch (...) {
                if (!failure) failure = std::current_exception();
            }
        }
        if (failure) std::rethrow_exception(failure);
    }

    /// Looks `looks_` times, then sleeps until the value changes.
    template <class Load, class Unwanted, class Atomic>
    void wait_while(Load load, Unwanted unwanted, Atomic& atomic) const noexcept {
        for (int look = 0; look < looks_; ++look) {
            if (!unwanted(load())) return;
            relax();
        }
        for (auto value = load(); unwanted(value); value = load()) atomic.wait(value, std::memory_order_acquire);
    }

    static void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#else
        std::this_thread::yield();
#endif
    }

    void execute(int index) noexcept {
        for (int part = index; part < parts_; part += concurrency()) {
            try {
                (*work_)(part);
            } catch (...) {
                std::lock_guard const lock{failure_mutex_};
                if (part < failed_part_) {
                    failed_part_ = part;
                    failure_ = std::current_exception();
                }
            }
        }
    }

    void work_as(int index) noexcept {
        // No run starts before the constructor has ended, and workers_ stays as it is from then on.
        std::uint32_t seen = 0;
        for (;;) {
            wait_while([this] { return generation_.load(std::memory_order_acquire); },
                       [seen](std::uint32_t value) { return value == seen; }, generation_);
            seen = generation_.load(std::memory_order_acquire);
            if (stopping_.load(std::memory_order_acquire)) return;
            execute(index);
            if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
        }
    }

    void stop() noexcept {
        if (owner_ != ::getpid()) { // a forked child: the threads are not there to be joined
            for (std::thread& worker : workers_) worker.detach();
            return;
        }
        stopping_.store(true, std::memory_order_release);
        generation_.fetch_add(1, std::memory_order_release);
        generation_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    int requested_;
    pid_t owner_;
    int looks_{1};
    std::vector<std::thread> workers_;

    function_ref<void(int)> const* work_{};
    int parts_{};
    std::exception_ptr failure_;
    int failed_part_{};
    std::mutex failure_mutex_;
    std::atomic<bool> busy_{false};
    std::atomic<bool> stopping_{false};
    alignas(64) std::atomic<std::uint32_t> generation_{0};
    alignas(64) std::atomic<int> unfinished_{0};
};

} // namespace zeroi2v
