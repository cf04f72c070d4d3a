#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/init.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <map>
#include <string>

using namespace zeroi2v;

namespace {

vit_config small(std::optional<double> scale = 0.7) {
    return {{.image_size = 16, .patch_size = 8, .frames = 4, .width = 24, .layers = 2, .heads = 3, .mlp_width = 40, .classes = 6},
            frame_map<>{3, {{0, -1}, {2, 1}}}, scale};
}

using input = adapter_layout::input;
adapter_layout const full{input::shared, true, true, true, 5};

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
    for (adapter_layout const& layout : {full, adapter_layout{input::shared, true, true, false, 5}, adapter_layout{input::shared, false, true, false, 5},
                                         adapter_layout{input::separate, true, true, true, 5}, adapter_layout{input::none, false, false, true, 1}}) {
        auto const adapted = random_model(layout);
        auto const [model, proof] = merge(adapted, {.threads = 2});
        std::size_t const per_block = (layout.attention_input != input::none ? 1U : 0U) + (layout.attention_output ? 1U : 0U)
                                      + (layout.mlp_input ? 1U : 0U) + (layout.mlp_output ? 1U : 0U);
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
    weights.blocks[1].adapters.MLP_Adapter->D_fc2.weight.as<float>()[3] = std::numeric_limits<float>::quiet_NaN();
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
