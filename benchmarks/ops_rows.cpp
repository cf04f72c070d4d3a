// The ops that pass over memory: layer_norm, softmax, activations and their gradients, exp, and the gathering of patches.
//   bin/benchmark_ops_rows --benchmark_repetitions=7
#include "ops_common.hpp"

#include <zeroi2v/ops/activation.hpp>
#include <zeroi2v/ops/layer_norm.hpp>
#include <zeroi2v/ops/patch_embed.hpp>
#include <zeroi2v/ops/softmax.hpp>

#include <string>

namespace {

using namespace zeroi2v;

void layer_norm_1576x768(benchmark::State& state) {
    auto const x = bench::normal_floats(1576 * 768, 1);
    auto const weight = bench::normal_floats(768, 2);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] {
        layer_norm(kernels_from_environment(), bench::workers(), {x.data(), 1576, 768}, weight, weight, {y.data(), 1576, 768});
    });
}

void softmax_2364x197(benchmark::State& state) {
    auto const x = bench::normal_floats(2364 * 197, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] {
        softmax(kernels_from_environment(), bench::workers(), {x.data(), 2364, 197}, {y.data(), 2364, 197});
    });
}

void activation_1576x3072(benchmark::State& state, activation act) {
    auto const x = bench::normal_floats(1576 * 3072, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] { activate(kernels_from_environment(), bench::workers(), act, x, y); });
}

void activation_in_cache(benchmark::State& state, activation act) {
    auto const x = bench::normal_floats(2048, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] { kernels_from_environment().of(act).forward(x.data(), y.data(), x.size()); });
}

void activation_backward_in_cache(benchmark::State& state, activation act) {
    auto const x = bench::normal_floats(2048, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 12 * x.size(), [&] { kernels_from_environment().of(act).backward(x.data(), x.data(), y.data(), x.size()); });
}

void exp_in_cache(benchmark::State& state) {
    auto const x = bench::normal_floats(2048, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] { kernels_from_environment().exp(x.data(), y.data(), x.size()); });
}

void gather_patches_8x224(benchmark::State& state) {
    auto const clip = bench::normal_floats(8 * 3 * 224 * 224, 1);
    std::vector<float> rows(clip.size());
    view<float const, 4> const frames{clip.data(), std::size_t{8}, std::size_t{3}, std::size_t{224}, std::size_t{224}};
    bench::measure_elements(state, clip.size(), 8 * clip.size(), [&] {
        gather_patches(bench::workers(), frames, 16, {rows.data(), 1568, 768});
    });
}

BENCHMARK(layer_norm_1576x768)->UseRealTime();
BENCHMARK(softmax_2364x197)->UseRealTime();
BENCHMARK(exp_in_cache);
BENCHMARK(gather_patches_8x224)->UseRealTime();

[[maybe_unused]] bool const registered = [] {
    for (std::size_t i = 1; i < activation_count; ++i) {
        auto const act = static_cast<activation>(i);
        std::string const name{to_string(act)};
        benchmark::RegisterBenchmark((name + "_1576x3072").c_str(), [act](benchmark::State& state) { activation_1576x3072(state, act); })->UseRealTime();
        benchmark::RegisterBenchmark((name + "_in_cache").c_str(), [act](benchmark::State& state) { activation_in_cache(state, act); });
        benchmark::RegisterBenchmark((name + "_backward_in_cache").c_str(), [act](benchmark::State& state) { activation_backward_in_cache(state, act); });
    }
    return true;
}();

} // namespace
