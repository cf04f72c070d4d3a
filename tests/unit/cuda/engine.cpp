#include <zeroi2v/cuda/basic_engine.hpp>

#include "../golden/golden_case.hpp"
#include "../model/reference_vit.hpp"
#include "host_machine.hpp"

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/video/views.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace golden_test;
using cuda_test::host_engine;
using cuda_test::host_machine;

namespace {

template <class Adapters>
dynamic_tensor<float, 2> logits_of(vit_weights<Adapters> const& weights, view<float const, 5> clips, std::size_t batch, dtype type = dtype::f32) {
    host_engine<Adapters> const engine{weights, {.dtype = type}};
    auto workspace = engine.make_workspace(batch);
    dynamic_tensor<float, 2> logits{clips.extent(0), weights.config.classes()};
    engine.forward(clips, workspace, logits);
    return logits;
}

/// A model small enough for emulated blocks: 3 frames of 5 tokens.
vit_config tiny(std::optional<double> scale) {
    return {{.image_size = 8, .patch_size = 4, .frames = 3, .width = 24, .layers = 2, .heads = 3, .mlp_width = 40, .classes = 7},
            frame_map<>{3, {{0, -1}, {2, 1}}}, scale};
}

template <class Adapters>
vit_weights<Adapters> tiny_weights() {
    auto const layout = Adapters::present ? adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 6} : adapter_layout::none();
    auto weights = random_weights<Adapters>(tiny(Adapters::present ? std::optional{0.5} : std::nullopt), layout, {.seed = 3, .adapters = adapter_init::random});
    for_each_tensor(weights, [](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { // nothing zero, nothing equal
        auto const values = tensor.as<float>();
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.02F * counter_rng{7, detail::name_hash(name)}.normal(i);
    });
    return weights;
}

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = counter_rng{seed, 1}.normal(i);
    return values;
}

} // namespace

TEST_CASE("cuda engine: golden logits on emulated blocks") {
    for (std::string const name : {"b16_short", "l14_wide_patch14", "l14_ssv2_offsets", "one_adapter_after_mlp", "no_attention_output_adapter", "qkv_input_adapters"}) {
        CAPTURE(name);
        auto const expected = read_safetensors(data / name / "case.safetensors");
        auto const clips = clips_of(expected["clip"]);
        auto const logits = logits_of(load(name), clips, 2);
        double const error = distance({logits.data(), logits.size()}, expected["logits_f64"].as<double>());
        MESSAGE(name << ": " << error);
        CHECK(error < 2e-5);
    }
}

TEST_CASE("cuda engine: golden logits of a merged model, bf16 and f16") {
    auto const expected = read_safetensors(data / "b16_short" / "case.safetensors");
    auto const merged = load_merged_vit(load_checkpoint(data / "b16_short" / "merged.safetensors"), read_config_file(data / "b16_short" / "config.json"));
    auto const error = [&](dtype type) {
        auto const logits = logits_of(merged, clips_of(expected["clip"]), 2, type);
        return relative_l2({logits.data(), logits.size()}, expected["logits_f64"].as<double>());
    };
    CHECK(error(dtype::f32) < 1e-5);
    CHECK(error(dtype::f16) < 2e-3);
    CHECK(error(dtype::bf16) < 1e-2);
}

