// merge: the adapters written into their Linears, with the proof that the answers stay.
#include "checkpoint_source.hpp"
#include "commands.hpp"
#include "model_source.hpp"
#include "options.hpp"
#include "report_json.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/model/merge.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace zeroi2v::program {
namespace {

int run_merge(arguments const& typed, console const& out) {
    model_options const choice{typed};
    tolerance_options const tolerance{typed};
    std::filesystem::path const input = *typed.operand(0);
    std::optional<dtype> type;
    if (auto const name = typed.choice("--dtype", {"f32", "f16", "bf16"})) type = *name == "f32" ? dtype::f32 : *name == "f16" ? dtype::f16 : dtype::bf16;
    std::size_t const threads = threads_option(typed);
    auto const inputs = inputs_of(choice, {input});
    auto const target = output_path(typed, inputs);

    stopwatch const clock;
    auto shown = std::make_unique<progress>(out, "merge");
    auto opened = std::make_unique<checkpoint>(open_checkpoint(input));
    auto file = std::make_unique<vit_file>(open_vit(*opened));
    if (file->metadata().merged)
        throw checkpoint_error{error_code::already_merged, file->name() + ": merged already, a model with adapters expected"};
    file->require_consistent();
    if (!file->has_adapters() && file->shapes().has_backbone())
        throw checkpoint_error{error_code::no_adapters, file->name() + ": no adapters found, a model with adapters expected: there is nothing to merge"};
    auto const model = open_model(std::move(opened), std::move(file), choice, tolerance, out);

    auto const adapted = model.file->load<with_adapters>(model.config, model.tolerance);
    auto const [merged, proof] = merge(adapted, {.dtype = type, .threads = threads, .kernels = &kernels_from_environment()});

    note_threads("--threads", threads, proof.threads, out);

    auto metadata = metadata_of(model, choice);
    metadata.emplace(metadata_key::merged, "true");
    metadata.emplace(metadata_key::merge_report, to_json(proof, *model.config.adapter_scale()).dump());
    metadata.emplace(metadata_key::self_test, json_value::object({{"seed", proof.probe.seed}, {"logits", proof.probe.logits}}).dump());
    auto const& weights = merged;
    during_work([&] { save_vit(target, weights, {.metadata = std::move(metadata), .inputs = inputs}); });
    shown.reset();
    out.print_unless_quiet(to_text(proof) + model.file->name() + " -> " + printable(target.native(), 4096) + ": "
                           + std::to_string(proof.layers.size()) + " layers merged, scale " + scientific(*model.config.adapter_scale(), 6) + ", "
                           + fixed(clock.seconds(), 2) + " s\n");
    return 0;
}

} // namespace

command merge_command() {
    return {{"merge",
             "writes the adapters into their Linears and proves that the answers stay",
             {{"IN", "a checkpoint with adapters: .pth, TorchScript or safetensors"}},
             {{output_option(), {"--dtype", "f32|f16|bf16", "of merged tensors (default: the wider of Linear and adapter)"},
               {"--threads", "N", "1 to 1024 (default: the processors of this process)"}},
              model_group(), common_group()},
             "The file keeps the proof (metadata zeroi2v.merge_report). It merges no second time."},
            run_merge};
}

} // namespace zeroi2v::program
