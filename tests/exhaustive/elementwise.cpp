// All 2^32 floats through exp and quick_gelu, against double, for every instruction set that runs here.
//
//   cmake --build build --target exhaustive_elementwise && build/bin/exhaustive_elementwise
//
// About a minute per instruction set and core. Exit status 1 where a bound is broken.
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/reference/elementwise.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <thread>
#include <vector>

namespace {

using zeroi2v::kernel_table;

struct worst {
    double error = 0;
    float at = 0;
    std::uint64_t wrong_class = 0; ///< NaN, infinity or zero where there is none, or the other way round

    void see(double value, float x) {
        if (value > error) {
            error = value;
            at = x;
        }
    }
    void join(worst const& other) {
        see(other.error, other.at);
        wrong_class += other.wrong_class;
    }
};

/// ulps between got and e^x.
void see_exp(float x, float got, worst& seen) {
    if (std::isnan(x)) {
        seen.wrong_class += std::isnan(got) ? 0U : 1U;
        return;
    }
    double const want = std::exp(static_cast<double>(x));
    bool const overflows = want >= 0x1.ffffffp127; // rounds to infinity
    if (std::isnan(got) || std::isinf(got) || overflows) {
        bool const near = want > 0x1.fffff8p127 && want < 0x1.0000008p128; // within 2 ulp of the border either is right
        seen.wrong_class += std::isinf(got) == overflows && got > 0 ? 0U : near && !std::isnan(got) && got > 0 ? 0U : 1U;
        return;
    }
    double const ulp = std::max(std::ldexp(1.0, std::ilogb(std::max(want, 0x1p-126)) - 23), 0x1p-149);
    seen.see(std::fabs(static_cast<double>(got) - want) / ulp, x);
}

/// The error over the bound (4 + 2|x|) eps |y|, or 2.5e-7 where |y| < 1e-5; at most 1 is right.
void see_quick_gelu(float x, float got, worst& seen) {
    double const want = zeroi2v::reference::quick_gelu(static_cast<double>(x));
    if (std::isnan(x) || std::isinf(x)) {
        bool const right = x > 0 ? got == x : std::isnan(got);
        seen.wrong_class += right ? 0U : 1U;
        return;
    }
    if (!std::isfinite(got)) {
        ++seen.wrong_class;
        return;
    }
    double const error = std::fabs(static_cast<double>(got) - want);
    double const bound = (4 + 2 * std::fabs(static_cast<double>(x))) * 0x1p-23 * std::fabs(want);
    if (std::fabs(want) < 1e-5 && error <= 2.5e-7) return;
    seen.see(bound > 0 ? error / bound : error == 0 ? 0 : std::numeric_limits<double>::infinity(), x);
}

template <class See>
worst all_floats(void (*function)(float const*, float*, std::size_t) noexcept, See see, zeroi2v::executor& workers) {
    constexpr std::uint64_t count = std::uint64_t{1} << 32;
    constexpr std::size_t chunk = 4096;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    std::vector<worst> seen(parts);
    workers.run(workers.concurrency(), [&](int part) {
        std::vector<float> x(chunk), y(chunk);
        worst mine;
        auto const range = zeroi2v::partition(count, parts, static_cast<std::size_t>(part), chunk);
        for (std::uint64_t first = range.begin; first < range.end; first += chunk) {
            for (std::size_t i = 0; i < chunk; ++i) x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(first + i));
            function(x.data(), y.data(), chunk);
            for (std::size_t i = 0; i < chunk; ++i) see(x[i], y[i], mine);
        }
        seen[static_cast<std::size_t>(part)] = mine;
    });
    worst total;
    for (worst const& each : seen) total.join(each);
    return total;
}

} // namespace

int main() {
    zeroi2v::thread_team workers{static_cast<int>(std::thread::hardware_concurrency())};
    bool sound = true;
    for (zeroi2v::isa const level : zeroi2v::built_isas()) {
        if (!zeroi2v::supported(level)) continue;
        kernel_table const& table = zeroi2v::kernels(level);
        char const* const name = zeroi2v::to_string(level).data();
        worst const exp = all_floats(table.exp, see_exp, workers);
        std::printf("%-10s exp         %.4f ulp at %a, wrong class: %llu\n", name, exp.error, static_cast<double>(exp.at),
                    static_cast<unsigned long long>(exp.wrong_class));
        worst const gelu = all_floats(table.quick_gelu, see_quick_gelu, workers);
        std::printf("%-10s quick_gelu  %.4f of the bound at %a, wrong class: %llu\n", name, gelu.error, static_cast<double>(gelu.at),
                    static_cast<unsigned long long>(gelu.wrong_class));
        sound = sound && exp.error <= 2 && gelu.error <= 1 && exp.wrong_class == 0 && gelu.wrong_class == 0;
    }
    return sound ? 0 : 1;
}
