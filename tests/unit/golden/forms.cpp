// Other image models with map and adapters, as timm computes them in double: features and logits, adapted and merged.
#include "golden_case.hpp"

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;
using namespace golden_test;

namespace {

adapted_vit load_form(std::string const& name, stated_config const& config) {
    auto const file = load_checkpoint(data / "backbones_video" / name / "adapted.safetensors");
    return load_adapted_vit(file, config);
}

stated_config config_of(std::string const& name) { return read_config_file(data / "backbones_video" / name / "config.json"); }

struct errors { double features_l2, logits_distance, logits_l2; };

template <class Adapters>
errors errors_of(vit_weights<Adapters> const& weights, std::string const& name, isa level, dtype type = dtype::f32) {
    auto const expected = read_safetensors(data / "backbones_video" / name / "case.safetensors");
    vit_engine const engine{weights, {.dtype = type, .threads = 2, .kernels = &kernels(level)}};
    auto workspace = engine.make_workspace();
    auto const& c = engine.config();
    view<float const, 4> const clip{expected["clip"].as<float>().data(), c.frames(), 3, c.image_size(), c.image_size()};
    dynamic_tensor<float, 2> features{c.frames(), c.width()};
    engine.features(clip, workspace, features);
    std::vector<float> logits(c.classes());
    engine.forward(clip, workspace, logits);
    auto const wanted = expected["logits_f64"].as<double>();
    return {relative_l2({features.data(), features.size()}, expected["features_f64"].as<double>()), distance(logits, wanted), relative_l2(logits, wanted)};
}

char const* const names[]{"timm_augreg", "timm_dinov2_reg4", "timm_dinov3", "timm_mae_gap", "timm_siglip"};

} // namespace

TEST_CASE("golden: ViT, DINOv2 with registers, DINOv3, MAE and SigLIP with map and adapters, on every instruction set and dtype") {
    for (std::string const name : names) {
        auto const adapted = load_form(name, config_of(name));
        auto const merged = merge(adapted, {.kernels = &best_kernels()}).model;
        for (isa const level : built_isas()) {
            if (!supported(level)) continue;
            CAPTURE(name);
            CAPTURE(to_string(level));
            auto const before = errors_of(adapted, name, level), after = errors_of(merged, name, level);
            MESSAGE(name << " " << to_string(level) << ": features " << before.features_l2 << ", logits " << before.logits_distance << ", merged " << after.logits_distance);
            for (errors const& each : {before, after}) {
                CHECK(each.features_l2 < 2e-6); // the contract is 5e-6, and 2e-5 for logits
                CHECK(each.logits_distance < 5e-6);
            }
            CHECK(errors_of(merged, name, level, dtype::bf16).features_l2 <= 1e-2);
            CHECK(errors_of(merged, name, level, dtype::i8).features_l2 <= 4e-2);
        }
    }
}

TEST_CASE("golden: another form is seen, so these tests can fail") {
    isa const level = built_isas().front();
    auto const wrong = [&](std::string const& name, auto change) {
        auto config = config_of(name);
        change(config);
        return errors_of(load_form(name, config), name, level).features_l2;
    };
    CHECK(wrong("timm_augreg", [](stated_config& c) { c.activation = stated_activation{activation::quick_gelu}; }) > 1e-4);
    CHECK(wrong("timm_augreg", [](stated_config& c) { c.activation = stated_activation{activation::gelu_tanh}; }) > 1e-5);
    CHECK(wrong("timm_augreg", [](stated_config& c) { c.norm_epsilon = 1e-2; }) > 1e-4);
    CHECK(wrong("timm_dinov3", [](stated_config& c) { c.rope_theta = 50; }) > 1e-4);
    CHECK(wrong("timm_dinov3", [](stated_config& c) { c.pooling = frame_pooling::class_token; }) > 1e-3);
    CHECK(wrong("timm_mae_gap", [](stated_config& c) { c.pool_norm = pool_norm_place::before_mean; }) > 1e-4);
}
