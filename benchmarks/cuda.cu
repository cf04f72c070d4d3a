// Whole models on a device, random weights: seconds per batch, TFLOP/s, and the share of the card's dense rate of 16-bit products.
//   clip-b16/T8/batch32/BF16/merged      B/16 and L/14, 8, 16 and 32 frames, batches of 1, 8 and 32 clips; plain image ViT, merged (the same
//                                        with the preset's frame map), adapted; bf16, and f16, f32, TF32 for 8 frames and batches of 8
//   Times are of work on the device, input on the host: uploads overlap it, two batches are in flight.
//   Not yet run on a device.
//
//   bin/benchmark_cuda --benchmark_filter=clip-b16/T8 --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
#include <zeroi2v/cuda/engine_cuda.cuh>

#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace zeroi2v;

struct setup {
    vit_config config; ///< with an adapter scale: adapted
    cuda_options options;
    std::size_t batch = 1;
};

template <class Adapters>
void forward(benchmark::State& state, vit_weights<Adapters> const& weights, setup const& s) {
    engine_cuda const engine{weights, s.options};
    vit_config const& config = engine.config();
    auto workspace = engine.make_workspace(s.batch);
    dynamic_tensor<float, 5> clips{s.batch, config.frames(), std::size_t{3}, config.image_size(), config.image_size()};
    for (std::size_t v = 0; v < s.batch; ++v) {
        auto const clip = random_clip(config, v);
        std::copy_n(clip.data(), clip.size(), clips.data() + v * clip.size());
    }
    dynamic_tensor<float, 2> logits{s.batch, config.classes()};
    for (int warm = 0; warm < 3; ++warm) engine.forward(clips, workspace, logits); // plans, capture, first replay
    engine.submit(clips, workspace);
    for (auto _ : state) { // one batch is computed while the next one is copied
        engine.submit(clips, workspace);
        engine.collect(workspace, logits);
    }
    engine.collect(workspace, logits);
    double const flops = config.flops() * static_cast<double>(s.batch) * static_cast<double>(state.iterations());
    state.counters["TFLOP/s"] = benchmark::Counter(flops * 1e-12, benchmark::Counter::kIsRate);
    if (auto const rate = dense_half_rate(engine.device())) state.counters["of_dense_16_bit"] = benchmark::Counter(flops / *rate, benchmark::Counter::kIsRate);
    state.counters["clips/s"] = benchmark::Counter(static_cast<double>(s.batch) * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
    state.counters["workspace_MB"] = static_cast<double>(workspace.bytes()) * 1e-6;
    state.counters["weights_MB"] = static_cast<double>(engine.weight_bytes()) * 1e-6;
}

void run(benchmark::State& state, setup const& s) {
    try {
        if (s.config.adapter_scale())
            forward(state, random_weights<with_adapters>(s.config, default_adapters(s.config.width()), {.adapters = adapter_init::random}), s);
        else
            forward(state, random_weights<no_adapters>(s.config, adapter_layout::none(), {}), s);
    } catch (error const& fault) {
        state.SkipWithError(fault.what());
    }
}

void add(std::string const& model, preset const& p, std::size_t frames, std::size_t batch, std::string const& number, cuda_options options) {
    auto sizes = p.sizes;
    sizes.frames = frames;
    std::string const name = model + "/T" + std::to_string(frames) + "/batch" + std::to_string(batch) + "/" + number + "/";
    for (auto const& [form, config] : {std::pair{std::string{"plain"}, vit_config{sizes, frame_map<>{sizes.heads}}},
                                       std::pair{std::string{"merged"}, vit_config{sizes, frame_map<>{p.offsets()}}},
                                       std::pair{std::string{"adapted"}, vit_config{sizes, frame_map<>{p.offsets()}, p.adapter_scale}}})
        benchmark::RegisterBenchmark((name + form).c_str(), [s = setup{config, options, batch}](benchmark::State& state) { run(state, s); })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
}

} // namespace

int main(int argc, char** argv) {
    for (auto const& [model, p] : {std::pair{std::string{"clip-b16"}, presets::clip_b16_k400_8f}, std::pair{std::string{"clip-l14"}, presets::clip_l14_k400_8f}}) {
        for (std::size_t const frames : {8, 16, 32})
            for (std::size_t const batch : {1, 8, 32}) add(model, p, frames, batch, "BF16", {.dtype = dtype::bf16});
        add(model, p, 8, 8, "F16", {.dtype = dtype::f16});
        add(model, p, 8, 8, "F32", {});
        add(model, p, 8, 8, "TF32", {.tf32 = true});
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
