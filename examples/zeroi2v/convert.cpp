// convert: any file of weights that can be read, as safetensors under ZeroI2V's names, each tensor in its own dtype.
#include "checkpoint_source.hpp"
#include "commands.hpp"
#include "model_source.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/model/stated_config.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

/// What must be there: the image model, and adapters and head as far as the file has any of them.
std::vector<std::string> required_names(vit_file const& file) {
    auto names = file.expected_names();
    std::erase_if(names, [&](std::string const& name) {
        bool const video_part = name == "backbone.temporal_embedding" || name.starts_with("cls_head.");
        return video_part && !file.shapes().has_video_parts() && !file.has_adapters();
    });
    return names;
}

int run_convert(arguments const& typed, console const& out) {
    model_options const choice{typed};
    auto const options = to_load_options(tolerance_options{typed});
    std::filesystem::path const input = *typed.operand(0);
    auto const inputs = inputs_of(choice, {input});
    auto const target = output_path(typed, inputs);

    stopwatch const clock;
    progress shown{out, "convert"};
    checkpoint const opened = open_checkpoint(input);
    vit_file const file = open_vit(opened);
    auto const names = required_names(file);
    file.require_names(names, options);
    auto const stated = file.stated(choice.stated);
    std::set<std::string_view> const wanted(names.begin(), names.end());

    // Shapes among themselves: with all sizes but those that no file says.
    stated_config sizes = stated;
    if (!sizes.frames) sizes.frames = 1;
    if (!sizes.classes) sizes.classes = 1;
    if (!sizes.heads) {
        sizes.heads = 1;
        sizes.head_offsets = std::vector<int>{0};
    } else if (!sizes.head_offsets) {
        sizes.head_offsets = std::vector<int>(*sizes.heads, 0);
    }
    if (!sizes.adapter_scale) sizes.adapter_scale = 1.0;
    vit_weights<with_adapters> const like{complete(sizes, true), file.layout()};
    for_each_tensor(like, [&](std::string const& name, stored_tensor const&, shape const& expected, parameter_role) {
        if (wanted.contains(name)) file.require_fit(name, expected);
    });

    file_metadata metadata = opened.metadata();
    std::erase_if(metadata, [](auto const& entry) { return entry.first == metadata_key::version || entry.first == metadata_key::config; });
    metadata.emplace(metadata_key::version, version_string);
    metadata.emplace(metadata_key::merged, "false");
    if (choice.stated || file.metadata().config) metadata.emplace(metadata_key::config, to_json(stated).dump());
    if (choice.named) {
        metadata.insert_or_assign(metadata_key::input, to_json(or_else(stated_by(choice.named->input), file.metadata().input)).dump());
        if (choice.named->sizes.classes == stated.classes) metadata.insert_or_assign(metadata_key::labels, std::string{choice.named->labels});
    }

    note_left_out(file, names, out);
    std::vector<tensor_info> declared;
    for (auto const& name : names) declared.push_back(*file.shapes().find(name));
    safetensors_writer writer{target, std::move(declared), {.metadata = std::move(metadata), .inputs = inputs}};
    shown.expect(names.size());
    std::size_t done = 0;
    for (auto const& info : writer.tensors()) {
        auto const tensor = file.source().read(info.name);
        require_sound_weight(file.name(), info.name, tensor, options);
        writer.append(info.name, tensor);
        shown.step(++done);
    }
    writer.commit();
    out.print_unless_quiet(file.name() + " -> " + printable(target.native(), 4096) + ": " + std::to_string(names.size()) + " tensors, "
                           + fixed(clock.seconds(), 2) + " s\n");
    return 0;
}

} // namespace

command convert_command() {
    return {{"convert",
             "writes any readable checkpoint as safetensors under ZeroI2V's names",
             {{"IN", ".pth, .pt (PyTorch 1.6 or later), TorchScript or safetensors; ZeroI2V, CLIP, Hugging Face or timm names"}},
             {{output_option()}, model_group(), common_group()},
             "Every tensor keeps its dtype. With a model its configuration is written into the file, after it agreed with the shapes."},
            run_convert};
}

} // namespace zeroi2v::program
