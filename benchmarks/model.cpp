// Whole models, random weights: seconds per clip and share of the FMA limit measured beside.
//   variants   clip-b16-k400-8f/F32/merged      plain image ViT, adapted, merged; f32, bf16, int8; B/16 with 8, 16, 32 frames, L/14
//   threads    threads/4                        merged B/16, 8 frames, f32, from one thread to all processors
//   frames     frames/16                        the same by clip length, T = 1 to 32
//   pixels     image_size/288                   the same by image size
//
//   bin/benchmark_model --benchmark_filter=threads --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/ops/fma_limit.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace zeroi2v;

struct setup {
    std::string name;
    vit_config config; ///< with an adapter scale: adapted
    dtype type = dtype::f32;
    std::size_t threads = 2;
};

/// The limit is measured before and after, and the better counts: others on the machine slow down either.
template <class Engine>
void forward(benchmark::State& state, Engine const& engine) {
    vit_config const& config = engine.config();
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

void run(benchmark::State& state, setup const& s) {
    engine_options const options{.dtype = s.type, .threads = s.threads, .kernels = &kernels_from_environment()};
    if (s.config.adapter_scale()) {
        auto weights = random_weights<with_adapters>(s.config, default_adapters(s.config.width()), {.adapters = adapter_init::random});
        forward(state, vit_engine{std::move(weights), options});
    } else {
        auto weights = random_weights<no_adapters>(s.config, adapter_layout::none(), {});
        forward(state, vit_engine{std::move(weights), options});
    }
}

/// Merged B/16 of 8 frames, its sizes changed: the type, map and cost of a merged file's model.
vit_config merged_b16(std::size_t frames, std::size_t image_size) {
    auto sizes = presets::clip_b16_k400_8f.sizes;
    sizes.frames = frames;
    sizes.image_size = image_size;
    return {sizes, presets::clip_b16_k400_8f.config().map(), std::nullopt};
}

std::vector<setup> setups() {
    std::vector<setup> all;
    for (preset const& p : {presets::clip_b16_k400_8f, presets::clip_b16_ssv2_16f, presets::clip_b16_hmdb51_32f, presets::clip_l14_k400_8f})
        for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
            std::string const name = std::string{p.name} + "/" + std::string{dtype_name(type)};
            all.push_back({name + "/plain", {p.sizes, frame_map<>{p.sizes.heads}, std::nullopt}, type});
            all.push_back({name + "/adapted", p.config(), type});
            all.push_back({name + "/merged", p.config().without_adapter_scale(), type});
        }
    for (std::size_t threads = 1; threads <= std::max(std::thread::hardware_concurrency(), 1U); threads *= 2)
        all.push_back({"threads/" + std::to_string(threads), merged_b16(8, 224), dtype::f32, threads});
    for (std::size_t const frames : {1U, 2U, 4U, 8U, 16U, 32U}) all.push_back({"frames/" + std::to_string(frames), merged_b16(frames, 224)});
    for (std::size_t const size : {112U, 160U, 224U, 288U, 336U}) all.push_back({"image_size/" + std::to_string(size), merged_b16(8, size)});
    return all;
}

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    benchmark::AddCustomContext("isa", std::string{to_string(kernels_from_environment().level)});
    benchmark::AddCustomContext("threads", "2, but for threads/N");
    auto const all = setups();
    for (setup const& each : all)
        benchmark::RegisterBenchmark(each.name.c_str(), [&each](benchmark::State& state) { run(state, each); })
            ->Unit(benchmark::kMillisecond)->Iterations(1)->UseRealTime();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
