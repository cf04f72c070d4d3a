// Files of other projects give the official tensors, bit for bit; names that contradict or mean nothing are told apart.
#include <zeroi2v/io/checkpoints/canonical_source.hpp>

#include "../archives.hpp"
#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/keys/key_schemes.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using test::fault_of;
using zeroi2v::dtype;
using zeroi2v::error_code;
using zeroi2v::key_scheme;
using zeroi2v::shape;
using zeroi2v::stored_tensor;

std::filesystem::path const formats = std::filesystem::path{ZEROI2V_TEST_DATA} / "formats";

[[nodiscard]] bool same_tensor(stored_tensor const& a, stored_tensor const& b) {
    return a.type() == b.type() && a.sizes() == b.sizes() && std::ranges::equal(a.bytes(), b.bytes());
}

struct fresh {
    std::string name;
    dtype type = dtype::f32;
    shape sizes{2};
};

/// A file of the given tensors; the bytes of each tell its place in the list.
class file_of {
public:
    explicit file_of(std::vector<fresh> const& list) {
        std::vector<zeroi2v::tensor_ref> refs;
        tensors_.reserve(list.size());
        for (auto const& [name, type, sizes] : list) {
            auto& tensor = tensors_.emplace_back(stored_tensor::zeros(type, sizes));
            std::ranges::fill(tensor.bytes(), static_cast<std::byte>(tensors_.size()));
            refs.emplace_back(name, tensor);
        }
        zeroi2v::write_safetensors(folder_ / "x.safetensors", std::span<zeroi2v::tensor_ref const>{refs});
    }
    [[nodiscard]] zeroi2v::checkpoint open() const { return zeroi2v::load_checkpoint(folder_ / "x.safetensors"); }

private:
    test::temporary_folder folder_;
    std::vector<stored_tensor> tensors_;
};

[[nodiscard]] test::fault fault_of_names(std::vector<fresh> const& list) {
    file_of const made{list};
    auto const file = made.open();
    return fault_of([&] { static_cast<void>(zeroi2v::resolve(file)); });
}

} // namespace

TEST_CASE("every layout gives the expected tensors, bit for bit") {
    struct one {
        char const* file;
        char const* expected;
        key_scheme scheme;
        std::size_t ignored;
    };
    for (auto const& each : {one{"clip_openai.safetensors", "expected_image.safetensors", key_scheme::openai_clip, 6},
                             one{"clip_hf.safetensors", "expected_image.safetensors", key_scheme::hf_clip, 3},
                             one{"clip_timm.safetensors", "expected_image.safetensors", key_scheme::timm, 2},
                             one{"clip_torchscript.pt", "expected_image.safetensors", key_scheme::openai_clip, 0},
                             one{"mmengine.pth", "expected_f32.safetensors", key_scheme::zeroi2v, 0},
                             one{"strided.pth", "expected_f32.safetensors", key_scheme::zeroi2v, 0},
                             one{"ddp.pth", "expected_f32.safetensors", key_scheme::zeroi2v, 0},
                             one{"half.pth", "expected_f16.safetensors", key_scheme::zeroi2v, 0},
                             one{"bare_bf16.pth", "expected_bf16.safetensors", key_scheme::zeroi2v, 0},
                             one{"expected_f32.safetensors", "expected_f32.safetensors", key_scheme::zeroi2v, 0}}) {
        auto const& name = each.file;
        auto const& expected_name = each.expected;
        auto const& scheme = each.scheme;
        auto const& ignored = each.ignored;
        CAPTURE(name);
        auto const file = zeroi2v::load_checkpoint(formats / name);
        auto const source = zeroi2v::resolve(file);
        auto const expected = zeroi2v::read_safetensors(formats / expected_name);
        CHECK(source.scheme() == scheme);
        CHECK(source.left_over().empty());
        CHECK_FALSE(fault_of([&] { source.refuse_left_over(); }).thrown);
        if (ignored != 0) CHECK(source.ignored().size() == ignored);
        REQUIRE(source.tensors().size() == expected.size());
        REQUIRE(expected.size() >= 19);
        for (auto const& entry : expected) {
            auto const& key = entry.first;
            auto const& tensor = entry.second;
            CAPTURE(key);
            REQUIRE(source.find(key) != nullptr);
            CHECK(source.find(key)->sizes == tensor.sizes());
            CHECK(same_tensor(source.read(key), tensor));
        }
    }
}

