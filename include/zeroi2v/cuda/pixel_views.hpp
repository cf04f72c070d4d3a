// pixel_views: how decoded 8-bit frames become the pixels of a model, said in numbers that a device can use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace zeroi2v {

/// The upper left corner, in the resized picture, of a square window as large as the model's image.
struct pixel_window {
    std::size_t top{};
    std::size_t left{};

    friend constexpr bool operator==(pixel_window const&, pixel_window const&) noexcept = default;
};

/// A decoded frame, (H,W,3) u8, red first.
struct pixel_frame {
    std::uint8_t const* data{};
    std::size_t row_bytes{}; ///< from one row to the next, at least 3 W
};

/// Resizing, cropping and normalising of the frames of one video, as video/views.hpp does it on the CPU: take the resized
/// size from resized_to_short_side, the windows from crops_of, mean and deviation from statistics_of.
struct pixel_views {
    std::size_t height{}, width{};                 ///< of a decoded frame
    std::size_t resized_height{}, resized_width{};
    std::vector<pixel_window> windows;             ///< one per crop
    std::array<float, 3> mean{}, deviation{};      ///< of red, green, blue, in units of 0..255
};

} // namespace zeroi2v
