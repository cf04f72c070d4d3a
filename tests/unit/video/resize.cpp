#include <zeroi2v/video/resize.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

using namespace zeroi2v;

namespace {

// one output value from the formula, a pixel at a time
std::uint8_t reference(image const& source, image_size to, std::size_t y, std::size_t x, std::size_t c) {
    struct weights {
        std::size_t at[2];
        int share[2];
    };
    auto const along = [](std::size_t in, std::size_t out, std::size_t i, bool whole_at_border) {
        double const volatile product =
            (static_cast<double>(i) + 0.5) * (1.0 / (static_cast<double>(out) / static_cast<double>(in)));
        auto const position = static_cast<float>(product - 0.5);
        auto left = static_cast<long>(std::floor(position));
        float rest = position - std::floor(position);
        auto const last = static_cast<long>(in) - 1;
        if (whole_at_border && (left < 0 || left >= last)) {
            left = left < 0 ? 0 : last;
            rest = 0;
        }
        return weights{
            {static_cast<std::size_t>(std::clamp(left, 0L, last)),
             static_cast<std::size_t>(std::clamp(left + 1, 0L, last))},
            {static_cast<int>(std::lrint((1.0F - rest) * 2048.0F)), static_cast<int>(std::lrint(rest * 2048.0F))}};
    };
    weights const row = along(source.extent(0), to.height, y, false);
    weights const column = along(source.extent(1), to.width, x, true);
    auto const line = [&](std::size_t r) {
        return source(r, column.at[0], c) * column.share[0] + source(r, column.at[1], c) * column.share[1];
    };
    return static_cast<std::uint8_t>(
        (((row.share[0] * (line(row.at[0]) >> 4)) >> 16) + ((row.share[1] * (line(row.at[1]) >> 4)) >> 16) + 2) >> 2);
}

} // namespace

TEST_CASE("resize gives the bits of cv2.resize") { // hashes of OpenCV's results for the same noise
    struct entry {
        std::size_t h, w, to_h, to_w;
        std::uint64_t hash;
    };
    constexpr std::array entries{
        entry{1, 1, 7, 5, 0xb01a7291b9f3ab9bU},         entry{3, 5, 9, 15, 0xbafd5b6945296358U},
        entry{17, 31, 224, 409, 0xb624edc97a109dc9U},   entry{31, 17, 40, 21, 0xedeb7a0fdb699d93U},
        entry{5, 3, 373, 224, 0xa203b9520246cb73U},     entry{64, 48, 64, 48, 0x9d6e2f69029e59dbU},
        entry{64, 48, 32, 24, 0x2322e10830497f76U},     entry{120, 161, 56, 75, 0x3c29936d6fb6ce4fU},
        entry{61, 47, 60, 46, 0xeeba4648961c9595U},     entry{2, 200, 3, 300, 0x39dca83cf08e04bcU},
        entry{256, 340, 224, 298, 0xafe43899ebfcd2a9U}, entry{97, 89, 13, 12, 0xc3ad89808acc756bU},
    };
    for (entry const& e : entries) {
        CAPTURE(e.h);
        CAPTURE(e.w);
        image const source = video_test::noise(e.h, e.w);
        image result = resize(view_pixels(source), {e.to_h, e.to_w});
        CHECK(video_test::hash(view_pixels(result)) == e.hash);
        result(e.to_h - 1, e.to_w - 1, std::size_t{2}) ^= 1U; // the comparison can fail
        CHECK(video_test::hash(view_pixels(result)) != e.hash);
    }
}

TEST_CASE("resize equals the formula pixel by pixel, and a window equals the crop of the whole") {
    for (image_size const from : {image_size{1, 1}, image_size{3, 5}, image_size{5, 3}, image_size{17, 31},
                                  image_size{2, 64}, image_size{65, 33}})
        for (image_size const to :
             {image_size{1, 1}, image_size{2, 3}, image_size{31, 17}, image_size{33, 34}, image_size{64, 7}}) {
            image const source = video_test::noise(from.height, from.width, 7);
            image const whole = resize(view_pixels(source), to);
            for (std::size_t y = 0; y < to.height; ++y)
                for (std::size_t x = 0; x < to.width; ++x)
                    for (std::size_t c = 0; c < 3; ++c) REQUIRE(whole(y, x, c) == reference(source, to, y, x, c));
            crop_window const window{to.height / 3, to.width / 4, to.height - to.height / 3,
                                     to.width - to.width / 4 - to.width / 5};
            image part{window.height, window.width, std::size_t{3}};
            bilinear_resizer{from, to, window}(view_pixels(source), part);
            for (std::size_t y = 0; y < window.height; ++y)
                for (std::size_t x = 0; x < window.width; ++x)
                    for (std::size_t c = 0; c < 3; ++c)
                        REQUIRE(part(y, x, c) == whole(y + window.top, x + window.left, c));
        }
}

