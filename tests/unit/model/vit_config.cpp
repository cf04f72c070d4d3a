#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/stated_config.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

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

TEST_CASE("vit_config: the largest sizes that are sound, the smallest that are not, and the sentences") {
    auto const sentence = [](vit_sizes sizes, std::size_t map_heads = 12, std::optional<double> scale = 0.5) -> std::string {
        try {
            vit_config const config{sizes, frame_map<>{map_heads}, scale};
            return "sound";
        } catch (model_error const& e) {
            CHECK(e.code() == error_code::bad_config);
            return e.what();
        }
    };
    constexpr std::size_t most = std::size_t{1} << 20;
    CHECK(sentence({.classes = most}) == "sound");
    CHECK(sentence({.classes = most + 1}) == "config: classes: 1048577 found, 1 to 1048576 expected");
    CHECK(sentence({.classes = 1}) == "sound");
    CHECK(sentence({.mlp_width = 0}) == "config: mlp_width: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.image_size = most + 16}) == "config: image_size: 1048592 found, 1 to 1048576 expected");
    CHECK(sentence({.patch_size = 0}) == "config: patch_size: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.frames = 0}) == "config: frames: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.width = 0}) == "config: width: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.heads = 0}) == "config: heads: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.layers = 0}) == "config: layers: 0 found, 1 to 1048576 expected");
    CHECK(sentence({.layers = 4096}) == "sound");
    CHECK(sentence({.layers = 4097}) == "config: layers: 4097 found, at most 4096 expected");
    CHECK(sentence({.width = 770}) == "config: width: 770 found, a multiple of the 12 heads expected");
    CHECK(sentence({.image_size = 225}) == "config: image_size: 225 found, a multiple of patch_size 16 expected");
    CHECK(sentence({}, 11) == "config: head_offsets: 11 found, one per head (12) expected");
    CHECK(sentence({}, 12, -std::numeric_limits<double>::infinity()) == "config: adapter_scale: a finite number expected");
    CHECK(sentence({}, 12, 1e308) == "sound");
    CHECK(sentence({}, 12, std::nullopt) == "sound");
    // The activations of a clip: frames * tokens * (2 width + the larger of 3 width and mlp_width) * 8 bytes, at most 2^46.
    vit_sizes sizes{.image_size = 1, .patch_size = 1, .frames = most, .width = 12, .layers = 1, .heads = 12, .mlp_width = most, .classes = 1}; // 2 tokens
    CHECK(sentence(sizes) == "sound"); // 2^20 * 2 * (24 + 2^20) * 8 = 2^44 and a little
    sizes.image_size = 2;              // 5 tokens: 2.5 times as much
    CHECK(sentence(sizes) == "sound");
    sizes.image_size = 3; // 10 tokens
    CHECK(sentence(sizes) == "config: frames 1048576, tokens 10, width 12: the activations of one clip would not fit in 2^46 bytes");
    sizes.mlp_width = 838836; // 2^23 / 10 - 24 = 838836.8
    CHECK(sentence(sizes) == "sound");
    sizes.mlp_width = 838837;
    CHECK(sentence(sizes) != "sound");
}

TEST_CASE("vit_config: what it says of itself") {
    vit_config const c{{.image_size = 28, .patch_size = 7, .frames = 5, .width = 24, .layers = 3, .heads = 4, .mlp_width = 50, .classes = 9}, frame_map<>{4, {{1, -1}}}, 0.25};
    CHECK((c.image_size() == 28 && c.patch_size() == 7 && c.frames() == 5 && c.width() == 24 && c.layers() == 3 && c.heads() == 4 && c.mlp_width() == 50 && c.classes() == 9));
    CHECK((c.head_dim() == 6 && c.grid() == 4 && c.patches() == 16 && c.tokens() == 17 && c.patch_values() == 147 && c.clip_values() == 5 * 3 * 28 * 28));
    CHECK((c.map().offset(1) == -1 && c.adapter_scale() == 0.25 && c.sizes() == vit_sizes{28, 7, 5, 24, 3, 4, 50, 9}));
    double const block = 17.0 * (4 * 24 * 24 + 2 * 24 * 50) + 2.0 * 17 * 17 * 24;
    CHECK(c.flops() == 2 * (5 * (16.0 * 147 * 24 + 3 * block) + 24.0 * 9));
    auto const plain = c.without_adapter_scale();
    CHECK((!plain.adapter_scale() && plain.sizes() == c.sizes() && plain.map() == c.map()));
    CHECK_FALSE(plain == c);
}

