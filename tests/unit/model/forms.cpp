// Forms of transformers in the engine: each against the plain double loops, on every instruction set, adapted and merged.
#include <zeroi2v/model/vit_form.hpp>

#include "reference_vit.hpp"

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

vit_config config_of(vit_form const& form) {
    return {{.image_size = 24, .patch_size = 8, .frames = 4, .width = 24, .layers = 2, .heads = 3, .mlp_width = 50, .classes = 7}, frame_map<>{3, {{0, -1}, {2, 1}}}, 0.7, form};
}

std::vector<std::pair<std::string, vit_form>> forms() {
    vit_form const vit{.act = activation::gelu, .norm_epsilon = 1e-3, .pre_norm = false, .patch_bias = true};
    auto const with = [&](auto change) {
        vit_form form = vit;
        change(form);
        return form;
    };
    using p = frame_pooling;
    return {{"ViT", vit},
            {"gelu_tanh", with([](vit_form& f) { f.act = activation::gelu_tanh; })},
            {"registers", with([](vit_form& f) { f.registers = 4; })},
            {"mean of normed patches", with([](vit_form& f) { f.registers = 2; f.pooling = p::mean; })},
            {"norm of the mean", with([](vit_form& f) { f.pooling = p::mean; f.pool_norm = pool_norm_place::after_mean; })},
            {"no class token", with([](vit_form& f) { f.pre_norm = true; f.class_token = false; f.pooling = p::mean; })},
            {"rotary embedding", with([](vit_form& f) { f.registers = 1; f.rope_theta = 100; })},
            {"rotary embedding, mean", with([](vit_form& f) { f.registers = 4; f.rope_theta = 100; f.pooling = p::mean; })},
            {"attention pooling", with([](vit_form& f) { f.class_token = false; f.pooling = p::attention; })},
            {"attention pooling over class token and registers", with([](vit_form& f) { f.registers = 2; f.pooling = p::attention; })}};
}

adapted_vit lively(vit_config const& config) {
    auto weights = random_weights<with_adapters>(config, {{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5},
                                                 {.seed = 5, .adapters = adapter_init::random});
    for_each_tensor(weights, [](std::string const& name, stored_tensor& tensor, shape const&, parameter_role role) {
        counter_rng const rng{9, detail::name_hash(name)};
        auto const values = tensor.as<float>();
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = (role == parameter_role::norm_weight ? 1.0F : 0.0F) + 0.2F * rng.normal(i);
    });
    return weights;
}

double relative_l2(std::span<float const> found, std::vector<double> const& expected) {
    REQUIRE(found.size() == expected.size());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        double const d = static_cast<double>(found[i]) - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
}

template <class Weights>
void check(Weights const& weights, std::vector<double> const& features, std::vector<double> const& logits) {
    auto const clip = random_clip(weights.config, 3);
    for (isa const level : built_isas()) {
        if (!supported(level)) continue;
        CAPTURE(to_string(level));
        for (auto const& [type, bound] : {std::pair{dtype::f32, 2e-6}, {dtype::bf16, 2e-2}, {dtype::i8, 5e-2}}) {
            CAPTURE(dtype_name(type));
            vit_engine const engine{weights, {.dtype = type, .threads = 2, .kernels = &kernels(level)}};
            auto workspace = engine.make_workspace();
            dynamic_tensor<float, 2> found{weights.config.frames(), weights.config.width()};
            engine.features(clip, workspace, found);
            CHECK(relative_l2({found.data(), found.size()}, features) < bound);
            std::vector<float> answer(7), again(7);
            engine.forward(clip, workspace, answer);
            CHECK(relative_l2(answer, logits) < bound);
            auto alone = vit_engine{weights, {.dtype = type, .threads = 1, .kernels = &kernels(level)}}.make_workspace(2);
            engine.forward(clip, alone, again);
            CHECK(again == answer); // for any threads and room
        }
    }
}

} // namespace

