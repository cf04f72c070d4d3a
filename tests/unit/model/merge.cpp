#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include "../nn/cancelling_merge.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

vit_config small(std::optional<double> scale = 0.7) {
    return {{.image_size = 16, .patch_size = 8, .frames = 4, .width = 24, .layers = 2, .heads = 3, .mlp_width = 40, .classes = 6},
            frame_map<>{3, {{0, -1}, {2, 1}}}, scale};
}

adapter_layout const full{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5};

adapted_vit random_model(adapter_layout layout, adapter_init adapters = adapter_init::random, std::optional<double> scale = 0.7) {
    auto weights = random_weights<with_adapters>(small(scale), layout, {.seed = 3, .adapters = adapters});
    for_each_tensor(weights, [](std::string const& name, stored_tensor& tensor, shape const&, parameter_role role) {
        if (role != parameter_role::bias && role != parameter_role::weight && role != parameter_role::adapter_in_weight) return;
        auto const values = tensor.as<float>();
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.2F * counter_rng{4, detail::name_hash(name)}.normal(i);
    });
    return weights;
}

template <class Weights>
std::map<std::string, std::vector<std::byte>> contents(Weights const& weights) {
    std::map<std::string, std::vector<std::byte>> result;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const& expected, parameter_role) {
        CHECK(tensor.sizes() == expected);
        result[name].assign(tensor.bytes().begin(), tensor.bytes().end());
    });
    return result;
}

error_code refusal(adapted_vit const& weights, vit_merge_options const& options = {}) {
    auto const kept = contents(weights);
    try {
        static_cast<void>(merge(weights, options));
        return error_code::precondition;
    } catch (error const& e) {
        CHECK(contents(weights) == kept);
        return e.code();
    }
}

void convert(stored_tensor& tensor, dtype type) {
    stored_tensor result{type, tensor.sizes()};
    for (std::size_t i = 0; i < tensor.count(); ++i) {
        if (type == dtype::f16) result.as<f16>()[i] = f16{tensor.as<float>()[i]};
        else result.as<bf16>()[i] = bf16{tensor.as<float>()[i]};
    }
    tensor = std::move(result);
}

} // namespace

TEST_CASE("merge: every layout, proven, and the engine of the merged model agrees") {
    for (adapter_layout const& layout : {full, adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter}, 5}, adapter_layout{{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter}, 5},
                                         adapter_layout{{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5}, adapter_layout{{adapter_site::MLP_Adapter_out}, 1}}) {
        auto const adapted = random_model(layout);
        auto const [model, proof] = merge(adapted, {.threads = 2});
        std::size_t per_block = 0;
        for (adapter_site const each : {adapter_site::T_Adapter_in, adapter_site::T_Adapter_in_q, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out})
            per_block += layout.has(each) ? 1U : 0U;
        CHECK(proof.layers.size() == 2 * per_block);
        CHECK(proof.max_ulp() <= 0.5001);
        CHECK(proof.max_ulp() > 0);
        CHECK(proof.probe.holds());
        CHECK(proof.probe.relative_l2 < 2e-6);
        CHECK(proof.probe.relative_l2 > 0);
        CHECK(proof.probe.largest_logit > 0.001);
        CHECK_FALSE(model.config.adapter_scale().has_value());
        auto const clip = random_clip(adapted.config, 77);
        auto const unmerged = vit_engine{adapted}(clip);
        auto const merged = vit_engine{model}(clip);
        CHECK(detail::compare_logits({unmerged.data(), 6}, {merged.data(), 6}, 77, dtype::f32).holds());
        CHECK(to_text(proof).find("probe clip") != std::string::npos);
    }
}

