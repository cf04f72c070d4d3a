// logits, features: what the model makes of clips, as tensors.
#include "answers.hpp"
#include "clips.hpp"
#include "commands.hpp"
#include "model_source.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <string>
#include <utility>

namespace zeroi2v::program {
namespace {

std::string summary(std::filesystem::path const& input, std::filesystem::path const& target, std::size_t views, double model_s) {
    return printable(input.native(), 4096) + " -> " + printable(target.native(), 4096) + ": " + std::to_string(views) + (views == 1 ? " view" : " views")
           + ", model " + fixed(model_s, 3) + " s\n";
}

int run_logits(arguments const& typed, console const& out) {
    model_options const choice{typed};
    run_options const run{typed, out};
    std::filesystem::path const checkpoint_path = *typed.operand(0), clips_path = *typed.operand(1);
    auto const inputs = inputs_of(choice, {checkpoint_path, clips_path});
    auto const target = output_path(typed, inputs);

    progress shown{out, "views"};
    auto const model = open_model(checkpoint_path, choice, tolerance_options{typed}, out);
    auto const clips = read_clips(clips_path, model.config.frames(), model.config.image_size());
    auto const engine = start_model(model, run, out);
    dynamic_tensor<float, 2> logits{clips.extent(0), model.config.classes()};
    shown.expect(clips.extent(0));
    stopwatch const clock;
    engine->forward(clips, logits, &shown);
    double const seconds = clock.seconds();
    require_finite(logits, printable(clips_path.native(), 4096));
    during_work([&] { write_safetensors(target, {{"logits", logits}}, {.metadata = metadata_of(model, choice), .inputs = inputs}); });
    out.print_unless_quiet(summary(clips_path, target, clips.extent(0), seconds));
    return 0;
}

int run_features(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const input{typed, choice};
    run_options const run{typed, out};
    std::filesystem::path const checkpoint_path = *typed.operand(0), source_path = *typed.operand(1);
    bool const from_clips = is_clips_file(source_path);
    if (from_clips && input.any)
        throw usage_error{error_code::bad_option, printable(source_path.native(), 4096) + ": clips are cut already, none of --sampling, --interval, --clips, "
                                                                                          "--crops, --resize, --normalize, --average, --lenient, --max-packets, --max-pixels, --max-total-pixels expected"};
    auto const inputs = inputs_of(choice, {checkpoint_path, source_path});
    auto const target = output_path(typed, inputs);

    progress shown{out, "views"};
    auto const model = open_model(checkpoint_path, choice, tolerance_options{typed}, out);
    auto const& c = model.config;
    auto metadata = metadata_of(model, choice);
    std::optional<frame_indices> indices;
    auto const clips = [&] {
        if (from_clips) return read_clips(source_path, c.frames(), c.image_size());
        auto const views = input_of(model, input, input_use::views);
        metadata.insert_or_assign(metadata_key::input, to_json(or_else(input.stated, model.file->metadata().input)).dump());
        auto video = read_video(source_path, views, c.frames(), c.image_size(), input.decoding, run.threads, out);
        indices = std::move(video.indices);
        return std::move(video.clip);
    }();
    auto const engine = start_model(model, run, out);
    dynamic_tensor<float, 3> features{clips.extent(0), c.frames(), c.width()};
    shown.expect(clips.extent(0));
    stopwatch const clock;
    engine->features(clips, features, &shown);
    double const seconds = clock.seconds();
    require_finite(view<float const, 2>{features.data(), features.extent(0) * features.extent(1), features.extent(2)}, printable(source_path.native(), 4096));
    std::vector<tensor_ref> tensors{{"features", features}};
    if (indices) tensors.emplace_back("frame_indices", *indices);
    during_work([&] { write_safetensors(target, tensors, {.metadata = std::move(metadata), .inputs = inputs}); });
    out.print_unless_quiet(summary(source_path, target, clips.extent(0), seconds));
    return 0;
}

} // namespace

command logits_command() {
    return {{"logits",
             "computes the logits of clips",
             {{"CKPT", "a checkpoint, adapted or merged"}, {"CLIPS.safetensors", "its tensor clip, (T,3,S,S) or (V,T,3,S,S); others are ignored"}},
             {{output_option()}, model_group(), run_group(), common_group()},
             "Tensor: logits (V,K) F32."},
            run_logits};
}

command features_command() {
    return {{"features",
             "computes a vector per frame of a video or of clips",
             {{"CKPT", "a checkpoint, adapted or merged"}, {"VIDEO|CLIPS", "a video, or what preprocess wrote"}},
             {{output_option()}, model_group(), input_group(), run_group(), common_group()},
             "Tensor: features (V,T,C) F32, the normalised class token of each frame; of a video also frame_indices (V,T) I64."},
            run_features};
}

} // namespace zeroi2v::program
