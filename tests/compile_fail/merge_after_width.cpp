// expect: zeroi2v::merge: an adapter after a linear must have the linear's output width
#include <zeroi2v/nn/merge_static.hpp>

constexpr zeroi2v::static_linear<float, 8, 4> layer{};
constexpr auto good = zeroi2v::merge(layer, zeroi2v::static_linear_adapter<float, 8, 2>{}, zeroi2v::after, 0.5);
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::merge(layer, zeroi2v::static_linear_adapter<float, 4, 2>{}, zeroi2v::after, 0.5);
#endif
