// ours_cuda: this library on a CUDA device as one contestant of benchmarks/peers/on_cuda.py, the protocol that of ours.cpp.
//   peers_ours_cuda MODEL.safetensors CLIP.safetensors adapted|merged|plain f32|bf16|f16 BATCH
// Prints one JSON object when it is warm, then the seconds of one forward of BATCH copies of the clip per line read, at the end
// the bytes of weights and workspace on the device. A forward begins with clips in the host's memory and ends with logits there.
#include "cuda_runner.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>

namespace {

using namespace zeroi2v;

dynamic_tensor<float, 5> read_clips(char const* path, vit_config const& config, std::size_t batch) {
    safetensors_file const file{path};
    auto const stored = file.read("clip");
    std::size_t const size = config.image_size();
    dynamic_tensor<float, 5> clips{batch, config.frames(), std::size_t{3}, size, size};
    std::size_t const each = clips.size() / batch;
    stored.widen(0, {clips.data(), each});
    for (std::size_t b = 1; b < batch; ++b) std::copy_n(clips.data(), each, clips.data() + b * each);
    return clips;
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 6) throw usage_error{error_code::usage, "peers_ours_cuda MODEL CLIP adapted|merged|plain f32|bf16|f16 BATCH"};
    std::string_view const variant = argv[3], type = argv[4];
    std::size_t const batch = std::stoul(argv[5]);
    auto const file = load_checkpoint(argv[1]);
    vit_file const source{file};
    auto config = source.config();
    if (variant == "plain") config = vit_config{config.sizes(), frame_map<>{config.heads()}, std::nullopt};
    auto const read = [&](std::string const& name, stored_tensor& into) { into = source.read_weight(name); };
    auto const runner = program::cuda_runner_of(config, source.layout(), source.has_adapters(), read,
                                                type == "bf16" ? dtype::bf16 : type == "f16" ? dtype::f16 : dtype::f32);
    auto const clips = read_clips(argv[2], config, batch);
    dynamic_tensor<float, 2> logits{batch, config.classes()};
    for (int i = 0; i < 4; ++i) runner->forward(clips, logits); // plans, graph, its first replay
    std::printf("{\"device\":\"%s\",\"gflop\":%.6f,\"logits\":[", runner->description().c_str(), config.flops() * 1e-9);
    for (std::size_t k = 0; k < config.classes(); ++k) std::printf("%s%.9g", k == 0 ? "" : ",", static_cast<double>(logits.data()[k]));
    std::printf("]}\n");
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        auto const before = std::chrono::steady_clock::now();
        runner->forward(clips, logits);
        std::printf("%.9g\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count());
        std::fflush(stdout);
    }
    std::printf("%zu\n", runner->bytes());
} catch (zeroi2v::error const& e) {
    std::fprintf(stderr, "peers_ours_cuda: %s\n", e.what());
    return e.exit_status();
}
