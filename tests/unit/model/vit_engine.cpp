#include <zeroi2v/model/vit_engine.hpp>

#include "reference_vit.hpp"

#include <zeroi2v/model/init.hpp>
#include <zeroi2v/nn/packed_layer_norm.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

struct difference { double max_abs{}, relative_l2{}; };

difference compare(std::span<float const> found, std::span<double const> expected) {
    REQUIRE(found.size() == expected.size());
    REQUIRE_FALSE(found.empty());
    difference result;
    double sum = 0, norm = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        double const d = static_cast<double>(found[i]) - expected[i];
        REQUIRE(std::isfinite(d));
        result.max_abs = std::max(result.max_abs, std::abs(d));
        sum += d * d;
        norm += expected[i] * expected[i];
    }
    result.relative_l2 = std::sqrt(sum / norm);
    return result;
}

bool same_bits(std::span<float const> a, std::span<float const> b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0; }

vit_config small(std::size_t frames, frame_map<> map) {
    return {{.image_size = 24, .patch_size = 8, .frames = frames, .width = 36, .layers = 3, .heads = 3, .mlp_width = 50, .classes = 7}, std::move(map), 0.7};
}

template <class Adapters>
vit_weights<Adapters> weights_for(vit_config const& config, adapter_layout layout) {
    auto weights = random_weights<Adapters>(config, layout, {.seed = 5, .adapters = adapter_init::random});
    // Livelier than a real start, so that no term hides: biases, norms and the temporal embedding are not trivial.
    for_each_tensor(weights, [](std::string const& name, stored_tensor& tensor, shape const&, parameter_role role) {
        auto const values = tensor.as<float>();
        counter_rng const rng{9, detail::name_hash(name)};
        bool const norm = role == parameter_role::norm_weight;
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = (norm ? 1.0F : 0.0F) + 0.15F * rng.normal(i);
    });
    return weights;
}

std::vector<float> logits_of(auto const& engine, view<float const, 4> clip, vit_workspace& workspace) {
    std::vector<float> logits(engine.config().classes());
    engine.forward(clip, workspace, logits);
    return logits;
}

std::vector<adapter_layout> const layouts{{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5},
                                          {{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter}, 5},
                                          {{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter}, 1},
                                          {{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5},
                                          {{adapter_site::S_Adapter}, 40}};

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

} // namespace

