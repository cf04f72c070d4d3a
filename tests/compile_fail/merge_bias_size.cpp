// expect: zeroi2v::merge: each bias must have as many elements as its weight has rows
#include <zeroi2v/nn/merge_static.hpp>

using weight = zeroi2v::static_tensor<float, 4, 8>;
template <std::size_t Size>
using bias = zeroi2v::static_tensor<float, Size>;
constexpr zeroi2v::static_linear_adapter<float, 8, 2> adapter{};
constexpr auto good = zeroi2v::merge(zeroi2v::linear{weight{}, bias<4>{}}, adapter, zeroi2v::before, 1);
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::merge(zeroi2v::linear{weight{}, bias<8>{}}, adapter, zeroi2v::before, 1);
#endif
