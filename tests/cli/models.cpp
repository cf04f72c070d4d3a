// inspect, convert, merge, logits, features, compare, init: the golden models through the program.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

using namespace cli;
using nlohmann::json;
using zeroi2v::read_safetensors;

namespace {

std::string config_of(std::string const& model) { return test_data(model + "/config.json"); }

void check_same_tensors(zeroi2v::named_tensors const& found, zeroi2v::named_tensors const& expected) {
    CHECK(found.size() == expected.size());
    for (auto const& [name, tensor] : expected) {
        std::string const shown{name};
        CAPTURE(shown);
        REQUIRE(found.contains(name));
        CHECK(found[name].type() == tensor.type());
        CHECK(found[name].sizes() == tensor.sizes());
        CHECK(std::ranges::equal(found[name].bytes(), tensor.bytes()));
    }
}

/// Logits of the golden clips against the official code's, in double.
void check_logits(std::string const& model, std::vector<std::string> const& command, std::string const& out, conditions const& how = {}) {
    CAPTURE(model);
    auto const found = run(command, how);
    check_success(found);
    auto const expected = read_safetensors(test_data(model + "/case.safetensors"));
    auto const result = read_safetensors(out);
    REQUIRE(result.contains("logits"));
    CHECK(result["logits"].type() == zeroi2v::dtype::f32);
    CHECK(distance(result["logits"], expected["logits_f64"]).max_abs <= 2e-5);
}

constexpr char const* golden_models[] = {"b16_short", "l14_wide_patch14", "l14_ssv2_offsets", "one_adapter_after_mlp", "no_attention_output_adapter", "qkv_input_adapters"};

} // namespace

TEST_CASE("distance can fail") {
    auto const tensor = [](std::vector<float> const& values) {
        zeroi2v::stored_tensor t{zeroi2v::dtype::f32, {values.size()}};
        std::ranges::copy(values, t.as<float>().begin());
        return t;
    };
    auto const base = tensor({1, 2, 3});
    CHECK(distance(base, base).max_abs == 0);
    CHECK(distance(tensor({1, 2, 3.5F}), base).max_abs == 0.5);
    CHECK(distance(tensor({1, -2, 3}), base).max_abs == 4);
    CHECK(distance(tensor({3, 2, 1}), base).max_abs == 2);
    CHECK(distance(tensor({1, 2, NAN}), base).max_abs > 1e30);
    CHECK(distance(tensor({1, 2, INFINITY}), base).relative_l2 > 1e30);
    CHECK(distance(tensor({1, 2}), base).max_abs > 1e30);
    CHECK(distance(tensor({}), tensor({})).max_abs > 1e30);
}

TEST_CASE("golden models: logits before and after merging, through every command of the way") {
    for (std::string const model : golden_models) {
        CAPTURE(model);
        scratch const here;
        auto const adapted = test_data(model + "/adapted.pth"), clips = test_data(model + "/case.safetensors");
        check_logits(model, {"logits", adapted, clips, "-o", here / "adapted.st", "--config", config_of(model)}, here / "adapted.st");

        auto const merging = run({"merge", adapted, "-o", here / "merged.safetensors", "--config", config_of(model)});
        check_success(merging);
        CHECK(merging.out.find("probe clip") != std::string::npos);
        check_logits(model, {"logits", here / "merged.safetensors", clips, "-o", here / "merged.st"}, here / "merged.st");
        auto const before = read_safetensors(here / "adapted.st"), after = read_safetensors(here / "merged.st");
        CHECK(distance(after["logits"], before["logits"]).relative_l2 <= 5e-6);

        if (!fs::exists(test_data(model + "/merged.safetensors"))) continue;
        auto const official = read_safetensors(test_data(model + "/merged.safetensors")), ours = read_safetensors(here / "merged.safetensors");
        CHECK(ours.size() == official.size());
        for (auto const& [name, tensor] : official) {
            std::string const shown{name};
            CAPTURE(shown);
            REQUIRE(ours.contains(name));
            auto const d = distance(ours[name], tensor);
            CHECK(d.max_abs <= 3e-6 * d.largest);
        }
    }
}

