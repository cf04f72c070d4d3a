// Views of videos: from a video file, or from a file of clips that `preprocess` or somebody else made.
#pragma once

#include "console.hpp"
#include "model_runner.hpp"

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <variant>
#include <vector>

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
                                            video_options const& decoding, std::size_t threads, console const& out);

/// A video as a model takes it: its views, or on cuda the frames that the device makes them of.
struct video_input {
    std::variant<preprocessed_video, sampled_video> pixels;
    std::size_t views = 0;
    decode_report report{};
    double decode_s = 0, preprocess_s = 0;

    /// The views, where they were made on the CPU.
    [[nodiscard]] preprocessed_video const& on_cpu() const { return std::get<preprocessed_video>(pixels); }
    /// Logits (V,K).
    void forward(model_runner& model, input_config const& input, view<float, 2> logits) const;
};

/// Videos in the order of a list. Where `ahead`, each is read while the caller works on the one before.
class video_queue {
public:
    /// How all are read. `frames_only`: for a device that resizes, crops and normalises; a video whose frames take more
    /// than 1 GiB, or differ in size, is read as for the CPU.
    struct reading {
        input_config input;
        std::size_t frames, image_size;
        video_options decoding{}; ///< threads aside
        std::size_t threads;
        bool frames_only = false;
    };

    video_queue(std::vector<std::filesystem::path> videos, reading how, bool ahead);
    /// `path(i)` for i from 0 to count - 1, asked for when it is that one's turn.
    video_queue(std::size_t count, std::function<std::filesystem::path(std::size_t)> path, reading how, bool ahead);

    /// The next one, with a notice where damaged frames were skipped.
    /// Errors  as preprocess_video; the one after can still be asked for.
    [[nodiscard]] video_input next(console const& out);

private:
    void start();

    std::size_t count_;
    std::function<std::filesystem::path(std::size_t)> path_;
    reading how_;
    bool ahead_;
    std::size_t started_ = 0, given_ = 0;
    std::future<video_input> coming_; // its destructor waits for the reading
};

/// `dense, interval 16, 3 clips, 1 crop, resize 224, normalize zeroi2v, average prob`
[[nodiscard]] std::string describe(input_config const& input);

} // namespace zeroi2v::program
