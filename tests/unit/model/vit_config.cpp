#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/stated_config.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace zeroi2v;

namespace {

error_code code_of(vit_sizes sizes, std::size_t map_heads = 12, std::optional<double> scale = 0.5) {
    try {
        vit_config const config{sizes, frame_map<>{map_heads}, scale};
        return error_code::precondition;
    } catch (model_error const& e) {
        CHECK(std::string{e.what()}.starts_with("config: "));
        return e.code();
    }
}

} // namespace

TEST_CASE("vit_config: every unsound configuration is refused at construction") {
    CHECK_NOTHROW(vit_config{{}, frame_map<>{12}});
    CHECK(code_of({.image_size = 0}) == error_code::bad_config);
    CHECK(code_of({.patch_size = 0}) == error_code::bad_config);
    CHECK(code_of({.frames = 0}) == error_code::bad_config);
    CHECK(code_of({.width = 0}) == error_code::bad_config);
    CHECK(code_of({.layers = 0}) == error_code::bad_config);
    CHECK(code_of({.mlp_width = 0}) == error_code::bad_config);
    CHECK(code_of({.classes = 0}) == error_code::bad_config);
    CHECK(code_of({.width = 770}) == error_code::bad_config);
    CHECK(code_of({.image_size = 225}) == error_code::bad_config);
    CHECK(code_of({.heads = 16}) == error_code::bad_config);        // the map has 12
    CHECK(code_of({}, 11) == error_code::bad_config);
    CHECK(code_of({}, 12, std::numeric_limits<double>::infinity()) == error_code::bad_config);
    CHECK(code_of({}, 12, std::numeric_limits<double>::quiet_NaN()) == error_code::bad_config);
    CHECK(code_of({.frames = std::size_t{1} << 63}) == error_code::bad_config);
    CHECK(code_of({.image_size = 1 << 20, .patch_size = 1, .frames = 1 << 20}) == error_code::bad_config);
    CHECK(code_of({.layers = 1 << 20}) == error_code::bad_config);
}

TEST_CASE("vit_config: derived sizes and flops") {
    vit_config const b16 = presets::clip_b16_k400_8f.config();
    CHECK(b16.head_dim() == 64);
    CHECK(b16.tokens() == 197);
    CHECK(b16.flops() == doctest::Approx(281.01e9).epsilon(1e-4));
    vit_config const l14 = presets::clip_l14_k400_8f.config();
    CHECK(l14.tokens() == 257);
    CHECK(l14.head_dim() == 64);
}

TEST_CASE("presets: the released models") {
    struct row { char const* name; double scale; std::vector<int> offsets; std::size_t classes; char const* sampling; std::size_t interval, clips, crops; };
    std::vector<row> const table{
        {"clip-b16-k400-8f", 0.5, {-1, 1}, 400, "dense", 16, 3, 1},      {"clip-b16-ssv2-16f", 1, {-1, 1, -2, 2}, 174, "uniform", 1, 1, 3},
        {"clip-b16-hmdb51-8f", 0.5, {-1, 1}, 51, "uniform", 1, 1, 3},    {"clip-b16-hmdb51-32f", 0.5, {-1, 1, -2, 2}, 51, "uniform", 1, 2, 3},
        {"clip-b16-ucf101-8f", 0.5, {-1, 1}, 101, "uniform", 1, 1, 3},   {"clip-b16-ucf101-32f", 0.5, {-1, 1, -2, 2}, 101, "uniform", 1, 1, 3},
        {"clip-l14-k400-8f", 0.5, {-1, -1, 1, 1}, 400, "dense", 16, 3, 1}, {"clip-l14-k400-32f", 0.5, {-1, -1, 1, 1, -2, -2}, 400, "dense", 4, 3, 1},
        {"clip-l14-ssv2-32f", 1, {-1, -1, 1, 1, -2, 2, -3}, 174, "uniform", 1, 1, 3}};
    REQUIRE(presets::all.size() == table.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
        preset const& p = presets::all[i];
        CAPTURE(p.name);
        CHECK(p.name == table[i].name);
        CHECK(presets::find(p.name).has_value());
        CHECK(p.adapter_scale == table[i].scale);
        vit_config const c = p.config();
        for (std::size_t h = 0; h < c.heads(); ++h) CHECK(c.map().offset(h) == (h < table[i].offsets.size() ? table[i].offsets[h] : 0));
        CHECK(c.classes() == table[i].classes);
        CHECK(to_string(p.input.sampling) == table[i].sampling);
        CHECK(p.input.interval == table[i].interval);
        CHECK(p.input.clips == table[i].clips);
        CHECK(p.input.crops == table[i].crops);
        CHECK(p.input.resize == 224);
    }
    CHECK_FALSE(presets::find("clip-b16").has_value());
}

TEST_CASE("stated_config: sources that agree are joined, a difference is named, nothing is guessed") {
    stated_config const preset = stated_by(presets::clip_b16_k400_8f);
    stated_config shapes{.source = "weights.pth", .frames = 8, .width = 768};
    CHECK(complete(agree(preset, shapes), true) == presets::clip_b16_k400_8f.config());

    shapes.width = 1024;
    try {
        static_cast<void>(agree(preset, shapes));
        FAIL("a difference must be refused");
    } catch (model_error const& e) {
        CHECK(e.code() == error_code::config_mismatch);
        CHECK(std::string{e.what()} == "weights.pth: width: 1024 found, preset clip-b16-k400-8f says 768");
    }

    stated_config unsaid = preset;
    unsaid.heads.reset();
    unsaid.head_offsets.reset();
    try {
        static_cast<void>(complete(unsaid, true));
        FAIL("the head map must not be guessed");
    } catch (model_error const& e) {
        CHECK(e.code() == error_code::bad_config);
        CHECK(std::string{e.what()}.find("heads, head_offsets are not stated") != std::string::npos);
    }
    unsaid = preset;
    unsaid.adapter_scale.reset();
    CHECK_THROWS_AS(static_cast<void>(complete(unsaid, true)), model_error);
    CHECK_FALSE(complete(unsaid, false).adapter_scale().has_value());

    vit_config const again = complete(stated_by(presets::clip_l14_ssv2_32f.config()), true);
    CHECK(again == presets::clip_l14_ssv2_32f.config());
}
