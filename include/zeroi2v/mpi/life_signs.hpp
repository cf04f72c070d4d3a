// life_signs: ranks that tell each other that they live, and that they end.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <mpi.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <string>
#include <thread>

namespace zeroi2v::detail {

/// Errors  what MPI calls an error -> training_error rank_lost: of its failures those of the network are the ones to be had.
inline void check_mpi(int result) {
    if (result == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(result, text.data(), &length);
    throw training_error{error_code::rank_lost, "MPI: " + std::string{text.data(), static_cast<std::size_t>(length)}};
}

/// Each rank tells rank 0 each second that it lives, and rank 0 tells all. So the loss of a rank is seen by rank 0, and the loss of
/// rank 0 by all. Used by the one thread that calls MPI, often.
///
/// Test  tests/mpi/exchange.cpp, tests/mpi/cli.cpp
class life_signs {
public:
    static constexpr int none = -1;

    explicit life_signs(double silence_s) noexcept : silence_s_{silence_s} {}

    /// Collective.
    void open() {
        int count = 0;
        check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &on_));
        check_mpi(MPI_Comm_set_errhandler(on_, MPI_ERRORS_RETURN));
        check_mpi(MPI_Comm_rank(on_, &rank_));
        check_mpi(MPI_Comm_size(on_, &count));
        watched_ = told_ = clock::now();
        for (int other = 0; other < count; ++other) {
            if (other == rank_ || (rank_ != 0 && other != 0)) continue;
            peers_.push_back({.rank = other, .heard = watched_});
            listen(peers_.back());
        }
    }
    /// Collective.
    void close() noexcept {
        for (auto& each : peers_) {
            MPI_Cancel(&each.receiving);
            MPI_Request_free(&each.receiving);
        }
        MPI_Comm_free(&on_);
    }

    /// Seconds of silence after which a rank is lost. Of all that hear rank 0 only, rank 1 is the first to speak.
    [[nodiscard]] double patience() const noexcept { return silence_s_ + (rank_ > 1 ? 2.0 : 0.0); }

    /// Gives and takes what is due. The rank that has been silent for too long, or none.
    [[nodiscard]] int watch() {
        auto const now = clock::now();
        if (now - watched_ < std::chrono::milliseconds{20}) return none;
        if (now - watched_ > std::chrono::seconds{5}) // it was this process that stood still
            for (auto& each : peers_) each.heard = now;
        watched_ = now;
        bool const due = now - told_ >= std::chrono::seconds{1};
        if (due) told_ = now;
        int lost = none;
        for (auto& each : peers_) {
            if (due && is_done(each.sending)) tell(each, alive); // one that takes nothing will be found silent
            while (is_done(each.receiving)) {
                each.heard = now;
                ended_ += each.incoming == ending ? 1U : 0U;
                all_ended_ = all_ended_ || each.incoming == all_have_ended;
                listen(each);
            }
            if (std::chrono::duration<double>(now - each.heard).count() > patience()) lost = each.rank;
        }
        return lost;
    }

    /// Tells the others that this rank ends, and waits, 3 s at most, until all have said so. Whether they have.
    [[nodiscard]] bool all_end() {
        auto const until = clock::now() + std::chrono::seconds{rank_ == 0 ? 2 : 3};
        bool told = rank_ == 0;
        while (clock::now() < until) {
            if (!told) told = tell_all(ending);
            if (watch() != none) return false;
            if (rank_ == 0 && ended_ == peers_.size()) {
                while (!tell_all(all_have_ended) && clock::now() < until) {}
                return true;
            }
            if (all_ended_) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
        return false;
    }

private:
    using clock = std::chrono::steady_clock;
    enum sign : int { alive, ending, all_have_ended };
    static constexpr int tag = 1;

    struct peer {
        int rank{};
        clock::time_point heard{};
        int incoming{}, outgoing{};
        MPI_Request receiving = MPI_REQUEST_NULL, sending = MPI_REQUEST_NULL;
    };

    [[nodiscard]] static bool is_done(MPI_Request& request) {
        int done = 0;
        check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
        return done != 0;
    }
    void listen(peer& from) { check_mpi(MPI_Irecv(&from.incoming, 1, MPI_INT, from.rank, tag, on_, &from.receiving)); }
    void tell(peer& to, sign what) {
        to.outgoing = what;
        check_mpi(MPI_Isend(&to.outgoing, 1, MPI_INT, to.rank, tag, on_, &to.sending));
    }
    /// Whether it could be told: not while an earlier sign is on its way.
    [[nodiscard]] bool tell_all(sign what) {
        for (auto& each : peers_)
            if (!is_done(each.sending)) return false;
        for (auto& each : peers_) tell(each, what);
        return true;
    }

    double silence_s_;
    MPI_Comm on_{};
    int rank_{};
    std::list<peer> peers_; // their numbers are sent and received where they stand
    clock::time_point watched_{}, told_{};
    std::size_t ended_{};
    bool all_ended_{};
};

} // namespace zeroi2v::detail
