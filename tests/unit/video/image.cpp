#include <zeroi2v/video/image.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

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

TEST_CASE("orient refuses a target of another size") {
    image const source{2, 3, 3};
    image wrong{2, 3, 3};
    CHECK(video_test::code_of([&] { orient(view_pixels(source), orientation{0, 1, 1, 0}, wrong); }) == "precondition");
}

TEST_CASE("view_pixels refuses rows that overlap") {
    std::vector<std::uint8_t> const bytes(60);
    CHECK(view_pixels(bytes.data(), {4, 5}, 15).stride(0) == 15);
    CHECK(video_test::code_of([&] { return view_pixels(bytes.data(), {4, 5}, 14); }) == "precondition");
    CHECK(video_test::code_of([&] { return view_pixels(bytes.data(), {1, (std::size_t{1} << 63U) + 5}, 20); }) == "precondition");
}