TEST_CASE("the comparison of tensors sees one bit, a dtype, a shape") {
    auto const a = stored_tensor::zeros(dtype::f32, {2, 3});
    auto b = a.clone();
    CHECK(same_tensor(a, b));
    b.bytes()[23] = std::byte{1};
    CHECK_FALSE(same_tensor(a, b));
    CHECK_FALSE(same_tensor(a, stored_tensor::zeros(dtype::i32, {2, 3})));
    CHECK_FALSE(same_tensor(a, stored_tensor::zeros(dtype::f32, {3, 2})));
}

TEST_CASE("converted files equal the expected ones, byte for byte") {
    test::temporary_folder const folder;
    for (std::string const name :
         {"clip_openai.safetensors", "clip_hf.safetensors", "clip_timm.safetensors", "clip_torchscript.pt"}) {
        auto const file = zeroi2v::load_checkpoint(formats / name);
        zeroi2v::write_canonical(zeroi2v::resolve(file), folder / "out.safetensors");
        CHECK(test::read_file(folder / "out.safetensors") == test::read_file(formats / "expected_image.safetensors"));
    }
    auto const file = zeroi2v::load_checkpoint(formats / "half.pth");
    zeroi2v::write_canonical(zeroi2v::resolve(file), folder / "out.safetensors",
                             {.metadata = {{"zeroi2v.version", "1"}}});
    CHECK(zeroi2v::read_safetensors(folder / "out.safetensors").metadata.at("zeroi2v.version") == "1");
    auto const again = zeroi2v::load_checkpoint(folder / "out.safetensors");
    auto const onto_itself =
        fault_of([&] { zeroi2v::write_canonical(zeroi2v::resolve(again), folder / "out.safetensors"); });
    CHECK_FAULT(onto_itself, error_code::same_file, 2);
}

TEST_CASE("wrappers in front of names, in any order") {
    for (std::string const prefix : {"", "backbone.", "module.", "module.backbone.", "visual.", "module.visual.",
                                     "model.", "model.backbone.", "clip.visual.", "_orig_mod.module.backbone."}) {
        CAPTURE(prefix);
        file_of const made{{{prefix + "conv1.weight"},
                            {prefix + "class_embedding"},
                            {prefix + "transformer.resblocks.10.ln_1.weight"},
                            {prefix + "proj"}}};
        auto const file = made.open();
        auto const source = zeroi2v::resolve(file);
        REQUIRE(source.tensors().size() == 3);
        CHECK(source.tensors()[0].name == "backbone.class_embedding");
        CHECK(source.tensors()[1].name == "backbone.conv1.weight");
        CHECK(source.tensors()[2].name == "backbone.transformer.resblocks.10.ln_1.weight");
        CHECK(source.ignored().size() == 1);
        bool const official = prefix.find("backbone.") != std::string::npos;
        CHECK(source.scheme() == (official ? key_scheme::zeroi2v : key_scheme::openai_clip));
    }
    for (std::string const prefix :
         {"", "vision_model.", "module.vision_model.", "vision_tower.vision_model.", "model.vision_model."}) {
        file_of const made{{{prefix + "embeddings.class_embedding"},
                            {prefix + "pre_layrnorm.bias"},
                            {prefix + "embeddings.position_ids", dtype::i64, {1, 2}}}};
        auto const file = made.open();
        auto const source = zeroi2v::resolve(file);
        CHECK(source.tensors().size() == 2);
        CHECK(source.ignored().size() == 1);
        CHECK(source.scheme() == key_scheme::hf_clip);
    }
}

