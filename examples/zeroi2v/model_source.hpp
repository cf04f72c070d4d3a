// A checkpoint opened as the model that the user means: options, metadata and shapes agreed.
#pragma once

#include "answers.hpp"
#include "console.hpp"
#include "cpu_runner.hpp"
#include "model_runner.hpp"
#include "options.hpp"

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>
#include <zeroi2v/model/vit_config.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {

/// A file and what it is.
struct opened_model {
    std::unique_ptr<checkpoint> opened;
    std::unique_ptr<vit_file> file;
    stated_config stated; ///< all that is known, as it is written into files
    vit_config config;
    load_options tolerance;

    [[nodiscard]] any_vit load() const;
};

/// With a notice of what `--allow-extra` leaves out.
/// Errors  as load_checkpoint and vit_file.
[[nodiscard]] opened_model open_model(std::filesystem::path const& path, model_options const& model, tolerance_options const& tolerance,
                                      console const& out);
/// The same with a file that is open already.
[[nodiscard]] opened_model open_model(std::unique_ptr<checkpoint> opened, std::unique_ptr<vit_file> file, model_options const& model,
                                      tolerance_options const& tolerance, console const& out);

[[nodiscard]] load_options to_load_options(tolerance_options const& tolerance);

/// A notice of the tensors beside `expected`, where there are any: how many, and the first names.
void note_left_out(vit_file const& file, std::vector<std::string> const& expected, console const& out);

/// Notices about a model that is going to answer: weights that were never trained.
void note_untrained(opened_model const& model, console const& out);

/// A notice where the system gave fewer threads than `option` wanted.
void note_threads(std::string_view option, std::size_t wanted, std::size_t given, console const& out);

/// The input of a model: options, then the preset, then the file.
[[nodiscard]] input_config input_of(opened_model const& model, input_options const& input, input_use use);

/// Class names: `--labels`, the preset's, or those that the file names.
[[nodiscard]] class_names names_of(arguments const& typed, opened_model const& model, model_options const& choice);

/// The model, loaded, packed and ready to compute where `run` says.
/// Errors  as load_engine; on cuda too little memory -> device_error, where the device was asked for.
[[nodiscard]] std::unique_ptr<model_runner> start_model(opened_model const& model, run_options const& run, console const& out);
/// On the CPU, with a notice where the system gave fewer threads than were wanted.
[[nodiscard]] std::unique_ptr<cpu_runner> start_on_cpu(cpu_runner::any_engine engine, run_options const& run, console const& out);

/// Metadata of a file made with this model: version, config, input, labels, untrained.
[[nodiscard]] file_metadata metadata_of(opened_model const& model, model_options const& choice);

/// A list of files for output checks: the checkpoint, the configuration file and others that are read.
[[nodiscard]] std::vector<std::filesystem::path> inputs_of(model_options const& choice, std::vector<std::filesystem::path> others);

} // namespace zeroi2v::program
