// init: a model to train from: fresh adapters, temporal embedding and head around an image checkpoint or random weights.
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
#include <zeroi2v/io/safetensors/safetensors_json.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/stated_config.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

/// What a temporal model adds to its image model is not the image model's to say.
void forget_video_parts(stated_config& stated) {
    stated.frames.reset();
    stated.classes.reset();
    stated.adapter_scale.reset();
}

struct image_source {
    std::optional<checkpoint> opened;
    std::optional<vit_file> file;
};

image_source open_image(std::filesystem::path const& path) {
    image_source source;
    source.opened.emplace(open_checkpoint(path));
    source.file.emplace(open_vit(*source.opened));
    auto const& file = *source.file;
    if (file.has_adapters())
        throw model_error{error_code::unexpected_tensors, file.name() + ": adapters found, an image model without any expected"};
    if (auto const frames = file.shapes().stated().frames; frames && *frames != 1)
        throw model_error{error_code::bad_config, file.name() + ": temporal embedding of " + std::to_string(*frames)
                                                      + " frames found, an image model, or one frame, expected"};
    return source;
}

/// Options, then MODEL; an image file must agree with both, and says the rest.
vit_config config_of(arguments const& typed, model_options const& choice, image_source const& image, bool adapters, stated_config& stated) {
    stated = choice.stated.value_or(stated_config{});
    auto const option = [&](char const* name, std::optional<std::size_t> stated_config::*field) {
        if (auto const number = typed.number(name, 1, std::uint64_t{1} << 20U)) stated.*field = static_cast<std::size_t>(*number);
    };
    option("--frames", &stated_config::frames);
    option("--classes", &stated_config::classes);
    if (stated.source.empty()) stated.source = "options";
    if (image.file) {
        auto shapes = image.file->shapes().stated();
        forget_video_parts(shapes);
        if (auto own = image.file->metadata().config) {
            forget_video_parts(*own);
            if (choice.stated) own->head_offsets.reset(); // the map is what makes a video model of it
            stated = agree(std::move(stated), *own);
        }
        stated = agree(std::move(stated), shapes);
    }
    return complete(stated, adapters);
}

/// Fills what the image file has; the rest stays empty, to be drawn.
template <class Adapters>
void take_image(vit_weights<Adapters>& weights, vit_file const& file, load_options options, console const& out) {
    std::vector<std::string> image;
    std::vector<shape> sizes;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const&, shape const& expected, parameter_role role) {
        bool const fresh = name.ends_with("temporal_embedding") || role == parameter_role::head_weight || role == parameter_role::head_bias
                           || role == parameter_role::adapter_in_weight || role == parameter_role::adapter_in_bias
                           || role == parameter_role::adapter_out_weight || role == parameter_role::adapter_out_bias;
        if (fresh) return;
        image.push_back(name);
        sizes.push_back(expected);
    });
    auto known = image;
    for (char const* const dropped : {"backbone.temporal_embedding", "cls_head.fc_cls.weight", "cls_head.fc_cls.bias"})
        if (file.shapes().find(dropped) != nullptr) known.emplace_back(dropped);
    file.require_names(known, options);
    for (std::size_t i = 0; i < image.size(); ++i) file.require_fit(image[i], sizes[i]);
    note_left_out(file, known, out);
    std::set<std::string_view> const wanted(image.begin(), image.end());
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) {
        if (!wanted.contains(name)) return;
        tensor = file.source().read(name);
        require_sound_weight(file.name(), name, tensor, options);
    });
}

/// Errors  more tensors than a file may hold -> model_error bad_config.
template <class Adapters>
void require_room(vit_weights<Adapters> const& weights, std::string const& source) {
    std::size_t tensors = 0;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const&, shape const&, parameter_role) { ++tensors; });
    if (tensors > safetensors_max_tensors)
        throw model_error{error_code::bad_config, source + ": layers: " + std::to_string(weights.config.layers()) + " found, they have "
                                                      + std::to_string(tensors) + " tensors, at most " + std::to_string(safetensors_max_tensors) + " in a file expected"};
}

int run_init(arguments const& typed, console const& out) {
    model_options const choice{typed};
    auto const options = to_load_options(tolerance_options{typed});
    auto const seed = typed.number("--seed", 0, std::numeric_limits<std::uint64_t>::max()).value_or(0);
    auto const adapters = typed.choice("--adapters", {"zero", "random", "none"}).value_or("zero");
    auto const image_path = typed.operand(0);
    static_cast<void>(typed.number("--frames", 1, std::uint64_t{1} << 20U));
    static_cast<void>(typed.number("--classes", 1, std::uint64_t{1} << 20U));
    auto const inputs = inputs_of(choice, image_path ? std::vector<std::filesystem::path>{*image_path} : std::vector<std::filesystem::path>{});
    auto const target = output_path(typed, inputs);

    stopwatch const clock;
    auto const image = image_path ? open_image(*image_path) : image_source{};
    stated_config stated;
    auto const config = config_of(typed, choice, image, adapters != "none", stated);

    file_metadata metadata{{metadata_key::version, version_string},
                           {metadata_key::config, to_json(stated).dump()},
                           {metadata_key::merged, "false"},
                           {metadata_key::untrained, image.file ? "head, temporal embedding, adapters" : "all"},
                           {"zeroi2v.seed", std::to_string(seed)}};
    if (choice.named) metadata.emplace(metadata_key::input, to_json(stated_by(choice.named->input)).dump());
    if (choice.named && choice.named->sizes.classes == config.classes()) metadata.emplace(metadata_key::labels, std::string{choice.named->labels});
    safetensors_options const writing{.metadata = std::move(metadata), .inputs = inputs};

    init_options const drawing{.seed = seed, .adapters = adapters == "random" ? adapter_init::random : adapter_init::zero};
    std::size_t parameters = 0;
    progress const shown{out, "init"};
    auto const make = [&](auto weights) {
        require_room(weights, stated.source);
        if (image.file) take_image(weights, *image.file, options, out);
        draw_missing(weights, drawing);
        parameters = parameter_count(weights);
        during_work([&] { save_vit(target, weights, writing); });
    };
    if (adapters == "none") make(merged_vit{config, adapter_layout::none()});
    else make(adapted_vit{config, default_adapters(config.width())});
    out.print_unless_quiet(printable(target.native(), 4096) + ": " + std::to_string(parameters) + " parameters, adapters " + adapters + ", seed "
                           + std::to_string(seed) + (image.file ? "; untrained: head, temporal embedding, adapters" : "; untrained: all")
                           + ", " + fixed(clock.seconds(), 2) + " s\n");
    return 0;
}

} // namespace

command init_command() {
    return {{"init",
             "makes a model to train from, around an image checkpoint or random weights",
             {{"IMAGE_CKPT", "a CLIP image checkpoint, or one of ours with one frame and no adapters", false}},
             {{output_option(), {"--classes", "N", "classes of the new head (default: the model's)"},
               {"--frames", "T", "frames of a clip (default: the model's)"}, {"--seed", "N", "of the drawn weights (default 0)"},
               {"--adapters", "zero|random|none", "zero: the model answers as its image model (default)"}},
              model_group(), common_group()},
             "Drawn weights have the same bits on every machine."},
            run_init};
}

} // namespace zeroi2v::program