TEST_CASE("every instruction set of this machine gives the golden logits, every number of threads the same bits") {
    scratch const here;
    int ran = 0;
    for (std::string const isa : {"sse2", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"}) {
        conditions const how{.environment = {{"ZEROI2V_ISA", isa}}};
        auto const probe = run({"presets"}, how);
        if (probe.status != 0) {
            check_error(probe, 8, "isa_unavailable", {isa});
            continue;
        }
        ++ran;
        check_logits("b16_short", {"logits", test_data("b16_short/adapted.pth"), test_data("b16_short/case.safetensors"), "-o", here / "out", "--config", config_of("b16_short")},
                     here / "out", how);
    }
    CHECK(ran >= 1);
    std::string first;
    for (std::string const threads : {"1", "2", "3", "7"})
        for (std::string const type : {"f32"}) {
            check_success(run({"logits", test_data("b16_short/adapted.pth"), test_data("b16_short/case.safetensors"), "-o", here / "out", "--config", config_of("b16_short"),
                               "--threads", threads, "--dtype", type}));
            auto const bytes = content_of(here / "out");
            if (first.empty()) first = bytes;
            CHECK(bytes == first);
        }
    for (auto const& [type, tolerance] : {std::pair{"bf16", 1e-2}, {"int8", 4e-2}}) {
        std::string const shown{type};
        CAPTURE(shown);
        check_success(run({"logits", test_data("b16_short/merged.safetensors"), test_data("b16_short/case.safetensors"), "-o", here / "out", "--config",
                           config_of("b16_short"), "--dtype", type}));
        auto const d = distance(read_safetensors(here / "out")["logits"], read_safetensors(test_data("b16_short/case.safetensors"))["logits_f64"]);
        CHECK(d.relative_l2 > 0);
        CHECK(d.relative_l2 <= tolerance);
    }
}

TEST_CASE("features are the official ones") {
    scratch const here;
    check_success(run({"features", test_data("b16_short/adapted.pth"), test_data("b16_short/case.safetensors"), "-o", here / "out", "--config", config_of("b16_short")}));
    auto const expected = read_safetensors(test_data("b16_short/case.safetensors"));
    auto const d = distance(read_safetensors(here / "out")["features"], expected["features"]);
    CHECK(d.max_abs <= 2e-5);
}

TEST_CASE("one clip without a view dimension is one view") {
    scratch const here;
    auto const all = read_safetensors(test_data("b16_short/case.safetensors"));
    auto const& clip = all["clip"];
    std::size_t const half = clip.byte_size() / 2;
    zeroi2v::stored_tensor one{zeroi2v::dtype::f32, {8, 3, 32, 32}};
    std::copy_n(clip.bytes().begin(), half, one.bytes().begin());
    zeroi2v::write_safetensors(here / "one.safetensors", {{"clip", one}});
    check_success(run({"logits", test_data("b16_short/adapted.pth"), here / "one.safetensors", "-o", here / "out", "--config", config_of("b16_short")}));
    auto const logits = read_safetensors(here / "out");
    CHECK(logits["logits"].sizes() == zeroi2v::shape{1, 10});
    CHECK(std::abs(logits["logits"].value(3) - all["logits_f64"].value(3)) <= 2e-5);
}

TEST_CASE("every format becomes the same tensors") {
    for (auto const& [file, expected] : {std::pair{"mmengine.pth", "f32"}, {"strided.pth", "f32"}, {"ddp.pth", "f32"}, {"half.pth", "f16"}, {"bare_bf16.pth", "bf16"},
                                         {"clip_openai.safetensors", "image"}, {"clip_hf.safetensors", "image"}, {"clip_timm.safetensors", "image"},
                                         {"clip_torchscript.pt", "image"}}) {
        std::string const shown{file};
        CAPTURE(shown);
        scratch const here;
        auto const found = run({"convert", test_data(std::string{"formats/"} + file), "-o", here / "out.safetensors"});
        check_success(found);
        auto const wanted = read_safetensors(test_data(std::string{"formats/expected_"} + expected + ".safetensors"));
        auto const tensors = read_safetensors(here / "out.safetensors");
        check_same_tensors(tensors, wanted);
        CHECK(tensors.metadata.at("zeroi2v.merged") == "false");
        CHECK(tensors.metadata.contains("zeroi2v.version"));
        CHECK(!tensors.metadata.contains("zeroi2v.config"));
        // what was converted converts to itself
        check_success(run({"convert", here / "out.safetensors", "-o", here / "again.safetensors"}));
        CHECK(content_of(here / "again.safetensors") == content_of(here / "out.safetensors"));
        CHECK(run({"compare", here / "out.safetensors", test_data(std::string{"formats/"} + file)}).status == 0);
    }
    scratch const here;
    check_error(run({"convert", test_data("formats/legacy.pth"), "-o", here / "out"}), 3, "unsupported_layout", {"torch.save"});
    CHECK(here.names().empty());
}

TEST_CASE("files of PyTorch's own tools become the tensors that torch.load gives") {
    auto const expected = read_safetensors(test_data("checkpoints/expected.safetensors"));
    for (std::string const file : {"compiled.pth", "checkpointed.pth", "averaged.pth", "fsdp.pth", "ema.pth", "tutorial.pt", "lightning.ckpt", "deepspeed.pt", "moments.pth", "nested.pth",
                                   "timm.pth", "beside_cnn.pth", "no_checksums.pth"}) {
        CAPTURE(file);
        scratch const here;
        auto const path = test_data("checkpoints/" + file);
        check_success(run({"inspect", path}));
        check_success(run({"convert", path, "-o", here / "out"}));
        check_same_tensors(read_safetensors(here / "out"), expected);
        check_success(run({"compare", path, test_data("checkpoints/expected.safetensors")}));
    }
}

TEST_CASE("nothing that belongs to a model is left out, and what is left out is said") {
    scratch const here;
    auto const config = here.file("config.json", R"({"image_size":4,"patch_size":2,"frames":2,"width":8,"layers":2,"heads":2,"mlp_width":16,"classes":3,"adapter_scale":0.5,"head_offsets":[-1,1]})");
    auto const every_way = [&](std::string const& file, std::vector<std::string> const& more) {
        std::vector<outcome> found;
        auto const path = test_data("checkpoints/" + file);
        for (std::vector<std::string> words : {std::vector<std::string>{"convert", path, "-o", here / "out"}, {"merge", path, "-o", here / "out", "--config", config}}) {
            words.insert(words.end(), more.begin(), more.end());
            found.push_back(run(words));
        }
        return found;
    };
    struct refused {
        std::string file;
        int status;
        std::string code, words;
    };
    for (auto const& each :
         {refused{"inside.pth", 4, "unexpected_tensors", "resblocks.0.ln_3.weight"}, {"lora.pth", 4, "unexpected_tensors", "LoRA pairs: merge them into their layers first"},
          {"peft.pth", 4, "unexpected_tensors", "LoRA pairs"}, {"peft_pairs.pth", 4, "missing_tensors", "LoRA pairs"},
          {"aim.pth", 4, "unexpected_tensors", "AIM's adapters have a GELU inside: they cannot be merged"}, {"gap.pth", 4, "missing_tensors", "block 2 of 0 to 3 is not there"},
          {"twice.pth", 3, "duplicate_key", "module.backbone.conv1.weight"}, {"distilled.pth", 3, "unsupported_layout", "\"student\" and \"teacher\""},
          {"kinds.pth", 3, "unsupported_dtype", "expected"}, {"packed.pth", 3, "unsupported_dtype", "_packed_params"}, {"reparametrized.pth", 4, "missing_tensors", "mlp.c_fc.weight"}})
        for (auto const& more : {std::vector<std::string>{}, {"--allow-extra"}, {"--allow-extra", "--allow-nonfinite"}}) {
            CAPTURE(each.file);
            for (auto const& found : every_way(each.file, more)) check_error(found, each.status, each.code, {each.file, each.words});
            CHECK(!fs::exists(here / "out"));
        }
    for (auto const& found : every_way("beside.pth", {})) check_error(found, 4, "unexpected_tensors", {"3 tensors left over", "criterion.weight"});
    for (auto const& found : every_way("beside.pth", {"--allow-extra"})) {
        CHECK(found.status == 0);
        CHECK(found.err.starts_with("zeroi2v: "));
        CHECK(found.err.ends_with("beside.pth: 3 tensors left out: criterion.weight, queue, queue_ptr\n"));
        CHECK(std::ranges::count(found.err, '\n') == 1);
    }
    for (auto const& found : every_way("beside.pth", {"--allow-extra", "--quiet"})) check_success(found);
    for (auto const& found : every_way("expected.safetensors", {"--allow-extra"})) check_success(found); // nothing to say
    auto const merged = run({"logits", here / "out", test_data("b16_short/case.safetensors"), "-o", here / "no"});
    CHECK(merged.status == 4); // a model of another size
}

TEST_CASE("one tensor that cannot be read does not hide the rest") {
    auto const found = run({"inspect", test_data("checkpoints/kinds.pth"), "--json"});
    check_success(found);
    auto const document = json::parse(found.out);
    CHECK(document["unreadable"].size() == 18);
    CHECK(document["model"]["config"]["layers"] == 2);
    std::string const quantized = "backbone.transformer.resblocks.0.mlp.c_fc.weight";
    CHECK(std::ranges::any_of(document["unreadable"], [&](auto const& each) {
        return each["name"] == quantized && each["kind"].template get<std::string>().starts_with("a quantized tensor");
    }));
    std::map<std::string, std::string> types;
    for (auto const& each : document["tensors"]) types.emplace(each["name"], each["dtype"]);
    CHECK(!types.contains(quantized));
    CHECK(types.at("text_model.c64") == "C64");
    CHECK(types.at("text_model.float8_e8m0fnu") == "F8_E8M0");
    auto const text = run({"inspect", test_data("checkpoints/kinds.pth")});
    check_success(text);
    CHECK(text.out.find("18 more, of kinds that cannot be read") != std::string::npos);
    CHECK(text.out.find(quantized + "  ") != std::string::npos);
    auto const gap = json::parse(run({"inspect", test_data("checkpoints/gap.pth"), "--json"}).out);
    CHECK(gap["model"]["missing_blocks"] == json({2}));
    CHECK(run({"inspect", test_data("checkpoints/gap.pth")}).out.find("missing   block 2") != std::string::npos);
    for (auto const& [a, b] : {std::pair{"kinds.pth", "expected.safetensors"}, {"expected.safetensors", "kinds.pth"}}) {
        auto const compared = run({"compare", test_data(std::string{"checkpoints/"} + a), test_data(std::string{"checkpoints/"} + b)});
        CHECK(compared.status == 3);
        CHECK(compared.err.starts_with("zeroi2v: error[unsupported_dtype]: "));
        CHECK(compared.err.find("kinds.pth: tensor \"") != std::string::npos);
        CHECK(compared.out.find("only in") == std::string::npos);
    }

    // every dtype of safetensors, where nobody needs it
    scratch const here;
    auto content = read_safetensors(test_data("checkpoints/expected.safetensors"));
    for (auto const& [name, tensor] : read_safetensors(test_data("checkpoints/dtypes.safetensors"))) content.tensors.emplace(name, tensor.clone());
    content.tensors.emplace("text_model.f6", zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f6_e2m3, {2, 2}));
    zeroi2v::write_safetensors(here / "in", content);
    auto const listed = run({"inspect", here / "in"});
    check_success(listed);
    for (std::string const type : {"F4 ", "F6_E2M3 ", "F8_E8M0 ", "F8_E4M3FNUZ ", "F8_E5M2FNUZ ", "C64 "}) CHECK(listed.out.find("  " + type) != std::string::npos);
    check_success(run({"convert", here / "in", "-o", here / "out"}));
    check_same_tensors(read_safetensors(here / "out"), read_safetensors(test_data("checkpoints/expected.safetensors")));
    check_success(run({"compare", here / "in", here / "in"}));
    auto& weight = content.tensors.find("backbone.conv1.weight")->second;
    weight = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f4, weight.sizes());
    zeroi2v::write_safetensors(here / "needed", content);
    check_success(run({"inspect", here / "needed"}));
    check_error(run({"convert", here / "needed", "-o", here / "no"}), 3, "unsupported_dtype", {"backbone.conv1.weight", "F4"});
    CHECK(run({"compare", here / "in", here / "needed"}).status == 0);
}

