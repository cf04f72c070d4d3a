// expect: zeroi2v::stdha_attention: Map must give one frame offset per head
#include <zeroi2v/nn/stdha_attention.hpp>
#include <zeroi2v/tensor/tensor.hpp>

constexpr auto twelve = zeroi2v::frame_map<12>{{.head = 0, .offset = -1}};
constexpr auto eleven = zeroi2v::frame_map<11>{{.head = 0, .offset = -1}};
using array = zeroi2v::tensor<float, zeroi2v::extents<zeroi2v::dynamic, 197, 12, 64>>;

void good(array const& q, array const& k, array const& v, array& y) { zeroi2v::stdha_attention<twelve>(q, k, v, y); }
#ifdef ZEROI2V_EXPECT_FAILURE
void bad(array const& q, array const& k, array const& v, array& y) { zeroi2v::stdha_attention<eleven>(q, k, v, y); }
#endif
