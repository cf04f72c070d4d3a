// The trainer: every gradient against central differences of the loss in double, bits for any threads, state, faults.
#include <zeroi2v/train/trainer.hpp>

#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/train/clip_pass.hpp>

#include "models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

struct tiny_case {
    char const* name;
    adapter_layout layout;
    trainable_set set;
    std::vector<int> offsets;
    std::vector<std::size_t> groups;
};

} // namespace

TEST_CASE("gradients of every parameter of tiny models against central differences in double") {
    adapter_layout const all{shared_sites, 2}, separate{separate_sites, 2};
    trainable_set no_time = trainable_set::only_adapters();
    no_time.temporal_embedding = false;
    std::vector<tiny_case> const cases{
        {"four adapters, everything", all, trainable_set::all(), {-1, 1, 0}, {5}},
        {"q, k, v adapters, everything", separate, trainable_set::all(), {2, -2, 5}, {5}},
        {"adapters", all, trainable_set::only_adapters(), {-1, 1, -7}, {2, 3}},
        {"q, k, v adapters", separate, no_time, {1, 0, -1}, {5}},
        {"one adapter after the MLP left out", {{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter}, 2}, no_time, {-1, 2, 0}, {5}},
        {"attention's output without adapter", {{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter}, 2}, trainable_set::only_adapters(), {0, 1, 0}, {5}},
        {"only the MLP's adapters", {{adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 2}, no_time, {0, 1, -1}, {5}},
        {"no adapters, everything", adapter_layout::none(), trainable_set::all(), {0, 0, 0}, {5}},
        {"head", all, trainable_set::only_head(), {-1, 1, 0}, {5}},
        {"temporal embedding", all, {false, true, false, false, false}, {-1, 1, 0}, {5}},
        {"ln_post", all, {false, false, true, false, false}, {-1, 1, 0}, {5}},
        {"image model", {{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter_out}, 2}, {false, false, false, false, true}, {-1, 1, 0}, {5}},
    };
    for (auto const& c : cases)
        for (std::size_t const layers : {2U, 1U}) {
            if (layers == 1 && !adapts_parts(c.layout)) continue;
            CAPTURE(std::string{c.name});
            vit_config const config{{.image_size = 4, .patch_size = 2, .frames = 3, .width = 6, .layers = layers, .heads = 3, .mlp_width = 7, .classes = 5},
                                    frame_map<>::from_offsets({c.offsets[0], c.offsets[1], c.offsets[2]}), 0.7};
            batch const data{config, 2, c.groups, 3};
            auto const weights = lively(config, c.layout, 5);
            trainer training{[&] { return lively(config, c.layout, 5); }(),
                             {.trainable = c.set, .label_smoothing = 0.1, .adapter_dropout = 0, .head_dropout = 0, .label_groups = c.groups, .threads = 2, .kernels = &best_kernels()}};
            auto const result = training.step(data.clips(), data.labels, 0);
            auto wide = in_double(weights);
            CHECK(result.loss == doctest::Approx(loss_of(wide, data, c.groups, 0.1)).epsilon(1e-6));
            auto const errors = errors_of(training.trained(), training.gradient(), differences_of(wide, training.trained(), data, c.groups, 0.1));
            CHECK(errors.size() == training.trained().size());
            double worst = 0;
            for (auto const& each : errors) {
                worst = std::max(worst, each.second);
                CHECK_MESSAGE(each.second < 1e-5, each.first << ": " << each.second);
            }
            MESSAGE(std::string{c.name} << ", " << layers << " blocks: " << training.trained().floats() << " parameters, worst tensor " << worst);
        }
}

TEST_CASE("the comparison with central differences fails for a wrong gradient") {
    // A map of another direction has the same sizes and another gradient; so has one float that is off, or no number.
    vit_sizes const sizes{.image_size = 4, .patch_size = 2, .frames = 3, .width = 6, .layers = 1, .heads = 3, .mlp_width = 7, .classes = 5};
    adapter_layout const layout{shared_sites, 2};
    vit_config const right{sizes, frame_map<>::from_offsets({-1, 1, 0}), 0.7}, wrong{sizes, frame_map<>::from_offsets({1, -1, 0}), 0.7};
    batch const data{right, 1, {5}, 3};
    trainer a{lively(right, layout, 5), {.adapter_dropout = 0, .head_dropout = 0, .kernels = &best_kernels()}};
    trainer b{lively(wrong, layout, 5), {.adapter_dropout = 0, .head_dropout = 0, .kernels = &best_kernels()}};
    a.step(data.clips(), data.labels, 0);
    b.step(data.clips(), data.labels, 0);
    auto wide = in_double(lively(right, layout, 5));
    auto const wanted = differences_of(wide, a.trained(), data, {5}, 0);
    auto const worst = [&](std::span<float const> gradient) {
        double result = 0;
        for (auto const& [name, error] : errors_of(a.trained(), gradient, wanted)) result = std::max(result, error);
        return result;
    };
    CHECK(worst(a.gradient()) < 1e-5);
    CHECK(worst(b.gradient()) > 1e-3);
    for (auto const& each : a.trained()) {
        std::vector<float> off{a.gradient().begin(), a.gradient().end()};
        float& last = off[each.first + each.count - 1];
        last += last == 0 ? 1.0F : 0.5F * last + 0.01F;
        CHECK_MESSAGE(errors_of(a.trained(), off, wanted).at(each.name) > 1e-5, each.name);
        last = std::numeric_limits<float>::quiet_NaN();
        CHECK(errors_of(a.trained(), off, wanted).at(each.name) == 1e9);
    }
    CHECK(errors_of(a.trained(), a.gradient(), std::vector<double>(wanted.size(), 0.0)).begin()->second == 1e9);
}

TEST_CASE("gradients of a larger model along 64 random directions") {
    vit_config const config{{.image_size = 16, .patch_size = 4, .frames = 4, .width = 24, .layers = 2, .heads = 4, .mlp_width = 40, .classes = 9},
                            frame_map<>::from_offsets({-1, 1, 2, 0}), 0.5};
    adapter_layout const layout{shared_sites, 6};
    batch const data{config, 1, {9}, 8};
    for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all()}) {
        trainer training{lively(config, layout, 2), {.trainable = set, .adapter_dropout = 0, .head_dropout = 0, .kernels = &best_kernels()}};
        training.step(data.clips(), data.labels, 0);
        double worst = 0, norm = 0;
        for (float const g : training.gradient()) norm += static_cast<double>(g) * static_cast<double>(g);
        for (std::uint64_t direction = 0; direction < 64; ++direction) {
            std::vector<float> along(training.gradient().size());
            detail::draw_normal(along, 1, direction, 99);
            double product = 0;
            for (std::size_t i = 0; i < along.size(); ++i) product += static_cast<double>(along[i]) * static_cast<double>(training.gradient()[i]);
            double sides[2];
            for (int side = 0; side < 2; ++side) {
                auto wide = in_double(lively(config, layout, 2));
                auto const tensors = named(wide);
                for (auto const& each : training.trained())
                    for (std::size_t i = 0; i < each.count; ++i)
                        tensors.at(each.name)->as<double>()[i] += (side == 0 ? 1e-6 : -1e-6) * static_cast<double>(along[each.first + i]);
                sides[side] = loss_of(wide, data, {9}, 0);
            }
            double const difference = (sides[0] - sides[1]) / 2e-6;
            worst = std::max(worst, std::abs(product - difference) / std::max(std::abs(difference), std::sqrt(norm)));
        }
        MESSAGE("largest error of 64 directions: " << worst);
        CHECK(worst < 5e-6);
    }
}

