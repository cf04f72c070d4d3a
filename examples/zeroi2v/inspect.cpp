// inspect: what is in a checkpoint.
#include "checkpoint_source.hpp"
#include "commands.hpp"
#include "model_source.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/canonical_source.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/self_test.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/stdha/draw.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

using json = json_value;

std::vector<std::string> adapter_names(adapter_layout const& layout) {
    std::vector<std::string> names;
    for (adapter_site_info const& each : adapter_sites)
        if (layout.has(each.site)) names.emplace_back(each.name);
    return names;
}

struct totals {
    std::size_t parameters = 0, adapter_parameters = 0, bytes = 0;
};

totals totals_of(checkpoint const& file, canonical_source const* model) {
    totals result;
    for (auto const& info : file.tensors()) result.bytes += info.byte_size();
    if (model == nullptr) return result;
    for (auto const& info : model->tensors()) {
        result.parameters += info.count();
        if (info.name.find("_Adapter") != std::string::npos) result.adapter_parameters += info.count();
    }
    return result;
}

/// What the file is as a model; nothing where its names are those of no model.
std::optional<vit_file> as_model(checkpoint const& file) {
    try {
        return open_vit(file);
    } catch (model_error const& fault) {
        if (fault.code() != error_code::missing_tensors) throw;
        return std::nullopt;
    }
}

std::string as_json(checkpoint const& file, vit_file const* model) {
    std::map<std::string_view, std::string_view> canonical;
    std::vector<std::vector<std::string>> kept; // owns the names that `canonical` points at
    if (model != nullptr)
        for (auto const& info : model->source().tensors()) {
            kept.push_back(model->source().names_in_file(info.name));
            for (auto const& name : kept.back()) canonical.emplace(name, info.name);
        }
    json tensors = json::array();
    for (auto const& info : file.tensors()) {
        auto const known = canonical.find(info.name);
        tensors.push_back(json::object({{"name", info.name}, {"dtype", dtype_name(info.type)}, {"shape", std::vector<std::size_t>(info.sizes.begin(), info.sizes.end())},
                                        {"canonical", known == canonical.end() ? json{} : json{known->second}}}));
    }
    auto const total = totals_of(file, model == nullptr ? nullptr : &model->source());
    auto document = json::object({{"file", file.path()}, {"format", to_string(file.kind())}, {"tensor_bytes", total.bytes}, {"model", nullptr}});
    if (model != nullptr) {
        auto const& own = model->metadata();
        document.set("model", json::object({{"names", to_string(model->source().scheme())},
                                            {"config", to_json(model->stated())},
                                            {"input", to_json(own.input)},
                                            {"adapters", adapter_names(model->layout())},
                                            {"adapter_rank", model->has_adapters() ? json{model->layout().rank} : json{}},
                                            {"merged", own.merged},
                                            {"video", model->shapes().has_video_parts()},
                                            {"untrained", own.untrained},
                                            {"missing_blocks", model->shapes().missing_blocks()},
                                            {"parameters", total.parameters},
                                            {"adapter_parameters", total.adapter_parameters},
                                            {"ignored", std::vector<std::string>(model->source().ignored().begin(), model->source().ignored().end())},
                                            {"left_over", std::vector<std::string>(model->source().left_over().begin(), model->source().left_over().end())}}));
    }
    json unreadable = json::array();
    for (auto const& each : file.unreadable()) unreadable.push_back(json::object({{"name", each.name}, {"kind", each.kind}}));
    document.set("unreadable", std::move(unreadable));
    json::object_type metadata;
    for (auto const& [key, value] : file.metadata()) metadata.append(key, value);
    document.set("metadata", std::move(metadata));
    document.set("tensors", std::move(tensors));
    return document.dump(2) + "\n";
}

