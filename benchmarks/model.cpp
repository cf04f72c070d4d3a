// Whole models, random weights: plain image ViT, adapted, merged; seconds per clip and share of the FMA limit measured beside.
//   bin/benchmark_model --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/ops/fma_limit.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using namespace zeroi2v;

constexpr std::size_t threads = 2;

/// The limit is measured before and after, and the better counts: others on the machine slow down either.
template <class Engine>
void forward(benchmark::State& state, Engine const& engine, vit_config const& config) {
    auto workspace = engine.make_workspace();
    auto const clip = random_clip(config, 1);
    std::vector<float> logits(config.classes());
    double limit = measure_fma_limit(engine.kernels(), workspace.workers());
    for (auto _ : state) {
        engine.forward(clip, workspace, logits);
        benchmark::DoNotOptimize(logits.data());
    }
    limit = std::max(limit, measure_fma_limit(engine.kernels(), workspace.workers()));
    double const flops = config.flops() * static_cast<double>(state.iterations());
    state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
    state.counters["of_limit"] = benchmark::Counter(flops / limit, benchmark::Counter::kIsRate);
    state.counters["workspace_MB"] = static_cast<double>(workspace.bytes()) * 1e-6;
    state.counters["weights_MB"] = static_cast<double>(engine.weight_bytes()) * 1e-6;
}

void plain(benchmark::State& state, preset const& p, dtype type) {
    vit_config const config{p.sizes, frame_map<>{p.sizes.heads}};
    vit_engine const engine{random_weights<no_adapters>(config, adapter_layout::none(), {}), {.dtype = type, .threads = threads, .kernels = &kernels_from_environment()}};
    forward(state, engine, config);
}

void adapted(benchmark::State& state, preset const& p, dtype type) {
    vit_config const config = p.config();
    vit_engine const engine{random_weights<with_adapters>(config, default_adapters(config.width()), {.adapters = adapter_init::random}),
                            {.dtype = type, .threads = threads, .kernels = &kernels_from_environment()}};
    forward(state, engine, config);
}

void merged(benchmark::State& state, preset const& p, dtype type) {
    vit_config const config = p.config().without_adapter_scale(); // the same type, map and cost as a merged file's model
    vit_engine const engine{random_weights<no_adapters>(config, adapter_layout::none(), {}), {.dtype = type, .threads = threads, .kernels = &kernels_from_environment()}};
    forward(state, engine, config);
}

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    benchmark::AddCustomContext("isa", std::string{to_string(kernels_from_environment().level)});
    benchmark::AddCustomContext("threads", std::to_string(threads));
    using function = void (*)(benchmark::State&, preset const&, dtype);
    struct variant { char const* name; function run; };
    for (preset const& p : {presets::clip_b16_k400_8f, presets::clip_l14_k400_8f, presets::clip_b16_hmdb51_32f})
        for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8})
            for (variant const& v : {variant{"plain", plain}, variant{"adapted", adapted}, variant{"merged", merged}})
                benchmark::RegisterBenchmark((std::string{p.name} + "/" + std::string{dtype_name(type)} + "/" + v.name).c_str(), v.run, p, type)
                    ->Unit(benchmark::kMillisecond)->Iterations(1)->UseRealTime();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
