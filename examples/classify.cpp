// Classifies a video with an official checkpoint: load, merge with proof, decode, answer.
//   example_classify CHECKPOINT VIDEO [PRESET]
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/video/preprocess.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <algorithm>
#include <cstdio>

int main(int argc, char** argv) try {
    if (argc < 3) throw zeroi2v::usage_error{zeroi2v::error_code::usage, "example_classify CHECKPOINT VIDEO [PRESET]"};
    auto const chosen = zeroi2v::presets::find(argc > 3 ? argv[3] : "clip-b16-k400-8f");
    if (!chosen) throw zeroi2v::usage_error{zeroi2v::error_code::bad_option, "no such preset"};

    // The head map and the adapter scale come from the preset; a checkpoint does not hold them.
    auto const file = zeroi2v::load_checkpoint(argv[1]);
    auto const adapted = zeroi2v::load_adapted_vit(file, *chosen);
    auto const [model, proof] = zeroi2v::merge(adapted, {.threads = 2, .kernels = &zeroi2v::best_kernels()});
    std::printf("merged: %s\n", zeroi2v::to_string(proof.probe).c_str());

    auto const video = zeroi2v::preprocess_video(argv[2], chosen->input, model.config.frames(), model.config.image_size());
    zeroi2v::vit_engine const engine{model, {.threads = 2, .kernels = &zeroi2v::best_kernels()}};
    auto workspace = engine.make_workspace();
    zeroi2v::dynamic_tensor<float, 2> logits{video.clip.extent(0), model.config.classes()}; // (V,K)
    engine.forward(video.clip, workspace, logits);

    for (std::size_t v = 0; v < logits.extent(0); ++v) {
        float const* const row = &logits(v, 0);
        std::printf("view %zu: class %td\n", v, std::max_element(row, row + logits.extent(1)) - row);
    }
} catch (zeroi2v::error const& e) {
    std::fprintf(stderr, "example_classify: error[%s]: %s\n", std::string{e.code_name()}.c_str(), e.what());
    return e.exit_status();
}