TEST_CASE("each form: features and logits against the formula in double, adapted and merged, on every instruction set and dtype") {
    for (auto const& [name, form] : forms()) {
        CAPTURE(name);
        auto const adapted = lively(config_of(form));
        auto const clip = random_clip(adapted.config, 3);
        std::vector<double> features;
        for (auto const& row : reference::features(adapted, clip)) features.insert(features.end(), row.begin(), row.end());
        auto const logits = reference::logits(adapted, clip);
        check(adapted, features, logits);
        auto const [model, proof] = merge(adapted, {.kernels = &best_kernels()});
        CHECK(model.config.form() == form);
        CHECK(proof.probe.holds());
        check(model, features, logits);
    }
}

TEST_CASE("each form: hidden states are those of the formula") {
    for (auto const& [name, form] : forms()) {
        CAPTURE(name);
        auto const weights = lively(config_of(form));
        auto const clip = random_clip(weights.config, 3);
        vit_engine const engine{weights, {.kernels = &best_kernels()}};
        auto workspace = engine.make_workspace();
        for (std::size_t const layers : {0U, 1U, 2U}) {
            dynamic_tensor<float, 3> hidden{weights.config.frames(), weights.config.tokens(), weights.config.width()};
            engine.hidden_states(clip, layers, workspace, hidden);
            std::vector<double> flat;
            for (auto const& row : reference::tokens(weights, clip, layers)) flat.insert(flat.end(), row.begin(), row.end());
            CHECK(relative_l2({hidden.data(), hidden.size()}, flat) < 2e-6);
        }
    }
}

TEST_CASE("vit_config: forms that cannot be are refused by name") {
    auto const words = [](vit_form const& form, std::size_t heads = 3) {
        try {
            vit_config const config{{.image_size = 24, .patch_size = 8, .frames = 2, .width = 24, .layers = 1, .heads = heads, .mlp_width = 5, .classes = 2}, frame_map<>{heads}, std::nullopt, form};
            return std::string{"taken"};
        } catch (model_error const& e) {
            CHECK(e.code() == error_code::bad_config);
            return std::string{e.what()};
        }
    };
    CHECK(words({}) == "taken");
    CHECK(words({.act = activation::none}).find("activation: none") != std::string::npos);
    for (double const epsilon : {0.0, -1.0, 1e-60, 2.0, std::nan("")}) CHECK(words({.norm_epsilon = epsilon}).find("norm_epsilon") != std::string::npos);
    CHECK(words({.norm_epsilon = 1}) == "taken");
    CHECK(words({.class_token = false}).find("pooling: class") != std::string::npos);
    CHECK(words({.registers = 1025}).find("registers: 1025") != std::string::npos);
    CHECK(words({.registers = 1024}) == "taken");
    CHECK(words({.pool_norm = pool_norm_place::after_mean}).find("pool_norm: after") != std::string::npos);
    CHECK(words({.rope_theta = 0.0}).find("rope_theta") != std::string::npos);
    CHECK(words({.rope_theta = 100.0}) == "taken");
    CHECK(words({.rope_theta = 100.0}, 4).find("rope_theta: heads of 6") != std::string::npos);
}

TEST_CASE("vit_config: tokens, positions and flops of a form") {
    auto const clip = config_of({});
    CHECK((clip.tokens() == 10 && clip.positions() == 10));
    auto const registers = config_of({.registers = 4});
    CHECK((registers.tokens() == 14 && registers.positions() == 10));
    auto const rotary = config_of({.registers = 4, .rope_theta = 100.0});
    CHECK((rotary.tokens() == 14 && rotary.positions() == 0));
    auto const pooled = config_of({.class_token = false, .pooling = frame_pooling::attention}), mean = config_of({.class_token = false, .pooling = frame_pooling::mean});
    CHECK((pooled.tokens() == 9 && pooled.positions() == 9));
    // Keys and values of 9 tokens, attention of one query, out_proj and MLP of one row, in 4 frames.
    CHECK(pooled.flops() - mean.flops() == 2.0 * 4 * (9 * 2 * 24 * 24 + 2 * 9 * 24 + 24 * 24 + 2 * 24 * 50));
    CHECK(registers.flops() > clip.flops());
}
