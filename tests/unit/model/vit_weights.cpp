#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

using namespace zeroi2v;

namespace {

vit_config small_config() {
    return {{.image_size = 16, .patch_size = 8, .frames = 4, .width = 48, .layers = 1, .heads = 12, .mlp_width = 192, .classes = 5}, frame_map<>{12}, 0.5};
}

template <class Weights>
std::set<std::string> names(Weights const& weights) {
    std::set<std::string> result;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const&, shape const&, parameter_role) { CHECK(result.insert(name).second); });
    return result;
}

} // namespace

TEST_CASE("vit_weights: the visitor lists exactly the official tensors") {
    auto const all = names(adapted_vit{small_config(), default_adapters(48)});
    CHECK(all.size() == 38); // tests/data/formats/expected_f32.safetensors
    CHECK(all.contains("backbone.transformer.resblocks.0.T_Adapter_in.D_fc1.weight"));
    CHECK(all.contains("backbone.transformer.resblocks.0.attn.in_proj_weight"));
    CHECK(all.contains("backbone.transformer.resblocks.0.MLP_Adapter_out.D_fc2.bias"));
    CHECK(all.contains("cls_head.fc_cls.bias"));
    CHECK(names(merged_vit{small_config(), adapter_layout::none()}).size() == 22);
    CHECK(names(merged_vit{small_config(), default_adapters(48)}).size() == 22); // a merged type has no adapters, whatever it is told
    adapter_layout separate = default_adapters(48);
    separate.attention_input = adapter_layout::input::separate;
    CHECK(names(adapted_vit{small_config(), separate}).size() == 38 + 8);
    CHECK(sizeof(vit_block<no_adapters>) < sizeof(vit_block<with_adapters>));
    CHECK(sizeof(vit_block<no_adapters>) == 6 * sizeof(stored_linear)); // not a byte for adapters
}

TEST_CASE("vit_weights: parameter counts of the released sizes") {
    auto const adapters = [](preset const& p) {
        vit_config const c = p.config();
        return parameter_count(adapted_vit{c, default_adapters(c.width())}) - parameter_count(merged_vit{c, adapter_layout::none()});
    };
    CHECK(static_cast<double>(adapters(presets::clip_b16_k400_8f)) == doctest::Approx(14.2e6).epsilon(0.005));
    CHECK(static_cast<double>(adapters(presets::clip_l14_k400_8f)) == doctest::Approx(50.5e6).epsilon(0.005));
}

TEST_CASE("draw_missing: what is drawn, what is kept, and the same bits every time") {
    auto zero = random_weights<with_adapters>(small_config(), default_adapters(48), {.seed = 1});
    auto const random = random_weights<with_adapters>(small_config(), default_adapters(48), {.seed = 1, .adapters = adapter_init::random});
    auto const plain = random_weights<no_adapters>(small_config(), adapter_layout::none(), {.seed = 1});
    auto const deviation = [](stored_tensor const& tensor) {
        double sum = 0;
        for (float const v : tensor.as<float>()) sum += static_cast<double>(v) * static_cast<double>(v);
        return std::sqrt(sum / static_cast<double>(tensor.count()));
    };
    CHECK(deviation(zero.conv1) == doctest::Approx(0.02).epsilon(0.02));
    CHECK(deviation(zero.blocks[0].c_fc.weight) == doctest::Approx(0.02).epsilon(0.03));
    CHECK(deviation(zero.fc_cls.weight) == doctest::Approx(0.01).epsilon(0.1));
    CHECK(deviation(zero.temporal_embedding) == 0);
    CHECK(deviation(zero.ln_pre.weight) == 1);
    CHECK(deviation(zero.ln_pre.bias) == 0);
    auto const& trained = *zero.blocks[0].adapters.S_Adapter;
    CHECK(deviation(trained.D_fc1.weight) == doctest::Approx(0.02).epsilon(0.1));
    CHECK(deviation(trained.D_fc1.bias) == 0);
    CHECK(deviation(trained.D_fc2.weight) == 0);
    CHECK(deviation(random.blocks[0].adapters.S_Adapter->D_fc2.weight) == doctest::Approx(0.02).epsilon(0.1));
    CHECK(deviation(random.blocks[0].adapters.S_Adapter->D_fc2.bias) > 0.01);
    // A tensor's numbers depend on its name and the seed alone.
    CHECK(std::memcmp(zero.conv1.bytes().data(), plain.conv1.bytes().data(), plain.conv1.byte_size()) == 0);
    CHECK(zero.conv1.as<float>()[0] != zero.blocks[0].c_fc.weight.as<float>()[0]);
    auto const other = random_weights<no_adapters>(small_config(), adapter_layout::none(), {.seed = 2});
    CHECK(other.conv1.as<float>()[0] != plain.conv1.as<float>()[0]);

    zero.conv1.as<float>()[0] = 7;
    zero.ln_post.weight = stored_tensor{};
    draw_missing(zero, {.seed = 8});
    CHECK(zero.conv1.as<float>()[0] == 7);
    CHECK(deviation(zero.ln_post.weight) == 1);
}
