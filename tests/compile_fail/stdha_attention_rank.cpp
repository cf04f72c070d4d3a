// expect: zeroi2v::stdha_attention: q, k, v and y must be arrays of float with four dimensions (T,N,H,D)
#include <zeroi2v/nn/stdha_attention.hpp>
#include <zeroi2v/tensor/tensor.hpp>

constexpr auto map = zeroi2v::frame_map<3>{{.head = 0, .offset = -1}};
using array = zeroi2v::dynamic_tensor<float, 4>;
using doubles = zeroi2v::dynamic_tensor<double, 4>;

void good(array const& q, array const& k, array const& v, array& y) { zeroi2v::stdha_attention<map>(q, k, v, y); }
#ifdef ZEROI2V_EXPECT_FAILURE
void bad(array const& q, doubles const& k, array const& v, array& y) { zeroi2v::stdha_attention<map>(q, k, v, y); }
#endif