TEST_CASE("presets: every size, dropout and label") {
    struct { char const* name; std::size_t frames; double dropout; char const* labels; bool large; } const table[]{
        {"clip-b16-k400-8f", 8, 0.1, "kinetics400", false},  {"clip-b16-ssv2-16f", 16, 0.0, "ssv2", false},    {"clip-b16-hmdb51-8f", 8, 0.1, "hmdb51", false},
        {"clip-b16-hmdb51-32f", 32, 0.1, "hmdb51", false},   {"clip-b16-ucf101-8f", 8, 0.1, "ucf101", false},  {"clip-b16-ucf101-32f", 32, 0.1, "ucf101", false},
        {"clip-l14-k400-8f", 8, 0.1, "kinetics400", true},   {"clip-l14-k400-32f", 32, 0.1, "kinetics400", true}, {"clip-l14-ssv2-32f", 32, 0.1, "ssv2", true}};
    for (auto const& [name, frames, dropout, labels, large] : table) {
        CAPTURE(name);
        auto const found = presets::find(name);
        REQUIRE(found);
        preset const& p = *found;
        CHECK((p.sizes.frames == frames && p.adapter_dropout == dropout && p.labels == labels));
        CHECK((p.sizes.image_size == 224 && p.sizes.patch_size == (large ? 14U : 16U) && p.sizes.width == (large ? 1024U : 768U) && p.sizes.layers == (large ? 24U : 12U)));
        CHECK((p.sizes.heads == (large ? 16U : 12U) && p.sizes.mlp_width == (large ? 4096U : 3072U) && p.offsets().size() == p.sizes.heads));
        CHECK((p.input.normalize == normalization::zeroi2v && p.input.average == view_average::prob));
        CHECK(p.config() == vit_config{p.sizes, frame_map<>{p.offsets()}, p.adapter_scale});
    }
    CHECK_FALSE(presets::find("").has_value());
}

namespace {

/// Each field once with a value of its own.
stated_config all_stated() {
    return {.source = "first", .image_size = 32, .patch_size = 8, .frames = 4, .width = 12, .layers = 2, .heads = 3, .mlp_width = 48, .classes = 5, .adapter_scale = 0.5, .head_offsets = std::vector<int>{-1, 0, 2}, .activation = stated_activation{activation::gelu}, .norm_epsilon = 1e-6, .pre_norm = false,
            .class_token = false, .registers = 3, .pooling = frame_pooling::mean, .pool_norm = pool_norm_place::after_mean, .rope_theta = 100.0};
}

std::string text_of(auto&& call, error_code code) {
    try {
        call();
        return "nothing thrown";
    } catch (model_error const& e) {
        CHECK(e.code() == code);
        return e.what();
    }
}

} // namespace

