#include <zeroi2v/model/op_flops.hpp>

#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_engine.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

using namespace zeroi2v;

namespace {

vit_config three_blocks() {
    return {{.image_size = 32, .patch_size = 8, .frames = 4, .width = 32, .layers = 3, .heads = 2, .mlp_width = 128, .classes = 5}, frame_map<>{2}, 0.5};
}

} // namespace

TEST_CASE("op_flops: the whole model less what the last block leaves out") {
    for (vit_config const& config : {three_blocks(), presets::clip_b16_k400_8f.config(), presets::clip_l14_k400_32f.config()}) {
        auto const c = static_cast<double>(config.width()), t = static_cast<double>(config.frames()), n = static_cast<double>(config.tokens());
        // per token but the class token: query, projection, MLP; and the query's row of both attention products
        double const left_out = t * (n - 1) * (2 * (2 * c * c + 2 * c * static_cast<double>(config.mlp_width())) + 4 * n * c);
        CHECK(op_flops(config).total() == doctest::Approx(config.flops() - left_out).epsilon(1e-12));
    }
}

TEST_CASE("a measured forward says where its time went and computes the same") {
    auto const weights = random_weights<with_adapters>(three_blocks(), default_adapters(32), {.seed = 3, .adapters = adapter_init::random});
    vit_engine const engine{weights, {.threads = 2}};
    auto const clip = random_clip(weights.config, 1);
    vit_workspace workspace = engine.make_workspace();
    std::vector<float> plain(5), measured(5);
    engine.forward(clip, workspace, plain);
    CHECK(workspace.times().total() == 0);
    workspace.measure();
    auto const start = std::chrono::steady_clock::now();
    engine.forward(clip, workspace, measured);
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(plain == measured);
    for (op_group const group : all_op_groups) {
        CAPTURE(to_string(group));
        CHECK(workspace.times()[group] > 0);
    }
    CHECK(workspace.times().total() <= seconds * static_cast<double>(workspace.threads()));
    workspace.measure();
    CHECK(workspace.times().total() == 0);
}

TEST_CASE("op_flops: each group by itself") {
    vit_config const config = three_blocks(); // T 4, N 17, C 32, F 128, K 5; two whole blocks and the class tokens of the third
    auto const flops = op_flops(config);
    double const rows = 2 * 4 * 17 + 4;
    CHECK(flops[op_group::patches] == 2.0 * 4 * 16 * 192 * 32);
    CHECK(flops[op_group::qkv] == 2.0 * (rows * 32 * 32 + 3 * 4 * 17 * 2.0 * 32 * 32));
    CHECK(flops[op_group::attention] == 4 * rows * 17 * 32);
    CHECK(flops[op_group::proj] == 2 * rows * 32 * 32);
    CHECK(flops[op_group::mlp] == 4 * rows * 32 * 128);
    CHECK(flops[op_group::head] == 2.0 * 32 * 5);
    CHECK((flops[op_group::norms] == 0 && flops[op_group::adapters] == 0));
}
