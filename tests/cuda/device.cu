// The engine on a device. Skipped, with the reason and the number of cases, where there is none.
#include <zeroi2v/cuda/engine_cuda.cuh>

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/video/views.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::cuda_kernels;

namespace {

std::filesystem::path const data{ZEROI2V_TEST_DATA};

view<float const, 5> clips_of(stored_tensor const& clip) {
    auto const& s = clip.sizes();
    return view<float const, 5>{clip.as<float>().data(), s[0], s[1], s[2], s[3], s[4]};
}

struct distances {
    double largest = 0, relative_l2 = 0;
};
template <class Expected>
distances distance(float const* found, Expected const* expected, std::size_t count) {
    REQUIRE(count > 0);
    double largest = 0, difference = 0, norm = 0;
    for (std::size_t i = 0; i < count; ++i) {
        double const e = static_cast<double>(expected[i]), d = std::abs(static_cast<double>(found[i]) - e);
        largest = d <= largest ? largest : d == d ? d : INFINITY;
        difference += d * d;
        norm += e * e;
    }
    return {largest, difference == difference && norm > 0 ? std::sqrt(difference / norm) : INFINITY};
}

/// Logits of one engine: launched, captured and replayed, which must be the same bits.
template <class Adapters>
dynamic_tensor<float, 2> logits_of(vit_weights<Adapters> const& weights, view<float const, 5> clips, cuda_options options) {
    engine_cuda const engine{weights, options};
    auto workspace = engine.make_workspace(clips.extent(0));
    dynamic_tensor<float, 2> first{clips.extent(0), weights.config.classes()}, again{clips.extent(0), weights.config.classes()};
    engine.forward(clips, workspace, first);
    for (int run = 0; run < 4; ++run) {
        engine.forward(clips, workspace, again);
        CHECK(std::memcmp(first.data(), again.data(), first.size() * sizeof(float)) == 0);
    }
    return first;
}

/// A golden case; its configuration stands here too, since nlohmann-json 3.11, which reads config.json, does not compile with nvcc.
struct golden {
    std::string name;
    vit_sizes sizes;
    std::vector<head_offset> offsets;
    double scale;
};
std::vector<golden> const cases{
    {"b16_short", {32, 8, 8, 96, 2, 12, 384, 10}, {{0, -1}, {1, 1}}, 0.5},
    {"l14_wide_patch14", {28, 14, 8, 128, 2, 16, 512, 10}, {{0, -1}, {1, -1}, {2, 1}, {3, 1}}, 0.5},
    {"l14_ssv2_offsets", {32, 8, 6, 128, 2, 16, 512, 10}, {{0, -1}, {1, -1}, {2, 1}, {3, 1}, {4, -2}, {5, 2}, {6, -3}}, 1.0},
    {"one_adapter_after_mlp", {32, 8, 4, 96, 1, 12, 384, 10}, {{0, -1}, {1, 1}}, 0.5},
    {"no_attention_output_adapter", {32, 8, 4, 96, 1, 12, 384, 10}, {{0, -1}, {1, 1}}, 0.5},
    {"qkv_input_adapters", {32, 8, 4, 96, 1, 12, 384, 10}, {{0, -1}, {1, 1}}, 0.5},
};

template <class Adapters>
vit_weights<Adapters> load(golden const& g, checkpoint const& file) {
    std::string const block = "backbone.transformer.resblocks.0.";
    auto const has = [&](char const* adapter) { return file.find(block + adapter + ".D_fc1.weight") != nullptr; };
    adapter_layout layout;
    for (adapter_site_info const& each : adapter_sites)
        if (has(each.name)) layout.sites.insert(each.site);
    for (char const* const each : {"T_Adapter_in", "T_Adapter_in_q", "S_Adapter", "MLP_Adapter", "MLP_Adapter_out"})
        if (has(each)) layout.rank = file.find(block + each + ".D_fc1.weight")->sizes[0];
    CHECK(layout.any() == Adapters::present);
    vit_weights<Adapters> weights{vit_config{g.sizes, frame_map<>{g.sizes.heads, g.offsets}, Adapters::present ? std::optional{g.scale} : std::nullopt}, layout};
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { tensor = file.read(name); });
    return weights;
}

