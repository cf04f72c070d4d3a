// image: 8-bit RGB pixels, height x width x 3, and turning them upright.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>

namespace zeroi2v {

/// Pixels that own their memory: (H,W,3), red first.
using image = dynamic_tensor<std::uint8_t, 3>;

/// Pixels that lie somewhere, rows perhaps padded: (H,W,3), the last two dimensions without gaps.
using image_view = tensor_view<std::uint8_t const, dims<3>, strided<3>>;

struct image_size {
    std::size_t height = 0;
    std::size_t width = 0;

    friend constexpr bool operator==(image_size const&, image_size const&) = default;
};

[[nodiscard]] inline image_size size_of(image_view pixels) noexcept { return {pixels.extent(0), pixels.extent(1)}; }

/// Pixels at `data`, `row_bytes` from one row to the next.
/// Errors  rows that overlap, row_bytes < 3 x width -> ZEROI2V_REQUIRE.
[[nodiscard]] inline image_view view_pixels(std::uint8_t const* data, image_size size, std::size_t row_bytes) {
    ZEROI2V_REQUIRE(row_bytes / 3 >= size.width, "zeroi2v::view_pixels: a row must have room for its pixels of 3 bytes");
    return {data, dims<3>{size.height, size.width, std::size_t{3}}, strided<3>{{row_bytes, 3, 1}}};
}

[[nodiscard]] inline image_view view_pixels(image const& pixels) {
    return view_pixels(pixels.data(), {pixels.extent(0), pixels.extent(1)}, pixels.extent(1) * 3);
}

/// One of the eight ways a picture can lie: the pixel at (x, y) belongs at (xx x + xy y, yx x + yy y), moved so that the
/// result starts at (0, 0). Exactly one of xx, xy is not zero, and each is -1, 0 or 1; likewise yx, yy.
struct orientation {
    int xx = 1, xy = 0; ///< how far right a step right, a step down in the source leads
    int yx = 0, yy = 1; ///< how far down

    [[nodiscard]] constexpr bool is_upright() const noexcept { return xx == 1 && yy == 1; }
    [[nodiscard]] constexpr image_size turned(image_size s) const noexcept {
        return xx == 0 ? image_size{s.width, s.height} : s;
    }

    friend constexpr bool operator==(orientation const&, orientation const&) = default;
};

/// Copies `source` to `target` as `way` says.
/// Shapes  target has the size way.turned(size_of(source)).   Aliasing: none allowed.
/// Test    tests/unit/video/image.cpp
inline void orient(image_view source, orientation way, view<std::uint8_t, 3> target) {
    image_size const from = size_of(source);
    image_size const to = way.turned(from);
    ZEROI2V_REQUIRE(target.extent(0) == to.height && target.extent(1) == to.width && target.extent(2) == 3,
                    "zeroi2v::orient: the target must have the turned size of the source");
    auto const place = [](int along_x, int along_y, std::size_t x, std::size_t y, std::size_t extent) {
        std::size_t const step = along_x != 0 ? x : y;
        return along_x + along_y > 0 ? step : extent - 1 - step;
    };
    for (std::size_t y = 0; y < from.height; ++y) {
        std::uint8_t const* pixel = source.data() + y * source.stride(0);
        for (std::size_t x = 0; x < from.width; ++x, pixel += 3) {
            std::size_t const column = place(way.xx, way.xy, x, y, to.width);
            std::size_t const row = place(way.yx, way.yy, x, y, to.height);
            std::uint8_t* const out = target.data() + (row * to.width + column) * 3;
            out[0] = pixel[0];
            out[1] = pixel[1];
            out[2] = pixel[2];
        }
    }
}

} // namespace zeroi2v
