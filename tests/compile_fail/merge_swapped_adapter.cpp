// expect: zeroi2v::merge: D_fc1 must be (R,C) and D_fc2 (C,R)
#include <zeroi2v/nn/merge_static.hpp>

using down = zeroi2v::static_linear<float, 2, 8>;
using up = zeroi2v::static_linear<float, 8, 2>;
constexpr zeroi2v::static_linear<float, 4, 8> layer{};
constexpr auto good = zeroi2v::merge(layer, zeroi2v::linear_adapter<down, up>{}, zeroi2v::before, 0.5);
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::merge(layer, zeroi2v::linear_adapter<down, down>{}, zeroi2v::before, 0.5);
#endif
