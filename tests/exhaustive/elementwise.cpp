// All 2^32 floats through exp, every activation and its derivative, against double.
//
//   cmake --build build/release --target exhaustive_elementwise && build/release/tests/exhaustive_elementwise [ISA...] [FUNCTION...]
//
// Instruction sets (all that run here) and functions (exp and all activations) may be named. One function takes a minute or two per
// instruction set and core. Exit status 1 where a bound is broken, 2 where nothing ran.
#include "../unit/ops/activations.hpp"

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
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

/// An error over its bound, which is infinite where the class is wrong.
void see_ratio(double ratio, float x, worst& seen) {
    if (std::isinf(ratio)) ++seen.wrong_class;
    else seen.see(ratio, x);
}

/// function(x, y, count) of every float; see(x, y, worst).
template <class Function, class See>
worst all_floats(Function function, See see, zeroi2v::executor& workers) {
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

int main(int count, char** arguments) {
    std::vector<std::string_view> const names(arguments + 1, arguments + count);
    auto const named = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    auto const activations = zeroi2v::test::all_activations();
    bool const isa_named = std::any_of(names.begin(), names.end(), [](std::string_view name) { return zeroi2v::isa_from_name(name).has_value(); });
    bool const function_named = std::any_of(names.begin(), names.end(), [](std::string_view name) { return !zeroi2v::isa_from_name(name); });
    zeroi2v::thread_team workers{static_cast<int>(std::thread::hardware_concurrency())};
    bool sound = true;
    std::size_t ran = 0;
    for (zeroi2v::isa const level : zeroi2v::built_isas()) {
        std::string_view const name = zeroi2v::to_string(level);
        if (!zeroi2v::supported(level) || (isa_named && !named(name))) continue;
        kernel_table const& table = zeroi2v::kernels(level);
        auto const report = [&](std::string_view function, char const* unit, worst const& seen, double bound) {
            std::printf("%-10s %-12s %.4f %s at %a, wrong class: %llu\n", name.data(), function.data(), seen.error, unit, static_cast<double>(seen.at),
                        static_cast<unsigned long long>(seen.wrong_class));
            std::fflush(stdout);
            sound = sound && seen.error <= bound && seen.wrong_class == 0;
            ++ran;
        };
        if (!function_named || named("exp")) report("exp", "ulp", all_floats(table.exp, see_exp, workers), 2);
        for (zeroi2v::activation const act : activations) {
            if (function_named ? !named(zeroi2v::to_string(act)) : act == zeroi2v::activation::none) continue;
            auto const& kernel = table.of(act);
            auto const slope = [&](float const* x, float* y, std::size_t n) noexcept {
                std::fill_n(y, n, 1.0F);
                kernel.backward(x, y, y, n);
            };
            auto const see_value = [act](float x, float got, worst& seen) { see_ratio(zeroi2v::test::value_error(act, x, got), x, seen); };
            auto const see_slope = [act](float x, float got, worst& seen) { see_ratio(zeroi2v::test::derivative_error(act, x, got), x, seen); };
            report(zeroi2v::to_string(act), "of the bound", all_floats(kernel.forward, see_value, workers), 1);
            report(std::string{zeroi2v::to_string(act)} + "'", "of the bound", all_floats(slope, see_slope, workers), 1);
        }
    }
    return ran == 0 ? 2 : sound ? 0 : 1;
}