TEST_CASE("convert with a model writes its configuration, after it agreed with the shapes") {
    scratch const here;
    check_success(run({"convert", test_data("formats/half.pth"), "-o", here / "out.safetensors", "--config", test_data("formats/config.json")}));
    auto const metadata = read_safetensors(here / "out.safetensors").metadata;
    CHECK(json::parse(metadata.at("zeroi2v.config")) == json::parse(content_of(test_data("formats/config.json"))));
    check_error(run({"convert", test_data("formats/half.pth"), "-o", here / "no", "--preset", "clip-b16-k400-8f"}), 4, "config_mismatch", {"image_size"});
    check_error(run({"merge", here / "out.safetensors", "-o", here / "no", "--config", config_of("b16_short")}), 4, "config_mismatch");
    auto other = json::parse(content_of(test_data("formats/config.json")));
    other["adapter_scale"] = 0.25;
    auto const quarter = here.file("quarter.json", other.dump());
    check_error(run({"merge", here / "out.safetensors", "-o", here / "no", "--config", quarter}), 4, "config_mismatch", {"adapter_scale", "0.25", "0.5"});
    check_success(run({"merge", here / "out.safetensors", "-o", here / "merged.safetensors"}));
    // once merged, the scale no longer counts
    check_success(run({"convert", here / "merged.safetensors", "-o", here / "again.safetensors", "--config", quarter}));
    CHECK(!fs::exists(here / "no"));
}