TEST_CASE("the same bits for every number of threads, of clips at once, of pieces, and with activations made again") {
    auto const config = small_config();
    adapter_layout const layout{shared_sites, 5};
    batch const data{config, 7, {7}, 1};
    for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all()}) {
        trainer_options const base{.trainable = set, .label_smoothing = 0.1, .adapter_dropout = 0.2, .head_dropout = 0.5, .seed = 11, .clips_at_once = 1, .kernels = &best_kernels()};
        trainer first{lively(config, layout, 4), base};
        std::vector<double> losses;
        for (int i = 0; i < 3; ++i) losses.push_back(first.step(data.clips(), data.labels, 1e-2).loss);
        for (std::size_t const threads : {1U, 2U, 3U, 7U})
            for (std::size_t const at_once : {std::size_t{1}, threads})
                for (bool const recompute : {false, true}) {
                    auto options = base;
                    options.threads = threads;
                    options.clips_at_once = at_once;
                    options.recompute = recompute;
                    trainer other{lively(config, layout, 4), options};
                    for (int i = 0; i < 3; ++i) {
                        if (i == 1) {
                            other.begin(7);
                            other.add(data.clips(0, 2), std::span{data.labels}.first(2));
                            other.add(data.clips(2, 5), std::span{data.labels}.subspan(2));
                            CHECK(other.end(1e-2).loss == losses[1]);
                            continue;
                        }
                        CHECK(other.step(data.clips(), data.labels, 1e-2).loss == losses[static_cast<std::size_t>(i)]);
                    }
                    CHECK_MESSAGE(same(first, other), threads << " threads, " << at_once << " at once, recompute " << recompute);
                }
        trainer other_seed{lively(config, layout, 4), [&] { auto o = base; o.seed = 12; return o; }()};
        for (int i = 0; i < 3; ++i) other_seed.step(data.clips(), data.labels, 1e-2);
        CHECK_FALSE(same(first, other_seed));
    }
}

