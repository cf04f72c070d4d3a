// Files that PyTorch's own tools wrote in many ways (tests/data/checkpoints/make.py): the model bit for bit, or a refusal that
// says what the file is.
#include <zeroi2v/io/checkpoint.hpp>

#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

std::string checkpoint_path(std::string_view name) { return std::string{ZEROI2V_TEST_DATA} + "/checkpoints/" + std::string{name}; }

std::string const first_block = "backbone.transformer.resblocks.0.", second_block = "backbone.transformer.resblocks.1.";

/// Every tensor of the model is in the source, and nothing else is.
void check_model(canonical_source const& source) {
    auto const expected = read_safetensors(checkpoint_path("expected.safetensors"));
    REQUIRE(expected.size() > 30);
    CHECK(source.scheme() == key_scheme::zeroi2v);
    CHECK(source.tensors().size() == expected.size());
    CHECK(source.unreadable().empty());
    for (auto const& entry : expected) {
        std::string const& name = entry.first;
        stored_tensor const& tensor = entry.second;
        CAPTURE(name);
        REQUIRE(source.find(name) != nullptr);
        auto const found = source.read(name);
        CHECK(found.type() == tensor.type());
        CHECK(found.sizes() == tensor.sizes());
        CHECK(std::ranges::equal(found.bytes(), tensor.bytes()));
    }
}

/// What a command that needs the model ends with.
test::fault fault_of_model(std::string const& path, load_options options = {}) {
    return test::fault_of([&] {
        auto const file = load_checkpoint(path);
        vit_file const model{file};
        model.require_names(model.expected_names(), options);
    });
}

} // namespace

TEST_CASE("wrappers, averages and dicts of every kind: the tensors that torch.load gives") {
    for (std::string_view const name : {"compiled.pth", "checkpointed.pth", "averaged.pth", "fsdp.pth", "ema.pth", "tutorial.pt", "lightning.ckpt", "deepspeed.pt",
                                        "moments.pth", "nested.pth", "timm.pth", "beside_cnn.pth", "no_checksums.pth", "expected.safetensors"}) {
        CAPTURE(name);
        auto const file = load_checkpoint(checkpoint_path(name));
        auto const source = resolve(file);
        check_model(source);
        CHECK(source.left_over().empty());
        CHECK_FALSE(fault_of_model(checkpoint_path(name)).thrown);
    }
}

TEST_CASE("two sets of weights, and names that are one without their wrappers") {
    auto const sets = fault_of_model(checkpoint_path("distilled.pth"));
    CHECK_FAULT(sets, error_code::unsupported_layout, 3);
    CHECK(sets.says("\"student\" and \"teacher\""));
    auto const names = fault_of_model(checkpoint_path("twice.pth"));
    CHECK_FAULT(names, error_code::duplicate_key, 3);
    CHECK(names.says("\"backbone.conv1.weight\" and \"module.backbone.conv1.weight\""));
}

TEST_CASE("a number missing in the row of blocks is named; a model with fewer layers is never made of it") {
    for (bool const allow_extra : {false, true}) {
        auto const fault = fault_of_model(checkpoint_path("gap.pth"), {.allow_extra = allow_extra});
        CHECK_FAULT(fault, error_code::missing_tensors, 4);
        CHECK(fault.says("block 2 of 0 to 3 is not there"));
        CHECK(fault.says("resblocks.2.ln_1.weight"));
    }
    auto const file = load_checkpoint(checkpoint_path("gap.pth"));
    vit_file const model{file};
    CHECK(model.shapes().missing_blocks() == std::vector<std::size_t>{2});
    CHECK(model.shapes().layers() == 4);
}

TEST_CASE("LoRA pairs and AIM's adapters are refused by what they are, whatever the options") {
    for (bool const allow_extra : {false, true}) {
        for (auto const& [name, pair] : {std::pair{"lora.pth", "mlp.c_fc.lora_A"}, {"peft.pth", "mlp.c_fc.lora_A.default.weight"}}) {
            auto const fault = fault_of_model(checkpoint_path(name), {.allow_extra = allow_extra});
            CHECK_FAULT(fault, error_code::unexpected_tensors, 4);
            CHECK(fault.says("LoRA pairs: merge them into their layers first"));
            CHECK(fault.says(pair));
        }
        auto const aim = fault_of_model(checkpoint_path("aim.pth"), {.allow_extra = allow_extra});
        CHECK_FAULT(aim, error_code::unexpected_tensors, 4);
        CHECK(aim.says("AIM's adapters have a GELU inside: they cannot be merged"));
        CHECK(aim.says(first_block + "T_Adapter.D_fc1.weight"));
    }
    auto const pairs = fault_of_model(checkpoint_path("peft_pairs.pth"));
    CHECK_FAULT(pairs, error_code::missing_tensors, 4);
    CHECK(pairs.says("LoRA pairs"));
    for (std::string_view const name : {"lora.pth", "peft.pth", "aim.pth"}) { // whoever asks for the weights first
        auto const file = load_checkpoint(checkpoint_path(name));
        CHECK_FAULT(test::fault_of([&] { static_cast<void>(load_adapted_vit(file, presets::clip_b16_k400_8f)); }), error_code::unexpected_tensors, 4);
        CHECK_FAULT(test::fault_of([&] { static_cast<void>(vit_file{file}.config()); }), error_code::unexpected_tensors, 4);
    }
}

