#include <zeroi2v/video/image.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace zeroi2v;

TEST_CASE("orient puts every pixel where the formula says, for all eight ways") {
    for (orientation const way :
         {orientation{1, 0, 0, 1}, orientation{-1, 0, 0, 1}, orientation{1, 0, 0, -1}, orientation{-1, 0, 0, -1},
          orientation{0, 1, 1, 0}, orientation{0, -1, 1, 0}, orientation{0, 1, -1, 0}, orientation{0, -1, -1, 0}})
        for (image_size const size : {image_size{1, 1}, image_size{3, 5}, image_size{31, 17}, image_size{1, 4}}) {
            image const source = video_test::noise(size.height, size.width);
            image_size const turned = way.turned(size);
            image result{turned.height, turned.width, std::size_t{3}};
            orient(view_pixels(source), way, result);
            auto const h = static_cast<int>(size.height) - 1;
            auto const w = static_cast<int>(size.width) - 1;
            int const least_x = std::min({0, way.xx * w, way.xy * h});
            int const least_y = std::min({0, way.yx * w, way.yy * h});
            for (int y = 0; y <= h; ++y)
                for (int x = 0; x <= w; ++x)
                    for (std::size_t c = 0; c < 3; ++c)
                        REQUIRE(result(static_cast<std::size_t>(way.yx * x + way.yy * y - least_y),
                                       static_cast<std::size_t>(way.xx * x + way.xy * y - least_x), c)
                                == source(static_cast<std::size_t>(y), static_cast<std::size_t>(x), c));
        }
}

TEST_CASE("orient reads padded rows and nothing between them; what is upright, and what turning does to a size") {
    image const source = video_test::noise(3, 4);
    std::vector<std::uint8_t> padded(3 * 17, 255);
    for (std::size_t y = 0; y < 3; ++y) std::copy_n(&source(y, std::size_t{0}, std::size_t{0}), 12, &padded[y * 17]);
    auto const seen = view_pixels(padded.data(), {3, 4}, 17);
    CHECK(seen.stride(0) == 17);
    CHECK(seen.stride(1) == 3);
    CHECK(seen.stride(2) == 1);
    CHECK(size_of(seen) == image_size{3, 4});
    CHECK(view_pixels(source).stride(0) == 12);
    CHECK(size_of(view_pixels(source)) == image_size{3, 4});
    image turned{4, 3, 3};
    orient(seen, {0, -1, 1, 0}, turned);
    for (std::size_t y = 0; y < 3; ++y)
        for (std::size_t x = 0; x < 4; ++x)
            for (std::size_t c = 0; c < 3; ++c) CHECK(turned(x, 2 - y, c) == source(y, x, c));
    for (orientation const way : {orientation{1, 0, 0, 1}, orientation{-1, 0, 0, 1}, orientation{1, 0, 0, -1}, orientation{-1, 0, 0, -1}, orientation{0, 1, 1, 0}, orientation{0, -1, 1, 0},
                                  orientation{0, 1, -1, 0}, orientation{0, -1, -1, 0}}) {
        CHECK(way.is_upright() == (way == orientation{}));
        CHECK(way.turned({2, 7}) == (way.xx != 0 ? image_size{2, 7} : image_size{7, 2}));
    }
}

TEST_CASE("orient refuses a target of another size") {
    image const source{2, 3, 3};
    for (dims<3> const sizes : {dims<3>{2, 3, 3}, dims<3>{3, 3, 3}, dims<3>{3, 2, 4}, dims<3>{3, 1, 3}}) {
        image wrong{sizes};
        CHECK(video_test::code_of([&] { orient(view_pixels(source), orientation{0, 1, 1, 0}, wrong); }) == "precondition");
    }
    image right{3, 2, 3};
    CHECK(video_test::code_of([&] { orient(view_pixels(source), orientation{0, 1, 1, 0}, right); }) == "none");
}

TEST_CASE("view_pixels refuses rows that overlap") {
    std::vector<std::uint8_t> const bytes(60);
    CHECK(view_pixels(bytes.data(), {4, 5}, 15).stride(0) == 15);
    CHECK(video_test::code_of([&] { return view_pixels(bytes.data(), {4, 5}, 14); }) == "precondition");
    CHECK(video_test::code_of([&] { return view_pixels(bytes.data(), {1, (std::size_t{1} << 63U) + 5}, 20); }) == "precondition");
}
