// Attention on arrays of your own: the same call for an image model, and for a video model whose heads read other frames.
#include <zeroi2v/zeroi2v.hpp>

#include <cstdio>
#include <vector>

int main() {
    constexpr std::size_t frames = 4, tokens = 5, heads = 2, head_dim = 8;
    std::vector<float> memory(4 * frames * tokens * heads * head_dim);
    zeroi2v::counter_rng const random{1};
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = random.normal(i);

    // Views own nothing; q, k, v and y may lie anywhere, with any stride between tokens.
    auto const view = [&](std::size_t part) {
        return zeroi2v::tensor_view{memory.data() + part * memory.size() / 4, frames, tokens, heads, head_dim}; // (T,N,H,D)
    };
    auto const q = view(0), k = view(1), v = view(2), y = view(3);

    // Known to the compiler: a template argument.
    constexpr auto map = zeroi2v::frame_map<heads>{{.head = 1, .offset = -1}};
    zeroi2v::stdha_attention<map>(q, k, v, y);
    std::printf("frame 2, token 0, head 1: %g (reads frame %zu)\n", static_cast<double>(y(2, 0, 1, 0)), map.source(1, 2, frames));

    // Known at run time only: the same map as a value, the same bits.
    zeroi2v::frame_map<> const at_run_time{heads, {{.head = 1, .offset = -1}}};
    zeroi2v::stdha_attention(q, k, v, y, at_run_time);
    std::printf("the same at run time:     %g\n", static_cast<double>(y(2, 0, 1, 0)));

    // The map of all zeros is the plain image model.
    zeroi2v::stdha_attention<zeroi2v::frame_map<heads>{}>(q, k, v, y);
    std::printf("without a shift:          %g (reads its own frame)\n", static_cast<double>(y(2, 0, 1, 0)));
}
