// self_test: a model computes the logits that its own file keeps.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge_proof.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace zeroi2v {

/// How far computed logits were from the stored ones.
struct self_test_result {
    double max_abs{};
    double tolerance{};
};

/// Runs the clip random_clip(config, seed) and compares with the logits of the metadata `zeroi2v.self_test`,
/// {"seed":..,"logits":[..]}, which holds no tensors.
///
/// Errors  no self-test in the file, or one that is none -> checkpoint_error self_test_failed; logits further off than
///         1e-4 max(1, largest |logit|), or not finite -> the same with the figures; as vit_file.
/// Test    tests/unit/io/checkpoints/self_test.cpp
[[nodiscard]] inline self_test_result self_test(vit_file const& file, engine_options options = {}, load_options loading = {}) {
    auto const& metadata = file.source().file().metadata();
    auto const text = metadata.find(metadata_key::self_test);
    auto const fail = [&](std::string const& sentence) { return checkpoint_error{error_code::self_test_failed, file.name() + ": self-test: " + sentence}; };
    if (text == metadata.end()) throw fail("the file has none, metadata zeroi2v.self_test expected");
    auto const config = file.config(std::nullopt, loading);
    json_value const stored = detail::parse_config_object(text->second, file.name() + " (" + metadata_key::self_test + ")",
                                                          detail::config_bytes + 32 * config.classes(),
                                                          std::max(detail::config_elements, config.classes()));
    auto const* const seed = stored.find("seed");
    auto const* const logits_found = stored.find("logits");
    bool complete = seed != nullptr && seed->as_unsigned() && logits_found != nullptr && logits_found->as_array() != nullptr;
    std::vector<double> expected;
    if (complete) {
        for (auto const& value : *logits_found->as_array()) {
            auto const number = value.as_number();
            complete = complete && number.has_value();
            expected.push_back(number.value_or(0));
        }
    }
    if (!complete) throw fail("a seed and a list of logits expected");
    if (expected.size() != config.classes())
        throw fail(std::to_string(expected.size()) + " logits found, " + std::to_string(config.classes()) + " expected");

    auto const clip = random_clip(config, *seed->as_unsigned());
    auto const logits = std::visit([&](auto&& weights) { return vit_engine{std::move(weights), options}(clip); }, load_vit(file, config, loading));
    self_test_result result{.max_abs = 0, .tolerance = 1e-4};
    for (double const value : expected) result.tolerance = std::max(result.tolerance, 1e-4 * std::abs(value));
    for (std::size_t k = 0; k < expected.size(); ++k) {
        double const difference = std::abs(static_cast<double>(logits(k)) - expected[k]);
        if (!(difference <= result.tolerance))
            throw fail(detail::formatted("logit %zu is %.9g, %.9g expected", k, static_cast<double>(logits(k)), expected[k]));
        result.max_abs = std::max(result.max_abs, difference);
    }
    return result;
}

} // namespace zeroi2v
