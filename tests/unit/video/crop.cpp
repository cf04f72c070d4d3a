#include <zeroi2v/video/crop.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

using namespace zeroi2v;

TEST_CASE("crops lie where mmaction2 puts them") {
    CHECK(centre_crop({224, 298}, 224) == crop_window{0, 37, 224, 224});
    CHECK(centre_crop({224, 299}, 224) == crop_window{0, 37, 224, 224});
    CHECK(centre_crop({341, 256}, 224) == crop_window{58, 16, 224, 224});
    CHECK(centre_crop({1, 1}, 1) == crop_window{0, 0, 1, 1});
    CHECK(three_crops({224, 299}, 224)
          == std::vector<crop_window>{{0, 0, 224, 224}, {0, 74, 224, 224}, {0, 37, 224, 224}});
    CHECK(three_crops({301, 224}, 224)
          == std::vector<crop_window>{{0, 0, 224, 224}, {76, 0, 224, 224}, {38, 0, 224, 224}});
    CHECK(three_crops({224, 224}, 224) == std::vector<crop_window>(3, crop_window{0, 0, 224, 224}));
    CHECK(three_crops({256, 340}, 224)
          == std::vector<crop_window>{{16, 0, 224, 224}, {16, 116, 224, 224}, {16, 58, 224, 224}});
    CHECK(crops_of({224, 298}, 224, 1).size() == 1);
    CHECK(crops_of({224, 298}, 224, 3).size() == 3);
}

TEST_CASE("crops that do not fit are refused") {
    CHECK(video_test::code_of([] { return centre_crop({223, 300}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] { return three_crops({300, 223}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] { return centre_crop({2, 2}, 0); }) == "bad_config");
    CHECK(video_test::code_of([] { return crops_of({224, 298}, 224, 2); }) == "bad_config");
}
