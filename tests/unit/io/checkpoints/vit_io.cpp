#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/checkpoints/self_test.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/model/init.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

using namespace zeroi2v;

namespace {

struct folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / ("zeroi2v_vit_io_" + std::to_string(::getpid()));
    folder() { std::filesystem::create_directory(path); }
    ~folder() { std::filesystem::remove_all(path); }
};

template <class Work>
std::optional<std::pair<error_code, std::string>> model_fault_of(Work work) {
    try {
        work();
    } catch (error const& caught) {
        return std::pair{caught.code(), std::string{caught.what()}};
    }
    return std::nullopt;
}

std::string data(std::string const& name) { return std::string{ZEROI2V_TEST_DATA} + "/" + name; }
stated_config stated_by_file(std::string const& name) { return read_config_file(data(name)); }

} // namespace

TEST_CASE("shapes say all but heads, head offsets and scale") {
    auto const file = load_checkpoint(data("b16_short/adapted.pth"));
    vit_file const source{file};
    auto const stated = source.shapes().stated();
    CHECK(stated.image_size == 32U);
    CHECK(stated.patch_size == 8U);
    CHECK(stated.frames == 8U);
    CHECK(stated.width == 96U);
    CHECK(stated.layers == 2U);
    CHECK(stated.mlp_width == 384U);
    CHECK(stated.classes == 10U);
    CHECK(!stated.heads);
    CHECK(!stated.head_offsets);
    CHECK(!stated.adapter_scale);
    CHECK(source.layout() == adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 24});
    CHECK(source.has_adapters());
    CHECK(model_fault_of([&] { static_cast<void>(source.config()); })->first == error_code::bad_config);
}

TEST_CASE("layouts are found in the names") {
    auto const layout_of = [](std::string const& name) {
        auto const file = load_checkpoint(data(name + "/adapted.pth"));
        return vit_file{file}.layout();
    };
    CHECK(layout_of("one_adapter_after_mlp") == adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter}, 24});
    CHECK(layout_of("no_attention_output_adapter") == adapter_layout{{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter}, 24});
    CHECK(adapts_parts(layout_of("qkv_input_adapters")));
    auto const file = load_checkpoint(data("b16_short/merged.safetensors"));
    CHECK(!vit_file{file}.has_adapters());
}

TEST_CASE("what is loaded is what the file has, whatever the file is") {
    auto const chosen = stated_by_file("formats/config.json");
    auto const expected = read_safetensors(data("formats/expected_f32.safetensors"));
    for (std::string const name : {"mmengine.pth", "strided.pth", "ddp.pth"}) {
        auto const file = load_checkpoint(data("formats/" + name));
        auto const weights = load_adapted_vit(file, chosen);
        std::size_t seen = 0;
        for_each_tensor(weights, [&](std::string const& tensor, stored_tensor const& found, shape const& sizes, parameter_role) {
            CAPTURE(tensor);
            CHECK(found.sizes() == sizes);
            CHECK(std::ranges::equal(found.bytes(), expected[tensor].bytes()));
            ++seen;
        });
        CHECK(seen == expected.size());
        CHECK(weights.config.adapter_scale() == chosen.adapter_scale);
    }
}

TEST_CASE("the wrong kind is refused, not changed") {
    auto const chosen = stated_by_file("b16_short/config.json");
    auto const adapted = load_checkpoint(data("b16_short/adapted.pth")), merged = load_checkpoint(data("b16_short/merged.safetensors"));
    CHECK(model_fault_of([&] { static_cast<void>(load_adapted_vit(merged, chosen)); })->first == error_code::no_adapters);
    CHECK(model_fault_of([&] { static_cast<void>(load_merged_vit(adapted, chosen, {.allow_extra = true})); })->first == error_code::unexpected_tensors);
    CHECK(load_merged_vit(merged, chosen).config.adapter_scale() == std::nullopt);
    vit_file const source{merged};
    CHECK(std::holds_alternative<merged_vit>(load_vit(source, source.config(chosen))));
}

TEST_CASE("sources that differ are named; a merged model's scale is nobody's business") {
    auto chosen = stated_by_file("b16_short/config.json");
    auto const adapted = load_checkpoint(data("b16_short/adapted.pth")), merged = load_checkpoint(data("b16_short/merged.safetensors"));
    chosen.frames = 16;
    auto const fault = model_fault_of([&] { static_cast<void>(load_adapted_vit(adapted, chosen)); });
    CHECK(fault->first == error_code::config_mismatch);
    CHECK(fault->second.find("frames: 8 found") != std::string::npos);
    chosen.frames = 8;
    chosen.adapter_scale.reset();
    CHECK(model_fault_of([&] { static_cast<void>(load_adapted_vit(adapted, chosen)); })->first == error_code::bad_config);
    CHECK(!model_fault_of([&] { static_cast<void>(load_merged_vit(merged, chosen)); }));
    CHECK(model_fault_of([&] { static_cast<void>(load_adapted_vit(adapted, presets::clip_b16_k400_8f)); })->first == error_code::config_mismatch);
}