template <class Weights>
void check_golden(Weights const& weights, checkpoint const& expected) {
    stored_tensor const clip = expected.read("clip"), logits_f64 = expected.read("logits_f64");
    auto const truth = logits_f64.as<double>();
    for (auto const& [type, bound] : {std::pair{dtype::f32, 2e-5}, std::pair{dtype::f16, 2e-3}, std::pair{dtype::bf16, 1e-2}}) {
        auto const logits = logits_of(weights, clips_of(clip), {.dtype = type});
        auto const d = distance(logits.data(), truth.data(), truth.size());
        MESSAGE(std::string{dtype_name(type)} << ": largest " << d.largest << ", relative L2 " << d.relative_l2);
        CHECK((type == dtype::f32 ? d.largest : d.relative_l2) < bound);
    }
}

vit_config b16(std::size_t frames, std::optional<double> scale = std::nullopt) {
    auto sizes = presets::clip_b16_k400_8f.sizes;
    sizes.frames = frames;
    return {sizes, presets::clip_b16_k400_8f.config().map(), scale};
}

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = counter_rng{seed, 1}.normal(i);
    return values;
}

float value_of(float x) { return x; }
template <class E>
float value_of(E x) { return static_cast<float>(x); }

/// attention(q, k, v) of (frames,tokens,3C) on the device, against the formula in double.
template <class E>
void check_attention(std::size_t frames, std::size_t tokens, std::size_t heads, std::size_t dim, double bound) {
    CAPTURE(tokens);
    CAPTURE(dim);
    std::size_t const width = heads * dim, count = frames * tokens * width;
    frame_map<> const map{heads, {{0, -1}}};
    std::vector<E> qkv(3 * count), y(count), again(count);
    auto const drawn = noise(qkv.size(), 4);
    for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = E(drawn[i]);

    detail::cuda_machine const machine{0, false};
    auto const memory = machine.allocate(4 * count * sizeof(E) + 256, "test");
    auto queue = machine.make_queue(nullptr, 0);
    machine.upload(memory.data(), {reinterpret_cast<std::byte const*>(qkv.data()), qkv.size() * sizeof(E)});
    E* const in = reinterpret_cast<E*>(memory.data());
    E* const out = in + 3 * count;
    auto const read = [&](std::size_t first) { return device_rows<E const>{in + first, tokens * 3 * width, 3 * width, dim}; };
    for (auto* each : {&y, &again}) {
        detail::launch_attention<E>(queue, attention_arguments<E, offset_table>{
                                               .q = read(0), .k = read(width), .v = read(2 * width), .y = {out, tokens * width, width, dim},
                                               .frames = static_cast<int>(frames), .clip_frames = static_cast<int>(frames), .queries = static_cast<int>(tokens),
                                               .keys = static_cast<int>(tokens), .heads = static_cast<int>(heads), .dim = static_cast<int>(dim),
                                               .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim))), .source = offset_table{map}});
        queue.copy_out(each->data(), out, count * sizeof(E), 0);
        queue.await_result(0);
    }
    CHECK(std::memcmp(y.data(), again.data(), count * sizeof(E)) == 0);

    std::vector<double> expected(count), score(tokens);
    std::vector<float> found(count);
    for (std::size_t i = 0; i < count; ++i) found[i] = value_of(y[i]);
    auto const at = [&](std::size_t part, std::size_t t, std::size_t n, std::size_t h, std::size_t d) {
        return static_cast<double>(value_of(qkv[(t * tokens + n) * 3 * width + part * width + h * dim + d]));
    };
    for (std::size_t t = 0; t < frames; ++t)
        for (std::size_t h = 0; h < heads; ++h) {
            std::size_t const s = map.source(h, t, frames);
            for (std::size_t n = 0; n < tokens; ++n) {
                double sum = 0;
                for (std::size_t j = 0; j < tokens; ++j) {
                    double dot = 0;
                    for (std::size_t d = 0; d < dim; ++d) dot += at(0, t, n, h, d) * at(1, s, j, h, d);
                    score[j] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
                    sum += score[j];
                }
                for (std::size_t d = 0; d < dim; ++d) {
                    double mixed = 0;
                    for (std::size_t j = 0; j < tokens; ++j) mixed += score[j] / sum * at(2, s, j, h, d);
                    expected[(t * tokens + n) * width + h * dim + d] = mixed;
                }
            }
        }
    CHECK(distance(found.data(), expected.data(), count).relative_l2 < bound);
}

} // namespace

