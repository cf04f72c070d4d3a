// expect: zeroi2v::stdha_attention: q, k, v and y must have the same shape
#include <zeroi2v/nn/stdha_attention.hpp>
#include <zeroi2v/tensor/tensor.hpp>

constexpr auto map = zeroi2v::frame_map<3>{{.head = 0, .offset = -1}};
using array = zeroi2v::tensor<float, zeroi2v::extents<8, 5, 3, 4>>;
using other = zeroi2v::tensor<float, zeroi2v::extents<8, 6, 3, 4>>;
using rows = zeroi2v::dynamic_tensor<float, 4>;

void good(array const& q, rows const& k, array const& v, array& y) { zeroi2v::stdha_attention<map>(q, k, v, y); }
#ifdef ZEROI2V_EXPECT_FAILURE
void bad(array const& q, rows const& k, other const& v, array& y) { zeroi2v::stdha_attention<map>(q, k, v, y); }
#endif