TEST_CASE("query, key and value become the rows of one tensor, in this order, whatever order they are stored in") {
    std::string const p = "vision_model.encoder.layers.3.self_attn.";
    file_of const made{{{"vision_model.embeddings.class_embedding"},
                        {p + "v_proj.weight", dtype::f16, {2, 3}},
                        {p + "q_proj.weight", dtype::f16, {2, 3}},
                        {p + "k_proj.weight", dtype::f16, {2, 3}},
                        {p + "k_proj.bias"},
                        {p + "v_proj.bias"},
                        {p + "q_proj.bias"}}};
    auto const file = made.open();
    auto const source = zeroi2v::resolve(file);
    std::string const in_proj = "backbone.transformer.resblocks.3.attn.in_proj_";
    auto const weight = source.read(in_proj + "weight");
    CHECK(weight.type() == dtype::f16);
    CHECK(weight.sizes() == shape{6, 3});
    for (std::size_t i = 0; i < 36; ++i)
        CHECK(weight.bytes()[i] == static_cast<std::byte>(i < 12 ? 3 : i < 24 ? 4 : 2));
    auto const bias = source.read(in_proj + "bias");
    CHECK(bias.sizes() == shape{6});
    for (std::size_t i = 0; i < 24; ++i) CHECK(bias.bytes()[i] == static_cast<std::byte>(i < 8 ? 7 : i < 16 ? 5 : 6));
    CHECK(source.names_in_file(in_proj + "bias")
          == std::vector<std::string>{p + "q_proj.bias", p + "k_proj.bias", p + "v_proj.bias"});
}

TEST_CASE("query, key and value that do not fit each other") {
    std::string const p = "encoder.layers.0.self_attn.";
    auto const absent = fault_of_names({{"embeddings.class_embedding"}, {p + "q_proj.weight"}, {p + "v_proj.weight"}});
    CHECK_FAULT(absent, error_code::missing_tensors, 4);
    CHECK(absent.says("k_proj"));
    auto const shapes = fault_of_names({{"embeddings.class_embedding"},
                                        {p + "q_proj.bias"},
                                        {p + "k_proj.bias", dtype::f32, {3}},
                                        {p + "v_proj.bias"}});
    CHECK_FAULT(shapes, error_code::bad_shape, 4);
    CHECK(shapes.says("(2)"));
    CHECK(shapes.says("(3)"));
    auto const types = fault_of_names(
        {{"embeddings.class_embedding"}, {p + "q_proj.bias"}, {p + "k_proj.bias", dtype::f16}, {p + "v_proj.bias"}});
    CHECK_FAULT(types, error_code::bad_tensor, 3);
    CHECK(types.says("F16"));
    auto const scalars = fault_of_names({{"embeddings.class_embedding"},
                                         {p + "q_proj.bias", dtype::f32, {}},
                                         {p + "k_proj.bias", dtype::f32, {}},
                                         {p + "v_proj.bias", dtype::f32, {}}});
    CHECK_FAULT(scalars, error_code::bad_shape, 4);
}

TEST_CASE("one of query, key and value that cannot be read makes their tensor unreadable, not missing") {
    using test::p_call, test::p_global, test::p_storage;
    auto const tensor = test::p_tensor(p_storage("0", 4), 0, {2, 2}, {2, 1});
    std::string const p = "encoder.layers.0.self_attn.";
    auto const pickle = test::p_dict({{"embeddings.class_embedding", tensor},
                                      {p + "q_proj.weight", tensor},
                                      {p + "k_proj.weight", p_call(p_global("torch._utils", "_rebuild_qtensor"), {})},
                                      {p + "v_proj.weight", tensor}});
    test::temporary_folder const folder;
    test::write_file(folder / "f", test::build_zip(test::torch_parts(test::p_file(pickle), {{0, 1, 2, 3}})).bytes);
    auto const file = zeroi2v::load_checkpoint(folder / "f");
    auto const source = zeroi2v::resolve(file);
    CHECK(source.tensors().size() == 1);
    REQUIRE(source.unreadable().size() == 1);
    CHECK(source.unreadable()[0].name == "backbone.transformer.resblocks.0.attn.in_proj_weight");
    CHECK_FAULT(fault_of([&] { source.refuse_other_kinds(); }), error_code::unsupported_dtype, 3);
}

