// What the benchmarks of the ops share: threads, random operands, and rates beside the limit measured in the same process.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/ops/fma_limit.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
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

/// Runs the loop and reports the rate of `flops` per iteration and its share of the limit.
template <class Work>
void measure(benchmark::State& state, double flops, Work work) {
    double best = limit();
    for (auto _ : state) {
        work();
        benchmark::ClobberMemory();
    }
    best = std::max(best, limit());
    double const done = flops * static_cast<double>(state.iterations());
    state.counters["GFLOP/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
    state.counters["of_limit"] = benchmark::Counter(done / best, benchmark::Counter::kIsRate);
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
