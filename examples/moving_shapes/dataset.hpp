// dataset: stills, clips and video files, as `zeroi2v train`, `few-shot` and `eval` read them.
#pragma once

#include "scene.hpp"

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/image.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace moving_shapes {

/// Frames of a video, all of which a clip has; pixels of a side of a clip.
inline constexpr std::size_t clip_frames = 8, clip_side = 32;

/// How a model reads these videos: every frame, whole.
inline constexpr zeroi2v::input_config input{.sampling = zeroi2v::sampling_method::dense, .interval = 1, .clips = 1, .crops = 1, .resize = clip_side};

/// What a model is asked about a still: its place (a grid of 5 x 5, row by row), size, hue, outline.
inline constexpr std::array<std::size_t, 4> still_groups{25, 5, 8, outlines};
[[nodiscard]] std::array<std::int64_t, 4> still_labels(scene const& still);

/// The pictures as a model gets them once they were encoded and decoded: (F,3,S,S), S = clip_side.
[[nodiscard]] zeroi2v::dynamic_tensor<float, 4> through_a_file(std::span<zeroi2v::image const> pictures);

/// Writes `clips` (count,1,3,S,S) F16, `labels` (count,4) and `label_groups` (4).
void write_stills(std::filesystem::path const& target, std::uint64_t seed, std::size_t count);

/// Writes `clips` (count,T,3,S,S) F16 and `labels` (count), every class equally often.
void write_clips(std::filesystem::path const& target, std::uint64_t seed, std::size_t count);

/// Writes `count` mp4 files to `folder`, each video followed by its reverse, and beside them
///   list.txt           `path label` per line, for `zeroi2v eval`
///   labels.txt         the names of the classes
///   clips.safetensors  what a model gets from the files: `clip` (count,T,3,S,S) F32, for `zeroi2v logits`, and `labels` (count)
/// They are other videos than those of write_clips. An odd count is rounded up.
void write_videos(std::filesystem::path const& folder, std::uint64_t seed, std::size_t count);

} // namespace moving_shapes
