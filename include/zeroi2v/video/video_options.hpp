// What a caller may ask of a decoder, and what it tells: limits, strictness, facts about the file. Plain data.
#pragma once

#include <zeroi2v/video/image.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace zeroi2v {

/// How a file is decoded. The limits count work and never time, so that the result is the same on every machine; they
/// end in video_error limit_exceeded.
struct video_options {
    bool lenient = false;                  ///< skip damaged frames and count them, instead of refusing the file
    int threads = 1;                       ///< for decoding, where the codec can; the frames are the same for every number
    std::uint64_t max_pixels = 67'108'864; ///< of one frame, height * width
    std::uint64_t max_packets = 1'000'000; ///< of one pass over the video stream
    std::uint64_t max_total_pixels = std::uint64_t{1} << 43U; ///< of all decoded frames of one pass
    bool silence_ffmpeg = true;                               ///< FFmpeg's own log level is `quiet` while a reader works
};

/// What the container and the stream say of themselves; true only as far as the file is.
struct video_info {
    std::string format;            ///< FFmpeg's name of the container
    std::string codec;             ///< FFmpeg's name of the codec
    image_size size;               ///< of the upright picture; frames may differ from it and from each other
    double frames_per_second = 0;  ///< average; 0 where the file does not say
    std::size_t frames_stated = 0; ///< 0 where the file does not say; the decoded number counts
};

/// What one pass over the video found.
struct decode_report {
    std::size_t decoded = 0; ///< sound frames, in order of display: their numbers are 0 to decoded - 1
    std::size_t skipped = 0; ///< damaged packets and frames left out; always 0 unless lenient

    friend bool operator==(decode_report const&, decode_report const&) = default;
};

} // namespace zeroi2v