TEST_CASE("merge: an untrained adapter merges to its base bit for bit") {
    auto weights = random_model(full, adapter_init::zero);
    weights.blocks[0].c_fc.weight.as<float>()[7] = -0.0F;
    auto const [model, proof] = merge(weights);
    auto const base = contents(weights);
    for (auto const& tensor : contents(model)) {
        CAPTURE(tensor.first);
        CHECK(base.at(tensor.first) == tensor.second);
    }
    CHECK(proof.probe.max_abs == 0);
    for (auto const& layer : proof.layers) CHECK(layer.report.with_delta == 0);

    auto const scaled = random_model(full, adapter_init::random, 0.0);
    auto const unscaled = contents(scaled);
    auto const result = merge(scaled);
    for (auto const& [name, bytes] : contents(result.model)) CHECK(unscaled.at(name) == bytes);
}

TEST_CASE("merge: the scale applies to weight and bias, and is never guessed") {
    CHECK(refusal(random_model(full, adapter_init::random, std::nullopt)) == error_code::bad_config);
    auto const half = merge(random_model(full, adapter_init::random, 0.5));
    auto const whole = merge(random_model(full, adapter_init::random, 1.0));
    CHECK(contents(half.model) != contents(whole.model));
    CHECK(contents(half.model).at("backbone.transformer.resblocks.0.mlp.c_proj.bias") != contents(whole.model).at("backbone.transformer.resblocks.0.mlp.c_proj.bias"));
}

TEST_CASE("merge: refuses what is not finite and leaves everything as it was") {
    auto weights = random_model(full);
    weights.adapters.blocks[1][adapter_site::MLP_Adapter]->D_fc2.weight.as<float>()[3] = std::numeric_limits<float>::quiet_NaN();
    CHECK(refusal(weights) == error_code::nonfinite_merge);
    weights = random_model(full);
    weights.blocks[0].out_proj.weight.as<float>()[3] = std::numeric_limits<float>::infinity();
    CHECK(refusal(weights) == error_code::nonfinite_merge);
    weights = random_model(full);
    weights.blocks[0].c_fc.weight.as<float>()[3] = 1e6F; // beyond f16
    CHECK(refusal(weights, {.dtype = dtype::f16}) == error_code::nonfinite_merge);
    weights = random_model(full);
    weights.fc_cls.weight.as<float>()[0] = std::numeric_limits<float>::quiet_NaN(); // no merged tensor, but no proof either
    CHECK(refusal(weights) == error_code::merge_not_equivalent);
}

TEST_CASE("merge: a dtype too coarse for the delta is reported, and dtypes are the wider of Linear and adapter") {
    auto const narrow = merge(random_model(full), {.dtype = dtype::bf16});
    CHECK(narrow.model.blocks[0].in_proj.weight.type() == dtype::bf16);
    CHECK(narrow.proof.probe.tolerance.relative_l2 == 1e-2);
    CHECK(narrow.proof.probe.relative_l2 > 1e-5);
    CHECK(narrow.proof.max_ulp() <= 0.5001);

    auto weights = random_model(full);
    for (auto& block : weights.blocks)
        for (auto* layer : {&block.in_proj, &block.out_proj, &block.c_fc, &block.c_proj}) {
            convert(layer->weight, dtype::f16);
            convert(layer->bias, dtype::f16);
        }
    CHECK(merge(weights).model.blocks[0].in_proj.weight.type() == dtype::f32);
    for_each_tensor(weights, [](std::string const&, stored_tensor& tensor, shape const&, parameter_role role) {
        if (tensor.type() == dtype::f32 && role != parameter_role::embedding) convert(tensor, dtype::f16);
    });
    auto const half = merge(weights);
    CHECK(half.model.blocks[0].in_proj.weight.type() == dtype::f16);
    CHECK(half.proof.probe.tolerance.relative_l2 == 2e-3);

    // Adapters a thousand times smaller than a bf16 step are swallowed, and the report says so.
    auto faint = random_model(full);
    for_each_tensor(faint, [](std::string const&, stored_tensor& tensor, shape const&, parameter_role role) {
        if (role == parameter_role::adapter_out_weight || role == parameter_role::adapter_out_bias)
            for (float& value : tensor.as<float>()) value *= 1e-4F;
    });
    auto const swallowed = merge(faint, {.dtype = dtype::bf16});
    CHECK(swallowed.proof.layers[0].report.share_unchanged > 0.9);
    CHECK(merge(faint).proof.layers[0].report.share_unchanged < 0.1);
}

