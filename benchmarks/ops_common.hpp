// What the benchmarks of the ops share: threads, random operands, and rates beside the limit measured in the same process.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/ops/fma_limit.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

namespace zeroi2v::bench {

/// ZEROI2V_THREADS, or all cores.
inline thread_team& workers() {
    static thread_team team{[] {
        char const* const asked = std::getenv("ZEROI2V_THREADS");
        return asked != nullptr ? std::atoi(asked) : static_cast<int>(std::thread::hardware_concurrency());
    }()};
    return team;
}

inline std::vector<float> normal_floats(std::size_t count, std::uint64_t seed) {
    counter_rng const rng{seed};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = rng.normal(i % 65536);
    return values;
}

/// The limit of this processor now; measured before and after a benchmark, the better counts.
inline double limit() { return measure_fma_limit(kernels_from_environment(), workers(), 0.01, 3); }

/// The same between two pieces of other work, in 0.2 ms: at the clock that the other work left. A core lowers its clock for some
/// instructions and takes milliseconds to raise it.
inline double limit_beside() {
    using clock = std::chrono::steady_clock;
    std::vector<double> rates(static_cast<std::size_t>(workers().concurrency()));
    workers().run(workers().concurrency(), [&](int part) {
        auto const start = clock::now();
        auto const flops = static_cast<double>(kernels_from_environment().fma_loop(100'000));
        rates[static_cast<std::size_t>(part)] = flops / std::chrono::duration<double>(clock::now() - start).count();
    });
    return std::accumulate(rates.begin(), rates.end(), 0.0);
}

/// Runs the loop and reports the rate of `flops` per iteration and its share of the limit: of the best of this run, and of the mean of
/// what was measured between the iterations.
template <class Work>
void measure(benchmark::State& state, double flops, Work work) {
    double best = limit(), beside = 0;
    for (auto _ : state) {
        work();
        benchmark::ClobberMemory();
        state.PauseTiming();
        beside += limit_beside();
        state.ResumeTiming();
    }
    best = std::max(best, limit());
    auto const iterations = static_cast<double>(state.iterations());
    double const done = flops * iterations;
    state.counters["GFLOP/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
    state.counters["of_limit"] = benchmark::Counter(done / best, benchmark::Counter::kIsRate);
    state.counters["of_limit_beside"] = benchmark::Counter(done / (beside / iterations), benchmark::Counter::kIsRate);
}

/// Runs the loop and reports elements per second and bytes moved.
template <class Work>
void measure_elements(benchmark::State& state, std::size_t elements, std::size_t bytes, Work work) {
    for (auto _ : state) {
        work();
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(elements) * state.iterations());
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
}

} // namespace zeroi2v::bench
