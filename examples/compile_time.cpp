// Frame maps and merges that the compiler computes and checks. Nothing here is left to do at run time but printing.
#include <zeroi2v/zeroi2v.hpp>

#include <cstdio>

namespace example {

// Head 0 reads the frame before its own, head 1 the one after; the other ten read their own frame, as in an image model.
constexpr auto map = zeroi2v::frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};
static_assert(map.spatial_heads() == 10 && map.reach() == 1);
static_assert(map.source(/*head*/ 0, /*frame*/ 3, /*frames*/ 8) == 2);
static_assert(map.source(0, 0, 8) == 0); // at the clip's edge a head reads its own frame
// constexpr auto wrong = zeroi2v::frame_map<12>{{.head = 12, .offset = 1}};   does not compile: head is outside the map

// A Linear (out 2, in 3) and an adapter of width 3 and rank 1 in front of it.
constexpr zeroi2v::static_linear<float, 2, 3> layer{.weight = {{1, 2, 3, 4, 5, 6}}, .bias = {{0.5F, -0.5F}}};
constexpr zeroi2v::static_linear_adapter<float, 3, 1> adapter{.D_fc1 = {.weight = {{1, 0, -1}}, .bias = {{2}}},
                                                              .D_fc2 = {.weight = {{1, 2, 1}}, .bias = {{0, 1, 0}}}};

// linear(x + 0.5 (W2 (W1 x + b1) + b2)) as one Linear.
constexpr auto merged = zeroi2v::merge(layer, adapter, zeroi2v::before, /*scale*/ 0.5);

constexpr zeroi2v::static_tensor<float, 3> x{{1, -1, 2}};
static_assert(zeroi2v::apply(merged, x) == zeroi2v::apply(layer, zeroi2v::static_tensor<float, 3>{{1.5F, 0.5F, 2.5F}}));

} // namespace example

int main() {
    using namespace example;
    std::printf("merged weight:");
    for (float const w : merged.weight) std::printf(" %g", static_cast<double>(w));
    std::printf("\nmerged bias:  ");
    for (float const b : merged.bias) std::printf(" %g", static_cast<double>(b));
    std::printf("\n\n%s", zeroi2v::draw(map, 8).c_str());
}
