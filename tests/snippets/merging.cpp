// The code of docs/merging.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <cstdio>

namespace {

// A Linear (out 2, in 3) and an adapter of width 3 and rank 1 in front of it.
constexpr zeroi2v::static_linear<float, 2, 3> layer{.weight = {{1, 2, 3, 4, 5, 6}}, .bias = {{0.5F, -0.5F}}};
constexpr zeroi2v::static_linear_adapter<float, 3, 1> adapter{.D_fc1 = {.weight = {{1, 0, -1}}, .bias = {{2}}},
                                                              .D_fc2 = {.weight = {{1, 2, 1}}, .bias = {{0, 1, 0}}}};
constexpr auto merged = zeroi2v::merge(layer, adapter, zeroi2v::before, /*scale*/ 0.5);

constexpr zeroi2v::static_tensor<float, 3> x{{1, -1, 2}};
static_assert(zeroi2v::apply(merged, x) == zeroi2v::apply(layer, zeroi2v::static_tensor<float, 3>{{1.5F, 0.5F, 2.5F}}));

} // namespace

void one_linear(zeroi2v::linear_view<float> in_proj, zeroi2v::linear_adapter_view<float> t_adapter) {
    zeroi2v::thread_team team{2};
    auto const one = zeroi2v::merge(in_proj, t_adapter, zeroi2v::before, 0.5);
    auto const [linear, report] = zeroi2v::merge_measured(in_proj, t_adapter, zeroi2v::before, 0.5, {.threads = &team});
    std::printf("%g ulp, %g of the elements too coarse for their delta\n", report.max_ulp, report.share_unchanged);
    static_cast<void>(one);
}

void whole_model() {
    auto const file = zeroi2v::load_checkpoint("epoch_40.pth");
    auto const adapted = zeroi2v::load_adapted_vit(file, zeroi2v::presets::clip_b16_k400_8f);
    auto const [model, proof] = zeroi2v::merge(adapted, {.threads = 2, .kernels = &zeroi2v::best_kernels()});
    std::fputs(to_text(proof).c_str(), stdout);
    static_assert(std::is_same_v<decltype(model), zeroi2v::merged_vit const>); // a type without adapters
    zeroi2v::save_vit("merged.safetensors", model,
                      {.metadata = {{zeroi2v::metadata_key::config, to_json(zeroi2v::stated_by(model.config)).dump()},
                                    {zeroi2v::metadata_key::merged, "true"}}});
}