TEST_CASE("saved weights load again, bit for bit, with what the file says of them") {
    folder const here;
    auto const config = complete(stated_by_file("b16_short/config.json"), true);
    auto const weights = random_weights<with_adapters>(config, default_adapters(config.width()), {.seed = 3, .adapters = adapter_init::random});
    auto const path = here.path / "a.safetensors";
    save_vit(path, weights, {.metadata = {{metadata_key::config, to_json(stated_by(config)).dump()}, {metadata_key::merged, "false"},
                                          {metadata_key::input, R"({"clips":3})"}, {metadata_key::untrained, "all"}}});
    auto const file = load_checkpoint(path);
    vit_file const source{file};
    CHECK(source.config() == config);
    CHECK(source.metadata().input.clips == 3U);
    CHECK(source.metadata().untrained == "all");
    auto const again = source.load<with_adapters>(source.config());
    std::vector<std::vector<std::byte>> bytes;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const& t, shape const&, parameter_role) { bytes.emplace_back(t.bytes().begin(), t.bytes().end()); });
    std::size_t i = 0;
    for_each_tensor(again, [&](std::string const& name, stored_tensor const& t, shape const&, parameter_role) {
        CAPTURE(name);
        CHECK(std::ranges::equal(t.bytes(), bytes[i++]));
    });
    CHECK(i == bytes.size());
}

TEST_CASE("a file that says merged and has adapters is refused, however it is loaded") {
    folder const here;
    auto const path = here.path / "m.safetensors";
    auto const chosen = stated_by_file("b16_short/config.json");
    auto const weights = load_adapted_vit(load_checkpoint(data("b16_short/adapted.pth")), chosen);
    save_vit(path, weights, {.metadata = {{metadata_key::merged, "true"}}});
    auto const file = load_checkpoint(path);
    auto const fault = model_fault_of([&] { static_cast<void>(load_adapted_vit(file, chosen)); });
    REQUIRE(fault);
    CHECK(fault->first == error_code::config_mismatch);
    vit_file const source{file}; // may be looked at
    CHECK(model_fault_of([&] { static_cast<void>(load_vit(source, weights.config)); })->first == error_code::config_mismatch);
}

TEST_CASE("values that are not finite are found in every weight type, and counted") {
    for (auto const type : {dtype::f32, dtype::f16, dtype::bf16}) {
        auto tensor = stored_tensor::zeros(type, {5});
        CHECK(!model_fault_of([&] { require_sound_weight("f", "t", tensor, {}); }));
        auto const set = [&](std::size_t at, float value) {
            if (type == dtype::f32) tensor.as<float>()[at] = value;
            if (type == dtype::f16) tensor.as<f16>()[at] = f16{value};
            if (type == dtype::bf16) tensor.as<bf16>()[at] = bf16{value};
        };
        set(1, type == dtype::f16 ? 65504.0F : 3e38F); // large is finite
        CHECK(!model_fault_of([&] { require_sound_weight("f", "t", tensor, {}); }));
        set(2, -std::numeric_limits<float>::infinity());
        set(4, std::numeric_limits<float>::quiet_NaN());
        auto const fault = model_fault_of([&] { require_sound_weight("f", "t", tensor, {}); });
        REQUIRE(fault);
        CHECK(fault->first == error_code::nonfinite_weight);
        CHECK(fault->second.find("2 of 5 values are not finite, the first at index 2") != std::string::npos);
        CHECK(!model_fault_of([&] { require_sound_weight("f", "t", tensor, {.allow_nonfinite = true}); }));
    }
    CHECK(model_fault_of([] { require_sound_weight("f", "t", stored_tensor::zeros(dtype::f64, {1}), {.allow_nonfinite = true}); })->first == error_code::unsupported_dtype);
}

TEST_CASE("metadata that is wrong is refused") {
    auto const code = [](file_metadata const& metadata) { return model_fault_of([&] { static_cast<void>(read_vit_metadata(metadata, "f")); }); };
    CHECK(!code({}));
    CHECK(!code({{"format", "pt"}, {metadata_key::merged, "true"}}));
    CHECK(code({{metadata_key::merged, "yes"}})->first == error_code::bad_config);
    CHECK(code({{metadata_key::config, "{"}})->first == error_code::bad_json);
    CHECK(code({{metadata_key::config, R"({"head":1})"}})->first == error_code::bad_config);
    CHECK(code({{metadata_key::input, R"({"clips":"3"})"}})->first == error_code::bad_config);
}
