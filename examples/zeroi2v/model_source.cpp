#include "model_source.hpp"

#include "checkpoint_source.hpp"
#include "cuda_runner.hpp"

#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/load_engine.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <memory>
#include <utility>

namespace zeroi2v::program {
namespace {

cpu_runner::any_engine engine_of(opened_model const& model, run_options const& run) {
    engine_options const options{.dtype = run.type, .threads = run.threads, .kernels = run.kernels};
    if (model.file->has_adapters()) return load_engine<with_adapters>(*model.file, model.config, options, model.tolerance);
    return load_engine<no_adapters>(*model.file, model.config, options, model.tolerance);
}

std::unique_ptr<model_runner> runner_of(opened_model const& model, run_options const& run) {
    auto const& file = *model.file;
    if (file.has_adapters()) file.require_model<with_adapters>(model.config, model.tolerance);
    else file.require_model<no_adapters>(model.config, model.tolerance);
    auto const read = [&](std::string const& name, stored_tensor& into) { into = file.read_weight(name, model.tolerance); };
    return cuda_runner_of(model.config, file.layout(), file.has_adapters(), read, run.type);
}

} // namespace

load_options to_load_options(tolerance_options const& tolerance) {
    return {.allow_extra = tolerance.allow_extra, .allow_nonfinite = tolerance.allow_nonfinite};
}

opened_model open_model(std::filesystem::path const& path, model_options const& model, tolerance_options const& tolerance, console const& out) {
    auto opened = std::make_unique<checkpoint>(open_checkpoint(path));
    auto file = std::make_unique<vit_file>(open_vit(*opened));
    return open_model(std::move(opened), std::move(file), model, tolerance, out);
}

opened_model open_model(std::unique_ptr<checkpoint> opened, std::unique_ptr<vit_file> file, model_options const& model,
                        tolerance_options const& tolerance, console const& out) {
    auto const options = to_load_options(tolerance);
    auto config = file->config(model.stated, options);
    auto stated = file->stated(model.stated);
    note_left_out(*file, file->expected_names(), out);
    return {std::move(opened), std::move(file), std::move(stated), std::move(config), options};
}

void note_left_out(vit_file const& file, std::vector<std::string> const& expected, console const& out) {
    constexpr std::size_t shown = 5;
    auto const names = file.others(expected);
    if (!names.empty())
        out.notice(file.name() + ": " + std::to_string(names.size()) + (names.size() == 1 ? " tensor left out: " : " tensors left out: ") + list_names(names, shown));
}

void note_untrained(opened_model const& model, console const& out) {
    if (model.file->metadata().untrained)
        out.notice(model.file->name() + ": untrained weights (" + *model.file->metadata().untrained + "): its answers mean nothing");
}

void note_threads(std::string_view option, std::size_t wanted, std::size_t given, console const& out) {
    if (given < wanted) out.notice(std::string{option} + ": " + std::to_string(wanted) + " wanted, the system gave " + std::to_string(given));
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

std::unique_ptr<cpu_runner> start_on_cpu(cpu_runner::any_engine engine, run_options const& run, console const& out) {
    auto started = std::make_unique<cpu_runner>(std::move(engine));
    note_threads("--threads", run.threads, started->threads(), out);
    return started;
}

std::unique_ptr<model_runner> start_model(opened_model const& model, run_options const& run, console const& out) {
    return start_on_device(run, out, [&](run_options const& where) -> std::unique_ptr<model_runner> {
        if (where.device == device_kind::cuda) return runner_of(model, where);
        return start_on_cpu(engine_of(model, where), where, out);
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