// Every form of operator new ends in one of these two.
void* operator new(std::size_t size) {
    if (counting) ++allocations;
    if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc{};
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    if (counting) ++allocations;
    auto const align = static_cast<std::size_t>(alignment);
    if (void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
    throw std::bad_alloc{};
}
void* operator new(std::size_t size, std::align_val_t alignment, std::nothrow_t const&) noexcept {
    if (counting) ++allocations;
    auto const align = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(align, (size + align - 1) / align * align);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

TEST_CASE("vit_engine: every adapter layout and map against plain double loops") {
    for (adapter_layout const& layout : layouts)
        for (auto const& map : {frame_map<>{3}, frame_map<>{3, {{0, -1}, {2, 1}}}, frame_map<>{3, {{0, -5}, {1, 2}}}}) {
            auto const weights = weights_for<with_adapters>(small(4, map), layout);
            auto const clip = random_clip(weights.config, 3);
            vit_engine const engine{weights, {.threads = 2}};
            auto workspace = engine.make_workspace();
            auto const found = logits_of(engine, clip, workspace);
            auto const error = compare(found, reference::logits(weights, clip));
            CHECK(error.relative_l2 < 1e-6);
            CHECK(error.max_abs < 5e-6);
        }
    auto const plain = weights_for<no_adapters>(small(4, frame_map<>{3, {{0, -1}, {1, 1}}}), adapter_layout::none());
    auto const clip = random_clip(plain.config, 3);
    CHECK(compare(std::span<float const>{vit_engine{plain}(clip).data(), 7}, reference::logits(plain, clip)).relative_l2 < 1e-6);
}

TEST_CASE("vit_engine: hidden states after every block, and the class tokens alone give the same bits") {
    auto const weights = weights_for<with_adapters>(small(4, frame_map<>{3, {{0, -1}, {2, 1}}}), layouts[0]);
    auto const clip = random_clip(weights.config, 3);
    vit_engine const engine{weights, {.threads = 3}};
    auto workspace = engine.make_workspace();
    dynamic_tensor<float, 3> hidden{std::size_t{4}, std::size_t{10}, std::size_t{36}};
    for (std::size_t layers = 0; layers <= 3; ++layers) {
        engine.hidden_states(clip, layers, workspace, hidden);
        auto const expected = reference::tokens(weights, clip, layers);
        std::vector<double> flat;
        for (auto const& row : expected) flat.insert(flat.end(), row.begin(), row.end());
        CHECK(compare({hidden.data(), hidden.size()}, flat).relative_l2 < 1e-6);
    }
    // ln_post of the full last block's class tokens == features, which computed nothing but class tokens there.
    dynamic_tensor<float, 2> features{std::size_t{4}, std::size_t{36}};
    engine.features(clip, workspace, features);
    detail::packed_layer_norm const ln_post{weights.ln_post, 1e-5F};
    std::vector<float> normed(4 * 36);
    ln_post(engine.kernels(), hidden.data(), 10 * 36, normed.data(), 36, 4);
    CHECK(same_bits({features.data(), features.size()}, normed));
}

TEST_CASE("vit_engine: a model of one block, whose first block is its last: all tokens, and the class tokens alone") {
    for (adapter_layout const& layout : {layouts[0], layouts[3]}) {
        vit_config const config{{.image_size = 24, .patch_size = 8, .frames = 3, .width = 36, .layers = 1, .heads = 3, .mlp_width = 50, .classes = 7}, frame_map<>{3, {{0, -1}, {2, 1}}}, 0.7};
        auto const weights = weights_for<with_adapters>(config, layout);
        auto const clip = random_clip(config, 3);
        vit_engine const engine{weights, {.threads = 2}};
        auto workspace = engine.make_workspace();
        dynamic_tensor<float, 3> hidden{std::size_t{3}, std::size_t{10}, std::size_t{36}};
        engine.hidden_states(clip, 1, workspace, hidden);
        std::vector<double> flat;
        for (auto const& row : reference::tokens(weights, clip, 1)) flat.insert(flat.end(), row.begin(), row.end());
        CHECK(compare({hidden.data(), hidden.size()}, flat).relative_l2 < 1e-6);
        CHECK(compare(logits_of(engine, clip, workspace), reference::logits(weights, clip)).relative_l2 < 1e-6);
    }
}

namespace {

/// Three parts, the last one first: it finds every block untaken and does the work of all.
class last_part_first final : public executor {
public:
    [[nodiscard]] int concurrency() const noexcept override { return 3; }
    void run(int parts, function_ref<void(int)> work) override {
        for (int part = parts; part-- > 0;) work(part);
    }
};

} // namespace

TEST_CASE("vit_engine: the same bits for 1, 2, 3, 7, 64 threads, for every batch, and for callers' executors") {
    for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
        auto const weights = weights_for<with_adapters>(small(4, frame_map<>{3, {{0, -1}, {2, 1}}}), layouts[3]);
        dynamic_tensor<float, 5> clips{std::size_t{5}, std::size_t{4}, std::size_t{3}, std::size_t{24}, std::size_t{24}};
        detail::draw_normal({clips.data(), clips.size()}, 1.0F, 1, 2);
        vit_engine const one{weights, {.dtype = type, .threads = 1}};
        dynamic_tensor<float, 2> expected{std::size_t{5}, std::size_t{7}};
        auto workspace = one.make_workspace();
        one.forward(clips, workspace, expected);
        for (std::size_t const threads : {1U, 2U, 3U, 7U, 64U})
            for (std::size_t const batch : {1U, 2U, 5U, 9U}) {
                vit_engine const engine{weights, {.dtype = type, .threads = threads}};
                auto other = engine.make_workspace(batch);
                dynamic_tensor<float, 2> found{std::size_t{5}, std::size_t{7}};
                engine.forward(clips, other, found);
                CHECK(same_bits({found.data(), found.size()}, {expected.data(), expected.size()}));
            }
        serial_executor here;
        auto own = one.make_workspace(2, here);
        dynamic_tensor<float, 2> found{std::size_t{5}, std::size_t{7}};
        one.forward(clips, own, found);
        CHECK(same_bits({found.data(), found.size()}, {expected.data(), expected.size()}));
        last_part_first uneven;
        auto taken_over = one.make_workspace(2, uneven);
        std::ranges::fill(std::span{found.data(), found.size()}, 0.0F);
        one.forward(clips, taken_over, found);
        CHECK(same_bits({found.data(), found.size()}, {expected.data(), expected.size()}));
    }
}

TEST_CASE("vit_engine: bf16 and int8 stay near float, and are smaller") {
    auto const weights = weights_for<no_adapters>(small(4, frame_map<>{3, {{0, -1}, {2, 1}}}), adapter_layout::none());
    auto const clip = random_clip(weights.config, 3);
    auto const expected = reference::logits(weights, clip);
    vit_engine const f32{weights, {.dtype = dtype::f32}};
    vit_engine const half{weights, {.dtype = dtype::bf16}};
    vit_engine const eighth{weights, {.dtype = dtype::i8}};
    CHECK(compare({half(clip).data(), 7}, expected).relative_l2 < 1e-2);
    CHECK(compare({eighth(clip).data(), 7}, expected).relative_l2 < 4e-2);
    CHECK(half.weight_bytes() < f32.weight_bytes());
    CHECK(eighth.weight_bytes() < half.weight_bytes());
    CHECK_THROWS_AS((vit_engine<no_adapters>{weights, {.dtype = dtype::f16}}), device_error);
}

TEST_CASE("vit_engine: packing from an rvalue frees the weights and gives the same bits") {
    auto const config = small(2, frame_map<>{3});
    auto weights = weights_for<no_adapters>(config, adapter_layout::none());
    auto const clip = random_clip(config, 3);
    vit_engine const kept{weights};
    auto const expected = kept(clip);
    vit_engine const taken{std::move(weights)};
    CHECK(same_bits({taken(clip).data(), 7}, {expected.data(), 7}));
}

TEST_CASE("vit_engine: many threads share one engine, each with a workspace") {
    auto const weights = weights_for<with_adapters>(small(4, frame_map<>{3, {{0, -1}, {2, 1}}}), layouts[0]);
    vit_engine const engine{weights, {.threads = 2}};
    auto const clip = random_clip(weights.config, 3);
    auto const expected = engine(clip);
    std::atomic<int> same{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; ++i)
        threads.emplace_back([&] {
            auto workspace = engine.make_workspace();
            for (int j = 0; j < 3; ++j)
                if (same_bits(logits_of(engine, clip, workspace), {expected.data(), expected.size()})) ++same;
        });
    for (auto& thread : threads) thread.join();
    CHECK(same == 48);
}

TEST_CASE("vit_engine: a forward allocates nothing") {
    auto const weights = weights_for<with_adapters>(small(4, frame_map<>{3, {{0, -1}, {2, 1}}}), layouts[3]);
    auto const clip = random_clip(weights.config, 3);
    for (dtype const type : {dtype::f32, dtype::i8}) {
        vit_engine const engine{weights, {.dtype = type, .threads = 2}};
        auto workspace = engine.make_workspace();
        std::vector<float> logits(7);
        allocations = 0;
        counting = true;
        engine.forward(clip, workspace, logits);
        counting = false;
        CHECK(allocations == 0);
        counting = true;
        auto const seen = engine(clip); // the counter counts: the convenience call allocates
        counting = false;
        CHECK(allocations > 0);
    }
}

TEST_CASE("vit_engine: wrong shapes and foreign workspaces are refused") {
    auto const weights = weights_for<no_adapters>(small(4, frame_map<>{3}), adapter_layout::none());
    vit_engine const engine{weights};
    auto workspace = engine.make_workspace();
    std::vector<float> logits(7);
    dynamic_tensor<float, 4> short_clip{std::size_t{3}, std::size_t{3}, std::size_t{24}, std::size_t{24}};
    CHECK_THROWS_AS(engine.forward(short_clip, workspace, logits), precondition_error);
    auto const clip = random_clip(weights.config, 1);
    CHECK_THROWS_AS(engine.forward(clip, workspace, std::span{logits}.first(6)), precondition_error);
    vit_engine const other{weights_for<no_adapters>(small(8, frame_map<>{3}), adapter_layout::none())};
    auto foreign = other.make_workspace();
    CHECK_THROWS_AS(engine.forward(clip, foreign, logits), precondition_error);

    auto adapted = weights_for<with_adapters>(small(4, frame_map<>{3}), layouts[0]);
    adapted.config = adapted.config.without_adapter_scale();
    CHECK_THROWS_AS(vit_engine<with_adapters>{adapted}, model_error);
}

namespace {

/// The sizes of a workspace, counted from the model alone.
template <class Engine>
workspace_sizes counted_sizes(Engine const& engine, adapter_layout const& layout, std::size_t clips) {
    vit_config const& c = engine.config();
    matmul_kernel const& kernel = *engine.kernels().matmul(engine.dtype());
    std::size_t const frames = clips * c.frames(), rows = frames * c.tokens();
    workspace_sizes sizes{.clips = clips, .tokens = rows * c.width(), .wide = rows * 3 * c.width(), .features = frames * c.width()};
    std::size_t const patches = frames * c.patches() * 3 * c.patch_size() * c.patch_size();
    if (patches > sizes.wide) sizes.wide = patches;
    sizes.rows = rows < kernel.row_block ? rows : kernel.row_block;
    sizes.narrow = c.width();
    sizes.hidden = c.mlp_width();
    sizes.rank = layout.any() ? layout.rank : 0;
    sizes.adapted = adapts_parts(layout) ? c.width() : 0;
    sizes.attention = engine.kernels().attention_scratch(c.tokens(), c.head_dim());
    auto const product = [&](std::size_t out, std::size_t in) {
        std::vector<float> const zeros(out * in);
        packed_matrix const matrix{engine.kernels(), engine.dtype(), matrix_view<float const>{zeros.data(), out, in}};
        sizes.matmul_bytes = std::max(sizes.matmul_bytes, matmul_scratch_bytes(matrix, sizes.rows));
    };
    product(3 * c.width(), c.width());
    product(c.width(), c.width());
    product(c.mlp_width(), c.width());
    product(c.width(), c.mlp_width());
    if (layout.any()) product(layout.rank, c.width());
    if (layout.any()) product(c.width(), layout.rank);
    return sizes;
}

} // namespace

TEST_CASE("vit_engine: a workspace is as large as the model needs, and no larger") {
    vit_config const wide_patches{{.image_size = 32, .patch_size = 16, .frames = 3, .width = 12, .layers = 2, .heads = 3, .mlp_width = 20, .classes = 7}, frame_map<>{3}, 0.7};
    for (vit_config const& config : {small(4, frame_map<>{3}), wide_patches})
        for (adapter_layout const& layout : layouts) {
            auto const weights = weights_for<with_adapters>(config, layout);
            for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8})
                for (std::size_t const clips : {1U, 3U, 40U}) {
                    vit_engine const engine{weights, {.dtype = type}};
                    auto const workspace = engine.make_workspace(clips);
                    CHECK(workspace.sizes() == counted_sizes(engine, layout, clips));
                    CHECK(workspace.clips() == clips);
                }
        }
    auto const plain = weights_for<no_adapters>(wide_patches, adapter_layout::none());
    vit_engine const engine{plain};
    CHECK(engine.make_workspace(2).sizes() == counted_sizes(engine, adapter_layout::none(), 2));
    auto const clip = random_clip(wide_patches, 3);
    CHECK(compare(std::span<float const>{engine(clip).data(), 7}, reference::logits(plain, clip)).relative_l2 < 1e-6);
    CHECK_THROWS_WITH_AS((void)engine.make_workspace(0), "zeroi2v::vit_engine::make_workspace: at least one clip", precondition_error);
    CHECK_THROWS_WITH_AS((void)engine.make_workspace(~std::size_t{0} / 2), "workspace: the number of clips is too large", model_error);
}

