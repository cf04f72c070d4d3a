#include <zeroi2v/io/torch/torch_file.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include "../archives.hpp"
#include "../faults.hpp"
#include "../memory_file.hpp"
#include "../pickle_damage.hpp"
#include "../temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace zeroi2v;
using test::build_zip, test::le, test::p_call, test::p_dict, test::p_file, test::p_global, test::p_int, test::p_ints,
    test::p_storage, test::p_tensor, test::p_text, test::p_tuple, test::torch_parts, test::zip_part;
using namespace std::string_literals;

namespace {

std::string data_path(std::string_view name) { return std::string{ZEROI2V_TEST_DATA} + "/" + std::string{name}; }

torch_file open_data(std::string_view name) { return torch_file{file{data_path(name)}}; }
torch_file open_bytes(std::string_view bytes) { return torch_file{file{test::memory_file{bytes}.path()}}; }
torch_file open_parts(std::vector<zip_part> const& parts) { return open_bytes(build_zip(parts, true).bytes); }
/// A file with this pickle and float storages 0, 1, ...
torch_file open_pickle(std::string const& value,
                       std::vector<std::vector<float>> const& storages = {{0, 1, 2, 3, 4, 5}}) {
    return open_parts(torch_parts(p_file(value), storages));
}
template <class Open>
test::fault opening(Open&& open) {
    return test::fault_of([&] { static_cast<void>(open()); });
}
test::fault opening_pickle(std::string const& value) {
    return opening([&] { return open_pickle(value); });
}
test::fault opening_tensor(std::string const& tensor) {
    return opening_pickle(p_dict({{"fine", p_tensor(p_storage("0", 6), 0, {6}, {1})}, {"w", tensor}}));
}

std::string const one_tensor = p_tensor(p_storage("0", 6), 0, {2, 3}, {3, 1});

std::vector<float> floats(torch_file const& f, std::string_view name) {
    auto const tensor = f.read(name);
    auto const values = tensor.as<float>();
    return {values.begin(), values.end()};
}
std::vector<std::string> names(torch_file const& f) {
    std::vector<std::string> result;
    for (auto const& info : f.tensors()) result.push_back(info.name);
    return result;
}

bool same(stored_tensor const& a, stored_tensor const& b) {
    return a.type() == b.type() && a.sizes() == b.sizes() && std::ranges::equal(a.bytes(), b.bytes());
}

/// Every tensor of `f` under `prefix` equals, bit for bit, the one of this name in `expected`, and none is missing.
void check_equal(torch_file const& f, std::string_view expected_file, std::string const& prefix = "") {
    auto const expected = read_safetensors(data_path(expected_file));
    REQUIRE(expected.tensors.size() > 3);
    CHECK(f.tensors().size() == expected.tensors.size());
    for (auto const& item : expected.tensors) {
        std::string const& name = item.first;
        stored_tensor const& tensor = item.second;
        CAPTURE(name);
        auto const* const info = f.find(prefix + name);
        REQUIRE(info != nullptr);
        CHECK(info->sizes == tensor.sizes());
        CHECK(info->type == tensor.type());
        CHECK(same(f.read(prefix + name), tensor));
        stored_tensor into{tensor.type(), tensor.sizes()};
        f.read_into(prefix + name, into.bytes());
        CHECK(same(into, tensor));
    }
}

} // namespace

// ---- real files -----------------------------------------------------------------------------------------------------

TEST_CASE("the comparison sees one changed bit, another shape and another type") {
    auto const a = open_data("formats/half.pth").read("backbone.class_embedding");
    auto b = a.clone();
    CHECK(same(a, b));
    b.bytes()[17] ^= std::byte{1};
    CHECK_FALSE(same(a, b));
    CHECK_FALSE(same(stored_tensor::zeros(dtype::f32, {2, 3}), stored_tensor::zeros(dtype::f32, {3, 2})));
    CHECK_FALSE(same(stored_tensor::zeros(dtype::f32, {2}), stored_tensor::zeros(dtype::i32, {2})));
}

TEST_CASE("torch_file reads the official layouts bit for bit") {
    check_equal(open_data("formats/mmengine.pth"), "formats/expected_f32.safetensors");
    check_equal(open_data("formats/strided.pth"), "formats/expected_f32.safetensors");
    check_equal(open_data("formats/ddp.pth"), "formats/expected_f32.safetensors", "module.");
    check_equal(open_data("formats/half.pth"), "formats/expected_f16.safetensors");
    check_equal(open_data("formats/bare_bf16.pth"), "formats/expected_bf16.safetensors");
    CHECK_FALSE(open_data("formats/mmengine.pth").is_torchscript());
}

TEST_CASE("torch_file reads a TorchScript archive of CLIP, its compressed source text unread") {
    auto const f = open_data("formats/clip_torchscript.pt");
    CHECK(f.is_torchscript());
    CHECK(f.find("input_resolution") == nullptr);
    CHECK(f.find("context_length") == nullptr);
    CHECK(f.find("vocab_size") == nullptr);
    auto const expected = read_safetensors(data_path("formats/clip_openai.safetensors"));
    std::size_t compared = 0;
    for (auto const& info : f.tensors()) {
        if (!info.name.starts_with("visual.")) continue;
        CAPTURE(info.name);
        CHECK(same(f.read(info.name), expected[info.name]));
        ++compared;
    }
    CHECK(compared == 20);
}

