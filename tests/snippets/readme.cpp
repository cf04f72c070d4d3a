// The code of README.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <span>

void one_screen(zeroi2v::view<float const, 4> q, zeroi2v::view<float const, 4> k, zeroi2v::view<float const, 4> v,
                zeroi2v::view<float, 4> y, zeroi2v::view<float const, 4> clip, std::span<float> out) {
    // Which frame each head reads: a value, judged by the compiler. Head 0 looks one frame back, head 1 one frame ahead.
    constexpr auto map = zeroi2v::frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};
    static_assert(map.spatial_heads() == 10 && map.reach() == 1);
    static_assert(map.source(/*head*/ 0, /*frame*/ 3, /*frames*/ 8) == 2);
    zeroi2v::stdha_attention<map>(q, k, v, y); // your own arrays, (T,N,H,D)

    // A whole model: read the checkpoint, multiply its adapters away, keep the proof.
    auto const file    = zeroi2v::load_checkpoint("epoch_40.pth"); // .pth, TorchScript or safetensors
    auto const adapted = zeroi2v::load_adapted_vit(file, zeroi2v::presets::clip_b16_k400_8f);
    auto const [model, proof] = zeroi2v::merge(adapted);

    // Compute: the engine is immutable and may be shared, each thread of the caller brings a workspace.
    zeroi2v::vit_engine const engine{model, {.dtype = zeroi2v::dtype::f32, .threads = 2}};
    auto workspace = engine.make_workspace();
    engine.forward(clip, workspace, out); // clip (T,3,S,S), out (K); allocates nothing
}