TEST_CASE("vit_engine: each size of clip, result and workspace is looked at") {
    auto const weights = weights_for<no_adapters>(small(4, frame_map<>{3}), adapter_layout::none());
    vit_engine const engine{weights};
    auto workspace = engine.make_workspace(2);
    auto const clip_of = [](std::size_t t, std::size_t c, std::size_t h, std::size_t w) { return dynamic_tensor<float, 4>{t, c, h, w}; };
    auto const clips_of = [](std::size_t v, std::size_t t, std::size_t c, std::size_t h, std::size_t w) { return dynamic_tensor<float, 5>{v, t, c, h, w}; };
    std::vector<float> logits(7);
    dynamic_tensor<float, 2> two_logits{std::size_t{2}, std::size_t{7}}, features{std::size_t{4}, std::size_t{36}};
    dynamic_tensor<float, 3> two_features{std::size_t{2}, std::size_t{4}, std::size_t{36}}, hidden{std::size_t{4}, std::size_t{10}, std::size_t{36}};
    auto const sound = clip_of(4, 3, 24, 24);
    auto const two = clips_of(2, 4, 3, 24, 24);
    CHECK_NOTHROW(engine.forward(sound, workspace, logits));
    CHECK_NOTHROW(engine.forward(two, workspace, two_logits));
    CHECK_NOTHROW(engine.features(sound, workspace, features));
    CHECK_NOTHROW(engine.features(two, workspace, two_features));
    CHECK_NOTHROW(engine.hidden_states(sound, 3, workspace, hidden));

    char const* const of_clip = "zeroi2v::vit_engine: clip must be (T,3,S,S)";
    struct { std::size_t t, c, h, w; } const wrong[]{{5, 3, 24, 24}, {4, 4, 24, 24}, {4, 1, 24, 24}, {4, 3, 16, 24}, {4, 3, 24, 32}};
    for (auto const& [t, c, h, w] : wrong) {
        auto const clip = clip_of(t, c, h, w);
        auto const clips = clips_of(2, t, c, h, w);
        CHECK_THROWS_WITH_AS(engine.forward(clip, workspace, logits), of_clip, precondition_error);
        CHECK_THROWS_WITH_AS(engine.forward(clips, workspace, two_logits), of_clip, precondition_error);
        CHECK_THROWS_WITH_AS(engine.features(clip, workspace, features), of_clip, precondition_error);
        CHECK_THROWS_WITH_AS(engine.features(clips, workspace, two_features), of_clip, precondition_error);
        CHECK_THROWS_WITH_AS(engine.hidden_states(clip, 1, workspace, hidden), of_clip, precondition_error);
    }
    std::vector<float> six(6), eight(8);
    CHECK_THROWS_WITH_AS(engine.forward(sound, workspace, six), "zeroi2v::vit_engine::forward: logits must be (K)", precondition_error);
    CHECK_THROWS_AS(engine.forward(sound, workspace, eight), precondition_error);
    for (auto const& [v, k] : {std::pair{std::size_t{1}, std::size_t{7}}, {3, 7}, {2, 6}, {2, 8}}) {
        dynamic_tensor<float, 2> out{v, k};
        CHECK_THROWS_WITH_AS(engine.forward(two, workspace, out), "zeroi2v::vit_engine::forward: logits must be (V,K)", precondition_error);
    }
    struct { std::size_t v, t, c; } const other_features[]{{1, 4, 36}, {3, 4, 36}, {2, 3, 36}, {2, 5, 36}, {2, 4, 35}, {2, 4, 37}};
    for (auto const& [v, t, c] : other_features) {
        dynamic_tensor<float, 3> out{v, t, c};
        CHECK_THROWS_WITH_AS(engine.features(two, workspace, out), "zeroi2v::vit_engine::features: out must be (V,T,C)", precondition_error);
        if (v != 2) continue;
        dynamic_tensor<float, 2> one{t, c};
        CHECK_THROWS_AS(engine.features(sound, workspace, one), precondition_error);
    }
    CHECK_THROWS_WITH_AS(engine.hidden_states(sound, 4, workspace, hidden), "zeroi2v::vit_engine::hidden_states: no such layer", precondition_error);
    struct { std::size_t t, n, c; } const other_tokens[]{{3, 10, 36}, {5, 10, 36}, {4, 9, 36}, {4, 11, 36}, {4, 10, 35}, {4, 10, 37}};
    for (auto const& [t, n, c] : other_tokens) {
        dynamic_tensor<float, 3> out{t, n, c};
        CHECK_THROWS_WITH_AS(engine.hidden_states(sound, 1, workspace, out), "zeroi2v::vit_engine::hidden_states: out must be (T,N,C)", precondition_error);
    }
    // A workspace of the same engine with other clips is one of its own; one of another model or dtype is not.
    char const* const of_workspace = "zeroi2v::vit_engine: the workspace was made for another model or fewer clips";
    vit_engine const adapted{weights_for<with_adapters>(small(4, frame_map<>{3}), layouts[0])};
    auto foreign = adapted.make_workspace(2);
    CHECK_THROWS_WITH_AS(engine.forward(sound, foreign, logits), of_workspace, precondition_error);
    vit_engine const bytes{weights, {.dtype = dtype::i8}};
    auto other_type = bytes.make_workspace(2);
    CHECK_THROWS_WITH_AS(engine.forward(sound, other_type, logits), of_workspace, precondition_error);
}

