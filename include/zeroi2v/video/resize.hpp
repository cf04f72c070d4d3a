// Resizing 8-bit pictures: OpenCV's fixed-point bilinear interpolation, of the whole picture or of a window in it.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/ops/bilinear_taps.hpp>
#include <zeroi2v/video/crop.hpp>
#include <zeroi2v/video/image.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The size of a picture whose shorter side becomes `short_side`: int(x factor + 0.5), factor = short_side / min(h, w).
/// Errors  an empty picture or side -> model_error bad_config; longer side over 2^31 -> video_error limit_exceeded.
[[nodiscard]] inline image_size resized_to_short_side(image_size from, std::size_t short_side) {
    if (from.height == 0 || from.width == 0 || short_side == 0)
        throw model_error{error_code::bad_config, "resize: from " + std::to_string(from.width) + "x"
                                                      + std::to_string(from.height) + " to a short side of "
                                                      + std::to_string(short_side)
                                                      + " found, sizes of at least 1 expected"};
    double const factor = static_cast<double>(short_side) / static_cast<double>(std::min(from.height, from.width));
    auto const scaled = [&](std::size_t side) {
        double const volatile product = static_cast<double>(side) * factor; // rounded before 0.5 is added
        double const result = product + 0.5;
        if (!(result < 2147483648.0))
            throw video_error{error_code::limit_exceeded, "resize: from " + std::to_string(from.width) + "x"
                                                              + std::to_string(from.height) + " to a short side of "
                                                              + std::to_string(short_side)
                                                              + ": a side below 2^31 expected"};
        return static_cast<std::size_t>(result);
    };
    return {scaled(from.height), scaled(from.width)};
}

/// Resizes pictures of one size to another and computes one window of the result: the bits of cv2.resize(INTER_LINEAR)
/// followed by a crop. Built once, used for every frame of a video; const calls may run in several threads.
///
///   source coordinate (i + 0.5) in/out - 0.5; weights rounded to 1/2048;
///   row = a0 p[x] + a1 p[x+1];   out = ((b0 (row0 >> 4) >> 16) + (b1 (row1 >> 4) >> 16) + 2) >> 2
///
/// Shapes    in (H,W,3) of the source size, rows padded or not; out (window.height, window.width, 3).
/// Numerics  no antialias; border pixels are repeated. Equal to OpenCV in every bit, whatever the compiler's flags.
/// Errors    a window outside the result, other shapes -> ZEROI2V_REQUIRE.
/// Cost      12 integer operations per output value and two rows of scratch memory.
/// Source    OpenCV, imgproc resize, 8-bit INTER_LINEAR.
/// Test      tests/unit/video/resize.cpp
class bilinear_resizer {
public:
    bilinear_resizer(image_size from, image_size to, crop_window window) : from_{from}, window_{window} {
        ZEROI2V_REQUIRE(from.height > 0 && from.width > 0 && to.height > 0 && to.width > 0,
                        "zeroi2v::bilinear_resizer: sizes must be at least 1");
        ZEROI2V_REQUIRE(window.height <= to.height && window.top <= to.height - window.height
                            && window.width <= to.width && window.left <= to.width - window.width,
                        "zeroi2v::bilinear_resizer: the window must lie in the resized picture");
        columns_ = bilinear_taps(from.width, to.width, window.left, window.width, true);
        rows_ = bilinear_taps(from.height, to.height, window.top, window.height, false);
    }

    [[nodiscard]] crop_window const& window() const noexcept { return window_; }

    void operator()(image_view source, view<std::uint8_t, 3> out) const {
        ZEROI2V_REQUIRE(size_of(source) == from_,
                        "zeroi2v::bilinear_resizer: the source must have the size it was built for");
        ZEROI2V_REQUIRE(out.extent(0) == window_.height && out.extent(1) == window_.width && out.extent(2) == 3,
                        "zeroi2v::bilinear_resizer: the output must have the window's size");
        std::size_t const values = window_.width * 3;
        std::array<std::vector<std::int32_t>, 2> line{std::vector<std::int32_t>(values),
                                                      std::vector<std::int32_t>(values)};
        std::array<std::size_t, 2> held{nothing, nothing};
        for (std::size_t y = 0; y < window_.height; ++y) {
            bilinear_tap const& row = rows_[y];
            if (held[1] == row.first) {
                std::swap(line[0], line[1]);
                std::swap(held[0], held[1]);
            }
            if (std::exchange(held[0], row.first) != row.first) across(source, row.first, line[0]);
            if (std::exchange(held[1], row.second) != row.second) across(source, row.second, line[1]);
            down(line[0].data(), line[1].data(), row, values, out.data() + y * values);
        }
    }

private:
    static constexpr std::size_t nothing = std::numeric_limits<std::size_t>::max();

    void across(image_view source, std::size_t row, std::vector<std::int32_t>& line) const noexcept {
        std::uint8_t const* const pixels = source.data() + row * source.stride(0);
        std::int32_t* out = line.data();
        for (bilinear_tap const& column : columns_) {
            std::uint8_t const* const a = pixels + std::size_t{column.first} * 3;
            std::uint8_t const* const b = pixels + std::size_t{column.second} * 3;
            for (std::size_t channel = 0; channel < 3; ++channel)
                *out++ = a[channel] * column.first_weight + b[channel] * column.second_weight;
        }
    }

    static void down(std::int32_t const* above, std::int32_t const* below, bilinear_tap const& row, std::size_t values,
                     std::uint8_t* out) noexcept {
        for (std::size_t i = 0; i < values; ++i)
            out[i] = static_cast<std::uint8_t>(
                (((row.first_weight * (above[i] >> 4)) >> 16) + ((row.second_weight * (below[i] >> 4)) >> 16) + 2)
                >> 2);
    }

    image_size from_;
    crop_window window_;
    std::vector<bilinear_tap> columns_; // (window.width)
    std::vector<bilinear_tap> rows_;    // (window.height)
};

/// The whole picture at another size.
[[nodiscard]] inline image resize(image_view source, image_size to) {
    image result{to.height, to.width, std::size_t{3}};
    bilinear_resizer{size_of(source), to, {0, 0, to.height, to.width}}(source, result);
    return result;
}

} // namespace zeroi2v