TEST_CASE("timm's leading ones go, and nothing else does") {
    file_of const made{{{"cls_token", dtype::f32, {1, 1, 5}},
                        {"pos_embed", dtype::f32, {1, 7, 5}},
                        {"blocks.0.attn.qkv.weight", dtype::f32, {15, 5}}}};
    auto const file = made.open();
    auto const source = zeroi2v::resolve(file);
    CHECK(source.scheme() == key_scheme::timm);
    CHECK(source.find("backbone.class_embedding")->sizes == shape{5});
    CHECK(source.find("backbone.positional_embedding")->sizes == shape{7, 5});
    file_of const odd{{{"cls_token", dtype::f32, {1, 2, 5}}, {"pos_embed", dtype::f32, {2, 7, 5}}}};
    auto const odd_file = odd.open();
    auto const as_it_is = zeroi2v::resolve(odd_file);
    CHECK(as_it_is.find("backbone.class_embedding")->sizes == shape{1, 2, 5});
    CHECK(as_it_is.find("backbone.positional_embedding")->sizes == shape{2, 7, 5});
}

TEST_CASE("two names for one tensor") {
    for (auto const& list :
         {std::vector<fresh>{{"backbone.conv1.weight"}, {"conv1.weight"}},
          {{"visual.conv1.weight"}, {"patch_embed.proj.weight"}},
          {{"backbone.conv1.weight"}, {"backbone.ln_post.bias"}, {"ln_post.bias"}},
          {{"conv1.weight"}, {"transformer.resblocks.0.attn.in_proj_bias"}, {"encoder.layers.0.self_attn.q_proj.bias"}},
          {{"conv1.weight"}, {"transformer.resblocks.0.attn.in_proj_bias"}, {"encoder.layers.0.self_attn.k_proj.bias"}}}) {
        auto const f = fault_of_names(list);
        CAPTURE(list.back().name);
        CHECK_FAULT(f, error_code::bad_tensor, 3);
        CHECK(f.says('"' + list.back().name + '"'));
    }
    // equal without the wrappers' words, whatever they name
    for (auto const& list :
         {std::vector<fresh>{{"backbone.conv1.weight"}, {"module.backbone.conv1.weight"}},
          {{"backbone.conv1.weight"},
           {"backbone.transformer.resblocks.0.ln_1.bias"},
           {"module.backbone.transformer.resblocks.0.ln_1.bias"}},
          {{"backbone.conv1.weight"},
           {"backbone.transformer.resblocks.0._orig_mod.ln_1.bias"},
           {"backbone.transformer.resblocks.0._checkpoint_wrapped_module.ln_1.bias"}},
          {{"conv1.weight"}, {"cls_head.fc_cls.bias"}, {"module.cls_head.fc_cls.bias"}},
          {{"model.conv1.weight"}, {"ema.conv1.weight"}},
          {{"conv1.weight"}, {"other"}, {"_fsdp_wrapped_module.other"}}}) {
        auto const f = fault_of_names(list);
        CAPTURE(list.back().name);
        CHECK_FAULT(f, error_code::duplicate_key, 3);
        CHECK(f.says('"' + list.back().name + '"'));
        CHECK(f.says('"' + list[list.size() - 2].name + '"'));
    }
}

