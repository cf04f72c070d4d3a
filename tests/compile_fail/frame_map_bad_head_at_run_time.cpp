// expect: zeroi2v::frame_map: head is outside the map
#include <zeroi2v/stdha/frame_map.hpp>

// The entries are listed, so the compiler judges them where the map is no constant too.
auto good() { return zeroi2v::frame_map<3>{{.head = 2, .offset = -1}}; }
#ifdef ZEROI2V_EXPECT_FAILURE
auto bad() { return zeroi2v::frame_map<3>{{.head = 3, .offset = -1}}; }
#endif