TEST_CASE("a merged file says so, keeps its proof, and merges no second time") {
    scratch const here;
    auto const merge = [&](std::vector<std::string> more) {
        std::vector<std::string> words{"merge", test_data("b16_short/adapted.pth"), "-o", here / "m.safetensors", "--config", config_of("b16_short")};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    check_success(merge({}));
    auto const file = read_safetensors(here / "m.safetensors");
    CHECK(file.metadata.at("zeroi2v.merged") == "true");
    CHECK(json::parse(file.metadata.at("zeroi2v.config")) == json::parse(content_of(config_of("b16_short"))));
    auto const report = json::parse(file.metadata.at("zeroi2v.merge_report"));
    CHECK(report["layers"].size() == 8);
    CHECK(report["max_ulp"] <= 1.0);
    CHECK(report["probe"]["relative_l2"] <= 5e-6);
    CHECK(report["adapter_scale"] == 0.5);
    for (auto const& [name, tensor] : file) CHECK(name.find("Adapter") == std::string::npos);

    check_error(run({"merge", here / "m.safetensors", "-o", here / "no"}), 3, "already_merged", {"m.safetensors"});
    check_error(run({"merge", test_data("b16_short/merged.safetensors"), "-o", here / "no", "--config", config_of("b16_short")}), 3, "no_adapters");
    check_error(run({"merge", test_data("formats/clip_openai.safetensors"), "-o", here / "no"}), 3, "no_adapters");
    check_error(run({"merge", test_data("formats/clip_torchscript.pt"), "-o", here / "no", "--preset", "clip-b16-k400-8f"}), 3, "no_adapters");
    CHECK(!fs::exists(here / "no"));

    auto const tested = run({"inspect", here / "m.safetensors", "--self-test"});
    check_success(tested);
    CHECK(tested.out.find("self-test passed") != std::string::npos);
    auto const untested = run({"inspect", test_data("b16_short/adapted.pth"), "--self-test"});
    CHECK(untested.status == 3);
    CHECK(untested.err.starts_with("zeroi2v: error[self_test_failed]: "));

    auto const quiet = merge({"--quiet"});
    check_success(quiet);
    CHECK(quiet.out.empty());
    for (auto const& [type, name, tolerance] : {std::tuple{"f32", zeroi2v::dtype::f32, 5e-6}, {"f16", zeroi2v::dtype::f16, 2e-3}, {"bf16", zeroi2v::dtype::bf16, 1e-2}}) {
        check_success(merge({"--dtype", type}));
        auto const typed = read_safetensors(here / "m.safetensors");
        CHECK(typed["backbone.transformer.resblocks.0.attn.in_proj_weight"].type() == name);
        check_success(run({"logits", here / "m.safetensors", test_data("b16_short/case.safetensors"), "-o", here / "out"}));
        CHECK(distance(read_safetensors(here / "out")["logits"], read_safetensors(test_data("b16_short/case.safetensors"))["logits_f64"]).relative_l2 <= tolerance);
    }
}

TEST_CASE("the self-test of a changed file fails") {
    scratch const here;
    check_success(run({"merge", test_data("b16_short/adapted.pth"), "-o", here / "m.safetensors", "--config", config_of("b16_short")}));
    auto file = read_safetensors(here / "m.safetensors");
    auto& weight = file.tensors.find("backbone.transformer.resblocks.1.mlp.c_proj.weight")->second;
    weight.as<float>()[7] += 0.5F;
    zeroi2v::write_safetensors(here / "m.safetensors", file);
    auto const found = run({"inspect", here / "m.safetensors", "--self-test"});
    check_error(found, 3, "self_test_failed", {"logit"}); // with nothing on stdout
    check_error(run({"inspect", here / "m.safetensors", "--self-test", "--json"}), 3, "self_test_failed");
}

TEST_CASE("inspect says what is there, and guesses nothing") {
    auto const found = run({"inspect", test_data("formats/mmengine.pth"), "--json"});
    check_success(found);
    auto const document = json::parse(found.out);
    CHECK(document["format"] == "torch");
    CHECK(document["tensors"].size() == 38);
    CHECK(document["model"]["config"]["width"] == 48);
    CHECK(document["model"]["config"]["image_size"] == 16);
    CHECK(!document["model"]["config"].contains("heads"));
    CHECK(!document["model"]["config"].contains("adapter_scale"));
    CHECK(document["model"]["adapters"] == json({"T_Adapter_in", "S_Adapter", "MLP_Adapter", "MLP_Adapter_out"}));
    CHECK(document["model"]["adapter_rank"] == 12);
    CHECK(document["model"]["merged"] == false);
    for (auto const& [file, names] : {std::pair{"clip_hf.safetensors", "HF CLIP"}, {"clip_timm.safetensors", "timm"}, {"clip_openai.safetensors", "OpenAI CLIP"},
                                      {"clip_torchscript.pt", "OpenAI CLIP"}}) {
        auto const image = json::parse(run({"inspect", test_data(std::string{"formats/"} + file), "--json"}).out);
        CHECK(image["model"]["names"] == names);
        CHECK(image["model"]["video"] == false);
        CHECK(image["model"]["adapters"].empty());
    }
    auto const clips = run({"inspect", test_data("b16_short/case.safetensors"), "--json"});
    check_success(clips);
    CHECK(json::parse(clips.out)["model"].is_null());
    for (std::string const model : golden_models) check_success(run({"inspect", test_data(model + "/adapted.pth")}));
    auto const text = run({"inspect", test_data("qkv_input_adapters/adapted.pth")});
    CHECK(text.out.find("T_Adapter_in_q") != std::string::npos);
    CHECK(text.out.find("head_offsets") != std::string::npos);
}

TEST_CASE("compare says how far, and refuses what cannot be compared") {
    scratch const here;
    auto const same = run({"compare", test_data("b16_short/merged.safetensors"), test_data("b16_short/merged.safetensors")});
    check_success(same);
    CHECK(same.out.find("compared 34 tensors, 34 equal bit for bit") != std::string::npos);
    auto file = read_safetensors(test_data("b16_short/merged.safetensors"));
    file.tensors.find("cls_head.fc_cls.bias")->second.as<float>()[2] += 0.25F;
    zeroi2v::write_safetensors(here / "other.safetensors", file);
    auto const other = run({"compare", test_data("b16_short/merged.safetensors"), here / "other.safetensors"});
    check_success(other);
    CHECK(other.out.find("33 equal bit for bit; largest max abs 0.25 (cls_head.fc_cls.bias)") != std::string::npos);
    auto const unlike = run({"compare", test_data("b16_short/adapted.pth"), test_data("b16_short/merged.safetensors")});
    CHECK(unlike.status == 4);
    CHECK(unlike.err.starts_with("zeroi2v: error[missing_tensors]: "));
    CHECK(unlike.out.find("only in A") != std::string::npos);
    // other names, the same model; other dtypes
    check_success(run({"compare", test_data("formats/clip_hf.safetensors"), test_data("formats/clip_timm.safetensors")}));
    check_success(run({"compare", test_data("formats/half.pth"), test_data("formats/mmengine.pth")}));
    check_error(run({"compare", test_data("formats/half.pth"), here / "none"}), 3, "open_failed");
    // values whose squares are beyond double
    for (double const value : {1e300, 2e300}) {
        auto tensor = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f64, {1});
        std::memcpy(tensor.bytes().data(), &value, sizeof value);
        zeroi2v::write_safetensors(here / (value == 1e300 ? "one" : "two"), {{"t", tensor}});
    }
    auto const large = run({"compare", here / "one", here / "two"});
    check_success(large);
    CHECK(large.out.find("largest relative L2 1 ") != std::string::npos);
}

