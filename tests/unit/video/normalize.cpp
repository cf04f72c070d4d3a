#include <zeroi2v/video/normalize.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

using namespace zeroi2v;

TEST_CASE("normalizer: one subtraction and one division in single precision, channels apart") {
    for (normalization const kind : {normalization::zeroi2v, normalization::clip}) {
        channel_statistics const s = statistics_of(kind);
        normalizer const normalize{kind};
        for (std::size_t c = 0; c < 3; ++c)
            for (int value = 0; value < 256; ++value) {
                float const volatile difference = static_cast<float>(value) - s.mean[c];
                CHECK(normalize(c, static_cast<std::uint8_t>(value)) == difference / s.deviation[c]);
            }
        image const pixels = video_test::noise(5, 7);
        dynamic_tensor<float, 3> out{3, 5, 7}, padded{3, 5, 7};
        std::vector<std::uint8_t> rows(5 * 26, 255); // five bytes between the rows
        for (std::size_t y = 0; y < 5; ++y) std::copy_n(&pixels(y, std::size_t{0}, std::size_t{0}), 21, &rows[y * 26]);
        normalize(view_pixels(rows.data(), {5, 7}, 26), padded);
        normalize(view_pixels(pixels), out);
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t y = 0; y < 5; ++y)
                for (std::size_t x = 0; x < 7; ++x) {
                    CHECK(out(c, y, x) == normalize(c, pixels(y, x, c)));
                    CHECK(padded(c, y, x) == out(c, y, x));
                }
    }
    // ZeroI2V's configurations in units of 255, CLIP's preprocessing in units of 1.
    channel_statistics const own = statistics_of(normalization::zeroi2v), clip = statistics_of(normalization::clip);
    CHECK(own.mean == std::array{122.769F, 116.74F, 104.04F});
    CHECK(own.deviation == std::array{68.493F, 66.63F, 70.321F});
    CHECK(clip.mean == std::array{static_cast<float>(0.48145466 * 255), static_cast<float>(0.4578275 * 255), static_cast<float>(0.40821073 * 255)});
    CHECK(clip.deviation == std::array{static_cast<float>(0.26862954 * 255), static_cast<float>(0.26130258 * 255), static_cast<float>(0.27577711 * 255)});
}

TEST_CASE("normalizer refuses another shape") {
    image const pixels{5, 7, 3};
    for (dims<3> const sizes : {dims<3>{3, 7, 5}, dims<3>{3, 5, 6}, dims<3>{3, 4, 7}, dims<3>{2, 5, 7}, dims<3>{4, 5, 7}}) {
        dynamic_tensor<float, 3> wrong{sizes};
        CHECK(video_test::code_of([&] { normalizer{normalization::clip}(view_pixels(pixels), wrong); }) == "precondition");
    }
}
