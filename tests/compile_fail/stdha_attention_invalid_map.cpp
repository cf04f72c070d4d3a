// expect: zeroi2v::stdha_attention: Map must hold offsets within -32767..32767
#include <zeroi2v/nn/stdha_attention.hpp>
#include <zeroi2v/tensor/tensor.hpp>

// The member is public because template arguments ask for it; whoever writes into it is found out.
constexpr auto tampered(int offset) {
    zeroi2v::frame_map<1> map{};
    map.offsets_[0] = offset;
    return map;
}
using array = zeroi2v::dynamic_tensor<float, 4>;

void good(array const& q, array& y) { zeroi2v::stdha_attention<tampered(7)>(q, q, q, y); }
#ifdef ZEROI2V_EXPECT_FAILURE
void bad(array const& q, array& y) { zeroi2v::stdha_attention<tampered(40000)>(q, q, q, y); }
#endif
