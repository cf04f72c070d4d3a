#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

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
    separate.sites.erase(adapter_site::T_Adapter_in);
    for (adapter_site const each : {adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v}) separate.sites.insert(each);
    CHECK(names(adapted_vit{small_config(), separate}).size() == 38 + 8);
    struct alone : vit_backbone {
        vit_config config;
        adapter_layout layout;
    };
    CHECK(sizeof(merged_vit) == sizeof(alone)); // not a byte for adapters
    CHECK(sizeof(adapted_vit) > sizeof(alone));
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
    CHECK(deviation(zero.conv1.weight) == doctest::Approx(0.02).epsilon(0.02));
    CHECK(deviation(zero.blocks[0].c_fc.weight) == doctest::Approx(0.02).epsilon(0.03));
    CHECK(deviation(zero.fc_cls.weight) == doctest::Approx(0.01).epsilon(0.1));
    CHECK(deviation(zero.temporal_embedding) == 0);
    CHECK(deviation(zero.ln_pre.weight) == 1);
    CHECK(deviation(zero.ln_pre.bias) == 0);
    auto const& trained = *zero.adapters.blocks[0][adapter_site::S_Adapter];
    CHECK(deviation(trained.D_fc1.weight) == doctest::Approx(0.02).epsilon(0.1));
    CHECK(deviation(trained.D_fc1.bias) == 0);
    CHECK(deviation(trained.D_fc2.weight) == 0);
    CHECK(deviation(random.adapters.blocks[0][adapter_site::S_Adapter]->D_fc2.weight) == doctest::Approx(0.02).epsilon(0.1));
    CHECK(deviation(random.adapters.blocks[0][adapter_site::S_Adapter]->D_fc2.bias) > 0.01);
    // A tensor's numbers depend on its name and the seed alone.
    CHECK(std::memcmp(zero.conv1.weight.bytes().data(), plain.conv1.weight.bytes().data(), plain.conv1.weight.byte_size()) == 0);
    CHECK(zero.conv1.weight.as<float>()[0] != zero.blocks[0].c_fc.weight.as<float>()[0]);
    auto const other = random_weights<no_adapters>(small_config(), adapter_layout::none(), {.seed = 2});
    CHECK(other.conv1.weight.as<float>()[0] != plain.conv1.weight.as<float>()[0]);

    zero.conv1.weight.as<float>()[0] = 7;
    zero.ln_post.weight = stored_tensor{};
    draw_missing(zero, {.seed = 8});
    CHECK(zero.conv1.weight.as<float>()[0] == 7);
    CHECK(deviation(zero.ln_post.weight) == 1);
}

TEST_CASE("vit_weights: name, shape and role of every tensor, in order") {
    vit_config const config{{.image_size = 16, .patch_size = 8, .frames = 3, .width = 12, .layers = 2, .heads = 3, .mlp_width = 20, .classes = 5}, frame_map<>{3}, 0.5};
    adapted_vit const weights{config, {{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter, adapter_site::MLP_Adapter_out}, 7}};
    using r = parameter_role;
    struct row { std::string name; shape sizes; r role; };
    std::vector<row> expected{{"backbone.class_embedding", {12}, r::embedding},
                              {"backbone.positional_embedding", {5, 12}, r::embedding},
                              {"backbone.temporal_embedding", {1, 3, 12}, r::embedding},
                              {"backbone.conv1.weight", {12, 3, 8, 8}, r::weight},
                              {"backbone.ln_pre.weight", {12}, r::norm_weight},
                              {"backbone.ln_pre.bias", {12}, r::norm_bias}};
    for (char const* const i : {"0", "1"}) {
        std::string const at = "backbone.transformer.resblocks." + std::string{i} + ".";
        for (row const& each : std::vector<row>{{"ln_1.weight", {12}, r::norm_weight}, {"ln_1.bias", {12}, r::norm_bias},
                                                {"attn.in_proj_weight", {36, 12}, r::weight}, {"attn.in_proj_bias", {36}, r::bias},
                                                {"attn.out_proj.weight", {12, 12}, r::weight}, {"attn.out_proj.bias", {12}, r::bias},
                                                {"ln_2.weight", {12}, r::norm_weight}, {"ln_2.bias", {12}, r::norm_bias},
                                                {"mlp.c_fc.weight", {20, 12}, r::weight}, {"mlp.c_fc.bias", {20}, r::bias},
                                                {"mlp.c_proj.weight", {12, 20}, r::weight}, {"mlp.c_proj.bias", {12}, r::bias}})
            expected.push_back({at + each.name, each.sizes, each.role});
        for (char const* const adapter : {"T_Adapter_in_q", "T_Adapter_in_k", "T_Adapter_in_v", "S_Adapter", "MLP_Adapter_out"})
            for (row const& each : std::vector<row>{{".D_fc1.weight", {7, 12}, r::adapter_in_weight}, {".D_fc1.bias", {7}, r::adapter_in_bias},
                                                    {".D_fc2.weight", {12, 7}, r::adapter_out_weight}, {".D_fc2.bias", {12}, r::adapter_out_bias}})
                expected.push_back({at + adapter + each.name, each.sizes, each.role});
    }
    for (row const& each : std::vector<row>{{"backbone.ln_post.weight", {12}, r::norm_weight}, {"backbone.ln_post.bias", {12}, r::norm_bias},
                                            {"cls_head.fc_cls.weight", {5, 12}, r::head_weight}, {"cls_head.fc_cls.bias", {5}, r::head_bias}})
        expected.push_back(each);
    std::size_t next = 0, parameters = 0;
    std::set<stored_tensor const*> places;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const& sizes, parameter_role role) {
        REQUIRE(next < expected.size());
        CAPTURE(name);
        CHECK(name == expected[next].name);
        CHECK(sizes == expected[next].sizes);
        CHECK(role == expected[next].role);
        CHECK(places.insert(&tensor).second);
        parameters += sizes.count();
        ++next;
    });
    CHECK(next == expected.size());
    CHECK(parameter_count(weights) == parameters);
    // The same list in parts: the blocks one by one, and what stands around them.
    std::set<std::string> in_parts;
    for (std::size_t part = 0; part <= 2; ++part)
        for_each_tensor_of_part(weights, part, [&](std::string const& name, stored_tensor const&, shape const&, parameter_role) {
            CHECK(name.starts_with("backbone.transformer.resblocks." + std::to_string(part) + ".") == (part < 2));
            in_parts.insert(name);
        });
    CHECK(in_parts.size() == expected.size());
}

