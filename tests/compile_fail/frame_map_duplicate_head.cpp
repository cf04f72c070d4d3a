// expect: zeroi2v::frame_map: head is given twice
#include <zeroi2v/stdha/frame_map.hpp>

constexpr auto good = zeroi2v::frame_map<12>{{.head = 1, .offset = -1}, {.head = 0, .offset = -1}};
#ifdef ZEROI2V_EXPECT_FAILURE
constexpr auto bad = zeroi2v::frame_map<12>{{.head = 1, .offset = -1}, {.head = 0}, {.head = 1, .offset = -1}};
#endif
