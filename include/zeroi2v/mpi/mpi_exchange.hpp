// mpi_exchange: the ranks of an MPI job as a gradient_exchange, with a watch over them.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/mpi/life_signs.hpp>
#include <zeroi2v/train/gradient_exchange.hpp>

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace zeroi2v {

class mpi_exchange;

struct mpi_options {
    double silence_s = 20; ///< without a sign of life from a rank for so long it is lost
    /// Called once, on the exchange's thread, when a rank is lost: with its name and how it is known. What waits throws
    /// afterwards, but a computation between two exchanges goes on: who wants the job to end at once calls `abort` here.
    std::function<void(mpi_exchange&, std::string const&)> on_lost{};
};

/// All processes of MPI_COMM_WORLD.
///
/// One thread of its own makes every MPI call (so MPI_THREAD_FUNNELED is enough): it sums up pieces of a gradient while the
/// trainer computes, and sends a sign of life each second, to rank 0, or as rank 0 to all. Sums travel in pieces of fixed
/// borders, from the end of the gradient on, each up the tree of the joins and back by a broadcast. Only the tree adds; MPI
/// moves bytes and reduces nothing, so its algorithms change no bit.
///
/// Constructed and destroyed by all ranks together. Where MPI runs already it is left running at the end, and must allow
/// calls from another thread than the first (MPI_THREAD_SERIALIZED).
/// Errors  training_error rank_lost: a rank gave no sign of life, or MPI failed. resource_error: MPI cannot serve.
/// Cost    memory: two pieces, 2 MiB.    Test  tests/mpi/exchange.cpp, tests/mpi/cli.cpp
class mpi_exchange final : public gradient_exchange {
public:
    explicit mpi_exchange(mpi_options options = {}) : options_{std::move(options)}, signs_{options_.silence_s} {
        thread_ = std::thread{[this] { serve(); }};
        try {
            wait_for_task();
        } catch (...) {
            end_thread();
            throw;
        }
    }
    ~mpi_exchange() override { end_thread(); }

    [[nodiscard]] std::size_t rank() const noexcept override { return rank_; }
    [[nodiscard]] std::size_t ranks() const noexcept override { return names_.size(); }
    [[nodiscard]] std::string name(std::size_t rank) const override { return names_.at(rank); }

    void begin(std::vector<tree_join> joins, std::span<float> sum) override {
        {
            std::lock_guard const lock{guard_};
            ready_ = sum.size();
        }
        start([this, joins = std::move(joins), sum] { sum_up(joins, sum); });
    }
    void ready(std::size_t first) override {
        {
            std::lock_guard const lock{guard_};
            ready_ = std::min(ready_, first);
        }
        changed_.notify_all();
    }
    void wait() override { wait_for_task(); }
    void cancel() noexcept override {
        std::unique_lock lock{guard_};
        given_up_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !busy_; });
    }

    [[nodiscard]] std::vector<std::string> gather(std::string_view mine) override {
        std::vector<std::string> result;
        start([&] { gather_now(mine, result); });
        wait_for_task();
        return result;
    }
    void broadcast(std::span<std::byte> data) override {
        start([&] {
            while (!data.empty()) {
                auto const part = data.first(std::min(data.size(), broadcast_bytes));
                data = data.subspan(part.size());
                MPI_Request request{};
                detail::check_mpi(MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, data_, &request));
                complete(request);
            }
        });
        wait_for_task();
    }

    /// Says that this rank ends, as with an error, and waits a little for the others to say so too.
    /// Gives whether all did: then each may go its way. Else the others still work, or wait for this one: see abort.
    [[nodiscard]] bool all_end() noexcept {
        try {
            cancel();
            bool all = false;
            start([&] { all = signs_.all_end(); }, true);
            wait_for_task();
            return all;
        } catch (std::exception const&) {
            return false;
        }
    }

    /// Ends every process of the job with this status, this one too.
    void abort(int status) noexcept {
        if (std::this_thread::get_id() == thread_.get_id()) {
            MPI_Abort(MPI_COMM_WORLD, status);
            return;
        }
        try {
            cancel();
            start([status] { MPI_Abort(MPI_COMM_WORLD, status); }, true);
            wait_for_task();
        } catch (std::exception const&) { // the thread has gone: nobody is left to tell
        }
    }