TEST_CASE("torch_file reads every kind of tensor that torch.save wrote, in pickle protocols 2 to 5") {
    for (std::string const& protocol : {"2"s, "3"s, "4"s, "5"s})
        check_equal(open_data("torch/state_" + protocol + ".pth"), "torch/state.safetensors");
}

TEST_CASE("torch_file reads scripted modules: submodules, shared tensors, other attributes passed over") {
    auto const f = open_data("torch/script.pt");
    CHECK(f.is_torchscript());
    check_equal(f, "torch/script.safetensors");
}

TEST_CASE("torch_file reads every adapted checkpoint") {
    for (std::string_view const name : {"b16_short", "l14_ssv2_offsets", "l14_wide_patch14",
                                        "no_attention_output_adapter", "one_adapter_after_mlp", "qkv_input_adapters"}) {
        auto const f = open_data(std::string{name} + "/adapted.pth");
        CHECK(f.find("backbone.temporal_embedding") != nullptr);
        std::size_t bytes = 0;
        for (auto const& info : f.tensors()) bytes += f.read(info.name).byte_size();
        CHECK(bytes > 500'000);
        CHECK(bytes < f.source().size());
    }
}

TEST_CASE("kinds of tensors that cannot be represented are not listed, and named when they are asked for") {
    auto const f = open_data("torch/unreadable.pth");
    CHECK(names(f) == std::vector<std::string>{"plain", "complex"});
    CHECK(f.find("complex")->type == dtype::c64);
    for (auto const& [name, words] : std::map<std::string, std::string>{{"sparse", "_rebuild_sparse_tensor"},
                                                                        {"quantised", "_rebuild_qtensor"},
                                                                        {"negated", "lazily"}}) {
        CHECK(f.find(name) == nullptr);
        auto const fault = test::fault_of([&, &asked = name] { static_cast<void>(f.read(asked)); });
        CHECK_FAULT(fault, error_code::unsupported_dtype, 3);
        CHECK(fault.says(words));
    }
    auto const none = opening_pickle(p_dict({{"w", p_tensor(p_storage("0", 3, "ComplexDoubleStorage"), 0, {3}, {1})}}));
    CHECK_FAULT(none, error_code::no_tensors, 3);
    CHECK(none.says("torch.ComplexDoubleStorage"));
}

TEST_CASE("a pickled module is refused with the way to save its state dict") {
    auto const fault = opening([] { return open_data("torch/module.pth"); });
    CHECK_FAULT(fault, error_code::unsupported_layout, 3);
    CHECK(fault.says("torch.nn.modules.linear.Linear"));
    CHECK(fault.says("state_dict()"));
}

// ---- what is found where --------------------------------------------------------------------------------------------

TEST_CASE("the state dict is under state_dict, else under model, else it is the root") {
    auto const inside = [](std::string const& name) { return p_dict({{name, one_tensor}}); };
    CHECK(names(open_pickle(p_dict({{"model", inside("m")}, {"x", one_tensor}, {"state_dict", inside("s")}})))
          == std::vector<std::string>{"s"});
    CHECK(names(open_pickle(p_dict({{"x", one_tensor}, {"model", inside("m")}}))) == std::vector<std::string>{"m"});
    CHECK(names(open_pickle(p_dict({{"x", one_tensor}, {"ema", inside("m")}})))
          == std::vector<std::string>{"x", "ema.m"});
    CHECK(names(open_pickle(p_dict({{"x", one_tensor}, {"state_dict", "N"}, {"model", p_int(3)}})))
          == std::vector<std::string>{"x"});
    auto const twice = p_dict({{"state_dict", inside("first")}, {"state_dict", inside("second")}});
    CHECK(names(open_pickle(twice)) == std::vector<std::string>{"second"});
    auto const ordered = p_call(p_global("collections", "OrderedDict"), {}) + "(" + p_text("w") + one_tensor + "u";
    CHECK(names(open_pickle(ordered)) == std::vector<std::string>{"w"});
    CHECK(names(open_pickle(p_dict({{"state_dict", ordered + p_dict({{"_metadata", "}"}}) + "b"}})))
          == std::vector<std::string>{"w"});
}

TEST_CASE("the one dict with an encoder's names is the state dict, whatever it is called") {
    auto const model = [](std::string const& front, std::string const& extra = "extra") {
        return p_dict({{front + "conv1.weight", one_tensor}, {front + "transformer.resblocks.0.ln_1.bias", one_tensor}, {front + extra, one_tensor}});
    };
    auto const found = [&](std::string const& root) { return names(open_pickle(root)); };
    auto const of = [](std::string const& front, std::string const& extra = "extra") {
        return std::vector<std::string>{front + "conv1.weight", front + "transformer.resblocks.0.ln_1.bias", front + extra};
    };
    auto const other = p_dict({{"conv1.weight", one_tensor}, {"layer1.0.conv1.weight", one_tensor}});
    for (std::string const name : {"model_state_dict", "net", "module", "ema", "weights of mine", "student", "generator.1", ""}) {
        CAPTURE(name);
        CHECK(found(p_dict({{"epoch", p_int(3)}, {name, model("backbone.")}, {"loss", one_tensor}})) == of("backbone."));
        CHECK(found(p_dict({{"other", other}, {name, model("module.visual.")}})) == of("module.visual."));
        CHECK(found(p_dict({{"a", p_dict({{"b", p_dict({{name, model("")}, {"c", "N"}})}})}})) == of(""));
    }
    // first state_dict, then model, wherever they are, if they hold such a set; else what does
    CHECK(found(p_dict({{"ema", model("")}, {"model", model("b.", "y")}, {"state_dict", model("", "x")}})) == of("", "x"));
    CHECK(found(p_dict({{"ema", model("")}, {"model", model("", "y")}})) == of("", "y"));
    CHECK(found(p_dict({{"run", p_dict({{"ema", model("")}, {"model", model("", "z")}})}})) == of("", "z"));
    CHECK(found(p_dict({{"state_dict", p_dict({{"model", model("", "m")}, {"x", one_tensor}})}})) == of("", "m"));
    CHECK(found(p_dict({{"state_dict", p_dict({{"a", one_tensor}})}, {"ema", model("")}})) == of(""));
    // no dict with such names: as before
    CHECK(found(p_dict({{"weights", other}})) == std::vector<std::string>{"weights.conv1.weight", "weights.layer1.0.conv1.weight"});
    // parts of one model stay together
    auto const in_parts = p_dict({{"backbone", model("")}, {"cls_head", p_dict({{"fc_cls.weight", one_tensor}})}});
    CHECK(found(in_parts).size() == 4);
    CHECK(found(in_parts).back() == "cls_head.fc_cls.weight");
    // the root is a set, and an optimizer lies beside its tensors
    CHECK(found(p_dict({{"conv1.weight", one_tensor}, {"blocks.0.norm1.bias", one_tensor}, {"optimizer", model("")}})) == std::vector<std::string>{"conv1.weight", "blocks.0.norm1.bias"});
}

TEST_CASE("two sets of weights are refused, an optimizer's state is none") {
    auto const model = p_dict({{"conv1.weight", one_tensor}, {"transformer.resblocks.0.ln_1.bias", one_tensor}});
    for (auto const& [a, b] : {std::pair{"student", "teacher"}, {"ema", "net"}, {"x", "y"}, {"module", "model_ema"}}) {
        auto const fault = opening_pickle(p_dict({{a, model}, {"epoch", p_int(1)}, {b, model}}));
        CHECK_FAULT(fault, error_code::unsupported_layout, 3);
        CHECK(fault.says('"' + std::string{a} + "\" and \"" + b + '"'));
        CHECK(fault.says("torch.save"));
    }
    // a text tower is no such set, adapters on their own are one: they are not passed over
    auto const text = p_dict({{"token_embedding.weight", one_tensor}, {"transformer.resblocks.0.ln_1.bias", one_tensor}});
    CHECK(names(open_pickle(p_dict({{"text", text}, {"net", model}}))).size() == 2);
    auto const adapters = p_dict({{"transformer.resblocks.0.S_Adapter.D_fc1.bias", one_tensor}});
    CHECK_FAULT(opening_pickle(p_dict({{"adapters", adapters}, {"net", model}})), error_code::unsupported_layout, 3);
    // nor beside the dict that comes first; what that dict has itself is another copy
    for (std::string const first : {"state_dict", "model"}) {
        CAPTURE(first);
        auto const beside = opening_pickle(p_dict({{"adapters", adapters}, {"epoch", p_int(1)}, {first, model}}));
        CHECK_FAULT(beside, error_code::unsupported_layout, 3);
        CHECK(beside.says('"' + first + "\" and \"adapters\""));
        auto const whole = p_dict({{"conv1.weight", one_tensor}, {"transformer.resblocks.0.ln_1.bias", one_tensor}, {"transformer.resblocks.0.S_Adapter.D_fc1.bias", one_tensor}});
        CHECK_FAULT(opening_pickle(p_dict({{first, model}, {"ema", whole}})), error_code::unsupported_layout, 3);
        CHECK(names(open_pickle(p_dict({{first, whole}, {"ema", whole}, {"ema2", model}, {"adapters", adapters}, {"text", text}}))).size() == 3);
        CHECK(names(open_pickle(p_dict({{"optimizer", whole}, {first, model}}))).size() == 2);
        CHECK(names(open_pickle(p_dict({{"a", p_dict({{first, model}})}, {"text", text}}))).size() == 2);
    }
    // where the search gives up, nothing was found
    std::string many = "}(";
    for (int i = 0; i < 200'000; ++i) many += p_text(std::to_string(i)) + "N";
    CHECK(names(open_pickle(p_dict({{"net", model}, {"ema", many + "u"}}))).front() == "net.conv1.weight");
    auto const deep = opening_pickle(p_dict({{"state_dict", p_dict({{"a", model}, {"b", model}})}}));
    CHECK(deep.says("\"state_dict.a\" and \"state_dict.b\""));
    for (std::string const name : {"optimizer", "optimizer_state_dict", "optim", "exp_avg", "exp_avg_sq", "momentum_buffer", "grads", "opt_state", "mu", "nu"})
        CHECK(names(open_pickle(p_dict({{name, model}, {"net", model}}))).size() == 2);
    auto const adam = p_dict({{"state", p_dict({{"exp", model}})}, {"param_groups", "]"}});
    CHECK(names(open_pickle(p_dict({{"mine", adam}, {"net", model}}))).size() == 2);
    CHECK_FAULT(opening_pickle(p_dict({{"mine", p_dict({{"state", model}})}, {"net", model}})), error_code::unsupported_layout, 3);
}

TEST_CASE("a search through dicts that hold each other comes to an end") {
    auto const one = opening_pickle("}q\0("s + p_text("w") + one_tensor + p_text("self") + "h\0u"s);
    CHECK_FAULT(one, error_code::bad_pickle, 3);
    CHECK(one.says("nests deeper"));
    auto const two = opening_pickle("}q\0("s + p_text("a") + "h\0"s + p_text("b") + "h\0u"s);
    CHECK_FAULT(two, error_code::bad_pickle, 3);
    CHECK(two.says("nests deeper"));
}

TEST_CASE("a key that is set twice, and two paths to one name, are refused") {
    auto const first = p_tensor(p_storage("0", 6), 0, {1}, {1}), second = p_tensor(p_storage("0", 6), 5, {1}, {1});
    for (auto const& last : {second, first, std::string{"N"}}) {
        auto const twice = opening_pickle(p_dict({{"w", first}, {"v", first}, {"w", last}}));
        CHECK_FAULT(twice, error_code::bad_pickle, 3);
        CHECK(twice.says("\"w\" is set twice"));
    }
    auto const paths = opening_pickle(p_dict({{"a.b", first}, {"a", p_dict({{"b", second}})}}));
    CHECK_FAULT(paths, error_code::duplicate_key, 3);
    CHECK(paths.says("\"a.b\""));
}

TEST_CASE("keys that are no text and values that are no tensors are passed over") {
    auto const array = p_call(p_global("numpy.core.multiarray", "_reconstruct"), {p_int(0)});
    auto const f =
        open_pickle("}(" + p_int(0) + one_tensor + p_tuple({}) + one_tensor + p_text("list") + "](" + one_tensor + "e"
                    + p_text("array") + array + p_text("none") + "N" + p_text("w") + one_tensor + "u");
    CHECK(names(f) == std::vector<std::string>{"w"});
}

TEST_CASE("parameters, their state, subclasses and the first layout of tensors are seen through") {
    auto const parameter = p_call(p_global("torch._utils", "_rebuild_parameter"), {one_tensor, "\x88", "}"});
    auto const with_state =
        p_call(p_global("torch._utils", "_rebuild_parameter_with_state"), {one_tensor, "\x88", "}", "}"});
    auto const subclass = p_call(
        p_global("torch._tensor", "_rebuild_from_type_v2"),
        {p_global("torch._utils", "_rebuild_parameter"), p_global("m", "C"), p_tuple({one_tensor, "\x88", "}"}), "}"});
    auto const old = p_call(p_global("torch._utils", "_rebuild_tensor"),
                            {p_storage("0", 6), p_int(0), p_ints({2, 3}), p_ints({3, 1})});
    for (auto const& tensor : {parameter, with_state, subclass, old})
        CHECK(floats(open_pickle(p_dict({{"w", tensor}})), "w") == std::vector<float>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("calls that only look like tensors are none, and half of one is named") {
    auto const v3 = [](std::vector<std::string> last) {
        std::vector<std::string> parts{p_storage("0", 24, "UntypedStorage"), p_int(0), p_ints({2, 3}), p_ints({3, 1}), "\x89", p_call(p_global("collections", "OrderedDict"), {})};
        parts.insert(parts.end(), last.begin(), last.end());
        return p_call(p_global("torch._utils", "_rebuild_tensor_v3"), parts);
    };
    CHECK(floats(open_pickle(p_dict({{"w", v3({p_global("torch", "float32")})}})), "w") == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(opening_tensor(v3({})).says("its description has 6 parts, too few"));
    auto const plain_function = p_global("torch._utils", "_rebuild_tensor_v2");
    auto const plain_parts = p_tuple({p_storage("0", 6), p_int(0), p_ints({6}), p_ints({1}), "\x89", "}"});
    for (auto const& no_tensor : {p_call(p_global("torch._tensor", "_rebuild_from_type_v2"), {plain_function, p_global("m", "C")}),
                                  p_call(p_global("mine", "_rebuild_from_type_v2"), {plain_function, p_global("m", "C"), plain_parts, "}"}),
                                  p_call(p_global("mine", "_rebuild_parameter"), {one_tensor, "\x88", "}"}),
                                  p_global("mine", "_rebuild_tensor_v2") + plain_parts + "R", p_global("torch._utils", "rebuild_tensor_v2") + plain_parts + "R"}) {
        auto const f = open_pickle(p_dict({{"fine", one_tensor}, {"x", no_tensor}}));
        CHECK(names(f) == std::vector<std::string>{"fine"});
        CHECK(f.unreadable().empty());
        // in the place of a model's tensor it is named
        auto const named = open_pickle(p_dict({{"fine", one_tensor}, {"backbone.conv1.weight", no_tensor}}));
        REQUIRE(named.unreadable().size() == 1);
        CHECK(named.unreadable()[0].kind.find("an object of class") == 0);
    }
    for (auto const& each : std::vector<std::pair<std::string, std::string>>{
             {p_call(p_global("torch._utils", "_rebuild_parameter"), {}), "_rebuild_parameter"},
             {v3({p_global("mine", "float32")}), "mine.float32"},
             {v3({p_global("torch", "float4_e2m1fn_x2")}), "torch.float4_e2m1fn_x2"},
             {v3({p_global("torch", "float32"), p_dict({{"conj", "\x88"}})}), "lazily"},
             {v3({p_global("torch", "float32"), p_dict({{"neg", "\x88"}})}), "lazily"},
             {p_tensor(p_tuple({p_text("storage"), p_global("mine", "FloatStorage"), p_text("0"), p_text("cpu"), p_int(6)}) + "Q", 0, {6}, {1}), "mine.FloatStorage"},
             {p_call(p_global("torch._tensor", "_rebuild_from_type_v2"), {p_global("mine", "_rebuild_tensor_v2"), p_global("m", "C"), plain_parts, "}"}), "mine._rebuild_tensor_v2"},
             {p_tuple({one_tensor, "N"}), "a tuple of tensors"}}) {
        std::string const& words = each.second;
        CAPTURE(words);
        auto const f = open_pickle(p_dict({{"fine", one_tensor}, {"x", each.first}}));
        CHECK(names(f) == std::vector<std::string>{"fine"});
        REQUIRE(f.unreadable().size() == 1);
        CHECK(f.unreadable()[0].name == "x");
        CHECK(f.unreadable()[0].kind.find(words) != std::string::npos);
    }
    CHECK(floats(open_pickle(p_dict({{"w", v3({p_global("torch", "float32"), p_dict({{"neg", "\x89"}})})}})), "w").size() == 6);
    CHECK(opening_tensor(p_tensor(p_tuple({p_text("storage"), p_global("torch", "FloatStorage"), p_text("0"), p_text("cpu")}) + "Q", 0, {6}, {1})).says("it has no storage"));
}

TEST_CASE("offset, strides and shared storages are honoured") {
    auto const s = p_storage("0", 6);
    auto const f = open_pickle(p_dict({{"scalar", p_tensor(s, 4, {}, {})},
                                       {"transposed", p_tensor(s, 0, {3, 2}, {1, 3})},
                                       {"tail", p_tensor(s, 4, {2}, {1})},
                                       {"even", p_tensor(s, 0, {3}, {2})},
                                       {"expanded", p_tensor(s, 2, {2, 3}, {0, 0})},
                                       {"empty", p_tensor(s, 6, {0, 4}, {4, 1})}}));
    CHECK(floats(f, "scalar") == std::vector<float>{4});
    CHECK(f.find("scalar")->sizes.rank() == 0);
    CHECK(floats(f, "transposed") == std::vector<float>{0, 3, 1, 4, 2, 5});
    CHECK(floats(f, "tail") == std::vector<float>{4, 5});
    CHECK(floats(f, "even") == std::vector<float>{0, 2, 4});
    CHECK(floats(f, "expanded") == std::vector<float>{2, 2, 2, 2, 2, 2});
    CHECK(floats(f, "empty").empty());
}

TEST_CASE("the top folder has any name, but there is one of them") {
    auto parts = torch_parts(p_file(p_dict({{"w", one_tensor}})), {{0, 1, 2, 3, 4, 5}});
    for (auto& part : parts) part.name = "archive with spaces" + part.name.substr(1);
    CHECK(names(open_parts(parts)) == std::vector<std::string>{"w"});
    auto two = parts;
    two.push_back({"other/data.pkl", p_file("}")});
    auto const fault = opening([&] { return open_parts(two); });
    CHECK_FAULT(fault, error_code::bad_zip, 3);
    CHECK(fault.says("\"other/data.pkl\""));
    for (std::string_view const name : {"data.pkl", "a/b/data.pkl", "m/data.pkl.old", "m/constants.pkl"}) {
        auto const other = opening([&, n = std::string{name}] { return open_parts({{n, p_file("}")}}); });
        CHECK_FAULT(other, error_code::unsupported_layout, 3);
        CHECK(other.says("without data.pkl"));
    }
}

// ---- A17 ------------------------------------------------------------------------------------------------------------

TEST_CASE("A17 deflated, encrypted, duplicate entries and a damaged pickle are refused when the file is opened") {
    auto const sound = torch_parts(p_file(p_dict({{"w", one_tensor}})), {{0, 1, 2, 3, 4, 5}});
    for (std::size_t i = 0; i < sound.size(); ++i) {
        CAPTURE(sound[i].name);
        auto deflated = sound, encrypted = sound, twice = sound;
        deflated[i].method = 8;
        encrypted[i].flags |= 1;
        twice.push_back(sound[i]);
        for (auto const& parts : {deflated, encrypted, twice}) {
            auto const fault = opening([&] { return open_parts(parts); });
            CHECK_FAULT(fault, error_code::bad_zip, 3);
            CHECK(fault.says("entry \"" + sound[i].name + "\""));
        }
    }
    auto damaged = sound;
    damaged[0].crc = 1;
    auto const fault = opening([&] { return open_parts(damaged); });
    CHECK_FAULT(fault, error_code::bad_zip, 3);
    CHECK(fault.says("\"m/data.pkl\": the content's CRC-32"));
}

TEST_CASE("A17 a damaged storage is refused whenever something is read from it: whole, a part, strided") {
    auto const s = p_storage("0", 6), t = p_storage("1", 1);
    auto parts = torch_parts(p_file(p_dict({{"whole", p_tensor(s, 0, {6}, {1})},
                                            {"part", p_tensor(s, 1, {2}, {1})},
                                            {"strided", p_tensor(s, 0, {3, 2}, {1, 3})},
                                            {"other", p_tensor(t, 0, {1}, {1})}})),
                             {{0, 1, 2, 3, 4, 5}, {9}});
    parts[2].content[23] = '!'; // as a flipped bit on disk would
    parts[2].crc =
        crc32::of(test::bytes_of({reinterpret_cast<char const*>(std::vector<float>{0, 1, 2, 3, 4, 5}.data()), 24}));
    auto const f = open_parts(parts);
    for (int again = 0; again < 2; ++again)
        for (std::string_view const name : {"whole", "part", "strided"}) {
            auto const fault = test::fault_of([&] { static_cast<void>(f.read(name)); });
            CHECK_FAULT(fault, error_code::bad_zip, 3);
            CHECK(fault.says("entry \"m/data/0\""));
        }
    CHECK(floats(f, "other") == std::vector<float>{9});
}

TEST_CASE("A17 legacy, tar and bare pickles: unsupported_layout with the way to re-save") {
    test::temporary_folder const folder;
    std::string tar(1024, '\0');
    test::patch(tar, 0, "pickle");
    test::patch(tar, 257,
                "ustar\0"
                "00"s);
    test::write_file(folder / "old.tar", tar);
    test::write_file(folder / "bare.pkl", p_file(p_dict({{"w", p_int(1)}})));
    for (std::string const& path :
         {data_path("formats/legacy.pth"), (folder / "old.tar").native(), (folder / "bare.pkl").native()}) {
        CAPTURE(path);
        auto const fault = opening([&] { return torch_file{file{path}}; });
        CHECK_FAULT(fault, error_code::unsupported_layout, 3);
        CHECK(fault.says("torch.save(torch.load(f), g)"));
        CHECK(fault.message.find('\n') == std::string::npos);
    }
}

// ---- A18 ------------------------------------------------------------------------------------------------------------

TEST_CASE("A18 a pickle that would run a command is data like any other") {
    test::temporary_folder const folder;
    auto const proof = (folder / "executed").native();
    auto const attack = p_call(p_global("os", "system"), {p_text("touch " + proof)});
    auto const eval = p_call(p_global("builtins", "exec"), {p_text("open('" + proof + "', 'w')")});
    auto const object = p_global("posix", "system") + p_tuple({p_text("touch " + proof)}) + "\x81"
                        + p_dict({{"__setstate__", attack}}) + "b";
    auto const f = open_pickle(p_dict(
        {{"meta", attack}, {"state_dict", p_dict({{"a", attack}, {"w", one_tensor}, {"b", eval}, {"c", object}})}}));
    CHECK(names(f) == std::vector<std::string>{"w"});
    CHECK(floats(f, "w").size() == 6);
    CHECK_FALSE(std::filesystem::exists(proof));
    CHECK(folder.entries() == 0);
}

TEST_CASE("A18 a bad pickle is refused with its byte, in the name of the file") {
    auto const fault = opening_pickle("}\xff");
    CHECK_FAULT(fault, error_code::bad_pickle, 3);
    CHECK(fault.says("data.pkl: byte 3: no opcode: 255"));
}

TEST_CASE("A18 dicts in dicts: 64 levels, and cycles") {
    auto const nested = [](std::size_t levels) {
        std::string text;
        for (std::size_t i = 0; i < levels; ++i) text += "}" + p_text("k");
        text += one_tensor;
        for (std::size_t i = 0; i < levels; ++i) text += "s";
        return text;
    };
    CHECK(open_pickle(nested(40)).tensors().size() == 1);
    CHECK_FAULT(opening_pickle(nested(65)), error_code::bad_pickle, 3);
    CHECK_FAULT(opening_pickle("}q\0"s + p_text("self") + "h\0s"s), error_code::bad_pickle, 3);
    auto const cycle =
        opening_pickle("}q\0"s + p_text("a") + "}q\x01" + p_text("b") + "h\0ss"s + p_text("w") + one_tensor + "s");
    CHECK_FAULT(cycle, error_code::bad_pickle, 3);
    CHECK(cycle.says("nests deeper than 64"));
}

TEST_CASE("A14 names: 1024 bytes, UTF-8; 65536 tensors") {
    CHECK(open_pickle(p_dict({{std::string(1024, 'n'), one_tensor}})).tensors().size() == 1);
    CHECK_FAULT(opening_pickle(p_dict({{std::string(1025, 'n'), one_tensor}})), error_code::name_too_long, 3);
    CHECK_FAULT(opening_pickle(p_dict({{std::string(600, 'n'), p_dict({{std::string(424, 'm'), one_tensor}})}})),
                error_code::name_too_long, 3);
    CHECK(open_pickle(p_dict({{"w\xc3\xa4", one_tensor}, {"", one_tensor}})).tensors().size() == 2);
    for (std::string const& bad : {"w\xff"s, "\xed\xa0\x80"s, "\xc0\x80"s})
        CHECK_FAULT(opening_pickle(p_dict({{bad, one_tensor}})), error_code::bad_pickle, 3);

    std::string many = one_tensor + "q\0"s + "0}("s;
    for (int i = 0; i <= 65'536; ++i) many += p_text(std::to_string(i)) + "h\0"s;
    auto const fault = opening_pickle(many + "u");
    CHECK_FAULT(fault, error_code::too_many_tensors, 3);
}

// ---- A19 ------------------------------------------------------------------------------------------------------------

TEST_CASE("A19 storage missing") {
    auto const fault = opening_tensor(p_tensor(p_storage("7", 6), 0, {6}, {1}));
    CHECK_FAULT(fault, error_code::bad_tensor, 3);
    CHECK(fault.says("tensor \"w\": its storage \"7\" is not in the archive"));
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("../0", 6), 0, {6}, {1})), error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor("N", 0, {6}, {1})), error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor(p_text("module") + "Q", 0, {6}, {1})), error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor(p_tuple({p_text("module"), "N", "N", "N", "N"}) + "Q", 0, {6}, {1})),
                error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor(p_tuple({p_text("storage"), "N", "N", "N", "N"}) + "Q", 0, {6}, {1})),
                error_code::bad_tensor, 3);
}

