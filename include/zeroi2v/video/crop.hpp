// Crops: where the square windows lie that a model sees of a resized frame.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/video/image.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace zeroi2v {

/// A rectangle of a picture.
struct crop_window {
    std::size_t top = 0;
    std::size_t left = 0;
    std::size_t height = 0;
    std::size_t width = 0;

    friend constexpr bool operator==(crop_window const&, crop_window const&) = default;
};

/// The square of side `crop` in the middle: top = (h-crop)/2, left = (w-crop)/2.
/// Errors  picture smaller than the crop -> model_error bad_config.
[[nodiscard]] inline crop_window centre_crop(image_size picture, std::size_t crop) {
    if (crop == 0 || crop > picture.height || crop > picture.width)
        throw model_error{error_code::bad_config, "crop: a picture of " + std::to_string(picture.width) + "x"
                                                      + std::to_string(picture.height) + " found, at least "
                                                      + std::to_string(crop) + " pixels on each side expected"};
    return {(picture.height - crop) / 2, (picture.width - crop) / 2, crop, crop};
}

/// Three squares of side `crop` along the longer side, in mmaction2's order: first, last, middle.
///
/// With step = (long-crop)/2 they begin at 0, 2 step and step. Along the shorter side they lie in the middle (mmaction2
/// takes no picture whose shorter side differs from the crop).
/// Errors  as centre_crop.
/// Source  mmaction2 ThreeCrop.
[[nodiscard]] inline std::vector<crop_window> three_crops(image_size picture, std::size_t crop) {
    crop_window const middle = centre_crop(picture, crop);
    crop_window first = middle;
    crop_window last = middle;
    if (picture.width >= picture.height) {
        first.left = 0;
        last.left = 2 * middle.left;
    } else {
        first.top = 0;
        last.top = 2 * middle.top;
    }
    return {first, last, middle};
}

/// The windows of one frame: 1 -> the centre, 3 -> three_crops.
/// Errors  another count -> model_error bad_config.
/// Test    tests/unit/video/crop.cpp
[[nodiscard]] inline std::vector<crop_window> crops_of(image_size picture, std::size_t crop, std::size_t count) {
    if (count == 1) return {centre_crop(picture, crop)};
    if (count == 3) return three_crops(picture, crop);
    throw model_error{error_code::bad_config, "crops: " + std::to_string(count) + " found, 1 or 3 expected"};
}

} // namespace zeroi2v
