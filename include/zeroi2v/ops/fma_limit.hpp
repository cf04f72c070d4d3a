// The processor's measured limit: what no kernel here can exceed, to hold every other figure against.
#pragma once

#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace zeroi2v {

/// Floating point operations per second of a loop of nothing but FMAs on registers, on all threads of `workers` together.
///
/// Numerics  the best of `rounds` rounds of about `seconds` each: other work on the machine can only lower a round.
/// Cost      rounds * seconds.     Test  tests/unit/ops/fma_limit.cpp
[[nodiscard]] inline double measure_fma_limit(kernel_table const& kernels, executor& workers, double seconds = 0.02, int rounds = 3) {
    using clock = std::chrono::steady_clock;
    auto const since = [](clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); };
    constexpr std::size_t iterations = 20'000; // some 100 us: short against a round, long against reading the clock
    auto const parts = workers.concurrency();
    double best = 0;
    for (int round = 0; round < rounds; ++round) {
        std::vector<double> flops(static_cast<std::size_t>(parts));
        auto const start = clock::now();
        workers.run(parts, [&](int part) {
            double done = 0;
            do done += static_cast<double>(kernels.fma_loop(iterations));
            while (since(start) < seconds);
            flops[static_cast<std::size_t>(part)] = done;
        });
        double const elapsed = since(start);
        double total = 0;
        for (double const each : flops) total += each;
        best = std::max(best, total / elapsed);
    }
    return best;
}

} // namespace zeroi2v