TEST_CASE("A19 numel mismatch") {
    for (std::int64_t const count : {0, 5, 7, 12}) {
        auto const fault = opening_tensor(p_tensor(p_storage("0", count), 0, {1}, {1}));
        CHECK_FAULT(fault, error_code::bad_tensor, 3);
        CHECK(fault.says("tensor \"w\""));
    }
    CHECK(opening_tensor(p_tensor(p_storage("0", 5), 0, {1}, {1})).says("has 24 bytes, the pickle says 20"));
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("0", -6), 0, {1}, {1})), error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("0", (std::int64_t{1} << 59U) - 1, "DoubleStorage"), 0, {1}, {1})),
                error_code::bad_tensor, 3);
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("0", 6, "HalfStorage"), 0, {1}, {1})), error_code::bad_tensor, 3);
}

TEST_CASE("A19 offset outside the storage") {
    for (std::int64_t const offset : {std::int64_t{1}, std::int64_t{6}, std::int64_t{1} << 40U,
                                      (std::int64_t{1} << 59U) - 1, std::int64_t{1} << 62U, std::int64_t{-1}}) {
        auto const fault = opening_tensor(p_tensor(p_storage("0", 6), offset, {2, 3}, {3, 1}));
        CHECK_FAULT(fault, error_code::bad_tensor, 3);
        CHECK(fault.says("tensor \"w\": offset"));
    }
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("0", 6), 6, {}, {})), error_code::bad_tensor, 3); // a scalar
    CHECK_FAULT(opening_tensor(p_tensor(p_storage("0", 6), 7, {0}, {1})), error_code::bad_tensor,
                3); // nothing, but too far
}

