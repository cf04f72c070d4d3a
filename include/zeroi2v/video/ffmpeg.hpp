// video_reader: decodes the frames of a file with FFmpeg.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/video/ffmpeg/input.hpp>
#include <zeroi2v/video/ffmpeg/library.hpp>
#include <zeroi2v/video/ffmpeg/pass.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/video_file.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Decodes the first video stream of a regular file, frame by frame, and hands over those that are wanted.
///
/// Frames    numbered in order of display, as they come out of the decoder; edit lists and the rotation in the metadata
///           are applied. The number of frames is known after a pass, whatever the container says. A pass always
///           starts at the first packet and never seeks.
/// Pixels    FFmpeg's default conversion to RGB; only wanted frames are converted, and none is kept.
/// Damage    a frame that cannot be trusted (see ffmpeg_pass); FFmpeg's mere remarks are none. Strict: the first one
///           ends the pass. Lenient: it is left out and counted; frames that refer to it are delivered as the decoder
///           makes them. Both judge alike.
/// Sizes     frames may differ in size.
/// Memory    FFmpeg may take its own lack of memory for damage. So damage is believed where memory is there and a second
///           pass finds the same; else it is out_of_memory. What several threads find is judged by one. A damaged file
///           takes two or three times as long.
/// Files     mov/mp4, matroska/webm, avi, mpegts, mpeg, ogg, judged by content. The path is only ever a local file;
///           nothing inside it can make FFmpeg open another file or a connection.
/// Errors    video_error: open_failed, read_failed, unsupported_format, no_stream, codec_unavailable, decode_failed,
///           limit_exceeded. resource_error: out_of_memory, thread_unavailable; open_failed
///           where there is no descriptor left.
/// Threads   one reader, one thread at a time; readers do not disturb each other.
/// Test      tests/unit/video/ffmpeg.cpp
class video_reader {
public:
    using frame_sink = detail::ffmpeg_pass::sink;

    explicit video_reader(std::filesystem::path const& path, video_options const& options = {})
        : options_{options}, file_{path} {
        detail::require_ffmpeg_versions();
        detail::ffmpeg_silence const silence{options_.silence_ffmpeg};
        opened_ = open();
        AVStream& stream = opened_->stream();
        AVCodecParameters const& is = *stream.codecpar;
        static_cast<void>(detail::ffmpeg_codec(is, file_.name()));
        info_.codec = avcodec_get_name(is.codec_id);
        info_.format = opened_->format().iformat->name;
        info_.size = detail::ffmpeg_orientation(nullptr, stream, file_.name())
                         .turned({static_cast<std::size_t>(std::max(is.height, 0)),
                                  static_cast<std::size_t>(std::max(is.width, 0))});
        AVRational const rate = av_guess_frame_rate(&opened_->format(), &stream, nullptr);
        if (rate.num > 0 && rate.den > 0) info_.frames_per_second = av_q2d(rate);
        if (stream.nb_frames > 0) info_.frames_stated = static_cast<std::size_t>(stream.nb_frames);
    }

    [[nodiscard]] video_info const& info() const noexcept { return info_; }
    /// Of the file, as errors say it.
    [[nodiscard]] std::string const& name() const noexcept { return file_.name(); }

    /// A guess, mostly right, at how many frames a pass will find: what the container states, else a count of packets.
    [[nodiscard]] std::size_t expected_frames() {
        if (info_.frames_stated > 0 && info_.frames_stated <= options_.max_packets) return info_.frames_stated;
        detail::ffmpeg_silence const silence{options_.silence_ffmpeg};
        auto const input = take_opened();
        detail::ffmpeg_packet const packet{detail::ffmpeg_allocated(av_packet_alloc())};
        std::size_t count = 0;
        while (count < options_.max_packets && input->next(*packet) >= 0) ++count;
        return count;
    }

    /// What to throw where two passes found different numbers of frames.
    [[nodiscard]] resource_error differs(std::size_t found, std::size_t earlier) const {
        return {error_code::out_of_memory, file_.name() + ": " + std::to_string(found) + " frames found, "
                                               + std::to_string(earlier)
                                               + " as in the pass before expected: FFmpeg lacked memory, or the file changes"};
    }