TEST_CASE_TEMPLATE("cuda engine: any number of clips in batches, features, two batches in flight, the same bits in every order", Adapters, no_adapters, with_adapters) {
    auto const weights = tiny_weights<Adapters>();
    vit_config const& c = weights.config;
    host_engine<Adapters> const engine{weights};
    auto const pixels = noise(5 * c.clip_values(), 11);
    view<float const, 5> const clips{pixels.data(), 5, c.frames(), 3, c.image_size(), c.image_size()};
    dynamic_tensor<float, 2> found{std::size_t{5}, c.classes()};
    dynamic_tensor<float, 3> features{std::size_t{5}, c.frames(), c.width()};
    std::vector<double> expected, expected_features; // in double, by plain loops
    for (std::size_t v = 0; v < 5; ++v) {
        view<float const, 4> const clip{pixels.data() + v * c.clip_values(), c.frames(), 3, c.image_size(), c.image_size()};
        auto const logits = reference::logits(weights, clip);
        expected.insert(expected.end(), logits.begin(), logits.end());
        auto const tokens = reference::tokens(weights, clip, c.layers());
        reference::matrix classes;
        for (std::size_t t = 0; t < c.frames(); ++t) classes.push_back(tokens[t * c.tokens()]);
        for (auto const& row : reference::layer_norm(classes, weights.ln_post)) expected_features.insert(expected_features.end(), row.begin(), row.end());
    }

    auto workspace = engine.make_workspace(2);
    std::vector<float> first;
    for (cuda_test::schedule const order : cuda_test::schedules) {
        host_machine::order = order;
        engine.forward(clips, workspace, found);
        CHECK(relative_l2({found.data(), found.size()}, expected) < 1e-5);
        if (first.empty()) first.assign(found.begin(), found.end());
        CHECK(std::memcmp(first.data(), found.data(), first.size() * sizeof(float)) == 0);
    }
    host_machine::order = {};
    engine.features(clips, workspace, features);
    CHECK(relative_l2({features.data(), features.size()}, expected_features) < 1e-5);

    // One clip at a time, and by hand: the bits of any batch.
    auto single = engine.make_workspace();
    engine.forward(clips, single, found);
    CHECK(std::memcmp(first.data(), found.data(), first.size() * sizeof(float)) == 0);
    std::fill(found.begin(), found.end(), 0.0F);
    auto const part = [&](std::size_t at, std::size_t count) {
        return view<float const, 5>{pixels.data() + at * c.clip_values(), count, c.frames(), 3, c.image_size(), c.image_size()};
    };
    engine.submit(part(0, 2), workspace);
    engine.submit(part(2, 1), workspace);
    CHECK(workspace.in_flight() == 2);
    CHECK_THROWS_AS(engine.submit(part(3, 1), workspace), precondition_error);
    CHECK_THROWS_AS(engine.forward(clips, workspace, found), precondition_error);
    CHECK_THROWS_AS(engine.collect(workspace, view<float, 2>{found.data(), 1, c.classes()}), precondition_error);
    engine.collect(workspace, view<float, 2>{found.data(), 2, c.classes()});
    engine.submit(part(3, 2), workspace);
    engine.collect(workspace, view<float, 2>{found.data() + 2 * c.classes(), 1, c.classes()});
    engine.collect(workspace, view<float, 2>{found.data() + 3 * c.classes(), 2, c.classes()});
    CHECK_THROWS_AS(engine.collect(workspace, view<float, 2>{found.data(), 1, c.classes()}), precondition_error);
    CHECK(std::memcmp(first.data(), found.data(), first.size() * sizeof(float)) == 0);

    // Weights that come one by one are those that came together.
    auto again = tiny_weights<Adapters>();
    std::size_t reads = 0;
    auto const read = [&](std::string const& name, stored_tensor& into) {
        ++reads;
        for_each_tensor(again, [&](std::string const& each, stored_tensor& tensor, shape const&, parameter_role) {
            if (each == name) into = tensor.clone();
        });
    };
    host_engine<Adapters> const streamed{weights.config, weights.layout, read};
    CHECK(reads > 20);
    CHECK(streamed.weight_bytes() == engine.weight_bytes());
    dynamic_tensor<float, 1> const logits = streamed(view<float const, 4>{pixels.data(), c.frames(), 3, c.image_size(), c.image_size()});
    CHECK(std::memcmp(first.data(), logits.data(), logits.size() * sizeof(float)) == 0);
    CHECK_THROWS_AS(streamed.forward(clips, workspace, found), precondition_error); // the workspace of another engine
}