TEST_CASE("A19 stride outside the storage") {
    std::int64_t const huge = (std::int64_t{1} << 59U) - 1;
    for (auto const& [sizes, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
             {{2, 3}, {4, 1}},
             {{2, 3}, {3, 2}},
             {{7}, {1}},
             {{2}, {6}},
             {{2}, {huge}},
             {{3, 3}, {huge, huge}},
             {{2, 2, 2, 2}, {huge, huge, huge, huge}},
             {{6, 1, 1, 1, 1, 2}, {1, 1, 1, 1, 1, 1}}}) {
        auto const fault = opening_tensor(p_tensor(p_storage("0", 6), 0, sizes, strides));
        CHECK_FAULT(fault, error_code::bad_tensor, 3);
        CHECK(fault.says("tensor \"w\""));
    }
    CHECK_FALSE(opening_tensor(p_tensor(p_storage("0", 6), 0, {1, 6}, {huge, 1})).thrown); // size 1: never taken
}

TEST_CASE("A19 negative strides and sizes, and what is no integer") {
    for (auto const& tensor :
         {p_tensor(p_storage("0", 6), 5, {6}, {-1}), p_tensor(p_storage("0", 6), 0, {-6}, {1}),
          p_tensor(p_storage("0", 6), 0, {-1, -6}, {6, 1}), p_tensor(p_storage("0", 6), 0, {2, 3}, {3}),
          p_tensor(p_storage("0", 6), 0, {6}, {}),
          p_tensor(p_storage("0", 6), 0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1))})
        CHECK_FAULT(opening_tensor(tensor), error_code::bad_tensor, 3);
    CHECK(opening_tensor(p_tensor(p_storage("0", 6), 5, {6}, {-1})).says("a stride is -1"));
    CHECK(opening_tensor(p_tensor(p_storage("0", 6), 0, {2, 3}, {3})).says("2 sizes and 1 strides"));
    CHECK(opening_tensor(p_tensor(p_storage("0", 6), 0, {6}, {1, 1})).says("1 sizes and 2 strides"));
    CHECK(opening_tensor(p_tensor(p_storage("0", 6), 0, {0, std::int64_t{1} << 48U}, {1, 1})).says("at most 2^48 - 1"));
    auto const raw = [](std::string const& offset, std::string const& size, std::string const& stride) {
        return p_call(p_global("torch._utils", "_rebuild_tensor_v2"),
                      {p_storage("0", 6), offset, size, stride, "\x89", "}"});
    };
    for (auto const& tensor : {raw("N", p_ints({6}), p_ints({1})), raw(p_int(0), p_text("6"), p_ints({1})),
                               raw(p_int(0), "]", p_ints({1})), raw(p_int(0), p_tuple({"N"}), p_ints({1})),
                               raw(p_int(0), p_ints({6}), p_tuple({"G12345678"})), raw(p_int(0), p_ints({6}), p_int(1)),
                               p_call(p_global("torch._utils", "_rebuild_tensor_v2"), {p_storage("0", 6), p_int(0)})})
        CHECK_FAULT(opening_tensor(tensor), error_code::bad_tensor, 3);
    for (auto const& tensor : {raw(p_int(0), p_ints({6}), p_int(1)), raw(p_int(0), p_int(6), p_ints({1})), raw(p_int(0), p_int(6), p_int(1))})
        CHECK(opening_tensor(tensor).says("its sizes or strides are no tuple"));
}