TEST_CASE("stated_config: every field is joined, compared and missed by its name") {
    stated_config const all = all_stated();
    vit_config const whole = complete(all, true);
    CHECK(whole == vit_config{{32, 8, 4, 12, 2, 3, 48, 5}, frame_map<>::from_offsets({-1, 0, 2}), 0.5,
                              {.act = activation::gelu, .norm_epsilon = 1e-6, .pre_norm = false, .class_token = false, .registers = 3, .pooling = frame_pooling::mean,
                               .pool_norm = pool_norm_place::after_mean, .rope_theta = 100.0}});
    std::size_t fields = 0;
    detail::for_each_field([&](char const* name, auto member) {
        CAPTURE(name);
        ++fields;
        // Unsaid by one, the other's counts, whichever comes first.
        stated_config without = all, only{.source = "second"};
        (without.*member).reset();
        only.*member = all.*member;
        CHECK(complete(agree(without, only), true) == whole);
        auto const joined = agree(only, without);
        CHECK(joined.source == "second");
        CHECK(complete(joined, true) == whole);
        CHECK(complete(agree(all, only), true) == whole);
        // Missing in the end.
        if (detail::must_be_stated(name, true))
            CHECK(text_of([&] { (void)complete(without, true); }, error_code::bad_config)
                  == "first: " + std::string{name} + " is not stated; give a preset or a config file: the weights alone do not say it");
        else if (std::string_view{name} != "pooling") CHECK(complete(without, true) != whole); // CLIP's; its pooling needs a class token
        // Another value.
        stated_config other = only;
        using type = std::remove_cvref_t<decltype(*(other.*member))>;
        if constexpr (requires { (other.*member)->push_back(1); }) (other.*member)->push_back(7);
        else if constexpr (std::is_same_v<type, stated_activation>) other.*member = stated_activation{activation::quick_gelu};
        else if constexpr (std::is_same_v<type, bool>) other.*member = !*(other.*member);
        else if constexpr (std::is_enum_v<type>) other.*member = *(other.*member) == type{} ? type{1} : type{};
        else *(other.*member) += 1;
        CHECK(text_of([&] { (void)agree(all, other); }, error_code::config_mismatch)
              == "second: " + std::string{name} + ": " + detail::field_text(*(other.*member)) + " found, first says " + detail::field_text(*(all.*member)));
    });
    CHECK(fields == 18);
    CHECK((detail::field_text(0.5) == "0.5" && detail::field_text(2.0) == "2.0" && detail::field_text(0.125) == "0.125" && detail::field_text(100.0) == "100.0"));
    CHECK((detail::field_text(std::vector<int>{-1, 0, 2}) == "[-1,0,2]" && detail::field_text(std::vector<int>{}) == "[]" && detail::field_text(std::size_t{70}) == "70"));
    CHECK_FALSE(complete(all, false).adapter_scale().has_value()); // no adapters, no scale, though one is stated
    auto const unsaid = text_of([] { (void)complete(stated_config{.source = "nobody"}, true); }, error_code::bad_config);
    CHECK(unsaid == "nobody: image_size, patch_size, frames, width, layers, heads, mlp_width, classes, adapter_scale, head_offsets are not stated; "
                    "give a preset or a config file: the weights alone do not say it");
}

TEST_CASE("stated_config: what is stated and not sound is refused in the name of who states it") {
    auto const refused = [](auto change) {
        stated_config stated = all_stated();
        change(stated);
        return text_of([&] { (void)complete(stated, true); }, error_code::bad_config);
    };
    CHECK(refused([](stated_config& s) { s.head_offsets->clear(); }) == "first: head_offsets: 0 found, one per head (3) expected");
    CHECK(refused([](stated_config& s) { s.head_offsets->assign(65536, 0); }) == "first: head_offsets: 65536 found, one per head (3) expected");
    CHECK(refused([](stated_config& s) { s.head_offsets->push_back(0); }) == "first: head_offsets: 4 found, one per head (3) expected");
    CHECK(refused([](stated_config& s) { s.width = 13; }) == "first: width: 13 found, a multiple of the 3 heads expected");
    CHECK(refused([](stated_config& s) { (*s.head_offsets)[1] = 40000; }) == "zeroi2v::frame_map: offset is outside -32767..32767: found 40000");
    auto const named = stated_by(complete(all_stated(), true), "file.safetensors");
    CHECK((named.source == "file.safetensors" && named.heads == 3U && named.adapter_scale == 0.5 && named.head_offsets == std::vector<int>{-1, 0, 2}));
    CHECK(stated_by(complete(all_stated(), true)).source == "config");
    CHECK(stated_by(presets::clip_l14_ssv2_32f).source == "preset clip-l14-ssv2-32f");
}