    /// Decodes the whole stream and calls `take(index, pixels)` for each index of `wanted` that exists, in ascending
    /// order; the pixels are valid during the call. `wanted` ascends without repetition.
    decode_report decode(std::span<std::size_t const> wanted, frame_sink const& take) {
        detail::ffmpeg_silence const silence{options_.silence_ffmpeg};
        bool confirm = true;
        verdict first = judge(wanted, take, options_.threads, confirm);
        // several threads report a fault late, and no longer know its packet
        if (confirm && options_.threads > 1) first = judge(wanted, take, 1, confirm);
        if (std::span<std::size_t const> none; confirm && !(first == judge(none, take, 1, confirm))) throw not_twice();
        if (first.fault) throw video_error{*first.fault};
        return first.report;
    }

private:
    /// What a pass found.
    struct verdict {
        std::optional<video_error> fault;
        decode_report report;
        std::vector<std::uint64_t> places; // of damage

        friend bool operator==(verdict const& a, verdict const& b) {
            if (a.fault.has_value() != b.fault.has_value()) return false;
            if (a.fault) return std::string_view{a.fault->what()} == b.fault->what();
            return a.report == b.report && a.places == b.places;
        }
    };

    /// `wanted`: afterwards those that were not taken. `confirm`: whether lack of memory may be the reason of what was
    /// found.
    [[nodiscard]] verdict judge(std::span<std::size_t const>& wanted, frame_sink const& take, int threads, bool& confirm) {
        auto const input = take_opened();
        verdict found;
        video_options options = options_;
        options.threads = threads;
        std::optional<detail::ffmpeg_pass> pass;
        confirm = false;
        try {
            pass.emplace(*input, file_, options);
            found.report = pass->run(wanted, take);
            found.places = pass->places();
            confirm = found.report.skipped > 0 || found.report.decoded == 0;
        } catch (detail::counted_limit const&) {
            throw;
        } catch (video_error const& fault) {
            if (pass && pass->in_sink()) throw;
            found.fault = fault;
            confirm = true;
        }
        if (pass) wanted = pass->wanted();
        return found;
    }

    [[nodiscard]] std::unique_ptr<detail::ffmpeg_input> open() const {
        std::string said;
        try {
            return std::make_unique<detail::ffmpeg_input>(file_, options_);
        } catch (video_error const& fault) {
            said = fault.what();
        }
        try {
            static_cast<void>(detail::ffmpeg_input{file_, options_});
        } catch (video_error const& fault) {
            if (said == fault.what()) throw;
        }
        throw not_twice();
    }
    [[nodiscard]] std::unique_ptr<detail::ffmpeg_input> take_opened() { return opened_ ? std::move(opened_) : open(); }

    [[nodiscard]] resource_error not_twice() const {
        return {error_code::out_of_memory, file_.name() + ": read twice, a fault found once: FFmpeg lacked memory"};
    }

    video_options options_;
    video_file file_;
    std::unique_ptr<detail::ffmpeg_input> opened_; // at its first packet
    video_info info_;
};

/// Frames chosen by number, kept in memory.
struct decoded_frames {
    std::vector<image> frames; ///< one per index asked for, in that order
    video_info info;
    decode_report report;
};

/// Decodes the frames with the given numbers, in any order, repeated or not.
/// Errors  as video_reader; a number that is not in the video -> no_frames.
[[nodiscard]] inline decoded_frames decode_frames(std::filesystem::path const& path,
                                                  std::span<std::size_t const> indices,
                                                  video_options const& options = {}) {
    std::vector<std::size_t> wanted(indices.begin(), indices.end());
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    video_reader reader{path, options};
    std::vector<image> taken;
    auto const report = reader.decode(wanted, [&](std::size_t, image_view pixels) {
        image copy{pixels.extent(0), pixels.extent(1), std::size_t{3}};
        for (std::size_t y = 0; y < pixels.extent(0); ++y)
            std::copy_n(pixels.data() + y * pixels.stride(0), pixels.extent(1) * 3,
                        &copy(y, std::size_t{0}, std::size_t{0}));
        taken.push_back(std::move(copy));
    });
    if (taken.size() < wanted.size())
        throw video_error{error_code::no_frames, path.string() + ": " + std::to_string(report.decoded)
                                                     + " frames found, frame " + std::to_string(wanted[taken.size()])
                                                     + " expected"};
    decoded_frames result{{}, reader.info(), report};
    result.frames.reserve(indices.size());
    for (std::size_t const index : indices)
        result.frames.push_back(
            taken[static_cast<std::size_t>(std::lower_bound(wanted.begin(), wanted.end(), index) - wanted.begin())]);
    return result;
}

} // namespace zeroi2v