TEST_CASE("vit_engine: what it says of itself, and what it cannot be made of") {
    auto const weights = weights_for<with_adapters>(small(4, frame_map<>{3}), layouts[0]);
    vit_engine const engine{weights, {.dtype = dtype::bf16, .threads = 3}};
    CHECK((engine.dtype() == dtype::bf16 && engine.threads() == 3 && &engine.kernels() == &default_kernels<>() && engine.config() == weights.config));
    CHECK(vit_engine{weights, {.threads = 0}}.threads() == 1);
    CHECK(engine.make_workspace().threads() == 3);
    try {
        static_cast<void>(vit_engine{weights, {.dtype = dtype::f16}});
        FAIL("no kernels for f16");
    } catch (device_error const& e) {
        CHECK(e.code() == error_code::unsupported_dtype);
        CHECK(std::string{e.what()} == "dtype: F16 found; the processor's kernels have F32, BF16 and I8");
    }
    auto unscaled = weights_for<with_adapters>(small(4, frame_map<>{3}), layouts[0]);
    unscaled.config = unscaled.config.without_adapter_scale();
    CHECK_THROWS_WITH_AS((vit_engine<with_adapters>{unscaled}), "adapter_scale: not stated, needed while adapters are present", model_error);
    // Weights that are read as they are packed: each tensor once, and the same answers.
    std::vector<std::string> names;
    vit_engine<with_adapters> const read{weights.config, weights.layout, [&](std::string const& name, stored_tensor& into) {
                                             names.push_back(name);
                                             for_each_tensor(weights, [&](std::string const& each, stored_tensor const& tensor, shape const&, parameter_role) {
                                                 if (each == name) into = tensor.clone();
                                             });
                                         }};
    std::size_t tensors = 0;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const&, shape const&, parameter_role) { ++tensors; });
    CHECK(names.size() == tensors);
    auto const clip = random_clip(weights.config, 3);
    vit_engine const kept{weights};
    CHECK(same_bits({read(clip).data(), 7}, {kept(clip).data(), 7}));
    CHECK(read.weight_bytes() == kept.weight_bytes());
    // The bytes of packed weights are those of every matrix: the blocks' and the two around them.
    std::size_t bytes = 0;
    auto const packed = [&](stored_tensor const& weight, stored_tensor const* bias) { bytes += packed_matrix{kept.kernels(), dtype::f32, weight, bias}.byte_size(); };
    packed(weights.conv1.weight, nullptr);
    packed(weights.fc_cls.weight, &weights.fc_cls.bias);
    for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
        auto const& block = weights.blocks[i];
        if (i + 1 < weights.blocks.size()) {
            packed(block.in_proj.weight, &block.in_proj.bias);
        } else { // the queries of the last block stand alone
            bytes += packed_matrix{kept.kernels(), dtype::f32, block.in_proj.weight, &block.in_proj.bias, {.rows = 36}}.byte_size();
            bytes += packed_matrix{kept.kernels(), dtype::f32, block.in_proj.weight, &block.in_proj.bias, {.first_row = 36}}.byte_size();
        }
        for (auto const* linear : {&block.out_proj, &block.c_fc, &block.c_proj}) packed(linear->weight, &linear->bias);
        for (auto const& adapter : weights.adapters.blocks[i].at)
            if (adapter)
                for (auto const* linear : {&adapter->D_fc1, &adapter->D_fc2}) packed(linear->weight, &linear->bias);
    }
    CHECK(kept.weight_bytes() == bytes);
}