TEST_CASE("compare_logits fails where it must") {
    std::vector<float> const a{1, -2, 3};
    auto const holds = [&](std::vector<float> const& b) { return detail::compare_logits(a, b, 0, dtype::f32).holds(); };
    float const nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(holds({1, -2, 3}));
    CHECK_FALSE(holds({1, 2, 3}));
    CHECK_FALSE(holds({1, -2, 3.001F}));
    CHECK_FALSE(holds({nan, -2, 3}));
    CHECK_FALSE(holds({1, -2, nan}));
    CHECK_FALSE(holds({-2, 1, 3}));
    CHECK_FALSE(holds({1, -2, std::numeric_limits<float>::infinity()}));
}

TEST_CASE("compare_logits: the distances are what their names say") {
    auto const compare = [](std::vector<float> const& a, std::vector<float> const& b, dtype type = dtype::f32) { return detail::compare_logits(a, b, 9, type); };
    auto const probe = compare({3, -4}, {3, -4.5F});
    CHECK((probe.seed == 9 && probe.max_abs == 0.5 && probe.relative_l2 == 0.1 && probe.largest_logit == 4 && probe.logits.empty()));
    CHECK((probe.tolerance.relative_l2 == 5e-6 && compare({1}, {1}, dtype::bf16).tolerance.relative_l2 == 1e-2 && compare({1}, {1}, dtype::f16).tolerance.max_abs == 4e-3));
    CHECK(compare({3, -4}, {2.5F, -4.25F}).max_abs == 0.5); // the largest, not the last
    // A model of zeros answers zeros: nothing to divide by, nothing that differs.
    auto const zeros = compare({0, 0}, {0, 0});
    CHECK((zeros.relative_l2 == 0 && zeros.max_abs == 0 && zeros.holds()));
    CHECK_FALSE(compare({0, 0}, {0, 1e-9F}).holds());
    // A NaN is the worst distance wherever it stands, and stays it.
    float const nan = std::numeric_limits<float>::quiet_NaN();
    for (auto const& [a, b] : {std::pair{std::vector<float>{nan, 1, 2}, std::vector<float>{0, 1, 2}}, std::pair{std::vector<float>{0, 1, 2}, std::vector<float>{0, nan, 2}},
                               std::pair{std::vector<float>{0, 1, nan}, std::vector<float>{0, 1, nan}}}) {
        auto const spoilt = compare(a, b);
        CHECK_FALSE(spoilt.holds());
        CHECK(spoilt.max_abs == std::numeric_limits<double>::infinity());
    }
}

TEST_CASE("merge: the tolerance is that of the coarsest merged tensor, whatever stands after it") {
    using wanted = std::pair<std::size_t, dtype>; // block and type of its c_fc
    for (auto const& [types, coarsest] : {std::pair{std::vector<wanted>{{0, dtype::bf16}, {1, dtype::f16}}, dtype::bf16}, std::pair{std::vector<wanted>{{0, dtype::f16}, {1, dtype::bf16}}, dtype::bf16},
                                          std::pair{std::vector<wanted>{{1, dtype::f16}}, dtype::f16}, std::pair{std::vector<wanted>{}, dtype::f32}}) {
        auto weights = random_model(full);
        for (auto const& [block, type] : types) {
            auto& linear = weights.blocks[block].c_fc;
            auto& adapter = *weights.adapters.blocks[block][adapter_site::MLP_Adapter];
            for (auto* tensor : {&linear.weight, &linear.bias, &adapter.D_fc1.weight, &adapter.D_fc1.bias, &adapter.D_fc2.weight, &adapter.D_fc2.bias}) convert(*tensor, type);
        }
        auto const result = merge(weights);
        CHECK(result.proof.probe.tolerance.relative_l2 == merge_tolerance(coarsest).relative_l2);
        CHECK(result.proof.probe.tolerance.max_abs == merge_tolerance(coarsest).max_abs);
        for (auto const& [block, type] : types) CHECK(result.model.blocks[block].c_fc.weight.type() == type);
    }
}

