#include "train_options.hpp"

#include "console.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

namespace zeroi2v::program {
namespace {

/// The parts of `adapters|head|all` that a user may leave frozen.
void freeze_part(trainable_set& set, std::string_view part) {
    if (part == "adapters") set.adapters = false;
    else if (part == "temporal_embedding") set.temporal_embedding = false;
    else if (part == "ln_post") set.ln_post = false;
    else if (part == "head") set.head = false;
    else
        throw usage_error{error_code::bad_option, "--freeze: '" + printable(part, 80) + "' found, adapters, temporal_embedding, ln_post or head expected, several with a comma between"};
}

} // namespace

std::vector<option_spec> schedule_group() {
    return {{"--steps", "N", "train for so many steps"},
            {"--epochs", "N", "or for so many passes over the data (default 40)"},
            {"--batch", "B", "clips of a batch (default 64)"},
            {"--accumulate", "A", "batches of a step (default 1)"},
            {"--lr", "X", "learning rate (default 3e-4)"},
            {"--schedule", "cosine|constant", "of the learning rate (default cosine)"},
            {"--warmup-epochs", "X", "linear warm-up from a tenth (default 2.5, 0 with constant)"},
            {"--order", "shuffled|given", "of the samples (default shuffled anew in each epoch)"},
            {"--seed", "S", "of order, dropout, augmentation and shots (default 0)"}};
}

std::vector<option_spec> recipe_group() {
    return {{"--trainable", "adapters|head|all", "adapters (default): with temporal embedding, ln_post and head; all: full fine-tuning"},
            {"--freeze", "PART,...", "of these leave adapters, temporal_embedding, ln_post or head as they are"},
            {"--weight-decay", "X", "of all but embeddings and layer norms (default 0.05)"},
            {"--backbone-lr-scale", "X", "learning rate of all but the head, times this (default 1)"},
            {"--label-smoothing", "X", "(default 0)"},
            {"--adapter-dropout", "X", "(default 0.1)"},
            {"--head-dropout", "X", "(default 0.5)"},
            {"--augment", "none|k400|ssv2", "of videos (default none)"},
            {"--bad-videos", "N", "stop beyond so many that cannot be read (default one in a hundred)"},
            {"--decode-threads", "N", "threads that decode ahead (default 2)"},
            {"--val-every", "N", "steps between evaluations on --val (default an epoch)"},
            {"--recompute", "", "keep only what enters each block: less memory, a third more work"}};
}

std::optional<double> real_option(arguments const& typed, std::string_view option, double least, double most) {
    auto const text = typed.value(option);
    if (!text) return std::nullopt;
    double number = 0;
    auto const [end, fault] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (fault != std::errc{} || end != text->data() + text->size() || !(number >= least && number <= most))
        throw usage_error{error_code::bad_number, std::string{option} + ": '" + printable(*text, 80) + "' found, a number from " + scientific(least) + " to "
                                                      + scientific(most) + " expected"};
    return number;
}

train_settings::train_settings(arguments const& typed) {
    constexpr std::uint64_t many = std::uint64_t{1} << 32U;
    auto const whole = [&](char const* option, std::uint64_t least, std::uint64_t most, auto& into) {
        if (auto const number = typed.number(option, least, most)) into = *number;
    };
    auto const real = [&](char const* option, double least, double most, double& into) { into = real_option(typed, option, least, most).value_or(into); };
    steps = typed.number("--steps", 1, many);
    epochs = typed.number("--epochs", 1, 1000000);
    if (steps && epochs) throw usage_error{error_code::bad_option, "--epochs: given together with --steps, expected one of them"};
    whole("--batch", 1, 65536, batch);
    whole("--accumulate", 1, 65536, accumulate);
    real("--lr", 1e-12, 100, lr);
    cosine = typed.choice("--schedule", {"cosine", "constant"}).value_or("cosine") == "cosine";
    warmup_epochs = cosine ? 2.5 : 0;
    real("--warmup-epochs", 0, 1e6, warmup_epochs);
    shuffled = typed.choice("--order", {"shuffled", "given"}).value_or("shuffled") == "shuffled";
    whole("--seed", 0, std::numeric_limits<std::uint64_t>::max(), seed);
    trainable = typed.choice("--trainable", {"adapters", "head", "all"}).value_or("adapters");
    freeze = typed.value("--freeze").value_or("");
    real("--weight-decay", 0, 100, weight_decay);
    real("--backbone-lr-scale", 0, 1000, backbone_lr_scale);
    real("--label-smoothing", 0, 1, label_smoothing);
    real("--adapter-dropout", 0, 1, adapter_dropout);
    real("--head-dropout", 0, 1, head_dropout);
    augment = typed.choice("--augment", {"none", "k400", "ssv2"}).value_or("none");
    bad_videos = typed.number("--bad-videos", 0, many);
    if (auto const number = typed.number("--decode-threads", 1, 64)) decode_threads = static_cast<std::size_t>(*number);
    whole("--val-every", 1, many, val_every);
    recompute = typed.has("--recompute");
    static_cast<void>(trains());
}

trainable_set train_settings::trains() const {
    auto set = trainable == "head" ? trainable_set::only_head() : trainable == "all" ? trainable_set::all() : trainable_set::only_adapters();
    for (std::string_view rest = freeze; !rest.empty();) {
        auto const end = std::min(rest.find(','), rest.size());
        freeze_part(set, rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return set;
}

json_value train_settings::fingerprint() const {
    auto result = json_value::object({{"batch", batch}, {"accumulate", accumulate}, {"lr", lr}, {"weight_decay", weight_decay}, {"backbone_lr_scale", backbone_lr_scale},
                                      {"schedule", cosine ? "cosine" : "constant"}, {"warmup_epochs", warmup_epochs}, {"label_smoothing", label_smoothing},
                                      {"adapter_dropout", adapter_dropout}, {"head_dropout", head_dropout}, {"augment", augment},
                                      {"order", shuffled ? "shuffled" : "given"}, {"trainable", trainable}, {"freeze", freeze}, {"seed", seed}});
    if (steps) result.set("steps", *steps);
    else result.set("epochs", epochs.value_or(40));
    return result;
}

} // namespace zeroi2v::program