TEST_CASE("device: attention of every head size, 1 to 257 tokens, against double; the same bits twice") {
    for (std::size_t const dim : {8, 20, 32, 64, 80, 96, 128})
        for (std::size_t const tokens : {1, 17, 65, 197, 257}) {
            check_attention<float>(2, tokens, 2, dim, 1e-6);
            check_attention<f16>(2, tokens, 2, dim, 1e-3);
            check_attention<bf16>(2, tokens, 2, dim, 5e-3);
        }
}

TEST_CASE("device: golden logits, adapted and merged, f32, f16 and bf16; launched, captured and replayed") {
    for (golden const& g : cases) {
        CAPTURE(g.name);
        checkpoint const expected = load_checkpoint(data / g.name / "case.safetensors");
        check_golden(load<with_adapters>(g, load_checkpoint(data / g.name / "adapted.pth")), expected);
        auto const merged = data / g.name / "merged.safetensors";
        if (std::filesystem::exists(merged)) check_golden(load<no_adapters>(g, load_checkpoint(merged)), expected);
    }
}

TEST_CASE("device: a whole B/16: TF32, f16 and bf16 beside f32, adapters, features") {
    auto const weights = random_weights<with_adapters>(b16(8, 0.5), default_adapters(768), {.seed = 1, .adapters = adapter_init::random});
    auto const pixels = noise(2 * weights.config.clip_values(), 3);
    view<float const, 5> const clips{pixels.data(), 2, 8, 3, 224, 224};
    auto const exact = logits_of(weights, clips, {});
    for (auto const& [options, bound] : {std::pair{cuda_options{.tf32 = true}, 5e-3}, std::pair{cuda_options{.dtype = dtype::f16}, 5e-3}, std::pair{cuda_options{.dtype = dtype::bf16}, 3e-2}}) {
        auto const logits = logits_of(weights, clips, options);
        auto const d = distance(logits.data(), exact.data(), exact.size());
        MESSAGE(std::string{dtype_name(options.dtype)} << ": relative L2 " << d.relative_l2);
        CHECK(d.relative_l2 < bound);
    }
}

TEST_CASE("device: four threads on one engine, each with streams of its own, get the same bits") {
    auto const weights = random_weights<no_adapters>(b16(8), adapter_layout::none(), {.seed = 1});
    engine_cuda const engine{weights, {.dtype = dtype::bf16}};
    auto const pixels = noise(3 * weights.config.clip_values(), 3);
    view<float const, 5> const clips{pixels.data(), 3, 8, 3, 224, 224};
    std::vector<std::vector<float>> results(4, std::vector<float>(3 * 400));
    std::vector<std::string> failures(4);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 4; ++i)
            threads.emplace_back([&, i] {
                try {
                    auto workspace = engine.make_workspace(1 + i % 2);
                    for (int run = 0; run < 5; ++run) engine.forward(clips, workspace, view<float, 2>{results[i].data(), 3, 400});
                } catch (error const& e) {
                    failures[i] = e.what();
                }
            });
    }
    for (std::string const& each : failures) CHECK(each == "");
    // Batches of another size may be computed by other algorithms of cuBLASLt: 0 and 2 have one size, 1 and 3 another.
    for (std::size_t i = 2; i < 4; ++i) CHECK(std::memcmp(results[i].data(), results[i - 2].data(), results[i].size() * sizeof(float)) == 0);
    CHECK(distance(results[1].data(), results[0].data(), results[0].size()).relative_l2 < 3e-2);
}

