// Small pictures for an HTML page: PNG without compression, as a data URI.
#pragma once

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace zeroi2v::program {

/// RGB pixels (height,width,3) as the bytes of a PNG file.
[[nodiscard]] std::string png(std::span<std::uint8_t const> pixels, std::size_t width, std::size_t height);

/// A normalised frame (3,S,S) as `data:image/png;base64,...`, at most `side` pixels wide, each the mean of those it covers.
[[nodiscard]] std::string thumbnail(view<float const, 3> frame, normalization normalize, std::size_t side);

} // namespace zeroi2v::program
