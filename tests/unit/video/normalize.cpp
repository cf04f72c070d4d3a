#include <zeroi2v/video/normalize.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <cmath>

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
        dynamic_tensor<float, 3> out{3, 5, 7};
        normalize(view_pixels(pixels), out);
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t y = 0; y < 5; ++y)
                for (std::size_t x = 0; x < 7; ++x) CHECK(out(c, y, x) == normalize(c, pixels(y, x, c)));
    }
    CHECK(statistics_of(normalization::zeroi2v).mean[1] == 116.74F);
    CHECK(std::abs(statistics_of(normalization::clip).mean[0] - 122.7709F) < 1e-4F);
    CHECK(std::abs(statistics_of(normalization::clip).deviation[2] - 70.3232F) < 1e-4F);
}

TEST_CASE("normalizer refuses another shape") {
    image const pixels{5, 7, 3};
    dynamic_tensor<float, 3> wrong{3, 7, 5};
    CHECK(video_test::code_of([&] { normalizer{normalization::clip}(view_pixels(pixels), wrong); }) == "precondition");
}
