// train: adapters, head or the whole of a model, on clips or videos.
#include "commands.hpp"
#include "console.hpp"
#include "model_source.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "run_lock.hpp"
#include "train_options.hpp"
#include "train_run.hpp"
#include "train_source.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/train/train_checkpoint.hpp>
#include <zeroi2v/train/sample_order.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace zeroi2v::program {
namespace {

/// Whether two names are one, be a file there or not: the same name in the same folder, behind all links.
bool is_same_name(std::filesystem::path const& a, std::filesystem::path const& b) {
    auto const one = zeroi2v::detail::end_of_links(a), other = zeroi2v::detail::end_of_links(b);
    return one.filename() == other.filename()
           && zeroi2v::detail::identity_at(zeroi2v::detail::folder_of(one)) == zeroi2v::detail::identity_at(zeroi2v::detail::folder_of(other));
}

/// Refuses a name that the run makes of its output's.
void require_not_derived(std::string const& option, std::filesystem::path const& given, std::filesystem::path const& output) {
    auto const place = zeroi2v::detail::end_of_links(given);
    auto const name = place.filename().native(), checkpoint = output.filename().native() + ".ckpt-";
    bool const is_checkpoint = name.size() > checkpoint.size() && name.starts_with(checkpoint) && name.find_first_not_of("0123456789", checkpoint.size()) == std::string::npos;
    if (!is_same_name(given, run_lock::path_of(output)) && !(is_checkpoint && is_same_name(given, output.native() + name.substr(output.filename().native().size())))) return;
    throw usage_error{error_code::same_file, option + ": " + printable(given.native(), 4096) + " found, another file than the lock and the checkpoints of the output expected"};
}

/// Refuses an output whose last checkpoint would have a name that its file system does not take.
void require_name(std::filesystem::path const& checkpoint) {
    struct ::stat there {};
    if (::lstat(checkpoint.c_str(), &there) != 0 && errno == ENAMETOOLONG)
        throw usage_error{error_code::unwritable_output, printable(checkpoint.native(), 4096) + ": " + std::generic_category().message(ENAMETOOLONG)
                                                             + ", a shorter name of the output expected, for its checkpoints"};
}

std::uint32_t checksum_of(adapted_vit const& weights) {
    crc32 sum;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const& tensor, shape const&, parameter_role) { sum.update(tensor.bytes()); });
    return sum.value();
}

std::string memory_text(training_memory const& m) {
    auto const text = [](std::size_t bytes) { return bytes_text(static_cast<double>(bytes)); };
    return "memory   " + text(m.total()) + ": weights " + text(m.weights) + ", packed " + text(m.packed) + ", optimizer " + text(m.optimizer) + ", gradients "
           + text(m.gradients) + ", activations " + text(m.activations) + "\n";
}

std::string percent(std::optional<double> value) { return value ? fixed(100 * *value, 2) + " %" : "-"; }

