// Views of videos: from a video file, or from a file of clips that `preprocess` or somebody else made.
#pragma once

#include "console.hpp"

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <cstddef>
#include <filesystem>
#include <string>

namespace zeroi2v::program {

/// Whether the path leads to a file of clips rather than to a video: by content, or by the name of a damaged one.
/// Errors  none: what cannot be opened is a video that cannot be opened.
[[nodiscard]] bool is_clips_file(std::filesystem::path const& path);

/// The tensor `clip` of a safetensors file, (V,T,3,S,S); (T,3,S,S) is one view. Other tensors are ignored.
/// Errors  malformed, no `clip`, not F32, F16 or BF16 -> checkpoint_error; another shape than (.,frames,3,size,size) ->
///         model_error bad_shape.
[[nodiscard]] dynamic_tensor<float, 5> read_clips(std::filesystem::path const& path, std::size_t frames, std::size_t size);

/// preprocess_video with the threads given, and a notice where damaged frames were skipped.
[[nodiscard]] preprocessed_video read_video(std::filesystem::path const& path, input_config const& input, std::size_t frames, std::size_t size,
                                            bool lenient, std::size_t threads, console const& out);

/// `dense, interval 16, 3 clips, 1 crop, resize 224, normalize zeroi2v, average prob`
[[nodiscard]] std::string describe(input_config const& input);

} // namespace zeroi2v::program