private:
    static constexpr std::size_t piece = std::size_t{1} << 18U; ///< floats: 1 MiB goes through a 1 Gbit/s link in 9 ms, a small part of a block's backward pass
    static constexpr std::size_t broadcast_bytes = std::size_t{1} << 24U;
    static constexpr int tag = 1;

    // ---- the caller's side ----

    void start(std::function<void()> task, bool at_the_end = false) {
        std::unique_lock lock{guard_};
        changed_.wait(lock, [this] { return !busy_; });
        if (given_up_ && !at_the_end) throw training_error{error_code::rank_lost, "the exchange between the ranks was given up"};
        if (at_the_end) given_up_ = false;
        task_ = std::move(task);
        busy_ = true;
        changed_.notify_all();
    }
    void wait_for_task() {
        std::unique_lock lock{guard_};
        changed_.wait(lock, [this] { return !busy_; });
        if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
    }
    void end_thread() noexcept {
        {
            std::lock_guard const lock{guard_};
            stopping_ = true;
        }
        changed_.notify_all();
        if (thread_.joinable()) thread_.join();
    }

    // ---- the exchange's thread ----

    void serve() {
        attempt([this] { open(); });
        for (;;) {
            std::function<void()> task;
            {
                std::unique_lock lock{guard_};
                changed_.wait_for(lock, std::chrono::milliseconds{50}, [this] { return stopping_ || task_; });
                if (stopping_) break;
                task = std::exchange(task_, nullptr);
            }
            if (task) attempt(task);
            else if (opened_ && lost_.empty()) attempt_watch();
        }
        close();
    }
    /// Runs a task and keeps what it throws for the caller.
    void attempt(std::function<void()> const& task) {
        std::exception_ptr fault;
        try {
            task();
        } catch (...) {
            fault = std::current_exception();
        }
        {
            std::lock_guard const lock{guard_};
            fault_ = std::move(fault);
            busy_ = false;
        }
        changed_.notify_all();
    }
    void attempt_watch() {
        try {
            watch();
        } catch (std::exception const&) { // lost: the next task says so
        }
    }

    void open() {
        int running = 0, level = 0, rank = 0, count = 0;
        MPI_Initialized(&running);
        if (running != 0) MPI_Query_thread(&level);
        else MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);
        ours_ = running == 0;
        if (level < (ours_ ? MPI_THREAD_FUNNELED : MPI_THREAD_SERIALIZED))
            throw resource_error{error_code::thread_unavailable, "MPI: no calls from a second thread, MPI_THREAD_" + std::string{ours_ ? "FUNNELED" : "SERIALIZED"} + " expected"};
        detail::check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &data_));
        detail::check_mpi(MPI_Comm_set_errhandler(data_, MPI_ERRORS_RETURN));
        detail::check_mpi(MPI_Comm_rank(data_, &rank));
        detail::check_mpi(MPI_Comm_size(data_, &count));
        signs_.open();
        rank_ = static_cast<std::size_t>(rank);
        names_.resize(static_cast<std::size_t>(count));
        opened_ = true;
        std::array<char, 256> host{};
        ::gethostname(host.data(), host.size() - 1);
        std::vector<std::string> hosts;
        gather_now(std::string{host.data()} + ", process " + std::to_string(::getpid()), hosts);
        for (std::size_t r = 0; r < hosts.size(); ++r) names_[r] = "rank " + std::to_string(r) + " (" + hosts[r] + ")";
        outgoing_.resize(piece);
        incoming_.resize(piece);
    }
    void close() noexcept {
        if (!opened_ || !lost_.empty()) return; // with a rank lost MPI_Finalize would wait for it
        signs_.close();
        MPI_Comm_free(&data_);
        if (ours_) MPI_Finalize();
    }

    /// Until the request is done, with an eye on the others.
    void complete(MPI_Request& request) {
        for (int round = 0;; ++round) {
            int done = 0;
            detail::check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
            if (done != 0) return;
            watch();
            if (round < 100) std::this_thread::yield();
            else std::this_thread::sleep_for(std::chrono::microseconds{50});
            if (round % 64 == 63) stop_if_given_up();
        }
    }
    void stop_if_given_up() {
        std::lock_guard const lock{guard_};
        if (given_up_) throw training_error{error_code::rank_lost, "the exchange between the ranks was given up"};
    }

    /// Errors  a rank silent for too long -> rank_lost, after on_lost.
    void watch() {
        if (!lost_.empty()) throw training_error{error_code::rank_lost, lost_};
        int const silent = signs_.watch();
        if (silent == detail::life_signs::none) return;
        lost_ = names_[static_cast<std::size_t>(silent)] + ": no sign of life for " + std::to_string(static_cast<int>(signs_.patience())) + " s, one each second expected";
        if (options_.on_lost) options_.on_lost(*this, lost_);
        throw training_error{error_code::rank_lost, lost_};
    }

    void sum_up(std::vector<tree_join> const& joins, std::span<float> sum) {
        auto const bytes = [](std::size_t count) { return static_cast<int>(count * sizeof(float)); };
        for (std::size_t end = sum.size(); end > 0;) {
            std::size_t const first = (end - 1) / piece * piece, count = end - first;
            wait_until_ready(first);
            for (auto const& each : joins) {
                MPI_Request request{};
                switch (each.what) {
                case tree_join::act::send:
                    std::copy_n(each.sum + first, count, outgoing_.data()); // ours, so that a sum that is given up leaves nobody's memory in use
                    detail::check_mpi(MPI_Isend(outgoing_.data(), bytes(count), MPI_BYTE, static_cast<int>(each.peer), tag, data_, &request));
                    complete(request);
                    break;
                case tree_join::act::receive:
                    detail::check_mpi(MPI_Irecv(incoming_.data(), bytes(count), MPI_BYTE, static_cast<int>(each.peer), tag, data_, &request));
                    complete(request);
                    for (std::size_t i = 0; i < count; ++i) each.sum[first + i] += incoming_[i];
                    break;
                case tree_join::act::add:
                    for (std::size_t i = 0; i < count; ++i) each.sum[first + i] += each.other[first + i];
                    break;
                }
            }
            if (rank_ == 0) std::copy_n(sum.data() + first, count, outgoing_.data());
            MPI_Request request{};
            detail::check_mpi(MPI_Ibcast(outgoing_.data(), bytes(count), MPI_BYTE, 0, data_, &request));
            complete(request);
            if (rank_ != 0) std::copy_n(outgoing_.data(), count, sum.data() + first);
            end = first;
        }
    }
    void wait_until_ready(std::size_t first) {
        for (;;) {
            {
                std::unique_lock lock{guard_};
                changed_.wait_for(lock, std::chrono::milliseconds{20}, [&] { return ready_ <= first || given_up_; });
                if (ready_ <= first && !given_up_) return;
            }
            stop_if_given_up();
            watch();
        }
    }

    void gather_now(std::string_view mine, std::vector<std::string>& result) {
        std::uint64_t const own = mine.size();
        std::vector<std::uint64_t> sizes(names_.size());
        MPI_Request request{};
        detail::check_mpi(MPI_Iallgather(&own, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, data_, &request));
        complete(request);
        std::uint64_t const all = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
        ZEROI2V_REQUIRE(all <= INT_MAX, "zeroi2v::mpi_exchange::gather: 2 GiB at most");
        std::vector<int> counts, places;
        for (std::uint64_t place = 0; std::uint64_t const size : sizes) {
            counts.push_back(static_cast<int>(size));
            places.push_back(static_cast<int>(place));
            place += size;
        }
        std::string together(static_cast<std::size_t>(all), '\0');
        detail::check_mpi(MPI_Iallgatherv(mine.data(), counts[rank_], MPI_BYTE, together.data(), counts.data(), places.data(), MPI_BYTE, data_, &request));
        complete(request);
        result.clear();
        for (std::size_t r = 0; r < sizes.size(); ++r) result.push_back(together.substr(static_cast<std::size_t>(places[r]), static_cast<std::size_t>(counts[r])));
    }

    mpi_options options_;
    std::thread thread_;

    std::mutex guard_;
    std::condition_variable changed_;
    std::function<void()> task_;
    std::exception_ptr fault_;
    std::size_t ready_{};
    bool busy_{true}, given_up_{}, stopping_{}; // busy from the first: the thread opens MPI

    // What only the exchange's thread writes, rank_ and names_ before the constructor returns.
    std::size_t rank_{};
    std::vector<std::string> names_;
    MPI_Comm data_{};
    detail::life_signs signs_;
    std::vector<float> outgoing_, incoming_;
    bool opened_{}, ours_{};
    std::string lost_; // what on_lost was told
};

} // namespace zeroi2v
