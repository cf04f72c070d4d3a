// Forms of transformers in training: every gradient of each against central differences of the loss in double.
#include <zeroi2v/train/pooling_pass.hpp>

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/train/clip_pass.hpp>

#include "models.hpp"

#include <doctest/doctest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

vit_config tiny(vit_form const& form, std::size_t layers = 2) {
    return {{.image_size = 4, .patch_size = 2, .frames = 3, .width = 8, .layers = layers, .heads = 2, .mlp_width = 7, .classes = 5}, frame_map<>::from_offsets({-1, 1}), 0.7, form};
}

std::vector<std::pair<std::string, vit_form>> all_forms() {
    using p = frame_pooling;
    std::vector<std::pair<std::string, vit_form>> forms;
    for (std::size_t i = 0; i < activation_count; ++i)
        if (auto const act = static_cast<activation>(i); act != activation::none) forms.emplace_back(to_string(act), vit_form{.act = act});
    vit_form const vit{.act = activation::gelu, .norm_epsilon = 1e-3, .pre_norm = false, .patch_bias = true};
    auto const with = [&](auto change) {
        vit_form form = vit;
        change(form);
        return form;
    };
    forms.emplace_back("no pre-norm, bias of the patches, another epsilon", vit);
    forms.emplace_back("registers", with([](vit_form& f) { f.registers = 3; }));
    forms.emplace_back("mean of normed patches", with([](vit_form& f) { f.registers = 2; f.pooling = p::mean; }));
    forms.emplace_back("norm of the mean", with([](vit_form& f) { f.pooling = p::mean; f.pool_norm = pool_norm_place::after_mean; }));
    forms.emplace_back("no class token, mean, pre-norm", with([](vit_form& f) { f.pre_norm = true; f.class_token = false; f.pooling = p::mean; }));
    forms.emplace_back("rotary embedding", with([](vit_form& f) { f.registers = 1; f.rope_theta = 100; }));
    forms.emplace_back("rotary embedding, mean", with([](vit_form& f) { f.registers = 4; f.rope_theta = 100; f.pooling = p::mean; }));
    forms.emplace_back("attention pooling", with([](vit_form& f) { f.class_token = false; f.pooling = p::attention; }));
    forms.emplace_back("attention pooling over class token and registers", with([](vit_form& f) { f.registers = 2; f.pooling = p::attention; }));
    return forms;
}

} // namespace

TEST_CASE("gradients of every parameter of each form against central differences in double") {
    serial_executor here;
    for (auto const& [name, form] : all_forms())
        for (std::size_t const layers : {1U, 2U})
            for (trainable_set const set : {trainable_set::all(), trainable_set::only_adapters()}) {
                if ((layers == 2) != (set == trainable_set::only_adapters())) continue; // all of one block, and what passes through one
                CAPTURE(name);
                vit_config const config = tiny(form, layers);
                batch const data{config, 1, {5}, 3};
                auto weights = lively(config, {shared_sites, 2}, 5);
                trained_tensors const trained{weights, set};
                auto wide = in_double(weights);
                auto const wanted = differences_of(wide, trained, data, {5}, 0);
                training_model model{weights, trained, best_kernels()};
                model.pack();
                std::vector<float> gradient(trained.floats(), 1e9F);
                double const loss = clip_pass{model, here, false}.loss_and_gradient(data.clip(0), data.labels, {}, gradient.data());
                CHECK(loss == doctest::Approx(loss_of(wide, data, {5}, 0)).epsilon(1e-6));
                auto const errors = errors_of(trained, gradient, wanted);
                CHECK(errors.size() == trained.size());
                for (auto const& [tensor, error] : errors) CHECK_MESSAGE(error < 1e-5, tensor << ": " << error);
            }
}

TEST_CASE("each form: the same bits for every number of threads, of clips at once, and with activations made again; a step changes the loss") {
    for (auto const& [name, form] : all_forms()) {
        CAPTURE(name);
        vit_config const config = tiny(form);
        batch const data{config, 3, {5}, 3};
        std::vector<float> first;
        for (auto const& [threads, at_once, recompute] : {std::tuple{1U, 1U, false}, {3U, 1U, false}, {2U, 3U, false}, {2U, 1U, true}}) {
            trainer training{lively(config, {separate_sites, 2}, 5), {.trainable = trainable_set::all(), .seed = 4, .recompute = recompute, .threads = threads,
                                                                     .clips_at_once = at_once, .kernels = &best_kernels()}};
            double const before = training.step(data.clips(), data.labels, 1e-3).loss;
            std::vector<float> const gradient(training.gradient().begin(), training.gradient().end());
            if (first.empty()) first = gradient;
            CHECK(gradient == first);
            CHECK(training.step(data.clips(), data.labels, 1e-3).loss != before);
        }
    }
}