TEST_CASE("resize reads padded rows and nothing between them") {
    image const source = video_test::noise(9, 11);
    std::vector<std::uint8_t> padded(9 * 50, 255);
    for (std::size_t y = 0; y < 9; ++y) std::copy_n(&source(y, 0, 0), 33, &padded[y * 50]);
    image const a = resize(view_pixels(source), {20, 13});
    image const b = resize(view_pixels(padded.data(), {9, 11}, 50), {20, 13});
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

TEST_CASE("resized_to_short_side rounds as mmaction2") {
    CHECK(resized_to_short_side({256, 340}, 224) == image_size{224, 298});
    CHECK(resized_to_short_side({340, 256}, 224) == image_size{298, 224});
    CHECK(resized_to_short_side({240, 320}, 224) == image_size{224, 299});
    CHECK(resized_to_short_side({1, 1}, 224) == image_size{224, 224});
    CHECK(resized_to_short_side({3, 5}, 224) == image_size{224, 373});
    CHECK(resized_to_short_side({17, 31}, 224) == image_size{224, 408});
    for (std::size_t side = 1; side < 3000; ++side) CHECK(resized_to_short_side({side, side + 7}, 224).height == 224);
    CHECK(video_test::code_of([] { return resized_to_short_side({0, 5}, 224); }) == "bad_config");
    CHECK(video_test::code_of([] {
              return resized_to_short_side({1, std::size_t{1} << 31}, 224);
          })
          == "limit_exceeded");
    std::size_t const most = (std::size_t{1} << 31) - 1; // the last that a side may be
    CHECK(resized_to_short_side({1, most}, 1) == image_size{1, most});
    CHECK(resized_to_short_side({most, 1}, 1) == image_size{most, 1});
    CHECK(resized_to_short_side({most, most}, most) == image_size{most, most});
    for (image_size const longer : {image_size{1, most + 1}, {most + 1, 1}, {most / 2 + 1, 1}, {1, most / 2 + 1}}) {
        std::size_t const side = std::max(longer.height, longer.width) > most ? 1 : 2;
        try {
            static_cast<void>(resized_to_short_side(longer, side));
            FAIL("nothing thrown");
        } catch (video_error const& fault) {
            CHECK(fault.code() == error_code::limit_exceeded);
            CHECK(std::string{fault.what()}
                  == "resize: from " + std::to_string(longer.width) + "x" + std::to_string(longer.height) + " to a short side of " + std::to_string(side) + ": a side below 2^31 expected");
        }
    }
    for (auto const& [size, side, words] : {std::tuple{image_size{0, 5}, 224, "from 5x0 to a short side of 224"}, {image_size{5, 0}, 224, "from 0x5 to a short side of 224"},
                                            {image_size{4, 5}, 0, "from 5x4 to a short side of 0"}}) {
        try {
            static_cast<void>(resized_to_short_side(size, static_cast<std::size_t>(side)));
            FAIL("nothing thrown");
        } catch (model_error const& fault) {
            CHECK(fault.code() == error_code::bad_config);
            CHECK(std::string{fault.what()} == std::string{"resize: "} + words + " found, sizes of at least 1 expected");
        }
    }
}

TEST_CASE("bilinear_resizer refuses what it was not built for") {
    CHECK(video_test::code_of([] { return bilinear_resizer{{4, 4}, {8, 8}, {1, 0, 8, 8}}; }) == "precondition");
    CHECK(video_test::code_of([] { return bilinear_resizer{{0, 4}, {8, 8}, {0, 0, 8, 8}}; }) == "precondition");
    bilinear_resizer const fit{{4, 4}, {8, 8}, {0, 0, 8, 8}};
    for (crop_window const& out : {crop_window{1, 0, 8, 8}, {0, 1, 8, 8}, {0, 0, 9, 8}, {0, 0, 8, 9}, {5, 0, 4, 8}, {0, 5, 8, 4}})
        CHECK(video_test::code_of([&] { return bilinear_resizer{{4, 4}, {8, 8}, out}; }) == "precondition");
    for (crop_window const& in : {crop_window{4, 0, 4, 8}, {0, 4, 8, 4}, {8, 8, 0, 0}, {7, 7, 1, 1}}) {
        CHECK(video_test::code_of([&] { return bilinear_resizer{{4, 4}, {8, 8}, in}; }) == "none");
        CHECK(bilinear_resizer{{4, 4}, {8, 8}, in}.window() == in);
    }
    for (auto const& [from, to] : {std::pair{image_size{0, 4}, image_size{8, 8}}, {image_size{4, 0}, image_size{8, 8}}, {image_size{4, 4}, image_size{0, 8}}, {image_size{4, 4}, image_size{8, 0}}})
        CHECK(video_test::code_of([from = from, to = to] { return bilinear_resizer{from, to, {0, 0, 0, 0}}; }) == "precondition");
    image out{8, 8, 3};
    image const other{4, 5, 3};
    CHECK(video_test::code_of([&] { fit(view_pixels(other), out); }) == "precondition");
    image const good{4, 4, 3};
    for (dims<3> const wrong : {dims<3>{8, 7, 3}, dims<3>{7, 8, 3}, dims<3>{8, 8, 4}, dims<3>{8, 8, 1}}) {
        image target{wrong};
        CHECK(video_test::code_of([&] { fit(view_pixels(good), target); }) == "precondition");
    }
    image const tall{5, 4, 3};
    CHECK(video_test::code_of([&] { fit(view_pixels(tall), out); }) == "precondition");
    CHECK(video_test::code_of([&] { fit(view_pixels(good), out); }) == "none");
}
