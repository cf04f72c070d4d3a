#include "ranks.hpp"

#include "console.hpp"

#include <zeroi2v/core/error.hpp>

#include <cstdlib>
#include <string>

#if ZEROI2V_MPI
#include <zeroi2v/mpi/mpi_exchange.hpp>

#include <csignal>

#include <unistd.h>
#endif

namespace zeroi2v::program {

#if ZEROI2V_MPI

namespace {

/// Not a static object: at an end amidst others' work nothing may wait for them.
mpi_exchange* joined = nullptr;

/// How many processes the launcher says it started: Open MPI's mpirun, or one of those that speak PMI (MPICH, Slurm).
bool several_were_started() noexcept {
    for (char const* const name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
        if (char const* const value = std::getenv(name); value != nullptr && std::atoi(value) > 1) return true;
    return false;
}

/// mpirun ends the others with SIGTERM when one has failed, which has said why.
extern "C" void end_without_words(int signal) {
    leave_nothing_behind();
    ::_exit(128 + signal);
}

/// From here on MPI has so many seconds to end: then a signal does, and no other one before.
void begin_to_leave(unsigned seconds) noexcept {
    std::signal(SIGTERM, SIG_IGN);
    ::alarm(seconds);
}

} // namespace

void join_ranks() {
    if (joined != nullptr || !several_were_started()) return;
    std::signal(SIGTERM, end_without_words);
    joined = new mpi_exchange{{.on_lost = [](mpi_exchange& exchange, std::string const& what) {
        report_error(to_string(error_code::rank_lost), what + "; the job ends");
        leave_nothing_behind();
        begin_to_leave(5);
        exchange.abort(6);
    }}};
}

gradient_exchange* ranks() noexcept { return joined; }

int leave_ranks(int status) {
    if (joined == nullptr) return status;
    static_cast<void>(joined->gather("")); // whoever is lost before has its name said
    begin_to_leave(20);
    delete joined;
    joined = nullptr;
    ::alarm(0);
    return status;
}

int leave_ranks(std::exception const& fault) noexcept {
    if (joined == nullptr) return report_exception(fault);
    bool const all = joined->all_end();
    begin_to_leave(20);
    int status = status_internal;
    try {
        auto const seen = describe(fault);
        status = seen.status;
        if (all && first_rank()) report_error(seen.code, seen.message);
        if (!all) report_error(seen.code, joined->name(joined->rank()) + ": " + seen.message);
    } catch (...) {
        report_error(to_string(error_code::out_of_memory), "memory: none left");
    }
    if (!all) joined->abort(status);
    else delete joined;
    return status;
}

int leave_ranks_alone(int status) noexcept {
    if (joined == nullptr) return status;
    begin_to_leave(20);
    joined->abort(status);
    return status;
}

#else

void join_ranks() {}
gradient_exchange* ranks() noexcept { return nullptr; }
int leave_ranks(int status) { return status; }
int leave_ranks(std::exception const& fault) noexcept { return report_exception(fault); }
int leave_ranks_alone(int status) noexcept { return status; }

#endif

} // namespace zeroi2v::program