TEST_CASE("vit_engine: features of many clips are those of each, whatever the batch") {
    auto const weights = weights_for<no_adapters>(small(4, frame_map<>{3, {{0, -1}}}), adapter_layout::none());
    vit_engine const engine{weights};
    dynamic_tensor<float, 5> clips{std::size_t{3}, std::size_t{4}, std::size_t{3}, std::size_t{24}, std::size_t{24}};
    detail::draw_normal({clips.data(), clips.size()}, 1.0F, 1, 2);
    std::vector<float> one_by_one;
    auto alone = engine.make_workspace();
    for (std::size_t clip = 0; clip < 3; ++clip) {
        dynamic_tensor<float, 2> features{std::size_t{4}, std::size_t{36}};
        engine.features(view<float const, 4>{clips.data() + clip * weights.config.clip_values(), 4, 3, 24, 24}, alone, features);
        one_by_one.insert(one_by_one.end(), features.begin(), features.end());
    }
    for (std::size_t const batch : {1U, 2U, 3U}) {
        auto workspace = engine.make_workspace(batch);
        dynamic_tensor<float, 3> features{std::size_t{3}, std::size_t{4}, std::size_t{36}};
        engine.features(clips, workspace, features);
        CHECK(same_bits({features.data(), features.size()}, one_by_one));
    }
}