TEST_CASE("what is beside the model is left out if that is allowed, what is inside a block never is") {
    auto const beside = fault_of_model(checkpoint_path("beside.pth"));
    CHECK_FAULT(beside, error_code::unexpected_tensors, 4);
    CHECK(beside.says("3 tensors left over: criterion.weight, queue, queue_ptr"));
    CHECK(beside.says("allow_extra"));
    CHECK_FALSE(fault_of_model(checkpoint_path("beside.pth"), {.allow_extra = true}).thrown);
    auto const file = load_checkpoint(checkpoint_path("beside.pth"));
    vit_file const model{file};
    CHECK(model.others(model.expected_names()) == std::vector<std::string>{"criterion.weight", "queue", "queue_ptr"});
    CHECK(model.others({}).size() == model.source().tensors().size() + 3);

    CHECK(fault_of_model(checkpoint_path("inside.pth")).says("2 tensors left over"));
    auto const inside = fault_of_model(checkpoint_path("inside.pth"), {.allow_extra = true});
    CHECK_FAULT(inside, error_code::unexpected_tensors, 4);
    CHECK(inside.says("1 tensor left over: " + first_block + "ln_3.weight, none inside a block expected"));
    // weight_orig, weight_mask, parametrizations.weight.original0: the weight itself is not there
    auto const reparametrized = fault_of_model(checkpoint_path("reparametrized.pth"), {.allow_extra = true});
    CHECK_FAULT(reparametrized, error_code::missing_tensors, 4);
    CHECK(reparametrized.says("2 tensors missing"));
}

TEST_CASE("tensors of other kinds are named with their kind, and the rest is read") {
    auto const file = load_checkpoint(checkpoint_path("kinds.pth"));
    std::vector<std::pair<std::string, std::string_view>> const kinds{{first_block + "mlp.c_fc.weight", "a quantized tensor, made by torch._utils._rebuild_qtensor"},
                                                                      {first_block + "mlp.c_proj.weight", "a quantized tensor"},
                                                                      {first_block + "ln_1.weight", "a sparse tensor"},
                                                                      {first_block + "ln_1.bias", "a sparse tensor"},
                                                                      {first_block + "ln_2.weight", "a sparse tensor"},
                                                                      {first_block + "ln_2.bias", "a sparse tensor"},
                                                                      {first_block + "attn.in_proj_bias", "a meta tensor"},
                                                                      {first_block + "attn.out_proj.weight", "conjugated or negated lazily"},
                                                                      {first_block + "attn.out_proj.bias", "conjugated or negated lazily"},
                                                                      {first_block + "S_Adapter.D_fc1.weight", "a nested tensor"},
                                                                      {first_block + "S_Adapter.D_fc1.bias", "torch.ComplexDoubleStorage"},
                                                                      {first_block + "S_Adapter.D_fc2.weight", "torch.nn.parameter.UninitializedParameter"},
                                                                      {first_block + "S_Adapter.D_fc2.bias", "an object of class numpy"},
                                                                      {second_block + "ln_1.weight", "a tensor of dtype torch.bits8"},
                                                                      {second_block + "ln_1.bias", "None found"},
                                                                      {second_block + "ln_2.weight", "a list found"},
                                                                      {second_block + "ln_2.bias", "a number or text found"},
                                                                      {second_block + "mlp.c_fc.weight", "a nested tensor, made by torch.nested"}};
    CHECK(file.unreadable().size() == kinds.size());
    auto const source = resolve(file);
    CHECK(source.unreadable().size() == kinds.size());
    for (auto const& each : kinds) {
        std::string const& name = each.first;
        std::string_view const kind = each.second;
        CAPTURE(name);
        auto const found = std::ranges::find(file.unreadable(), name, &unreadable_tensor::name);
        REQUIRE(found != file.unreadable().end());
        CHECK(found->kind.find(kind) != std::string::npos);
        CHECK(source.find(name) == nullptr);
        auto const fault = test::fault_of([&] { static_cast<void>(file.read(name)); });
        CHECK_FAULT(fault, error_code::unsupported_dtype, 3);
        CHECK(fault.says(kind));
    }
    for (bool const allow_extra : {false, true}) {
        auto const fault = fault_of_model(checkpoint_path("kinds.pth"), {.allow_extra = allow_extra});
        CHECK_FAULT(fault, error_code::unsupported_dtype, 3);
        CHECK(fault.says("tensor \"" + first_block));
        CHECK(fault.says("expected"));
    }
    auto const expected = read_safetensors(checkpoint_path("expected.safetensors"));
    std::size_t compared = 0;
    for (auto const& info : source.tensors()) {
        CHECK(std::ranges::equal(source.read(info.name).bytes(), expected[info.name].bytes()));
        ++compared;
    }
    CHECK(compared == expected.size() - kinds.size());
}