TEST_CASE("adapter_layout: any, none, and which adapters a model has") {
    CHECK_FALSE(adapter_layout::none().any());
    CHECK(adapter_layout::none() == adapter_layout{{}, 0});
    for (adapter_layout const& one : {adapter_layout{{adapter_site::T_Adapter_in}, 1}, {{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v}, 1}, {{adapter_site::S_Adapter}, 1},
                                      {{adapter_site::MLP_Adapter}, 1}, {{adapter_site::MLP_Adapter_out}, 1}}) {
        CHECK(one.any());
        adapted_vit const weights{small_config(), one};
        for (adapter_site_info const& each : adapter_sites) CHECK(weights.adapters.blocks[0][each.site].has_value() == one.has(each.site));
    }
    CHECK(merged_vit{small_config(), default_adapters(48)}.layout == adapter_layout::none());
    CHECK(default_adapters(48) == adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 12});
    CHECK(default_adapters(3).rank == 1);
}

TEST_CASE("draw_missing: every role has its numbers, of its own stream") {
    for (bool const random : {false, true}) {
        auto const weights = random_weights<with_adapters>(small_config(), default_adapters(48), {.seed = 5, .adapters = random ? adapter_init::random : adapter_init::zero});
        for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const& sizes, parameter_role role) {
            CAPTURE(name);
            REQUIRE(tensor.sizes() == sizes);
            REQUIRE(tensor.type() == dtype::f32);
            using r = parameter_role;
            float const constant = role == r::norm_weight ? 1.0F : 0.0F;
            float deviation = 0;
            if (role == r::weight || role == r::adapter_in_weight || (role == r::embedding && name != "backbone.temporal_embedding")) deviation = 0.02F;
            if (random && (role == r::adapter_in_bias || role == r::adapter_out_weight || role == r::adapter_out_bias)) deviation = 0.02F;
            if (role == r::head_weight) deviation = 0.01F;
            counter_rng const rng{5, detail::name_hash(name)};
            std::size_t other = 0;
            for (std::size_t i = 0; i < tensor.count(); ++i) other += tensor.as<float>()[i] == constant + deviation * rng.normal(i) ? 0U : 1U;
            CHECK(other == 0);
        });
    }
    CHECK(detail::name_hash("") == 0xcbf29ce484222325U);
    CHECK(detail::name_hash("a") == 0xaf63dc4c8601ec8cU); // FNV-1a's published answer
    auto const clip = random_clip(small_config(), 4);
    CHECK((clip.extent(0) == 4 && clip.extent(1) == 3 && clip.extent(2) == 16 && clip.extent(3) == 16));
    counter_rng const rng{4, detail::name_hash("clip")};
    CHECK((clip.data()[0] == rng.normal(0) && clip.data()[3071] == rng.normal(3071)));
}