TEST_CASE("wrappers' words go wherever they stand whole, and nothing else goes") {
    using zeroi2v::without_transparent_words;
    for (std::string const word : {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "module", "model", "ema"}) {
        CAPTURE(word);
        CHECK(without_transparent_words(word + ".a.b") == "a.b");
        CHECK(without_transparent_words("a." + word + ".b") == "a.b");
        CHECK(without_transparent_words(word + ".a." + word + "." + word + ".b") == "a.b");
        CHECK(without_transparent_words("a." + word) == "a." + word);
        CHECK(without_transparent_words(word) == word);
        CHECK(without_transparent_words("x" + word + ".b") == "x" + word + ".b");
        CHECK(without_transparent_words(word + "x.b") == word + "x.b");
        file_of const made{{{word + ".visual.conv1.weight"}, {"visual." + word + ".transformer." + word + ".resblocks.3." + word + ".mlp.c_fc." + word + ".bias"}}};
        auto const file = made.open();
        auto const source = zeroi2v::resolve(file);
        REQUIRE(source.tensors().size() == 2);
        CHECK(source.tensors()[1].name == "backbone.transformer.resblocks.3.mlp.c_fc.bias");
        CHECK(source.left_over().empty());
    }
    CHECK(without_transparent_words("") == "");
    CHECK(without_transparent_words(".") == ".");
}

TEST_CASE("names inside a block, of any scheme and with what is unknown between") {
    using zeroi2v::is_inside_block;
    for (std::string_view const name : {"transformer.resblocks.0.ln_3.bias", "visual.transformer.resblocks.11.x", "foo.resblocks.3.y", "blocks.0.norm3.bias", "encoder.layers.7.a.b",
                                        "layers.0.blocks.1.z", "blocks.00.x"})
        CHECK(is_inside_block(name));
    for (std::string_view const name : {"resblocks.x.y", "blocks.0", "blocks..x", "layers", "block.0.x", "decoder_blocks.0.x", "decoder.blocks.0.x", "text_encoder.transformer.resblocks.0.x",
                                        "queue", "", "head.0.weight"})
        CHECK_FALSE(is_inside_block(name));
}

TEST_CASE("words that tell of layers of another kind") {
    using zeroi2v::foreign_kind, zeroi2v::foreign_kind_of;
    for (std::string_view const name : {"a.lora_A", "a.lora_B.default.weight", "lora_down.weight", "x.lora_embedding_A.y", "b.lora_magnitude_vector"})
        CHECK(foreign_kind_of(name) == foreign_kind::lora);
    CHECK(foreign_kind_of("blocks.0.T_Adapter.D_fc1.bias") == foreign_kind::aim_adapter);
    for (std::string_view const name : {"blocks.0.T_Adapter_in.D_fc1.bias", "S_Adapter.D_fc1.bias", "flora_A", "", "T_Adapter_in_q.D_fc1.bias"})
        CHECK(foreign_kind_of(name) == foreign_kind::none);
}

TEST_CASE("each name that only texts have tells a text tower by itself") {
    for (std::string const name : {"token_embedding.weight", "ln_final.weight", "ln_final.bias", "text_projection"}) {
        CAPTURE(name);
        file_of const made{{{"visual.conv1.weight"}, {name}, {"transformer.resblocks.0.ln_1.bias"}, {"transformer.resblocks.0.attn.lora_A"}}};
        auto const file = made.open();
        auto const source = zeroi2v::resolve(file);
        CHECK(source.tensors().size() == 1);
        CHECK(source.ignored().size() == 3);
        CHECK(source.left_over().empty());
    }
}

TEST_CASE("a temporal embedding is ZeroI2V's, adapters are in ZeroI2V's blocks only") {
    file_of const temporal{{{"conv1.weight"}, {"temporal_embedding"}}};
    auto const temporal_file = temporal.open();
    CHECK(zeroi2v::resolve(temporal_file).scheme() == key_scheme::zeroi2v);
    for (std::string const block : {"encoder.layers.0.", "blocks.0."}) {
        file_of const made{{{"conv1.weight"}, {block + "S_Adapter.D_fc1.bias"}}};
        auto const file = made.open();
        auto const source = zeroi2v::resolve(file);
        CHECK(source.tensors().size() == 1);
        CHECK(source.left_over().size() == 1);
    }
}

