// The groups of options that several commands share: which model, which input, how to run it.
#pragma once

#include "arguments.hpp"
#include "console.hpp"

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>
#include <zeroi2v/ops/kernel_table.hpp>

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace zeroi2v::program {

// ---- the groups as tables ------------------------------------------------------------------------------------------------

[[nodiscard]] std::vector<option_spec> model_group();
[[nodiscard]] std::vector<option_spec> input_group();
[[nodiscard]] std::vector<option_spec> run_group();
/// What every command takes.
[[nodiscard]] std::vector<option_spec> common_group();
[[nodiscard]] option_spec output_option(std::string_view value = "OUT.safetensors");

// ---- what was chosen -----------------------------------------------------------------------------------------------------

/// MODEL: a preset, a configuration file, or neither.
struct model_options {
    std::optional<preset> named;
    std::optional<stated_config> stated;          ///< by the preset or the file
    std::optional<std::filesystem::path> config_file;

    /// Errors  both given, unknown preset, unreadable file -> usage_error; a wrong entry in the file -> model_error.
    explicit model_options(arguments const& typed);
};

/// INPUT: what options, then the preset, say.
struct input_options {
    stated_input stated;
    bool lenient = false;
    bool any = false; ///< whether an option of this group was typed

    input_options(arguments const& typed, model_options const& model);
};

/// RUN: how the model computes.
struct run_options {
    dtype type = dtype::f32;
    std::size_t threads = 1;
    kernel_table const* kernels = nullptr;

    /// Errors  a pair of device and dtype that does not exist, a device that is not there -> device_error.
    run_options(arguments const& typed, console const& out);
};

/// What a user accepts in checkpoints beyond the rules.
struct tolerance_options {
    bool allow_extra = false;
    bool allow_nonfinite = false;

    explicit tolerance_options(arguments const& typed)
        : allow_extra{typed.has("--allow-extra")}, allow_nonfinite{typed.has("--allow-nonfinite")} {}
};

/// `--threads`, or the number of processors that this process may use.
[[nodiscard]] std::size_t threads_option(arguments const& typed);

/// The path given with `-o`, or another option that names an output, proven writable and none of `inputs`.
/// Errors  missing -> usage_error; as check_output; a file or folder without a write permission for anybody, which only
///         root could ignore -> usage_error unwritable_output.
[[nodiscard]] std::filesystem::path output_path(arguments const& typed, std::vector<std::filesystem::path> const& inputs,
                                                std::string_view option = "--output");

} // namespace zeroi2v::program
