// preprocess_video: from a video file to the tensor that a model takes.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/video/ffmpeg.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#include <zeroi2v/video/video_options.hpp>
#include <zeroi2v/video/views.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>

namespace zeroi2v {

/// The views of one video, and how they came about.
struct preprocessed_video {
    clip_tensor clip;      ///< (V,T,3,S,S)
    frame_indices indices; ///< (V,T), numbers of the decoded frames
    video_info info;
    decode_report report;
    double decode_seconds = 0;
    double preprocess_seconds = 0; ///< resizing, cropping, normalising
};

/// Samples, decodes, resizes, crops and normalises.
///
/// The sampler is asked with the expected number of frames; the video is then decoded to its end, and only where the
/// decoded number is another one are sampling and decoding repeated with that one. So the indices are always those of
/// the frames that decode, and a sound file is decoded once.
///
/// Shapes   clip (V,T,3,S,S) with V = crops * clips, crop-major; S = image_size.
/// Errors   as video_reader, frame_sampler and view_builder; no frame decodes -> no_frames; bad_config before the
///          file is opened.
/// Memory   the result, one frame, and the decoder's own.
/// Test     tests/unit/video/preprocess.cpp
[[nodiscard]] inline preprocessed_video preprocess_video(std::filesystem::path const& path, input_config const& config,
                                                         std::size_t frames, std::size_t image_size,
                                                         video_options const& options = {}) {
    using clock = std::chrono::steady_clock;
    using seconds = std::chrono::duration<double>;
    frame_sampler const sampler{config.sampling, frames, config.interval, config.clips};
    static_cast<void>(sampler.sample(1)); // refuses what no video can satisfy
    view_builder::checked(config, image_size);

    auto const start = clock::now();
    video_reader reader{path, options};
    std::size_t count = reader.expected_frames();
    double preprocessing = 0;
    for (int pass = 1;; ++pass) {
        view_builder views{config, image_size, sampler.sample(count == 0 ? 1 : count)};
        auto const report = reader.decode(views.wanted(), [&](std::size_t index, image_view pixels) {
            auto const begun = clock::now();
            views.put(index, pixels);
            preprocessing += seconds{clock::now() - begun}.count();
        });
        if (report.decoded == 0)
            throw video_error{error_code::no_frames, path.string() + ": 0 frames decoded, at least 1 expected"};
        if (report.decoded == count) {
            double const all = seconds{clock::now() - start}.count();
            auto indices = std::move(views).indices();
            return {std::move(views).clip(), std::move(indices), reader.info(), report,
                    all - preprocessing,     preprocessing};
        }
        if (pass == 2)
            throw video_error{error_code::decode_failed, path.string() + ": " + std::to_string(report.decoded)
                                                             + " frames found, " + std::to_string(count)
                                                             + " as in the pass before expected"};
        count = report.decoded;
    }
}

} // namespace zeroi2v