TEST_CASE("device: decoded frames give the logits of the views that the CPU makes of them") {
    auto const weights = random_weights<no_adapters>(b16(8), adapter_layout::none(), {.seed = 1});
    engine_cuda const engine{weights};
    constexpr std::size_t height = 240, width = 321;
    std::vector<std::vector<std::uint8_t>> decoded(10, std::vector<std::uint8_t>(height * width * 3));
    for (std::size_t f = 0; f < decoded.size(); ++f)
        for (std::size_t i = 0; i < decoded[f].size(); ++i) decoded[f][i] = static_cast<std::uint8_t>((i * (f + 3) * 2654435761U) >> 13);
    frame_indices indices{std::size_t{2}, std::size_t{8}};
    std::vector<std::size_t> positions;
    for (std::size_t i = 0; i < 16; ++i) {
        positions.push_back(i * 7 % 10);
        indices.data()[i] = static_cast<std::int64_t>(positions.back());
    }
    input_config const input{.clips = 2, .crops = 3, .resize = 224};
    view_builder builder{input, 224, indices};
    std::vector<pixel_frame> frames;
    for (std::size_t f = 0; f < decoded.size(); ++f) {
        builder.put(f, view_pixels(decoded[f].data(), {height, width}, width * 3));
        frames.push_back({decoded[f].data(), width * 3});
    }
    auto const views = std::move(builder).clip();
    image_size const resized = resized_to_short_side({height, width}, input.resize);
    auto const statistics = statistics_of(input.normalize);
    pixel_views pixels{height, width, resized.height, resized.width, {}, statistics.mean, statistics.deviation};
    for (crop_window const& window : crops_of(resized, 224, input.crops)) pixels.windows.push_back({window.top, window.left});
    dynamic_tensor<float, 2> expected{std::size_t{6}, std::size_t{400}}, found{std::size_t{6}, std::size_t{400}};
    auto workspace = engine.make_workspace(2, 3 * height * width * 3);
    engine.forward(views, workspace, expected);
    for (int run = 0; run < 3; ++run) {
        std::fill(found.begin(), found.end(), 0.0F);
        engine.forward(pixels, frames, positions, workspace, found);
        CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0);
    }
}

TEST_CASE("device: too little memory and a device that is not there are named; the engine works on") {
    auto const weights = random_weights<no_adapters>(b16(8), adapter_layout::none(), {.seed = 1});
    engine_cuda const engine{weights, {.dtype = dtype::bf16}};
    auto const refusal = [](auto&& make) {
        try {
            make();
        } catch (device_error const& e) {
            return std::string{e.code_name()} + ": " + e.what();
        }
        return std::string{"nothing"};
    };
    std::string const memory = refusal([&] { static_cast<void>(engine.make_workspace(100000)); }); // some terabytes
    CHECK(memory.starts_with("out_of_memory: cuda: cudaMalloc for workspace: "));
    CHECK(memory.find(" bytes wanted, ") != std::string::npos);
    CHECK(refusal([&] { engine_cuda{weights, {.device = 4096}}; }).starts_with("device_unavailable: cuda: device 4096 asked for"));
    auto const pixels = noise(weights.config.clip_values(), 3);
    auto const logits = engine(view<float const, 4>{pixels.data(), 8, 3, 224, 224});
    CHECK(std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }));
    CHECK(engine.device().supported());
    CHECK_FALSE(engine.device_name().empty());
}