TEST_CASE("a text tower is ignored, other names are left over") {
    file_of const clip{{{"visual.conv1.weight"},
                        {"visual.transformer.resblocks.0.ln_1.bias"},
                        {"transformer.resblocks.0.ln_1.bias"},
                        {"positional_embedding"},
                        {"token_embedding.weight"},
                        {"ln_final.weight"},
                        {"logit_scale", dtype::f64, {}},
                        {"input_resolution", dtype::i64, {}}}};
    auto const clip_file = clip.open();
    auto const source = zeroi2v::resolve(clip_file);
    CHECK(source.tensors().size() == 2);
    CHECK(source.ignored().size() == 6);
    CHECK(source.left_over().empty());
    CHECK(source.read("backbone.transformer.resblocks.0.ln_1.bias").bytes()[0] == std::byte{2});

    std::vector<fresh> names{{"backbone.conv1.weight"}};
    std::vector<std::string> const strange{"backbone.conv2.bias",
                                           "backbone.transformer.resblocks.0.ln_3.bias",
                                           "backbone.transformer.resblocks.00.ln_1.bias",
                                           "backbone.transformer.resblocks.12345.ln_1.bias",
                                           "backbone.transformer.resblocks.-1.ln_1.bias",
                                           "backbone.transformer.resblocks..ln_1.bias",
                                           "backbone.transformer.resblocks.0.T_Adapter.D_fc1.bias",
                                           "backbone.transformer.resblocks.0.S_Adapter.D_fc3.bias",
                                           "cls_head.fc_cls.scale",
                                           "cls_head.conv1.weight",
                                           "blocks.0.norm3.bias",
                                           "x",
                                           "",
                                           "backbone."};
    for (auto const& name : strange) names.push_back({name});
    file_of const made{names};
    auto const file = made.open();
    auto const left = zeroi2v::resolve(file);
    CHECK(left.tensors().size() == 1);
    CHECK(left.left_over().size() == strange.size());
    auto const f = fault_of([&] { left.refuse_left_over(); });
    CHECK_FAULT(f, error_code::unexpected_tensors, 4);
    CHECK(f.says("14 tensors"));
    CHECK(f.says("cls_head.fc_cls.scale"));
}

TEST_CASE("adapters of both kinds keep their names") {
    std::vector<fresh> names{{"backbone.conv1.weight"}, {"backbone.temporal_embedding", dtype::f32, {1, 4, 2}}};
    for (std::string const adapter : {"T_Adapter_in", "T_Adapter_in_q", "T_Adapter_in_k", "T_Adapter_in_v", "S_Adapter",
                                      "MLP_Adapter", "MLP_Adapter_out"})
        for (std::string const part : {"D_fc1.weight", "D_fc1.bias", "D_fc2.weight", "D_fc2.bias"})
            names.push_back({"backbone.transformer.resblocks.11." + adapter + "." + part});
    file_of const made{names};
    auto const file = made.open();
    auto const source = zeroi2v::resolve(file);
    CHECK(source.scheme() == key_scheme::zeroi2v);
    CHECK(source.left_over().empty());
    for (auto const& each : names) CHECK(source.find(each.name) != nullptr);
    CHECK(source.find("backbone.temporal_embedding")->sizes == shape{1, 4, 2});
}

TEST_CASE("nothing that could be recognised") {
    auto const f = fault_of_names({{"clip"}, {"frame_indices"}, {"a"}, {"b"}});
    CHECK_FAULT(f, error_code::missing_tensors, 4);
    CHECK(f.says("and 1 more"));
    CHECK_FAULT(fault_of_names({{"cls_head.fc_cls.weight"}}), error_code::missing_tensors, 4);
    file_of const made{{{"conv1.weight"}}};
    auto const file = made.open();
    auto const source = zeroi2v::resolve(file);
    CHECK_FAULT(fault_of([&] { static_cast<void>(source.read("backbone.ln_pre.bias")); }), error_code::missing_tensors,
                4);
    CHECK_FAULT(fault_of([&] {
                    std::vector<std::byte> out(7);
                    source.read_into("backbone.conv1.weight", out);
                }),
                error_code::precondition, 1);
}
