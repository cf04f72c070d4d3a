// Normalisation: 8-bit RGB pixels to the floats a model was trained on, channel by channel.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>
#include <zeroi2v/video/image.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace zeroi2v {

/// Mean and standard deviation of red, green and blue in units of 0..255.
struct channel_statistics {
    std::array<float, 3> mean;
    std::array<float, 3> deviation;
};

[[nodiscard]] constexpr channel_statistics statistics_of(normalization kind) noexcept {
    if (kind == normalization::zeroi2v) return {{122.769F, 116.74F, 104.04F}, {68.493F, 66.63F, 70.321F}};
    constexpr auto from_unit = [](double share) { return static_cast<float>(share * 255.0); };
    return {{from_unit(0.48145466), from_unit(0.4578275), from_unit(0.40821073)},
            {from_unit(0.26862954), from_unit(0.26130258), from_unit(0.27577711)}};
}

/// (x - mean) / deviation for every value that a pixel can have.
///
/// Shapes    in (H,W,3) u8; out (3,H,W) f32.
/// Numerics  single precision, one subtraction and one division: the bits of PyTorch's (x - mean) / std.
/// Errors    other shapes -> ZEROI2V_REQUIRE.   Cost: one table look-up per value.
/// Test      tests/unit/video/normalize.cpp
class normalizer {
public:
    explicit normalizer(channel_statistics const& statistics) noexcept {
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t value = 0; value < 256; ++value)
                table_[c][value] = (static_cast<float>(value) - statistics.mean[c]) / statistics.deviation[c];
    }
    explicit normalizer(normalization kind) noexcept : normalizer{statistics_of(kind)} {}

    [[nodiscard]] float operator()(std::size_t channel, std::uint8_t value) const noexcept {
        return table_[channel][value];
    }

    void operator()(image_view pixels, view<float, 3> out) const {
        auto const [height, width] = size_of(pixels);
        ZEROI2V_REQUIRE(out.extent(0) == 3 && out.extent(1) == height && out.extent(2) == width,
                        "zeroi2v::normalizer: the output must be (3,H,W) of the pixels' size");
        float* const red = out.data();
        float* const green = red + height * width;
        float* const blue = green + height * width;
        for (std::size_t y = 0; y < height; ++y) {
            std::uint8_t const* pixel = pixels.data() + y * pixels.stride(0);
            for (std::size_t at = y * width; at < (y + 1) * width; ++at, pixel += 3) {
                red[at] = table_[0][pixel[0]];
                green[at] = table_[1][pixel[1]];
                blue[at] = table_[2][pixel[2]];
            }
        }
    }

private:
    std::array<std::array<float, 256>, 3> table_{};
};

} // namespace zeroi2v
