// Every golden case of the official code: logits, stages, merged tensors; adapted and merged; on every instruction set here.
#include "golden_case.hpp"

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace golden_test;

namespace {

std::vector<isa> isas() {
    std::vector<isa> result;
    for (isa const level : built_isas())
        if (supported(level)) result.push_back(level);
    return result;
}

template <class Adapters>
dynamic_tensor<float, 2> logits_of(vit_weights<Adapters> const& weights, named_tensors const& expected, isa level, dtype type = dtype::f32) {
    vit_engine const engine{weights, {.dtype = type, .threads = 2, .kernels = &kernels(level)}};
    auto workspace = engine.make_workspace(2);
    dynamic_tensor<float, 2> logits{expected["logits"].sizes()[0], expected["logits"].sizes()[1]};
    engine.forward(clips_of(expected["clip"]), workspace, logits);
    return logits;
}

template <class Adapters>
double logits_distance(vit_weights<Adapters> const& weights, named_tensors const& expected, isa level) {
    auto const logits = logits_of(weights, expected, level);
    return distance({logits.data(), logits.size()}, expected["logits_f64"].as<double>());
}

template <class Adapters>
double logits_error(vit_weights<Adapters> const& weights, named_tensors const& expected, isa level, dtype type) {
    auto const logits = logits_of(weights, expected, level, type);
    return relative_l2({logits.data(), logits.size()}, expected["logits_f64"].as<double>());
}

char const* const cases[]{"b16_short", "l14_ssv2_offsets", "l14_wide_patch14", "one_adapter_after_mlp", "no_attention_output_adapter", "qkv_input_adapters"};

} // namespace

TEST_CASE("golden: logits of every case, adapted and merged, on every instruction set") {
    REQUIRE_FALSE(isas().empty());
    for (char const* const name : cases)
        for (isa const level : isas()) {
            CAPTURE(name);
            CAPTURE(to_string(level));
            auto const expected = read_safetensors(data / name / "case.safetensors");
            auto const adapted = load(name);
            auto const [merged, proof] = merge(adapted, {.kernels = &kernels(level)});
            double const unmerged_error = logits_distance(adapted, expected, level), merged_error = logits_distance(merged, expected, level);
            MESSAGE(name << " " << to_string(level) << ": adapted " << unmerged_error << ", merged " << merged_error);
            CHECK(unmerged_error < 5e-6); // the contract is 2e-5; the official float itself is within 4e-6
            CHECK(merged_error < 5e-6);
            CHECK(proof.probe.relative_l2 < 5e-6);
            CHECK(logits_error(merged, expected, level, dtype::bf16) <= 1e-2);
            CHECK(logits_error(merged, expected, level, dtype::i8) <= 4e-2);
        }
}

TEST_CASE("golden: stage by stage") {
    auto const expected = read_safetensors(data / "b16_short" / "case.safetensors");
    auto const adapted = load("b16_short");
    auto const clips = clips_of(expected["clip"]);
    std::size_t const frames = clips.extent(1);
    for (isa const level : isas()) {
        vit_engine const engine{adapted, {.kernels = &kernels(level)}};
        auto workspace = engine.make_workspace();
        dynamic_tensor<float, 3> hidden{frames, engine.config().tokens(), engine.config().width()};
        auto const doubles = [](std::span<float const> values) { return std::vector<double>(values.begin(), values.end()); };
        for (std::size_t clip = 0; clip < 2; ++clip) {
            view<float const, 4> const one{clips.data() + clip * engine.config().clip_values(), frames, 3, clips.extent(3), clips.extent(4)};
            char const* const stages[]{"ln_pre", "block0", "block1"};
            for (std::size_t layer = 0; layer < 3; ++layer) {
                engine.hidden_states(one, layer, workspace, hidden);
                auto const stage = expected[stages[layer]].as<float>().subspan(clip * hidden.size(), hidden.size());
                CAPTURE(stages[layer]);
                CHECK(distance({hidden.data(), hidden.size()}, doubles(stage)) < 2e-5);
            }
            dynamic_tensor<float, 2> features{frames, engine.config().width()};
            engine.features(one, workspace, features);
            auto const stage = expected["features"].as<float>().subspan(clip * features.size(), features.size());
            CHECK(distance({features.data(), features.size()}, doubles(stage)) < 2e-5);
        }
    }
}

TEST_CASE("golden: merged tensors are those of the official tool, same names and shapes") {
    for (char const* const name : {"b16_short", "l14_ssv2_offsets", "l14_wide_patch14"}) {
        auto const official = read_safetensors(data / name / "merged.safetensors");
        auto const result = merge(load(name));
        std::size_t seen = 0;
        double worst = 0;
        for_each_tensor(result.model, [&](std::string const& tensor, stored_tensor const& found, shape const&, parameter_role) {
            CAPTURE(tensor);
            REQUIRE(official.tensors.contains(tensor));
            auto const& expected = official[tensor];
            REQUIRE(expected.sizes() == found.sizes());
            double largest = 0, difference = 0;
            for (std::size_t i = 0; i < found.count(); ++i) {
                largest = std::max(largest, std::abs(expected.value(i)));
                difference = std::max(difference, std::abs(expected.value(i) - found.value(i)));
            }
            CHECK(difference <= 3e-6 * largest);
            worst = std::max(worst, largest == 0 ? 0 : difference / largest);
            ++seen;
        });
        MESSAGE(name << ": " << worst << " of the largest element");
        CHECK(seen == official.tensors.size());
    }
}

TEST_CASE("golden: the wrong scale and the wrong map are seen, so these tests can fail") {
    auto const expected = read_safetensors(data / "b16_short" / "case.safetensors");
    auto weights = load("b16_short");
    isa const level = isas().front();
    weights.config = vit_config{weights.config.sizes(), weights.config.map(), 1.0};
    CHECK(logits_distance(weights, expected, level) > 1e-3);
    weights.config = vit_config{weights.config.sizes(), frame_map<>{12}, 0.5};
    CHECK(logits_distance(weights, expected, level) > 1e-3);
    weights.config = vit_config{weights.config.sizes(), frame_map<>{12, {{0, 1}, {1, -1}}}, 0.5};
    CHECK(logits_distance(weights, expected, level) > 1e-3);
}
