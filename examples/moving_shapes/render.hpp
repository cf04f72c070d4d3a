// render: a scene as pictures.
#pragma once

#include "scene.hpp"

#include <zeroi2v/video/image.hpp>

#include <cstddef>
#include <vector>

namespace moving_shapes {

/// Pixels of a side of every picture; a model of 32 sees the mean of four.
inline constexpr std::size_t picture_side = 64;

/// One picture (S,S,3) per moment; edges of the shape are averaged over 2 x 2 samples of each pixel.
[[nodiscard]] std::vector<zeroi2v::image> render(scene const& shown);

} // namespace moving_shapes
