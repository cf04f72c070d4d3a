// The commands of the program, one function each that says what the command takes and how it runs.
#pragma once

#include "arguments.hpp"
#include "console.hpp"

namespace zeroi2v::program {

/// The exit status of a list of videos of which one or more could not be read.
inline constexpr int status_bad_video = 5;

struct command {
    command_spec spec;
    int (*run)(arguments const& typed, console const& out); ///< gives the exit status; throws zeroi2v::error
};

[[nodiscard]] command inspect_command();
[[nodiscard]] command init_command();
[[nodiscard]] command convert_command();
[[nodiscard]] command merge_command();
[[nodiscard]] command preprocess_command();
[[nodiscard]] command logits_command();
[[nodiscard]] command features_command();
[[nodiscard]] command classify_command();
[[nodiscard]] command eval_command();
[[nodiscard]] command compare_command();
[[nodiscard]] command bench_command();
[[nodiscard]] command presets_command();
[[nodiscard]] command train_command();
[[nodiscard]] command few_shot_command();

} // namespace zeroi2v::program