std::string as_text(checkpoint const& file, vit_file const* model) {
    auto const total = totals_of(file, model == nullptr ? nullptr : &model->source());
    std::string text = file.path() + "\n  format    " + std::string{to_string(file.kind())} + ", " + std::to_string(file.tensors().size()) + " tensors, "
                       + bytes_text(static_cast<double>(total.bytes)) + "\n";
    if (auto const n = file.unreadable().size(); n > 0) text += "  unread    " + std::to_string(n) + " more, of kinds that cannot be read\n";
    if (model == nullptr) {
        text += "  model     none: no image or video encoder is in it\n";
    } else {
        auto const stated = model->stated();
        text += "  names     " + std::string{to_string(model->source().scheme())};
        if (auto const n = model->source().ignored().size(); n > 0) text += ", " + std::to_string(n) + " tensors ignored (text tower, projections, counters)";
        if (auto const n = model->source().left_over().size(); n > 0) text += ", " + std::to_string(n) + " left over";
        text += "\n  model     " + std::string{model->shapes().has_video_parts() ? "video" : "image"} + ", " + std::to_string(total.parameters) + " parameters";
        if (total.adapter_parameters > 0) text += ", " + std::to_string(total.adapter_parameters) + " of them in adapters";
        for (auto const number : model->shapes().missing_blocks()) text += "\n  missing   block " + std::to_string(number);
        text += "\n  adapters  ";
        std::string adapters;
        for (auto const& name : adapter_names(model->layout())) adapters += (adapters.empty() ? "" : ", ") + name;
        text += adapters.empty() ? (model->metadata().merged ? "merged" : "none") : adapters + ", rank " + std::to_string(model->layout().rank);
        text += "\n  config    " + to_json(stated).dump() + "\n";
        if (!stated.head_offsets) text += "            heads, head_offsets" + std::string{model->has_adapters() ? ", adapter_scale" : ""} + " are in no weights: give a preset or a config file\n";
        if (model->metadata().input != stated_input{}) text += "  input     " + to_json(model->metadata().input).dump() + "\n";
        if (model->metadata().untrained) text += "  untrained " + printable(*model->metadata().untrained) + "\n";
        if (stated.head_offsets && stated.frames && !stated.head_offsets->empty()) {
            std::string const picture = draw(frame_map<>{std::span<int const>{*stated.head_offsets}}, *stated.frames);
            for (std::size_t at = 0; at < picture.size();) {
                auto const end = picture.find('\n', at);
                text += "  " + picture.substr(at, end - at) + "\n";
                at = end + 1;
            }
        }
    }
    for (auto const& [key, value] : file.metadata()) text += "  metadata  " + printable(key) + " = " + printable(value, 100) + "\n";
    std::size_t width = 0;
    for (auto const& info : file.tensors()) width = std::max(width, printable(info.name).size());
    for (auto const& each : file.unreadable()) width = std::max(width, printable(each.name).size());
    for (auto const& info : file.tensors()) {
        std::string name = printable(info.name);
        name.append(width - name.size() + 2, ' ');
        std::string type{dtype_name(info.type)};
        type.append(type.size() < 6 ? 6 - type.size() : 1, ' ');
        text += "  " + name + type + to_string(info.sizes) + "\n";
    }
    for (auto const& each : file.unreadable()) {
        std::string name = printable(each.name);
        name.append(width - name.size() + 2, ' ');
        text += "  " + name + each.kind + "\n";
    }
    return text;
}

int run_inspect(arguments const& typed, console const& out) {
    tolerance_options const tolerance{typed};
    checkpoint const file = open_checkpoint(*typed.operand(0));
    auto const model = as_model(file);
    std::string proof;
    if (typed.has("--self-test")) {
        if (!model) throw model_error{error_code::missing_tensors, file.path() + ": no model found, one with a self-test expected"};
        note_left_out(*model, model->expected_names(), out);
        progress const shown{out, "self-test"};
        auto const found = self_test(*model, {.threads = threads_option(typed), .kernels = &kernels_from_environment()}, to_load_options(tolerance));
        proof = "  self-test passed: logits differ by at most " + scientific(found.max_abs) + ", " + scientific(found.tolerance) + " allowed\n";
    }
    out.print(typed.has("--json") ? as_json(file, model ? &*model : nullptr) : as_text(file, model ? &*model : nullptr));
    if (!typed.has("--json") && !proof.empty()) out.print_unless_quiet(proof);
    return 0;
}

} // namespace

command inspect_command() {
    return {{"inspect",
             "says what is in a checkpoint",
             {{"CKPT", ".pth, .pt (PyTorch 1.6 or later), TorchScript or safetensors"}},
             {{{"--json", "", "one JSON document on stdout"},
               {"--self-test", "", "compute the logits that a merged file keeps, and compare"},
               {"--threads", "N", "of the self-test, 1 to 1024 (default: the processors of this process)"}},
              common_group()},
             {}},
            run_inspect};
}

} // namespace zeroi2v::program
