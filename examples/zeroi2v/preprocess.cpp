// preprocess: a video as the tensor that a model takes.
#include "clips.hpp"
#include "commands.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/model/stated_input.hpp>

#include <string>
#include <utility>

namespace zeroi2v::program {
namespace {

int run_preprocess(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const typed_input{typed, choice};
    std::filesystem::path const input = *typed.operand(0);
    std::vector<std::filesystem::path> inputs{input};
    if (choice.config_file) inputs.push_back(*choice.config_file);
    auto const target = output_path(typed, inputs);
    if (!choice.stated || !choice.stated->frames || !choice.stated->image_size)
        throw model_error{error_code::bad_config, "preprocess: frames and image_size are not stated; a video does not hold them: give --preset or --config"};
    auto const config = complete(typed_input.stated, input_use::views);

    progress const shown{out, "preprocess"};
    auto const video = read_video(input, config, *choice.stated->frames, *choice.stated->image_size, typed_input.decoding, threads_option(typed), out);

    file_metadata metadata{{metadata_key::version, version_string},
                           {metadata_key::config, to_json(*choice.stated).dump()},
                           {metadata_key::input, to_json(typed_input.stated).dump()}};
    during_work([&] { write_safetensors(target, {{"clip", video.clip}, {"frame_indices", video.indices}}, {.metadata = std::move(metadata), .inputs = inputs}); });
    out.print_unless_quiet(printable(input.native(), 4096) + " -> " + printable(target.native(), 4096) + ": " + std::to_string(video.report.decoded)
                           + " frames, " + std::to_string(video.clip.extent(0)) + (video.clip.extent(0) == 1 ? " view" : " views") + "; decoding "
                           + fixed(video.decode_seconds, 3) + " s, preprocessing " + fixed(video.preprocess_seconds, 3) + " s\n");
    return 0;
}

} // namespace

command preprocess_command() {
    return {{"preprocess",
             "writes the views of a video as tensors",
             {{"VIDEO", "any file that FFmpeg decodes"}},
             {{output_option("CLIPS.safetensors")}, model_group(), input_group(), common_group()},
             "Tensors: clip (V,T,3,S,S) F32, frame_indices (V,T) I64; V = crops * clips, crop by crop."},
            run_preprocess};
}

} // namespace zeroi2v::program
