// encode: pictures as an mp4 file in which each frame stands for itself.
#pragma once

#include <zeroi2v/video/image.hpp>

#include <filesystem>
#include <span>

namespace moving_shapes {

/// Frames per second of every file.
inline constexpr int frame_rate = 10;

/// Writes MPEG-4 video: intra frames only, one fixed quantiser. A picture is coded alike wherever it stands, so that a file and
/// the file of the same pictures in reverse order decode to the same frames.
///
/// Shapes  pictures (H,W,3), one or more, all of one size, H and W even.
/// Errors  std::runtime_error: what FFmpeg said.
void encode(std::filesystem::path const& path, std::span<zeroi2v::image const> pictures);

} // namespace moving_shapes
