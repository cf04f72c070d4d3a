// The ops that pass over memory: layer_norm, softmax, quick_gelu, exp, and the gathering of patches.
//   bin/benchmark_ops_rows --benchmark_repetitions=7
#include "ops_common.hpp"

#include <zeroi2v/ops/layer_norm.hpp>
#include <zeroi2v/ops/patch_embed.hpp>
#include <zeroi2v/ops/quick_gelu.hpp>
#include <zeroi2v/ops/softmax.hpp>

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

void quick_gelu_1576x3072(benchmark::State& state) {
    auto const x = bench::normal_floats(1576 * 3072, 1);
    std::vector<float> y(x.size());
    bench::measure_elements(state, x.size(), 8 * x.size(), [&] { quick_gelu(kernels_from_environment(), bench::workers(), x, y); });
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
BENCHMARK(quick_gelu_1576x3072)->UseRealTime();
BENCHMARK(exp_in_cache);
BENCHMARK(gather_patches_8x224)->UseRealTime();

} // namespace