TEST_CASE("init draws the same bits everywhere, and zero adapters change nothing") {
    scratch const here;
    auto const config = config_of("b16_short");
    auto const init = [&](std::string const& out, std::vector<std::string> more) {
        std::vector<std::string> words{"init", "-o", out, "--config", config};
        words.insert(words.end(), more.begin(), more.end());
        check_success(run(words));
        return read_safetensors(out);
    };
    auto const zero = init(here / "zero.safetensors", {"--seed", "1"});
    auto const random = init(here / "random.safetensors", {"--seed", "1", "--adapters", "random"});
    auto const none = init(here / "none.safetensors", {"--seed", "1", "--adapters", "none"});
    auto const again = init(here / "again.safetensors", {"--seed", "1"});
    auto const other = init(here / "other.safetensors", {"--seed", "2"});
    CHECK(content_of(here / "zero.safetensors") == content_of(here / "again.safetensors"));
    CHECK(content_of(here / "zero.safetensors") != content_of(here / "other.safetensors"));
    CHECK(zero.size() == 66);
    CHECK(none.size() == 34);
    CHECK(zero.metadata.at("zeroi2v.merged") == "false");
    CHECK(json::parse(zero.metadata.at("zeroi2v.config")) == json::parse(content_of(config)));
    std::string const weight = "backbone.transformer.resblocks.0.attn.in_proj_weight", second = "backbone.transformer.resblocks.1.S_Adapter.D_fc2.weight";
    CHECK(std::ranges::equal(zero[weight].bytes(), none[weight].bytes()));
    CHECK(std::ranges::all_of(zero[second].as<float>(), [](float v) { return v == 0; }));
    CHECK(!std::ranges::all_of(random[second].as<float>(), [](float v) { return v == 0; }));
    double sum = 0, squares = 0;
    for (float const v : zero[weight].as<float>()) sum += static_cast<double>(v), squares += static_cast<double>(v) * static_cast<double>(v);
    auto const n = static_cast<double>(zero[weight].count());
    CHECK(std::abs(sum / n) < 0.001);
    CHECK(std::sqrt(squares / n) == doctest::Approx(0.02).epsilon(0.02));

    // merge of zero adapters: the base, bit for bit
    check_success(run({"merge", here / "zero.safetensors", "-o", here / "merged.safetensors"}));
    check_same_tensors(read_safetensors(here / "merged.safetensors"), none);
    auto const sized = init(here / "sized.safetensors", {"--classes", "7", "--frames", "3"});
    CHECK(sized["cls_head.fc_cls.weight"].sizes() == zeroi2v::shape{7, 96});
    CHECK(sized["backbone.temporal_embedding"].sizes() == zeroi2v::shape{1, 3, 96});
    check_error(run({"init", "-o", here / "no"}), 4, "bad_config");
    auto deep = json::parse(content_of(config));
    deep["layers"] = 4096; // more tensors than a file may hold: said before any is drawn
    auto const found = run({"init", "-o", here / "no", "--config", here.file("deep.json", deep.dump())});
    check_error(found, 4, "bad_config", {"deep.json", "layers: 4096", "65536"});
    CHECK(found.seconds < 10);
}

