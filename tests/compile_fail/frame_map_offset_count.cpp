// expect: zeroi2v::frame_map: one offset per head is needed
#include <zeroi2v/stdha/frame_map.hpp>

constexpr auto good = zeroi2v::frame_map<3>::from_offsets({-1, 1, 0});
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::frame_map<3>::from_offsets({-1, 1});
#endif
