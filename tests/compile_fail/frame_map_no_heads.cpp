// expect: zeroi2v::frame_map: number of heads is outside 1..65535
#include <zeroi2v/stdha/frame_map.hpp>

constexpr zeroi2v::frame_map<1> good{};
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr zeroi2v::frame_map<0> bad{};
#endif
