// ours: this library as one contestant of benchmarks/peers: one model in one process, timed once per line on stdin.
//   peers_ours MODEL.safetensors CLIP.safetensors adapted|merged|plain|limit f32|bf16|int8 THREADS
// MODEL is adapted for `adapted`, else merged; `plain` takes the merged weights with every head at its own frame. `limit`
// answers with the seconds that the model's work would take in a loop that does nothing but FMAs on registers.
// Prints one JSON object when it is warm, then the seconds of one forward per line read, at the end VmHWM in bytes.
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/load_engine.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/ops/fma_limit.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace {

using namespace zeroi2v;

std::size_t peak_bytes() {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) * 1024;
    return 0;
}

dynamic_tensor<float, 5> read_clip(char const* path, vit_config const& config) {
    safetensors_file const file{path};
    auto const stored = file.read("clip");
    std::size_t const size = config.image_size();
    dynamic_tensor<float, 5> clip{std::size_t{1}, config.frames(), std::size_t{3}, size, size};
    stored.widen(0, {clip.data(), clip.size()});
    return clip;
}

template <class Once>
void serve(Once once) {
    for (std::string line; std::getline(std::cin, line);) std::printf("%.9g\n", once()), std::fflush(stdout);
    std::printf("%zu\n", peak_bytes());
}

template <class Engine>
void answer(Engine const& engine, char const* clip_path) {
    auto workspace = engine.make_workspace();
    dynamic_tensor<float, 2> logits{std::size_t{1}, engine.config().classes()};
    auto const clip = read_clip(clip_path, engine.config());
    engine.forward(clip, workspace, logits);
    std::printf("{\"isa\":\"%s\",\"gflop\":%.6f,\"logits\":[", std::string{to_string(engine.kernels().level)}.c_str(), engine.config().flops() * 1e-9);
    for (std::size_t k = 0; k < logits.size(); ++k) std::printf("%s%.9g", k == 0 ? "" : ",", static_cast<double>(logits.data()[k]));
    std::printf("]}\n");
    std::fflush(stdout);
    serve([&] {
        auto const before = std::chrono::steady_clock::now();
        engine.forward(clip, workspace, logits);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
    });
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 6) throw usage_error{error_code::usage, "peers_ours MODEL CLIP adapted|merged|plain|limit f32|bf16|int8 THREADS"};
    std::string_view const variant = argv[3], type = argv[4];
    engine_options const options{.dtype = type == "bf16" ? dtype::bf16 : type == "int8" ? dtype::i8 : dtype::f32,
                                 .threads = std::stoul(argv[5]), .kernels = &kernels_from_environment()};
    auto const file = load_checkpoint(argv[1]);
    vit_file const source{file};
    auto const config = source.config();
    if (variant == "limit") {
        std::printf("{\"isa\":\"%s\",\"gflop\":%.6f,\"logits\":null}\n", std::string{to_string(options.kernels->level)}.c_str(), config.flops() * 1e-9);
        std::fflush(stdout);
        thread_team team{static_cast<int>(options.threads)};
        serve([&] { return config.flops() / measure_fma_limit(*options.kernels, team); });
    } else if (variant == "adapted") {
        answer(load_engine<with_adapters>(source, config, options), argv[2]);
    } else {
        vit_config const image{config.sizes(), frame_map<>{config.heads()}, std::nullopt};
        answer(load_engine<no_adapters>(source, variant == "plain" ? image : config, options), argv[2]);
    }
} catch (zeroi2v::error const& e) {
    std::fprintf(stderr, "peers_ours: %s\n", e.what());
    return e.exit_status();
}
