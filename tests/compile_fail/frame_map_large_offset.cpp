// expect: zeroi2v::frame_map: offset is outside -32767..32767
#include <zeroi2v/stdha/frame_map.hpp>

constexpr auto good = zeroi2v::frame_map<1>{{.head = 0, .offset = 32767}};
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::frame_map<1>{{.head = 0, .offset = 32768}};
#endif