TEST_CASE("cuda engine: decoded frames give the logits of the views that view_builder makes of them") {
    auto const weights = tiny_weights<no_adapters>();
    vit_config const& c = weights.config;
    host_engine<no_adapters> const engine{weights};
    constexpr std::size_t height = 13, width = 21, count = 5, clips = 2;
    std::vector<std::vector<std::uint8_t>> decoded(count, std::vector<std::uint8_t>(height * (3 * width + 5)));
    for (std::size_t f = 0; f < count; ++f)
        for (std::size_t i = 0; i < decoded[f].size(); ++i) decoded[f][i] = static_cast<std::uint8_t>(counter_rng{f, 2}.normal(i) * 70.0F + 128.0F);
    frame_indices indices{clips, c.frames()};
    std::vector<std::size_t> positions;
    for (std::size_t i = 0; i < indices.size(); ++i) {
        positions.push_back((i * 3 + 1) % 4); // frame 4 is never used, 1 twice
        indices.data()[i] = static_cast<std::int64_t>(positions.back());
    }
    for (std::size_t const crops : {1U, 3U}) {
        input_config const input{.clips = clips, .crops = crops, .resize = 9};
        view_builder builder{input, c.image_size(), indices};
        for (std::size_t f = 0; f < 4; ++f) builder.put(f, view_pixels(decoded[f].data(), {height, width}, 3 * width + 5));
        auto const views = std::move(builder).clip();
        image_size const resized = resized_to_short_side({height, width}, input.resize);
        auto const statistics = statistics_of(input.normalize);
        pixel_views pixels{height, width, resized.height, resized.width, {}, statistics.mean, statistics.deviation};
        for (crop_window const& window : crops_of(resized, c.image_size(), crops)) pixels.windows.push_back({window.top, window.left});
        std::vector<pixel_frame> frames;
        for (auto const& each : decoded) frames.push_back({each.data(), 3 * width + 5});

        dynamic_tensor<float, 2> expected{clips * crops, c.classes()}, found{clips * crops, c.classes()};
        auto plain = engine.make_workspace(2);
        engine.forward(views, plain, expected);
        for (std::size_t const batch : {std::size_t{1}, std::size_t{4}, clips * crops})
            for (std::size_t const room : {1U, 2U, 7U}) { // frames to an upload
                auto workspace = engine.make_workspace(batch, room * height * width * 3);
                std::fill(found.begin(), found.end(), 0.0F);
                engine.forward(pixels, frames, positions, workspace, found);
                CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0);
            }
        auto small = engine.make_workspace(1);
        CHECK_THROWS_AS(engine.forward(pixels, frames, positions, small, found), precondition_error); // no room for pixels
        auto workspace = engine.make_workspace(1, height * width * 3);
        auto const side = c.image_size();
        for (auto const& [window, fits] : {std::pair{pixel_window{resized.height - side, resized.width - side}, true}, {pixel_window{resized.height - side + 1, 0}, false},
                                           {pixel_window{0, resized.width - side + 1}, false}, {pixel_window{0, ~std::size_t{}}, false}}) {
            pixel_views moved = pixels;
            moved.windows.back() = window;
            if (fits) CHECK_NOTHROW(engine.forward(moved, frames, positions, workspace, found));
            else CHECK_THROWS_WITH_AS(engine.forward(moved, frames, positions, workspace, found), "zeroi2v::engine_cuda: the window must lie in the resized picture", precondition_error);
        }
        for (bool const upright : {false, true}) { // a picture that is too narrow, or too low
            pixel_views narrow = pixels;
            (upright ? narrow.resized_width : narrow.resized_height) = side - 1;
            CHECK_THROWS_AS(engine.forward(narrow, frames, positions, workspace, found), precondition_error);
        }
        positions[0] = count;
        CHECK_THROWS_AS(engine.forward(pixels, frames, positions, workspace, found), precondition_error);
        positions[0] = 1;
        engine.forward(pixels, frames, positions, workspace, found); // usable after an error
        CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0);
    }
}

TEST_CASE("cuda engine: what a device cannot hold or compute is refused by name") {
    auto const weights = tiny_weights<no_adapters>();
    auto const code = [](auto&& make) {
        try {
            make();
        } catch (error const& e) {
            return std::string{e.code_name()} + " " + std::to_string(e.exit_status());
        }
        return std::string{"nothing"};
    };
    CHECK(code([&] { host_engine<no_adapters>{weights, {.dtype = dtype::i8}}; }) == "unsupported_dtype 8");
    auto const config = [](std::size_t width, std::size_t heads) {
        return vit_config{{.image_size = 8, .patch_size = 4, .frames = 1, .width = width, .layers = 1, .heads = heads, .mlp_width = 4, .classes = 2}, frame_map<>{heads}};
    };
    auto const read = [](std::string const&, stored_tensor&) { throw model_error{error_code::bad_shape, "read"}; };
    CHECK(code([&] { host_engine<no_adapters>{config(258, 2), adapter_layout::none(), read}; }) == "unsupported_device 8");   // head_dim 129
    CHECK(code([&] { host_engine<no_adapters>{config(4160, 65), adapter_layout::none(), read}; }) == "unsupported_device 8"); // width
    CHECK(code([&] { host_engine<no_adapters>{config(1030, 1030), adapter_layout::none(), read}; }) == "unsupported_device 8");
    CHECK(code([&] { host_engine<no_adapters>{config(24, 3), adapter_layout::none(), read}; }) == "bad_shape 4");             // the reader's own
    CHECK(code([&] { host_engine<with_adapters>{tiny(std::nullopt), {.sites = {}, .rank = 4}, read}; }) == "bad_config 4");
    host_machine::memory_limit = 1000;
    CHECK(code([&] { host_engine<no_adapters>{weights}; }) == "out_of_memory 8");
    host_machine::memory_limit = ~std::size_t{};
    host_engine<no_adapters> const engine{weights};
    host_machine::memory_limit = 1000;
    CHECK(code([&] { static_cast<void>(engine.make_workspace()); }) == "out_of_memory 8");
    host_machine::memory_limit = ~std::size_t{};
    CHECK(code([&] { static_cast<void>(engine.make_workspace(std::size_t{1} << 60)); }) == "bad_config 4");
    auto workspace = engine.make_workspace();
    std::vector<float> logits(7);
    CHECK(code([&] { engine.forward(view<float const, 4>{nullptr, 2, 3, 8, 8}, workspace, logits); }) == "precondition 1");
}
