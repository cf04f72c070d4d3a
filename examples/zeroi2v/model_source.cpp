#include "model_source.hpp"

#include "checkpoint_source.hpp"

#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/config_json.hpp>
#include <zeroi2v/io/load_engine.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/model/vit_workspace.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <variant>

namespace zeroi2v::program {
namespace {

using any_engine = std::variant<vit_engine<with_adapters>, vit_engine<no_adapters>>;

any_engine engine_of(opened_model const& model, run_options const& run) {
    engine_options const options{.dtype = run.type, .threads = run.threads, .kernels = run.kernels};
    if (model.file->has_adapters()) return load_engine<with_adapters>(*model.file, model.config, options, model.tolerance);
    return load_engine<no_adapters>(*model.file, model.config, options, model.tolerance);
}

} // namespace

load_options to_load_options(tolerance_options const& tolerance) {
    return {.allow_extra = tolerance.allow_extra, .allow_nonfinite = tolerance.allow_nonfinite};
}

opened_model open_model(std::filesystem::path const& path, model_options const& model, tolerance_options const& tolerance) {
    auto opened = std::make_unique<checkpoint>(open_checkpoint(path));
    auto file = std::make_unique<vit_file>(open_vit(*opened));
    return open_model(std::move(opened), std::move(file), model, tolerance);
}

opened_model open_model(std::unique_ptr<checkpoint> opened, std::unique_ptr<vit_file> file, model_options const& model,
                        tolerance_options const& tolerance) {
    auto const options = to_load_options(tolerance);
    auto config = file->config(model.stated, options);
    auto stated = file->stated(model.stated);
    return {std::move(opened), std::move(file), std::move(stated), std::move(config), options};
}

void note_untrained(opened_model const& model, console const& out) {
    if (model.file->metadata().untrained)
        out.notice(model.file->name() + ": untrained weights (" + *model.file->metadata().untrained + "): its answers mean nothing");
}

input_config input_of(opened_model const& model, input_options const& input, input_use use) {
    return complete(or_else(input.stated, model.file->metadata().input), use);
}

class_names names_of(arguments const& typed, opened_model const& model, model_options const& choice) {
    if (auto const path = typed.value("--labels")) return class_names::from_file(*path, model.config.classes());
    if (choice.named) return class_names::built_in(choice.named->labels, model.config.classes());
    if (auto const& set = model.file->metadata().labels) return class_names::built_in(*set, model.config.classes());
    return {};
}

any_vit opened_model::load() const { return load_vit(*file, config, tolerance); }

namespace {

/// Views are computed together while their activations fit into this: a small model's rows are too few for its threads, a
/// large one's fill the caches alone.
constexpr std::size_t activation_bytes = std::size_t{32} << 20U;

/// views [first, first + count) of clips (V,T,3,S,S).
view<float const, 5> part_of(view<float const, 5> clips, std::size_t first, std::size_t count) {
    std::size_t const each = clips.extent(1) * clips.extent(2) * clips.extent(3) * clips.extent(4);
    return view<float const, 5>{clips.data() + first * each, count, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
}

} // namespace

struct running_model::engine {
    any_engine packed;
    std::unique_ptr<vit_workspace> workspace;
    std::size_t bytes_per_clip;

    engine(opened_model const& model, run_options const& run)
        : packed{engine_of(model, run)}, workspace{make(1)}, bytes_per_clip{workspace->bytes()} {}

    [[nodiscard]] std::unique_ptr<vit_workspace> make(std::size_t clips) const {
        return std::visit([clips](auto const& each) { return std::unique_ptr<vit_workspace>{new vit_workspace{each.make_workspace(clips)}}; }, packed);
    }
    void make_room(std::size_t views) {
        std::size_t const clips = std::clamp<std::size_t>(views, 1, std::max<std::size_t>(activation_bytes / bytes_per_clip, 1));
        if (workspace->clips() >= clips) return;
        workspace.reset(); // before the next one is there
        workspace = make(clips);
    }
    /// compute(engine, first, count) for all views, as many at a time as the workspace holds.
    template <class Compute>
    void for_each_batch(std::size_t views, progress* shown, Compute&& compute) {
        make_room(views);
        for (std::size_t first = 0; first < views; first += workspace->clips()) {
            std::size_t const count = std::min(workspace->clips(), views - first);
            std::visit([&](auto const& each) { compute(each, first, count); }, packed);
            if (shown != nullptr) shown->step(first + count);
        }
    }
};

running_model::running_model(opened_model const& model, run_options const& run, console const& out)
    : config_{model.config}, engine_{std::make_unique<engine>(model, run)}, run_{run} {
    if (engine_->workspace->threads() < run.threads)
        out.notice("--threads: " + std::to_string(run.threads) + " wanted, the system gave " + std::to_string(engine_->workspace->threads()));
}

running_model::~running_model() = default;

std::string running_model::description() const {
    std::string const type = run_.type == dtype::bf16 ? "bf16" : run_.type == dtype::i8 ? "int8" : "f32";
    return type + ", " + std::to_string(engine_->workspace->threads()) + (engine_->workspace->threads() == 1 ? " thread, " : " threads, ")
           + std::string{to_string(run_.kernels->level)};
}

void running_model::forward(view<float const, 5> clips, view<float, 2> logits, progress* shown) {
    std::size_t const classes = logits.extent(1);
    engine_->for_each_batch(clips.extent(0), shown, [&](auto const& each, std::size_t first, std::size_t count) {
        each.forward(part_of(clips, first, count), *engine_->workspace, view<float, 2>{logits.data() + first * classes, count, classes});
    });
}

void running_model::features(view<float const, 5> clips, view<float, 3> out, progress* shown) {
    std::size_t const frames = out.extent(1), width = out.extent(2);
    engine_->for_each_batch(clips.extent(0), shown, [&](auto const& each, std::size_t first, std::size_t count) {
        each.features(part_of(clips, first, count), *engine_->workspace, view<float, 3>{out.data() + first * frames * width, count, frames, width});
    });
}

file_metadata metadata_of(opened_model const& model, model_options const& choice) {
    file_metadata result{{metadata_key::version, version_string}, {metadata_key::config, to_json(model.stated).dump()}};
    auto const& own = model.file->metadata();
    auto const input = or_else(choice.named ? stated_by(choice.named->input) : stated_input{}, own.input);
    if (input != stated_input{}) result.emplace(metadata_key::input, to_json(input).dump());
    if (choice.named && choice.named->sizes.classes == model.config.classes()) result.emplace(metadata_key::labels, std::string{choice.named->labels});
    else if (own.labels) result.emplace(metadata_key::labels, *own.labels);
    if (own.untrained) result.emplace(metadata_key::untrained, *own.untrained);
    return result;
}

std::vector<std::filesystem::path> inputs_of(model_options const& choice, std::vector<std::filesystem::path> others) {
    if (choice.config_file) others.push_back(*choice.config_file);
    return others;
}

} // namespace zeroi2v::program
