// expect: zeroi2v::merge: the result must be finite in its element type
#include <zeroi2v/nn/merge_static.hpp>

constexpr zeroi2v::static_linear<float, 1, 1> layer{{{3e38F}}, {{0}}};
constexpr zeroi2v::static_linear_adapter<float, 1, 1> doubling{{{{1}}, {{0}}}, {{{1}}, {{0}}}};
constexpr auto good = zeroi2v::merge(layer, doubling, zeroi2v::before, 0.1);
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::merge(layer, doubling, zeroi2v::before, 1);
#endif
