#include <zeroi2v/stdha/draw.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace zeroi2v;

TEST_CASE("the picture of a released map") {
    auto const map = frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};
    CHECK(draw(map, 8) == "head   offset  frame 0 1 2 3 4 5 6 7\n"
                          "0       -1 <-        . 0 1 2 3 4 5 6\n"
                          "1       +1 ->        1 2 3 4 5 6 7 .\n"
                          "2..11    0 ==        . . . . . . . .\n");
}

TEST_CASE("columns stay in line with wide numbers, and a run of heads ends where the offset changes") {
    auto const map = frame_map<>::from_offsets({-10, -10, 0, -10});
    CHECK(draw(map, 12) == "head  offset  frame  0  1  2  3  4  5  6  7  8  9 10 11\n"
                           "0..1  -10 <-         .  .  .  .  .  .  .  .  .  .  0  1\n"
                           "2       0 ==         .  .  .  .  .  .  .  .  .  .  .  .\n"
                           "3     -10 <-         .  .  .  .  .  .  .  .  .  .  0  1\n");
}

TEST_CASE("one frame, and no frame") {
    CHECK(draw(frame_map<1>{}, 1) == "head  offset  frame 0\n0       0 ==        .\n");
    CHECK(draw(frame_map<1>{}, 0) == "head  offset  frame\n0       0 ==\n");
}