TEST_CASE("init around an image checkpoint keeps its weights") {
    scratch const here;
    auto const config = test_data("formats/config.json");
    for (std::string const image : {"clip_openai.safetensors", "clip_hf.safetensors", "clip_timm.safetensors", "clip_torchscript.pt"}) {
        CAPTURE(image);
        check_success(run({"init", test_data("formats/" + image), "-o", here / "out.safetensors", "--config", config}));
        auto const file = read_safetensors(here / "out.safetensors");
        auto const expected = read_safetensors(test_data("formats/expected_image.safetensors"));
        for (auto const& [name, tensor] : expected) {
            REQUIRE(file.contains(name));
            CHECK(std::ranges::equal(file[name].bytes(), tensor.bytes()));
        }
        CHECK(file.size() == 38);
        CHECK(std::ranges::all_of(file["backbone.temporal_embedding"].as<float>(), [](float v) { return v == 0; }));
    }
    check_error(run({"init", test_data("formats/clip_openai.safetensors"), "-o", here / "no", "--preset", "clip-b16-k400-8f"}), 4, "config_mismatch");
    check_error(run({"init", test_data("formats/half.pth"), "-o", here / "no", "--config", config}), 4, "unexpected_tensors", {"adapters"});
    // one of ours: one frame, no adapters
    check_success(run({"init", "-o", here / "image.safetensors", "--config", config, "--frames", "1", "--adapters", "none", "--seed", "5"}));
    check_success(run({"init", here / "image.safetensors", "-o", here / "video.safetensors", "--config", config}));
    auto const image = read_safetensors(here / "image.safetensors"), video = read_safetensors(here / "video.safetensors");
    CHECK(std::ranges::equal(image["backbone.conv1.weight"].bytes(), video["backbone.conv1.weight"].bytes()));
    CHECK(video["backbone.temporal_embedding"].sizes() == zeroi2v::shape{1, 4, 48});
}
