// preprocess_video: from a video file to the tensor that a model takes; sample_video: to the frames that it is made of.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/video/ffmpeg.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#include <zeroi2v/video/sampled_video.hpp>
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

namespace detail {

/// The sink that make_sink(n) made for a video of n frames, full: put(sink, index, pixels) was called for each of its wanted()
/// frames. A second pass is made where the file states another number than decodes.
template <class MakeSink, class Put>
auto decode_sampled(video_reader& reader, MakeSink&& make_sink, Put&& put) {
    std::size_t count = reader.expected_frames();
    for (int pass = 1;; ++pass) {
        auto sink = make_sink(count == 0 ? 1 : count);
        auto const report = reader.decode(sink.wanted(), [&](std::size_t index, image_view pixels) { put(sink, index, pixels); });
        if (report.decoded == 0)
            throw video_error{error_code::no_frames, reader.name() + ": 0 frames decoded, at least 1 expected"};
        if (report.decoded == count) return std::pair{std::move(sink), report};
        if (pass == 2) throw reader.differs(report.decoded, count);
        count = report.decoded;
    }
}

[[nodiscard]] inline frame_sampler checked_sampler(input_config const& config, std::size_t frames, std::size_t image_size) {
    frame_sampler const sampler{config.sampling, frames, config.interval, config.clips};
    static_cast<void>(sampler.sample(1)); // refuses what no video can satisfy
    view_builder::checked(config, image_size);
    return sampler;
}

} // namespace detail

/// Samples, decodes, resizes, crops and normalises what a reader reads that has decoded nothing yet.
///
/// The sampler is asked with the expected number of frames; the video is then decoded to its end, and only where the
/// decoded number is another one are sampling and decoding repeated with that one. So the indices are always those of
/// the frames that decode, and a sound file is decoded once.
///
/// Shapes   clip (V,T,3,S,S) with V = crops * clips, crop-major; S = image_size.
/// Errors   as video_reader, frame_sampler and view_builder; no frame decodes -> no_frames; bad_config before the
///          file is decoded, with a path before it is opened.
/// Memory   the result, one frame, and the decoder's own.
/// Test     tests/unit/video/preprocess.cpp
[[nodiscard]] inline preprocessed_video preprocess_video(video_reader& reader, input_config const& config,
                                                         std::size_t frames, std::size_t image_size) {
    using clock = std::chrono::steady_clock;
    using seconds = std::chrono::duration<double>;
    frame_sampler const sampler = detail::checked_sampler(config, frames, image_size);
    auto const start = clock::now();
    double preprocessing = 0;
    auto [views, report] = detail::decode_sampled(
        reader, [&](std::size_t n) { return view_builder{config, image_size, sampler.sample(n)}; },
        [&](view_builder& sink, std::size_t index, image_view pixels) {
            auto const begun = clock::now();
            sink.put(index, pixels);
            preprocessing += seconds{clock::now() - begun}.count();
        });
    double const all = seconds{clock::now() - start}.count();
    auto indices = std::move(views).indices();
    return {std::move(views).clip(), std::move(indices), reader.info(), report, all - preprocessing, preprocessing};
}

/// The same from a path.
[[nodiscard]] inline preprocessed_video preprocess_video(std::filesystem::path const& path, input_config const& config,
                                                         std::size_t frames, std::size_t image_size,
                                                         video_options const& options = {}) {
    using clock = std::chrono::steady_clock;
    static_cast<void>(detail::checked_sampler(config, frames, image_size));
    auto const start = clock::now();
    video_reader reader{path, options};
    std::chrono::duration<double> const opening = clock::now() - start;
    auto video = preprocess_video(reader, config, frames, image_size);
    video.decode_seconds += opening.count();
    return video;
}

/// Samples and decodes alone; whoever resizes, crops and normalises may be a device.
///
/// Errors   as preprocess_video; image_size counts for bad_config only.
/// Memory   every frame that a view shows, and the decoder's own.
/// Test     tests/unit/video/sampled_video.cpp
[[nodiscard]] inline sampled_video sample_video(video_reader& reader, input_config const& config, std::size_t frames, std::size_t image_size) {
    using clock = std::chrono::steady_clock;
    frame_sampler const sampler = detail::checked_sampler(config, frames, image_size);
    auto const start = clock::now();
    auto [collected, report] = detail::decode_sampled(
        reader, [&](std::size_t n) { return frame_collector{sampler.sample(n)}; },
        [](frame_collector& sink, std::size_t, image_view pixels) { sink.put(pixels); });
    std::chrono::duration<double> const all = clock::now() - start;
    auto shown = std::move(collected).shown();
    auto indices = std::move(collected).indices();
    return {std::move(collected).frames(), std::move(shown), std::move(indices), reader.info(), report, all.count()};
}

} // namespace zeroi2v
