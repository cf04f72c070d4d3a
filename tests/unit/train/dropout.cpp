// Dropout in a whole model: the backward pass drops what the forward pass dropped, layer by layer and row by row.
#include <zeroi2v/train/dropout.hpp>

#include "models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {


/// The loss of step 0 with one tensor moved along `direction`: the same values are dropped as long as the step is.
double loss_at(trainer& training, training_state const& from, std::size_t which, std::vector<double> const& direction, double by, batch const& data) {
    training_state moved{from.step, {}};
    for (auto const& [name, tensor] : from.tensors) moved.tensors.emplace_back(name, tensor.clone());
    auto const values = moved.tensors[3 * which].second.as<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += static_cast<float>(by * direction[i]);
    training.restore(moved);
    return training.step(data.clips(), data.labels, 0).loss;
}

struct outcome {
    std::size_t tensors{};
    double worst{};
    std::string name;
};

/// Along each tensor's own gradient the loss must rise by that gradient's length: central differences of the model's own
/// loss, with everything dropped that a step drops.
outcome worst_slope(vit_config const& config, adapter_layout const& layout, trainer_options options) {
    options.kernels = &best_kernels();
    options.weight_decay = 0;
    batch const data{config, 1, {config.classes()}, 3};
    trainer training{lively(config, layout, 5), options};
    auto const start = training.state();
    training.step(data.clips(), data.labels, 0);
    std::vector<float> const gradient{training.gradient().begin(), training.gradient().end()};
    double all = 0;
    for (float const each : gradient) all += static_cast<double>(each) * static_cast<double>(each);
    outcome result;
    for (std::size_t t = 0; t < training.trained().size(); ++t) {
        auto const& each = training.trained()[t];
        double own = 0;
        for (std::size_t i = each.first; i < each.first + each.count; ++i) own += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
        own = std::sqrt(own);
        if (own < 1e-3 * std::sqrt(all)) continue; // the loss in float does not see it
        std::vector<double> direction(each.count);
        for (std::size_t i = 0; i < each.count; ++i) direction[i] = static_cast<double>(gradient[each.first + i]) / own;
        auto const slope = [&](double h) { return (loss_at(training, start, t, direction, h, data) - loss_at(training, start, t, direction, -h, data)) / (2 * h); };
        double const found = slope(4e-3);
        double const error = std::abs(found - own) / own;
        ++result.tensors;
        if (!(error <= result.worst)) {
            result.worst = error == error ? error : 1e9;
            result.name = each.name;
        }
    }
    return result;
}

} // namespace

TEST_CASE("gradients with values dropped, of every adapter of small models, are those of the loss with the same values dropped") {
    for (adapter_site_set const& inputs : {shared_sites, separate_sites})
        for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all()})
            for (std::size_t const layers : {1U, 2U}) {
                vit_config const config{{.image_size = 6, .patch_size = 2, .frames = 3, .width = 12, .layers = layers, .heads = 3, .mlp_width = 14, .classes = 5},
                                        frame_map<>::from_offsets({-1, 1, 0}), 0.7};
                adapter_layout const layout{inputs, 6};
                auto const found = worst_slope(config, layout, {.trainable = set, .adapter_dropout = 0.4, .head_dropout = 0.4, .seed = 8, .recompute = layers == 2});
                MESSAGE(found.tensors << " tensors, worst " << found.worst << " of " << found.name);
                CHECK(found.tensors > (set == trainable_set::all() ? 20 : 12) * layers);
                CHECK_MESSAGE(found.worst < 0.01, found.name);
            }
}

TEST_CASE("gradients with values dropped where threads take their rows in several blocks") {
    vit_config const config{{.image_size = 40, .patch_size = 4, .frames = 4, .width = 12, .layers = 2, .heads = 3, .mlp_width = 14, .classes = 5},
                            frame_map<>::from_offsets({-1, 1, 2}), 0.5};
    REQUIRE(config.frames() * config.tokens() > 320);
    for (adapter_site_set const& inputs : {shared_sites, separate_sites}) {
        auto const found = worst_slope(config, {inputs, 3}, {.adapter_dropout = 0.4, .head_dropout = 0.4, .seed = 8, .clips_at_once = 1});
        MESSAGE(found.tensors << " tensors, worst " << found.worst << " of " << found.name);
        CHECK(found.tensors > 20);
        CHECK_MESSAGE(found.worst < 0.01, found.name);
    }
}

TEST_CASE("gradients with values dropped where the class tokens of many frames are taken in several blocks") {
    vit_config const config{{.image_size = 2, .patch_size = 2, .frames = 330, .width = 12, .layers = 2, .heads = 3, .mlp_width = 14, .classes = 5}, frame_map<>::from_offsets({-1, 1, 2}), 0.5};
    REQUIRE(config.frames() > 320); // more than one block of rows on every instruction set
    for (adapter_site_set const& inputs : {shared_sites, separate_sites}) {
        auto const found = worst_slope(config, {inputs, 3}, {.adapter_dropout = 0.4, .head_dropout = 0.4, .seed = 8, .clips_at_once = 1});
        MESSAGE(found.tensors << " tensors, worst " << found.worst << " of " << found.name);
        CHECK(found.tensors > 20);
        CHECK_MESSAGE(found.worst < 0.01, found.name);
    }
}

TEST_CASE("logits drop nothing, and a loss without dropout is theirs") {
    auto const config = small_config();
    adapter_layout const layout{shared_sites, 5};
    batch const data{config, 2, {7}, 1};
    trainer plain{lively(config, layout, 4), {.adapter_dropout = 0, .head_dropout = 0, .kernels = &best_kernels()}};
    dynamic_tensor<float, 2> logits{std::size_t{2}, std::size_t{7}}, same{std::size_t{2}, std::size_t{7}};
    plain.logits(data.clips(), logits);
    auto const loss = plain.step(data.clips(), data.labels, 0).loss;
    double wanted = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < 7; ++k) sum += std::exp(static_cast<double>(logits(i, k)));
        wanted += (std::log(sum) - static_cast<double>(logits(i, static_cast<std::size_t>(data.labels[i])))) / 2;
    }
    CHECK(loss == doctest::Approx(wanted).epsilon(1e-9));
    std::vector<double> losses{loss};
    for (trainer_options const& options : {trainer_options{.adapter_dropout = 0.5, .head_dropout = 0}, {.adapter_dropout = 0, .head_dropout = 0.5}, {.adapter_dropout = 0.5, .head_dropout = 0, .seed = 1}}) {
        auto with = options;
        with.kernels = &best_kernels();
        trainer training{lively(config, layout, 4), with};
        training.logits(data.clips(), same);
        CHECK(std::equal(same.begin(), same.end(), logits.begin()));
        for (int i = 0; i < 2; ++i) losses.push_back(training.step(data.clips(), data.labels, 0).loss); // another step drops other values
    }
    std::sort(losses.begin(), losses.end());
    CHECK(std::adjacent_find(losses.begin(), losses.end()) == losses.end());
}
