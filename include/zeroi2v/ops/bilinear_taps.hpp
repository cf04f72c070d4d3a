// bilinear_taps: between which two pixels a pixel of a resized picture lies, and their weights as OpenCV rounds them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace zeroi2v {

/// Two neighbours in the source and their weights in units of 1/2048.
struct bilinear_tap {
    std::uint32_t first{};
    std::uint32_t second{};
    std::int32_t first_weight{};
    std::int32_t second_weight{};

    friend constexpr bool operator==(bilinear_tap const&, bilinear_tap const&) noexcept = default;
};

namespace detail {

/// Rounds share * 2048, an exact half to even; share is in [0, 1].
[[nodiscard]] inline std::int32_t bilinear_weight(float share) noexcept {
    float const scaled = share * 2048.0F; // exact: a power of two
    auto const below = static_cast<std::int32_t>(scaled);
    float const rest = scaled - static_cast<float>(below);
    return below + (rest > 0.5F || (rest == 0.5F && below % 2 != 0) ? 1 : 0);
}

} // namespace detail

/// The taps of pixels [begin, begin + count) of `out`, along one side of a picture of `in` pixels. `whole_at_border`: a pixel beyond
/// the outermost centres takes the one pixel whole, as OpenCV does along a line; between lines it keeps two weights.
///
///   source coordinate (i + 0.5) in/out - 0.5; weights rounded to 1/2048; pixels at the border are repeated
///
/// Numerics  equal to OpenCV in every bit, whatever the compiler's flags.     Errors  none; sides from 1 to 2^31.
/// Source    OpenCV, imgproc resize, 8-bit INTER_LINEAR.     Test  tests/unit/video/resize.cpp
[[nodiscard]] inline std::vector<bilinear_tap> bilinear_taps(std::size_t in, std::size_t out, std::size_t begin, std::size_t count, bool whole_at_border) {
    double const scale = 1.0 / (static_cast<double>(out) / static_cast<double>(in));
    std::vector<bilinear_tap> result(count);
    for (std::size_t i = 0; i < count; ++i) {
        // volatile: never fused with the subtraction
        double const volatile product = (static_cast<double>(begin + i) + 0.5) * scale;
        auto const position = static_cast<float>(product - 0.5);
        float const floor = std::floor(position);
        float const rest = position - floor;
        auto const left = static_cast<std::int64_t>(floor);
        auto const last = static_cast<std::int64_t>(in) - 1;
        auto const inside = [&](std::int64_t at) { return static_cast<std::uint32_t>(std::clamp<std::int64_t>(at, 0, last)); };
        result[i] = {inside(left), inside(left + 1), detail::bilinear_weight(1.0F - rest), detail::bilinear_weight(rest)};
        if (whole_at_border && result[i].first == result[i].second) {
            result[i].first_weight = 2048;
            result[i].second_weight = 0;
        }
    }
    return result;
}

} // namespace zeroi2v