TEST_CASE("A19 stride 0 and windows whose elements would take more than the file") {
    auto const s = p_storage("0", 6);
    CHECK_FALSE(opening_tensor(p_tensor(s, 0, {30, 6}, {0, 1})).thrown); // 720 bytes, the file has more
    for (auto const& sizes : std::vector<std::vector<std::int64_t>>{{100'000, 6},
                                                                    {1 << 30, 1 << 30},
                                                                    {std::int64_t{1} << 47U, std::int64_t{1} << 47U},
                                                                    {std::int64_t{1} << 48U},
                                                                    {1 << 16, 1 << 16, 1 << 16, 1 << 16}}) {
        auto const fault = opening_tensor(p_tensor(s, 0, sizes, std::vector<std::int64_t>(sizes.size(), 0)));
        CHECK_FAULT(fault, error_code::bad_tensor, 3);
        CHECK(fault.says("tensor \"w\""));
    }
    // Zero among the sizes: the same verdict in every order, also where the others overflow.
    std::vector<std::int64_t> sizes{0, 4, (std::int64_t{1} << 48U) - 1, std::int64_t{1} << 40U};
    std::ranges::sort(sizes);
    do CHECK_FALSE(opening_tensor(p_tensor(s, 0, sizes, {1, 1, 1, 1})).thrown);
    while (std::ranges::next_permutation(sizes).found);
}

// ---- A20 ------------------------------------------------------------------------------------------------------------

TEST_CASE("A20 a byte order other than little") {
    auto parts = torch_parts(p_file(p_dict({{"w", one_tensor}})), {{0, 1, 2, 3, 4, 5}});
    for (std::string const& order : {"big"s, "BIG"s, ""s, "little\n"s}) {
        parts[1].content = order;
        auto const fault = opening([&] { return open_parts(parts); });
        CHECK_FAULT(fault, error_code::unsupported_layout, 3);
        CHECK(fault.says("byte order"));
    }
    parts[1].content = std::string(1000, 'x');
    CHECK_FAULT(opening([&] { return open_parts(parts); }), error_code::bad_zip, 3);
    parts.erase(parts.begin() + 1); // before PyTorch 2.1
    CHECK(open_parts(parts).tensors().size() == 1);
}

TEST_CASE("A20 TorchScript without attributes") {
    for (auto const& root : {p_global("__torch__", "M") + ")\x81",
                             p_global("__torch__", "M")
                                 + ")\x81N"
                                   "b",
                             "N"s, p_dict({{"w", one_tensor}})}) {
        auto parts = torch_parts(p_file(root), {{0, 1, 2, 3, 4, 5}});
        parts.push_back({"m/code/__torch__.py", "???", 8});
        auto const fault = opening([&] { return open_parts(parts); });
        CHECK_FAULT(fault, error_code::unsupported_layout, 3);
        CHECK(fault.says("TorchScript"));
    }
}

TEST_CASE("A20 no tensor at all") {
    for (auto const& root : {"}"s, "N"s, one_tensor, p_text("hello"), p_dict({{"state_dict", "}"}, {"w", one_tensor}}),
                             p_dict({{"a", p_int(1)}, {"b", "]"}}), "](" + one_tensor + "e"})
        CHECK_FAULT(opening_pickle(root), error_code::no_tensors, 3);
    auto parts = torch_parts(p_file(p_global("__torch__", "M") + ")\x81" + p_dict({{"training", "\x88"}}) + "b"), {});
    parts.push_back({"m/constants.pkl", p_file(")")});
    CHECK_FAULT(opening([&] { return open_parts(parts); }), error_code::no_tensors, 3);
}

// ---- use ------------------------------------------------------------------------------------------------------------

TEST_CASE("asking for what is not there, or into too small a place") {
    auto f = open_data("formats/strided.pth");
    auto const fault = test::fault_of([&] { static_cast<void>(f.read("nowhere")); });
    CHECK_FAULT(fault, error_code::missing_tensors, 4);
    CHECK(fault.says("\"nowhere\""));
    std::vector<std::byte> small(3);
    CHECK_FAULT(test::fault_of([&] { f.read_into("backbone.class_embedding", small); }), error_code::precondition, 1);
    auto const moved = std::move(f);
    check_equal(moved, "formats/expected_f32.safetensors");
    f = open_data("formats/half.pth");
    check_equal(f, "formats/expected_f16.safetensors");
}

TEST_CASE("several threads read one file at once") {
    auto const expected = read_safetensors(data_path("formats/expected_f32.safetensors"));
    for (int round = 0; round < 5; ++round) {
        auto const f = open_data("formats/strided.pth");
        std::vector<int> wrong(4, 0);
        {
            std::vector<std::jthread> threads;
            for (std::size_t t = 0; t < wrong.size(); ++t)
                threads.emplace_back([&, t] {
                    for (auto const& [name, tensor] : expected.tensors)
                        if (!same(f.read(name), tensor)) ++wrong[t];
                });
        }
        CHECK(wrong == std::vector<int>(4, 0));
    }
}

// ---- damage ---------------------------------------------------------------------------------------------------------

TEST_CASE("damages of data.pkl and of the archive: tensors or one typed error") { test::damage_torch_file(test::share::part); }
