// The groups of options that several commands share: which model, which input, how to run it.
#pragma once

#include "arguments.hpp"
#include "console.hpp"
#include "model_runner.hpp"

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
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
    video_options decoding{}; ///< strictness and limits; threads are of RUN
    bool any = false; ///< whether an option of this group was typed

    input_options(arguments const& typed, model_options const& model);
};

/// RUN: how and where the model computes.
struct run_options {
    dtype type = dtype::f32;
    std::size_t threads = 1;               ///< of the model on the CPU, and of decoding
    kernel_table const* kernels = nullptr; ///< on the CPU
    device_kind device = device_kind::cpu; ///< a CUDA device has been started
    bool or_cpu = false;                   ///< `--device auto` chose the device: where it fails to take the model, the CPU does
    bool tells_device = false;             ///< another device than the default was allowed, so that JSON names the one used

    /// Errors  a pair of device and dtype that does not exist, a device that is not there -> device_error.
    run_options(arguments const& typed, console const& out);

    /// The same on the CPU, said in a notice, where `--device auto` chose a device that has failed.
    /// Errors  the failure, where the device was asked for; a dtype that no CPU has -> device_error.
    [[nodiscard]] run_options without_device(device_error const& fault, console const& out) const;
};

/// start(run), which makes engines; where `--device auto` chose a device that has no room for them, once more on the CPU.
template <class Start>
auto start_on_device(run_options const& run, console const& out, Start&& start) {
    if (run.device == device_kind::cpu) return start(run);
    std::optional<run_options> other;
    try {
        return start(run);
    } catch (device_error const& fault) {
        other = run.without_device(fault, out);
    }
    return start(*other);
}

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

/// Writes an output, which was proven writable before the work.
/// Errors  it no longer is, or has become an input meanwhile -> resource_error write_failed.
template <class Write>
void during_work(Write&& write) {
    try {
        write();
    } catch (usage_error const& fault) {
        if (fault.code() != error_code::same_file && fault.code() != error_code::unwritable_output) throw;
        throw resource_error{error_code::write_failed, fault.what()};
    }
}

} // namespace zeroi2v::program
