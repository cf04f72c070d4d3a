// The code of docs/stdha.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace {

constexpr auto map = zeroi2v::frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};

static_assert(map.heads() == 12 && map.spatial_heads() == 10 && map.temporal_heads() == 2);
static_assert(map.reach() == 1 && !map.is_identity());
static_assert(map.source(/*head*/ 0, /*frame*/ 3, /*frames*/ 8) == 2);
static_assert(map.source(0, 0, 8) == 0);          // no frame before the first: it keeps its own
static_assert(map.heads_at(-1).size() == 1);      // which heads look one frame back: head 0
static_assert(*map.heads_at(-1).begin() == 0);
static_assert(map.readers(0, 2, 8).size() == 1);  // which frames read frame 2 through head 0: frame 3
static_assert(map.readers(0, 0, 8).size() == 2);  // frame 0 is read by itself and by frame 1

} // namespace

template <zeroi2v::frame_map Map>
struct my_layer {
    static_assert(Map.reach() <= 2, "this layer keeps two frames around its own");
};

template struct my_layer<map>;

std::string at_run_time(std::size_t heads, std::span<int const> offsets) {
    zeroi2v::frame_map<> const listed{heads, {{.head = 0, .offset = -1}, {.head = 1, .offset = +1}}};
    zeroi2v::frame_map<> const one_per_head{offsets}; // as configuration files have them
    zeroi2v::frame_map<> const forgotten = map;       // a static map is a dynamic one, too
    return zeroi2v::draw(listed == forgotten ? listed : one_per_head, /*frames*/ 8);
}

void on_your_own_arrays(float* memory, std::size_t frames, std::size_t tokens) {
    // One buffer as a qkv product leaves it: (T,N,3C), C = 12 heads of 64.
    constexpr std::size_t heads = 12, dim = 64, width = heads * dim;
    using rows = zeroi2v::tensor_view<float, zeroi2v::dims<4>, zeroi2v::strided<4>>;
    auto const part = [&](std::size_t i) {
        return rows{memory + i * width, {frames, tokens, heads, dim}, {{tokens * 3 * width, 3 * width, dim, 1}}};
    };
    zeroi2v::dynamic_tensor<float, 4> y{frames, tokens, heads, dim};
    zeroi2v::stdha_attention<map>(part(0), part(1), part(2), y);
}

void with_chosen_kernels(zeroi2v::view<float const, 4> q, zeroi2v::view<float const, 4> k, zeroi2v::view<float const, 4> v,
                         zeroi2v::view<float, 4> y, zeroi2v::frame_map<> const& chosen) {
    zeroi2v::thread_team team{4};
    zeroi2v::stdha_attention(zeroi2v::kernels_from_environment(), team, q, k, v, y, chosen);
}

std::vector<std::size_t> for_kernels_of_your_own() {
    // table[t * heads + h] is the frame that head h of frame t reads.
    return zeroi2v::row_bases(map, /*frames*/ 8);
}

static_assert(zeroi2v::static_row_bases<map, 8>[3 * 12 + 0] == 2);
