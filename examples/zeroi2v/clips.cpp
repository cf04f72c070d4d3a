#include "clips.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/file_kind.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <system_error>
#include <utility>

namespace zeroi2v::program {

bool is_clips_file(std::filesystem::path const& path) {
    if (path.extension() == ".safetensors") return true;
    try {
        return file{path}.kind() == file_kind::safetensors;
    } catch (checkpoint_error const&) {
        return false;
    }
}

dynamic_tensor<float, 5> read_clips(std::filesystem::path const& path, std::size_t frames, std::size_t size) {
    safetensors_file const source{path};
    auto const fail = [&](error_code code, std::string const& sentence) {
        return checkpoint_error{code, source.source().name() + ": tensor \"clip\": " + sentence};
    };
    auto const* const info = source.find("clip");
    if (info == nullptr) throw fail(error_code::bad_tensor, "not there, expected (V,T,3,S,S) or (T,3,S,S) of F32");
    if (!is_weight_dtype(info->type))
        throw fail(error_code::unsupported_dtype, "dtype " + std::string{dtype_name(info->type)} + " found, F32, F16 or BF16 expected");
    auto const& s = info->sizes;
    std::size_t const skip = s.rank() == 5 ? 1 : 0;
    bool const fits = (s.rank() == 4 || s.rank() == 5) && s[0] > 0 && s[skip] == frames && s[skip + 1] == 3 && s[skip + 2] == size && s[skip + 3] == size;
    if (!fits) {
        std::string const one = std::to_string(frames) + ",3," + std::to_string(size) + "," + std::to_string(size) + ")";
        throw model_error{error_code::bad_shape, source.source().name() + ": tensor \"clip\": shape " + to_string(s) + " found, (V," + one + " or (" + one
                                                     + " expected"};
    }
    auto const stored = source.read("clip");
    dynamic_tensor<float, 5> clips{skip == 1 ? s[0] : 1, frames, std::size_t{3}, size, size};
    stored.widen(0, {clips.data(), clips.size()});
    return clips;
}

namespace {

video_options with_threads(video_options options, std::size_t threads) {
    options.threads = static_cast<int>(threads);
    return options;
}

void note_skipped(std::filesystem::path const& path, decode_report const& report, console const& out) {
    if (report.skipped > 0)
        out.notice(printable(path.native(), 4096) + ": " + std::to_string(report.skipped) + " damaged frames or packets skipped, "
                   + std::to_string(report.decoded) + " frames decoded");
}

/// Decoded frames beyond this are cut to views one by one instead of being kept for a device.
constexpr std::size_t most_frame_bytes = std::size_t{1} << 30U;

video_input read_input(std::filesystem::path const& path, video_queue::reading const& how) {
    auto const options = with_threads(how.decoding, how.threads);
    video_input result;
    result.views = how.input.crops * how.input.clips;
    if (how.frames_only) {
        stopwatch const opening;
        video_reader reader{path, options};
        double const opened_s = opening.seconds();
        auto const [height, width] = reader.info().size; // one frame is at most 67,108,864 pixels
        if (height * width * 3 <= most_frame_bytes / (how.input.clips * how.frames)) {
            auto video = sample_video(reader, how.input, how.frames, how.image_size);
            bool const alike = std::ranges::all_of(video.frames, [&](image const& each) {
                return size_of(view_pixels(each)) == size_of(view_pixels(video.frames.front()));
            });
            if (alike) {
                result.report = video.report;
                result.decode_s = opened_s + video.decode_seconds;
                result.pixels = std::move(video);
                return result;
            }
        }
    }
    auto video = preprocess_video(path, how.input, how.frames, how.image_size, options);
    result.report = video.report;
    result.decode_s = video.decode_seconds;
    result.preprocess_s = video.preprocess_seconds;
    result.pixels = std::move(video);
    return result;
}

} // namespace

preprocessed_video read_video(std::filesystem::path const& path, input_config const& input, std::size_t frames, std::size_t size, video_options const& decoding,
                              std::size_t threads, console const& out) {
    auto video = preprocess_video(path, input, frames, size, with_threads(decoding, threads));
    note_skipped(path, video.report, out);
    return video;
}

void video_input::forward(model_runner& model, input_config const& input, view<float, 2> logits) const {
    if (auto const* const frames = std::get_if<sampled_video>(&pixels)) model.forward(*frames, input, logits);
    else model.forward(on_cpu().clip, logits);
}

video_queue::video_queue(std::vector<std::filesystem::path> videos, reading how, bool ahead)
    : count_{videos.size()}, path_{[videos = std::move(videos)](std::size_t i) { return videos[i]; }}, how_{how}, ahead_{ahead} {}

video_queue::video_queue(std::size_t count, std::function<std::filesystem::path(std::size_t)> path, reading how, bool ahead)
    : count_{count}, path_{std::move(path)}, how_{how}, ahead_{ahead} {}

void video_queue::start() {
    if (started_ == count_) return;
    auto path = path_(started_++);
    if (ahead_) {
        try {
            coming_ = std::async(std::launch::async, read_input, path, how_);
            return;
        } catch (std::system_error const&) { // no thread to be had: it is read when it is asked for
        }
    }
    coming_ = std::async(std::launch::deferred, read_input, std::move(path), how_);
}

video_input video_queue::next(console const& out) {
    if (!coming_.valid()) start();
    auto const path = path_(given_++);
    auto here = std::move(coming_);
    try {
        auto video = here.get();
        start(); // not before: one video is read at a time
        note_skipped(path, video.report, out);
        return video;
    } catch (video_error const&) {
        start();
        throw;
    }
}

std::string describe(input_config const& input) {
    auto const count = [](std::size_t n, char const* noun) { return std::to_string(n) + " " + noun + (n == 1 ? "" : "s"); };
    std::string text{to_string(input.sampling)};
    if (input.sampling == sampling_method::dense) text += ", interval " + std::to_string(input.interval);
    return text + ", " + count(input.clips, "clip") + ", " + count(input.crops, "crop") + ", resize " + std::to_string(input.resize) + ", normalize "
           + std::string{to_string(input.normalize)} + ", average " + std::string{to_string(input.average)};
}

} // namespace zeroi2v::program