TEST_CASE("the same bits where threads take their rows in several blocks") {
    vit_config const config{{.image_size = 40, .patch_size = 4, .frames = 4, .width = 24, .layers = 2, .heads = 4, .mlp_width = 40, .classes = 5},
                            frame_map<>::from_offsets({-1, 1, 2, 0}), 0.5};
    REQUIRE(config.frames() * config.tokens() > 320); // more than one block of rows on every instruction set
    batch const data{config, 1, {5}, 3};
    for (adapter_site_set const& inputs : {shared_sites, separate_sites})
        for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all()}) {
            adapter_layout const layout{inputs, 5};
            auto const trained = [&](std::size_t threads, bool recompute) {
                trainer_options options{.trainable = set, .adapter_dropout = 0.2, .head_dropout = 0, .seed = 5};
                options.threads = threads;
                options.clips_at_once = 1;
                options.recompute = recompute;
                options.kernels = &best_kernels();
                auto result = std::make_unique<trainer>(lively(config, layout, 4), options);
                for (int i = 0; i < 2; ++i) result->step(data.clips(), data.labels, 1e-2);
                return result;
            };
            auto const one = trained(1, false);
            for (std::size_t const threads : {2U, 3U, 7U, 40U}) CHECK_MESSAGE(same(*one, *trained(threads, threads == 2)), threads << " threads");
        }
}

TEST_CASE("a frozen tensor keeps its bits and its dtype; the loss goes down") {
    auto const config = small_config();
    adapter_layout const layout{separate_sites, 5};
    batch const data{config, 4, {7}, 1};
    trainer training{lively(config, layout, 4), {.adapter_dropout = 0, .head_dropout = 0, .threads = 2, .kernels = &best_kernels()}};
    auto const before = lively(config, layout, 4);
    std::vector<stored_tensor const*> old;
    for_each_tensor(before, [&](std::string const&, stored_tensor const& tensor, shape const&, parameter_role) { old.push_back(&tensor); });
    double first = 0, last = 0;
    for (int i = 0; i < 30; ++i) {
        last = training.step(data.clips(), data.labels, 1e-2).loss;
        if (i == 0) first = last;
    }
    CHECK(last < 0.2 * first);
    std::size_t i = 0, changed = 0;
    for_each_tensor(training.weights(), [&](std::string const& name, stored_tensor const& tensor, shape const&, parameter_role role) {
        bool const equal = std::memcmp(tensor.bytes().data(), old[i++]->bytes().data(), tensor.byte_size()) == 0;
        CHECK_MESSAGE(equal != trainable_set{}.contains(name, role), name);
        changed += equal ? 0U : 1U;
    });
    CHECK(changed == training.trained().size());
    // What it answers is what the engine answers with the same weights.
    vit_engine const engine{training.weights(), {.kernels = &best_kernels()}};
    auto workspace = engine.make_workspace(4);
    dynamic_tensor<float, 2> mine{std::size_t{4}, std::size_t{7}}, its{std::size_t{4}, std::size_t{7}};
    training.logits(data.clips(), mine);
    engine.forward(data.clips(), workspace, its);
    for (std::size_t k = 0; k < mine.size(); ++k) CHECK(mine.data()[k] == doctest::Approx(its.data()[k]).epsilon(1e-4));
}