int run_train(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const typed_input{typed, choice};
    train_settings const settings{typed};
    bool const resume = typed.has("--resume");
    auto const shots = typed.number("--shots", 1, 1000000);
    std::uint64_t const save_every = typed.number("--checkpoint-every", 1, std::uint64_t{1} << 32U).value_or(500);
    std::size_t const threads = threads_option(typed);
    std::filesystem::path const start_path = *typed.operand(0), data_path = *typed.operand(1);
    auto const val_path = typed.value("--val"), log_path = typed.value("--log");
    train_data train_file{data_path};
    std::optional<train_data> val_file;
    if (val_path) val_file.emplace(*val_path);
    std::vector<std::filesystem::path> read_paths{start_path, data_path};
    if (val_path) read_paths.emplace_back(*val_path);
    auto const inputs = inputs_of(choice, read_paths);
    std::vector<std::optional<file_identity>> when_read; // which files they are now; a name may lead to another one by the end of the run
    for (auto const& input : inputs) when_read.push_back(zeroi2v::detail::identity_at(input));
    auto const require_no_data = [&](replaced_file const& output) { // the videos of lists, which may be many
        train_file.require_output(output);
        if (val_file) val_file->require_output(output);
    };
    // Asked right before an output is put in place: by then its name, or that of an input, may lead elsewhere.
    output_guard const require_no_input = [&](replaced_file const& output) {
        for (std::size_t i = 0; i < inputs.size(); ++i) output.require_not(inputs[i], when_read[i]);
        require_no_data(output);
    };
    // Rank 0 alone writes, and looks at what was written before; what another rank reads under the same name is an input too.
    auto const writable = [&](std::vector<std::filesystem::path> const& others, std::string_view option) {
        auto const given = typed.value(option);
        if (first_rank() || !given) static_cast<void>(output_path(typed, others, option));
        auto place = zeroi2v::detail::end_of_links(*given); // once: a link that is turned later moves nothing
        replaced_file const replaced{place};
        for (auto const& other : others) replaced.require_not(other);
        require_no_data(replaced);
        train_file.require_other_name(replaced);
        if (val_file) val_file->require_other_name(replaced);
        return place;
    };
    auto const target = writable(inputs, "--output");
    auto others = inputs; // none of these may be what the run makes beside its output
    others.push_back(target);
    std::optional<std::filesystem::path> log_target;
    if (log_path) {
        if (is_same_name(*log_path, target))
            throw usage_error{error_code::same_file, "--log: " + printable(*log_path, 4096) + " found, another file than the output expected"};
        log_target = writable(others, "--log");
        require_not_derived("--log", *log_target, target);
        others.push_back(*log_target);
    }

    std::optional<run_lock> lock;
    training_checkpoints checkpoints{target};
    if (first_rank()) {
        require_no_data(replaced_file{run_lock::path_of(target)});
        lock.emplace(target, others);
        auto const before = checkpoints.steps();
        for (std::uint64_t const step : before) {
            replaced_file const replaced{checkpoints.path_of(step)};
            for (auto const& other : others) replaced.require_not(other);
            require_no_data(replaced);
        }
        if (!resume && !before.empty())
            throw training_error{error_code::bad_state, printable(checkpoints.path_of(before.front()).native(), 4096)
                                                            + ": the checkpoint of a run that did not end; --resume goes on with it, removing it begins anew"};
    }

    auto const model = open_model(start_path, choice, tolerance_options{typed}, out);
    auto const reading = [&] { return video_reading{input_of(model, typed_input, input_use::answers), typed_input.decoding, settings.augmentation_kind(), settings.seed}; };
    auto const data = open_train_source(train_file, model.config, reading, out);
    if (!data->decodes() && settings.augment != "none")
        throw usage_error{error_code::bad_option, "--augment: " + settings.augment + " found, none expected: only videos are augmented, not a file of clips"};
    auto const val = val_file ? open_train_source(*val_file, model.config, reading, out) : nullptr;
    if (val && val->groups() != data->groups())
        throw model_error{error_code::bad_labels, "--val: label sets that differ from those of " + printable(data_path.native(), 4096) + ", the same expected"};

    std::vector<std::uint32_t> samples; // none: all
    if (shots) {
        if (data->groups().size() != 1) throw usage_error{error_code::bad_option, "--shots: several label sets found, one expected"};
        samples = draw_shots(data->size(), [&](std::size_t i) { return data->label(i, 0); }, static_cast<std::size_t>(*shots), settings.seed);
    }

    std::size_t const trained_on_samples = shots ? samples.size() : data->size();
    std::uint64_t const total = total_steps(settings, trained_on_samples);
    if (first_rank()) require_name(checkpoints.path_of(total));

    auto start = load_start(model);
    auto fingerprint = settings.fingerprint();
    fingerprint.set("version", version_string);
    fingerprint.set("isa", to_string(kernels_from_environment().level));
    fingerprint.set("shots", shots);
    fingerprint.set("model", to_json(model.stated));
    fingerprint.set("start_crc32", checksum_of(start));
    fingerprint.set("data", data->fingerprint());

    if (ranks() != nullptr) {
        auto asked = fingerprint;
        asked.set("val", val ? val->fingerprint() : json_value{});
        asked.set("val_every", settings.val_every);
        asked.set("resume", resume);
        asked.set("output", target.native());
        require_one_run(*ranks(), asked);
    }
    auto options = trainer_options_of(settings, data->groups(), threads);
    options.exchange = ranks();
    trainer training{std::move(start), std::move(options)};
    note_threads("--threads", threads, training.threads(), out);
    std::uint64_t const batch = std::min<std::uint64_t>(settings.clips_per_step(), trained_on_samples);
    out.print_unless_quiet("model    " + model.file->name() + ": " + std::to_string(training.trained().floats()) + " parameters of " + std::to_string(training.trained().size())
                           + " tensors train (" + settings.trainable + ")\ndata     " + printable(data_path.native(), 4096) + ": " + std::to_string(trained_on_samples)
                           + " samples, " + std::to_string(total) + " steps of " + std::to_string(batch)
                           + (ranks() != nullptr ? ", on " + std::to_string(ranks()->ranks()) + " ranks" : "") + "\n" + memory_text(training.memory(static_cast<std::size_t>(batch))));

    std::optional<std::uint64_t> resumed, run; // the step, and the number of the run that goes on
    if (resume && first_rank()) {
        auto const found = checkpoints.newest([&](error const& fault) { report_error(fault.code_name(), fault.what()); });
        if (found) {
            auto const differences = fingerprint_differences(found->fingerprint, fingerprint);
            std::string list;
            for (auto const& each : differences) list += (list.empty() ? "" : "; ") + each;
            if (!differences.empty() && !typed.has("--allow-mismatch"))
                throw training_error{error_code::resume_mismatch, printable(checkpoints.path_of(found->state.step).native(), 4096) + ": " + list
                                                                      + "; the same expected (--allow-mismatch goes on all the same)"};
            if (!differences.empty()) out.notice("going on although the run has changed: " + list);
            training.restore(found->state);
            resumed = found->state.step;
            run = found->run;
        }
        out.print_unless_quiet(found ? "resumed  at step " + std::to_string(*resumed) + "\n" : std::string{"resumed  at the beginning: no checkpoint is there\n"});
    }

    if (resume) training.share_state();

    std::optional<train_log> log;
    if (log_target && first_rank()) {
        log.emplace(*log_target, resume ? std::optional{resumed.value_or(0)} : std::nullopt, require_no_input);
        if (shots && !resumed) log->write(json_value::object({{"shots", *shots}, {"seed", settings.seed}, {"samples", samples}}));
    }

    auto const save = [&] {
        if (first_rank()) checkpoints.save({training.state(), fingerprint, run});
    };
    stopwatch const clock;
    signal_watch const watch;
    auto const average = val && val->decodes() ? reading().input.average : view_average::prob;
    train_outcome outcome;
    outcome = run_training({.training = training, .data = *data, .samples = samples, .val = val.get(), .average = average, .settings = settings, .out = out,
                            .log = log ? &*log : nullptr, .save = save, .save_every = save_every,
                            .on_readers = [&](std::size_t given) { note_threads("--decode-threads", settings.decode_threads, given, out); }});
    if (outcome.interrupted != 0) {
        save();
        if (first_rank())
            report_error(to_string(error_code::interrupted), "stopped by signal " + std::to_string(outcome.interrupted) + " after step " + std::to_string(training.steps())
                                                             + " of " + std::to_string(total) + "; --resume goes on");
        return 128 + outcome.interrupted;
    }

    if (!first_rank()) return 0;
    auto metadata = metadata_of(model, choice);
    auto const trained_on = or_else(typed_input.stated, model.file->metadata().input); // what answers will be asked for
    if (trained_on != stated_input{}) metadata.insert_or_assign(metadata_key::input, to_json(trained_on).dump());
    metadata.emplace(metadata_key::merged, model.file->metadata().merged ? "true" : "false");
    // What is still as it was drawn stays named; a backbone of random weights does, unless all of it trained.
    auto const& drawn = model.file->metadata().untrained;
    metadata.erase(metadata_key::untrained);
    if (drawn && *drawn == "all" && !settings.trains().rest) metadata.emplace(metadata_key::untrained, "backbone");
    during_work([&] { save_vit(target, training.weights(), {.metadata = std::move(metadata), .guard = require_no_input}); });
    checkpoints.clear();
    std::string text = printable(target.native(), 4096) + ": " + std::to_string(training.steps()) + " steps";
    if (training.steps() != resumed) text += ", loss " + scientific(outcome.loss, 5);
    if (outcome.val)
        for (std::size_t g = 0; g < outcome.val->top1.size(); ++g) text += ", top-1 " + percent(outcome.val->top1[g]) + ", top-5 " + percent(outcome.val->top5[g]);
    if (outcome.val && outcome.val->bad > 0) text += ", " + std::to_string(outcome.val->bad) + " bad held-out videos left out";
    if (outcome.bad > 0) text += ", " + std::to_string(outcome.bad) + " bad videos replaced";
    out.print_unless_quiet(text + ", " + fixed(clock.seconds(), 1) + " s\n");
    return 0;
}

} // namespace

command train_command() {
    return {{"train",
             "trains adapters, head or the whole of a model",
             {{"START", "a file of init, or any adapted checkpoint"},
              {"DATA", "clips and labels (safetensors), or a list of videos, `path label` per line"}},
             {{output_option(), {"--val", "DATA", "held-out data: top-1 and top-5 after each epoch"},
               {"--shots", "K", "train on K samples of each class, drawn by the seed"},
               {"--log", "FILE.jsonl", "one JSON object per step and evaluation"},
               {"--checkpoint-every", "N", "steps from one checkpoint to the next (default 500)"},
               {"--resume", "", "go on from the newest checkpoint beside the output"},
               {"--allow-mismatch", "", "with --resume: even if settings, model or data have changed"},
               {"--threads", "N", "1 to 1024 (default: the processors of this process)"}},
              schedule_group(), recipe_group(), model_group(), input_group(), common_group()},
             "The output has its adapters; merge takes it from there. SIGINT saves a checkpoint and ends with 130.\n"
             "Checkpoints are OUT.ckpt-STEP, two at most, removed when the output is written.\n"
             "mpirun -n N shares each batch between N processes, where the program was built with ZEROI2V_MPI: the same bits."},
            run_train, true};
}

} // namespace zeroi2v::program
