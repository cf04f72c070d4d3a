// The metadata that zeroi2v's own files carry, key by key.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace zeroi2v {

/// Metadata of a file, as safetensors holds it.
using file_metadata = std::map<std::string, std::string>;

namespace metadata_key {
inline constexpr char config[] = "zeroi2v.config";             ///< JSON: config_from_json
inline constexpr char input[] = "zeroi2v.input";               ///< JSON: input_from_json
inline constexpr char merged[] = "zeroi2v.merged";             ///< `true` after a merge, else `false`
inline constexpr char version[] = "zeroi2v.version";           ///< of the library that wrote the file
inline constexpr char merge_report[] = "zeroi2v.merge_report"; ///< JSON: docs/merging.md
inline constexpr char self_test[] = "zeroi2v.self_test";       ///< JSON: {"seed":..,"logits":[..]}
inline constexpr char labels[] = "zeroi2v.labels";             ///< name of the data set whose classes these are
inline constexpr char untrained[] = "zeroi2v.untrained";       ///< which weights were drawn and never trained
} // namespace metadata_key

/// What metadata says of the model; empty where it says nothing.
struct vit_metadata {
    std::optional<stated_config> config;
    stated_input input;
    bool merged = false;
    std::optional<std::string> labels;
    std::optional<std::string> untrained;
};

/// Reads what zeroi2v wrote. `file` names it in messages.
/// Errors  JSON that is none -> checkpoint_error bad_json; wrong entries -> model_error bad_config; a `zeroi2v.merged` that is
///         neither `true` nor `false` -> model_error bad_config.
/// Test    tests/unit/io/checkpoints/vit_io.cpp
[[nodiscard]] inline vit_metadata read_vit_metadata(file_metadata const& metadata, std::string const& file) {
    vit_metadata result;
    auto const text = [&](char const* key) -> std::string const* {
        auto const found = metadata.find(key);
        return found == metadata.end() ? nullptr : &found->second;
    };
    if (auto const* const json = text(metadata_key::config)) result.config = config_from_json(*json, file + " (" + metadata_key::config + ")");
    if (auto const* const json = text(metadata_key::input)) result.input = input_from_json(*json, file + " (" + metadata_key::input + ")");
    if (auto const* const word = text(metadata_key::merged)) {
        if (*word != "true" && *word != "false")
            throw model_error{error_code::bad_config, file + ": " + metadata_key::merged + ": " + quoted_name(*word) + " found, true or false expected"};
        result.merged = *word == "true";
    }
    if (auto const* const name = text(metadata_key::labels)) result.labels = *name;
    if (auto const* const which = text(metadata_key::untrained)) result.untrained = *which;
    return result;
}

} // namespace zeroi2v
