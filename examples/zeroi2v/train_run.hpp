// One run of training: steps, evaluations, log, checkpoints, and the ways in which it may end.
#pragma once

#include "console.hpp"
#include "model_source.hpp"
#include "train_options.hpp"
#include "train_source.hpp"

#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/train/train_checkpoint.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/train/gradient_exchange.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zeroi2v::program {

/// SIGINT and SIGTERM as a wish instead of an end, while it lives; a second one ends the program at once.
class signal_watch {
public:
    signal_watch();
    signal_watch(signal_watch const&) = delete;
    signal_watch& operator=(signal_watch const&) = delete;
    ~signal_watch();

    /// The signal that came; 0: none.
    [[nodiscard]] static int seen() noexcept;
};

/// A file of one JSON object per line; each line is written at once.
class train_log {
public:
    /// Begins anew, or, taken up before `resumed_at`, keeps the lines of the steps before it. `guard` says what the log may not replace.
    /// Lines go into the file that was made here, whatever its name leads to later.
    /// Errors  resource_error write_failed, usage_error open_failed for a log that cannot be read.
    train_log(std::filesystem::path path, std::optional<std::uint64_t> resumed_at, output_guard guard);
    train_log(train_log const&) = delete;
    train_log& operator=(train_log const&) = delete;
    ~train_log();

    void write(json_value const& line);

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
};

/// How often the labels are right on held-out data; one value per label set, none where nothing could be evaluated.
struct val_result {
    std::size_t samples = 0, bad = 0;
    std::vector<std::optional<double>> top1, top5;

    [[nodiscard]] json_value json() const;
};

/// Of several ranks each evaluates its part, and all have the whole result.
[[nodiscard]] val_result evaluate(trainer& training, train_source const& data, view_average average, console const& out);

/// Demands that all ranks were asked for the same run.
/// Errors  training_error ranks_differ: each difference, and the first rank that has it, on every rank alike.
void require_one_run(gradient_exchange& ranks, json_value const& asked);

/// The model of START, with adapters or without.
[[nodiscard]] adapted_vit load_start(opened_model const& model);
[[nodiscard]] trainer_options trainer_options_of(train_settings const& settings, std::vector<std::size_t> const& groups, std::size_t threads);

/// What a run is made of. Of several ranks (the trainer's exchange) the first alone has a log and `save`. `samples` are the numbers of those of `data` that are trained on; none: all.
struct train_job {
    trainer& training;
    train_source const& data;
    std::vector<std::uint32_t> samples;
    train_source const* val = nullptr;
    view_average average = view_average::prob;
    train_settings const& settings;
    console const& out;
    train_log* log = nullptr;
    std::function<void()> save{};            ///< a checkpoint of where it stands
    std::uint64_t save_every = 0;            ///< steps; 0: never
    std::function<void(std::size_t)> on_readers{}; ///< told how many threads decode videos ahead, where there are to be any
};

struct train_outcome {
    int interrupted = 0; ///< the signal that ended it early
    double loss = 0;     ///< of the last step
    std::optional<val_result> val;
    std::size_t bad = 0; ///< videos that could not be read
};

/// Steps that the run has in all.
[[nodiscard]] std::uint64_t total_steps(train_settings const& settings, std::size_t samples) noexcept;

/// From the trainer's step to the end. Errors  as trainer; video_error limit_exceeded.
[[nodiscard]] train_outcome run_training(train_job const& job);

} // namespace zeroi2v::program
