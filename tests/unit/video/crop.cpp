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
    CHECK(three_crops({300, 300}, 224) // a square counts as wide
          == std::vector<crop_window>{{38, 0, 224, 224}, {38, 76, 224, 224}, {38, 38, 224, 224}});
    for (image_size const size : {image_size{224, 224}, {225, 226}, {226, 225}, {1000, 301}, {301, 1001}})
        for (std::size_t const crop : {std::size_t{1}, std::size_t{100}, std::size_t{223}, std::size_t{224}}) {
            std::size_t const top = (size.height - crop) / 2, left = (size.width - crop) / 2;
            crop_window const middle{top, left, crop, crop};
            CHECK(centre_crop(size, crop) == middle);
            CHECK(crops_of(size, crop, 1) == std::vector{middle});
            auto const three = size.height > size.width ? std::vector<crop_window>{{0, left, crop, crop}, {top * 2, left, crop, crop}, middle}
                                                        : std::vector<crop_window>{{top, 0, crop, crop}, {top, left * 2, crop, crop}, middle};
            CHECK(three_crops(size, crop) == three);
            CHECK(crops_of(size, crop, 3) == three);
        }
}

TEST_CASE("crops that do not fit are refused") {
    CHECK(video_test::code_of([] { return centre_crop({223, 300}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] { return three_crops({300, 223}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] { return centre_crop({2, 2}, 0); }) == "bad_config");
    for (std::size_t const count : {0U, 2U, 4U}) CHECK(video_test::code_of([&] { return crops_of({224, 298}, 224, count); }) == "bad_config");
    CHECK(video_test::code_of([] { return centre_crop({300, 223}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] { return centre_crop({224, 224}, 224); }) == "none");
    try {
        static_cast<void>(crops_of({100, 298}, 224, 3));
        FAIL("nothing thrown");
    } catch (model_error const& fault) {
        CHECK(std::string{fault.what()} == "crop: a picture of 298x100 found, at least 224 pixels on each side expected");
    }
    try {
        static_cast<void>(crops_of({224, 298}, 224, 2));
        FAIL("nothing thrown");
    } catch (model_error const& fault) {
        CHECK(std::string{fault.what()} == "crops: 2 found, 1 or 3 expected");
    }
}
