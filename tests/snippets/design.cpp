// The code of docs/design.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <thread>

void four_types(zeroi2v::view<float const, 4> clip, std::span<float> a, std::span<float> b) {
    using namespace zeroi2v;
    vit_config const config = presets::clip_b16_k400_8f.config();            // what the model is: sizes, map, scale
    auto const adapted = random_weights<with_adapters>(config, default_adapters(config.width()), {.seed = 1}); // plain tensors, (out,in)
    auto const [model, proof] = merge(adapted);                              // weights again, of a type without adapters
    vit_engine const engine{model, {.dtype = dtype::bf16, .threads = 1, .kernels = &best_kernels()}}; // packed, immutable

    std::thread other{[&] { // one engine, two callers, a workspace each
        auto workspace = engine.make_workspace();
        engine.forward(clip, workspace, b);
    }};
    auto workspace = engine.make_workspace(); // activations: one allocation, sized once
    engine.forward(clip, workspace, a);       // allocates nothing
    other.join();
}