namespace {

std::string refusal_text(adapted_vit const& weights) {
    try {
        static_cast<void>(merge(weights));
        return "merged";
    } catch (error const& e) {
        return e.what();
    }
}

} // namespace

TEST_CASE("merge: what is refused says at which step") {
    CHECK(refusal_text(random_model(full, adapter_init::random, std::nullopt)) == "merge: adapter_scale: not stated, needed to merge");

    // One row of c_fc whose product cancels: two orders of it differ by more than a unit, and no probe is asked.
    vit_config const config{{.image_size = 16, .patch_size = 8, .frames = 2, .width = 24, .layers = 2, .heads = 3, .mlp_width = 1, .classes = 6}, frame_map<>{3}, 1.0};
    auto weights = random_weights<with_adapters>(config, {{adapter_site::MLP_Adapter}, 3}, {.seed = 3});
    std::tie(weights.blocks[1].c_fc, *weights.adapters.blocks[1][adapter_site::MLP_Adapter]) = cancelling_merge(24);
    std::string const text = refusal_text(weights);
    CAPTURE(text);
    CHECK(text.starts_with("resblocks.1.mlp.c_fc: merge: a stored weight is "));
    CHECK(text.find(" ulp off its product (line error ") != std::string::npos);
    CHECK(text.ends_with("), at most 1 expected"));

    auto lost = random_model(full);
    lost.fc_cls.bias.as<float>()[2] = std::numeric_limits<float>::quiet_NaN();
    CHECK(refusal_text(lost).starts_with("merge: probe clip: logits differ by "));
}

TEST_CASE("merge: tensors without an adapter are copies, in their own type, and the proof names what was merged") {
    auto weights = random_model({{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter}, 5});
    convert(weights.conv1.weight, dtype::f16);
    convert(weights.ln_pre.weight, dtype::bf16);
    convert(weights.blocks[1].c_proj.weight, dtype::bf16);
    auto const [model, proof] = merge(weights, {.threads = 2, .probe_seed = 12});
    auto const base = contents(weights), merged = contents(model);
    std::size_t same = 0;
    for (auto const& [name, bytes] : merged) same += base.at(name) == bytes ? 1U : 0U;
    CHECK(same == merged.size() - 2 * 4); // in_proj and c_fc of both blocks, weight and bias
    CHECK((model.conv1.weight.type() == dtype::f16 && model.ln_pre.weight.type() == dtype::bf16 && model.blocks[1].c_proj.weight.type() == dtype::bf16));
    REQUIRE(proof.layers.size() == 4);
    char const* const names[][2]{{"resblocks.0.attn.in_proj", "T_Adapter_in"}, {"resblocks.0.mlp.c_fc", "MLP_Adapter"}, {"resblocks.1.attn.in_proj", "T_Adapter_in"}, {"resblocks.1.mlp.c_fc", "MLP_Adapter"}};
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(proof.layers[i].linear == names[i][0]);
        CHECK(proof.layers[i].adapter == names[i][1]);
        CHECK(proof.layers[i].type == dtype::f32);
        CHECK(proof.layers[i].report.holds());
    }
    auto const separate = merge(random_model({{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter, adapter_site::MLP_Adapter_out}, 5}));
    CHECK(separate.proof.layers[0].adapter == "T_Adapter_in_q, _k, _v");
    CHECK((separate.proof.layers[1].linear == "resblocks.0.attn.out_proj" && separate.proof.layers[1].adapter == "S_Adapter"));
    CHECK((separate.proof.layers[2].linear == "resblocks.0.mlp.c_proj" && separate.proof.layers[2].adapter == "MLP_Adapter_out"));
    CHECK(proof.probe.seed == 12);
    REQUIRE(proof.probe.logits.size() == 6);
    auto const logits = vit_engine{model}(random_clip(model.config, 12));
    for (std::size_t k = 0; k < 6; ++k) CHECK(proof.probe.logits[k] == logits(k));
}