TEST_CASE("state: N steps and M more from it are N + M steps, in every bit; another model's is refused and changes nothing") {
    auto const config = small_config();
    adapter_layout const layout{shared_sites, 5};
    batch const data{config, 3, {7}, 1};
    trainer_options const options{.adapter_dropout = 0.1, .head_dropout = 0.5, .seed = 3, .threads = 2, .kernels = &best_kernels()};
    trainer straight{lively(config, layout, 4), options}, before{lively(config, layout, 4), options}, after{lively(config, layout, 9), options};
    for (int i = 0; i < 5; ++i) straight.step(data.clips(), data.labels, 1e-2);
    for (int i = 0; i < 2; ++i) before.step(data.clips(), data.labels, 1e-2);
    // The frozen part comes from the model's file, not from the state.
    trainer resumed{lively(config, layout, 4), options};
    resumed.restore(before.state());
    CHECK(resumed.steps() == 2);
    for (int i = 0; i < 3; ++i) resumed.step(data.clips(), data.labels, 1e-2);
    CHECK(same(straight, resumed));
    CHECK(resumed.steps() == 5);

    auto bad = before.state();
    bad.tensors.pop_back();
    CHECK_THROWS_AS(after.restore(bad), training_error);
    bad = before.state();
    bad.tensors[4].second = stored_tensor{dtype::f32, shape{1}};
    CHECK_THROWS_AS(after.restore(bad), training_error);
    bad = before.state();
    bad.tensors.emplace_back("another", stored_tensor{dtype::f32, shape{1}});
    CHECK_THROWS_AS(after.restore(bad), training_error);
    trainer const untouched{lively(config, layout, 9), options};
    CHECK(same(after, untouched));
    CHECK(after.steps() == 0);
}

TEST_CASE("a loss, a gradient or a step that is not finite stops with its step and tensor and changes nothing") {
    auto const config = small_config();
    adapter_layout const layout{shared_sites, 5};
    batch data{config, 3, {7}, 1};
    trainer training{lively(config, layout, 4), {.kernels = &best_kernels()}}, twin{lively(config, layout, 4), {.kernels = &best_kernels()}};
    training.step(data.clips(), data.labels, 1e-3);
    twin.step(data.clips(), data.labels, 1e-3);
    auto const expect = [&](auto&& act, std::string const& words) {
        try {
            act();
            FAIL("nothing thrown");
        } catch (training_error const& error) {
            CHECK(error.code() == error_code::nonfinite_loss);
            CHECK(error.exit_status() == 6);
            CHECK_MESSAGE(std::string{error.what()}.find(words) != std::string::npos, error.what());
        }
        CHECK(same(training, twin));
        CHECK(training.steps() == 1);
    };
    float const value = data.values[5000];
    data.values[config.clip_values() + 3] = std::numeric_limits<float>::quiet_NaN();
    expect([&] { training.step(data.clips(), data.labels, 1e-3); }, "step 1: loss of clip 1");
    data.values[config.clip_values() + 3] = value;
    expect([&] { training.step(data.clips(), data.labels, 3e38 * 1e5); }, "step 1: backbone.temporal_embedding after the step");
    data.values = batch{config, 3, {7}, 1}.values;
    training.step(data.clips(), data.labels, 1e-3);
    twin.step(data.clips(), data.labels, 1e-3);
    CHECK(same(training, twin));
}

TEST_CASE("what cannot be trained is refused") {
    auto const config = small_config();
    CHECK_THROWS_AS((trainer{lively(config, adapter_layout::none(), 1), {.trainable = {true, false, false, false, false}}}), model_error);
    CHECK_THROWS_AS((trainer{lively(config, adapter_layout::none(), 1), {.label_groups = {3, 3}}}), model_error);
    CHECK_THROWS_AS((trainer{lively(config, adapter_layout::none(), 1), {.label_groups = {7, 0}}}), model_error);
    CHECK_THROWS_AS((trainer{lively(config.without_adapter_scale(), {shared_sites, 5}, 1), {}}), model_error);
    trainer training{lively(config, adapter_layout::none(), 1), {.kernels = &best_kernels()}};
    batch const data{config, 2, {7}, 1};
    CHECK_THROWS_AS(training.step(data.clips(), std::vector<std::int64_t>{1}, 1e-3), precondition_error);
    training.begin(3);
    training.add(data.clips(), data.labels);
    CHECK_THROWS_AS(training.end(1e-3), precondition_error);
    CHECK_THROWS_AS(training.add(data.clips(), data.labels), precondition_error);
    auto const memory = training.memory(8);
    CHECK(memory.total() > memory.activations);
    CHECK(memory.activations > 0);
}