TEST_CASE("the small floats and complex numbers of PyTorch are read with their dtype") {
    auto const file = load_checkpoint(checkpoint_path("kinds.pth"));
    auto const bytes_of_tensor = [&](std::string const& name, dtype type) {
        auto const tensor = file.read("text_model." + name);
        CHECK(tensor.type() == type);
        CHECK(tensor.sizes() == (type == dtype::c64 ? shape{4, 4} : shape{4}));
        std::vector<int> values;
        for (auto const byte : tensor.bytes()) values.push_back(std::to_integer<int>(byte));
        return values;
    };
    // 1, 2, 3, 4 in each
    CHECK(bytes_of_tensor("float8_e5m2", dtype::f8_e5m2) == std::vector<int>{0x3C, 0x40, 0x42, 0x44});
    CHECK(bytes_of_tensor("float8_e4m3fn", dtype::f8_e4m3) == std::vector<int>{0x38, 0x40, 0x44, 0x48});
    CHECK(bytes_of_tensor("float8_e4m3fnuz", dtype::f8_e4m3fnuz) == std::vector<int>{0x40, 0x48, 0x4C, 0x50});
    CHECK(bytes_of_tensor("float8_e5m2fnuz", dtype::f8_e5m2fnuz) == std::vector<int>{0x40, 0x44, 0x46, 0x48});
    CHECK(bytes_of_tensor("float8_e8m0fnu", dtype::f8_e8m0).at(3) == 129);
    auto const complex = bytes_of_tensor("c64", dtype::c64);
    CHECK(complex.size() == 128);
    CHECK(std::vector<int>(complex.begin() + 8, complex.begin() + 16) == std::vector<int>{0, 0, 0x80, 0x3E, 0, 0, 0x80, 0x3E}); // 0.25 + 0.25i
}

TEST_CASE("every dtype that safetensors 0.8 writes is read as it says") {
    auto const file = load_checkpoint(checkpoint_path("dtypes.safetensors"));
    CHECK(file.tensors().size() == 20);
    std::vector<dtype> types;
    for (auto const& info : file.tensors()) {
        CAPTURE(info.name);
        CHECK(info.sizes == (info.type == dtype::f4 ? shape{8} : shape{4}));
        auto const tensor = file.read(info.name);
        CHECK(tensor.byte_size() == 4 * size_of(info.type));
        CHECK(tensor.count() == info.count());
        auto const start = std::to_integer<std::size_t>(tensor.bytes()[0]);
        for (std::size_t i = 0; i < tensor.byte_size(); ++i) CHECK(std::to_integer<std::size_t>(tensor.bytes()[i]) == start + i);
        types.push_back(info.type);
    }
    CHECK(std::ranges::is_sorted(types, std::ranges::greater{})); // the reference writer's order is this enumeration's
    CHECK(std::ranges::adjacent_find(types) == types.end());
}

TEST_CASE("layers of PyTorch's own quantization are named, not missing") {
    for (bool const allow_extra : {false, true}) {
        auto const fault = fault_of_model(checkpoint_path("packed.pth"), {.allow_extra = allow_extra});
        CHECK_FAULT(fault, error_code::unsupported_dtype, 3);
        CHECK(fault.says("mlp.c_fc._packed_params._packed_params"));
        CHECK(fault.says("a tuple of tensors"));
    }
}

TEST_CASE("a text tower's own kinds of tensors stop nobody") {
    test::temporary_folder const folder;
    auto content = read_safetensors(checkpoint_path("expected.safetensors"));
    content.tensors.emplace("text_model.f4", stored_tensor::zeros(dtype::f4, {2, 5}));
    content.tensors.emplace("text_model.lora_A", stored_tensor::zeros(dtype::f32, {2}));
    content.tensors.emplace("text_model.encoder.layers.0.T_Adapter.x", stored_tensor::zeros(dtype::c64, {2}));
    write_safetensors(folder / "f", content);
    auto const file = load_checkpoint(folder / "f");
    auto const source = resolve(file);
    check_model(source);
    CHECK(source.ignored().size() == 3);
    CHECK_FALSE(fault_of_model(folder / "f").thrown);
    // the same dtypes in a weight's place
    content.tensors.find("backbone.ln_pre.bias")->second = stored_tensor::zeros(dtype::f8_e8m0, {8});
    write_safetensors(folder / "g", content);
    auto const other = load_checkpoint(folder / "g");
    vit_file const model{other};
    CHECK_FAULT(test::fault_of([&] { model.require_fit("backbone.ln_pre.bias", {8}); }), error_code::unsupported_dtype, 3);
}
