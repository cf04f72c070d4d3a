// The processes of one run: this one alone, or those that mpirun started.
#pragma once

#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/train/gradient_exchange.hpp>

#include <cstddef>
#include <exception>

namespace zeroi2v::program {

/// Joins the other processes of the job, where mpirun started several and the program was built with ZEROI2V_MPI.
/// From then on a rank that is lost ends the job with its name.
void join_ranks();

/// The processes that share the work; null where this one is alone.
[[nodiscard]] gradient_exchange* ranks() noexcept;

/// Whether this process speaks and writes for the others.
[[nodiscard]] inline bool first_rank() noexcept { return ranks() == nullptr || ranks()->rank() == 0; }

/// This process' part of a list.
[[nodiscard]] inline index_range share_of(std::size_t count) noexcept {
    return ranks() == nullptr ? index_range{0, count} : partition(count, ranks()->ranks(), ranks()->rank());
}

/// Ends this process' part with a status: when all have come so far.
[[nodiscard]] int leave_ranks(int status);
/// The same by an exception: where all ranks have one, as with a wrong option, rank 0 reports its own; else the one that has
/// it does, with its name, and ends the job.
[[nodiscard]] int leave_ranks(std::exception const& fault) noexcept;
/// Ends the job, since this process ends for a reason of its own that needs no words.
[[nodiscard]] int leave_ranks_alone(int status) noexcept;

} // namespace zeroi2v::program
