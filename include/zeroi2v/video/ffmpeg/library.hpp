// FFmpeg's libraries: their headers, owners of their objects, their versions, their log level, and lack of memory.
#pragma once

#include <zeroi2v/core/error.hpp>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/error.h>
#include <libavutil/imgutils.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

namespace zeroi2v::detail {

template <auto Free>
struct ffmpeg_deleter {
    template <class T>
    void operator()(T* object) const noexcept {
        if constexpr (requires { Free(object); })
            Free(object);
        else
            Free(&object);
    }
};
using ffmpeg_packet = std::unique_ptr<AVPacket, ffmpeg_deleter<av_packet_free>>;
using ffmpeg_frame = std::unique_ptr<AVFrame, ffmpeg_deleter<av_frame_free>>;
using ffmpeg_decoder = std::unique_ptr<AVCodecContext, ffmpeg_deleter<avcodec_free_context>>;
using ffmpeg_scaler = std::unique_ptr<SwsContext, ffmpeg_deleter<sws_freeContext>>;

template <class T>
[[nodiscard]] T* ffmpeg_allocated(T* object) {
    if (object == nullptr) throw resource_error{error_code::out_of_memory, "FFmpeg: no memory for a decoder's object"};
    return object;
}

[[nodiscard]] inline std::string ffmpeg_text(int code) {
    std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
    av_strerror(code, text.data(), text.size());
    return text.data();
}

/// Whether FFmpeg can have `bytes` in one piece.
[[nodiscard]] inline bool ffmpeg_has_memory(std::size_t bytes) noexcept {
    std::unique_ptr<void, ffmpeg_deleter<av_free>> const memory{av_malloc(bytes)};
    return memory != nullptr;
}

/// The most that FFmpeg ever grants in one piece.
inline constexpr std::size_t ffmpeg_largest_piece = std::numeric_limits<int>::max() - 64;

/// The libraries at run time must have the major versions of the headers.
inline void require_ffmpeg_versions() {
    auto const same = [](char const* name, unsigned found, unsigned expected) {
        if (found >> 16 != expected)
            throw video_error{error_code::codec_unavailable, "FFmpeg: " + std::string{name} + " "
                                                                 + std::to_string(found >> 16) + " found, "
                                                                 + std::to_string(expected) + " as compiled expected"};
    };
    same("libavformat", avformat_version(), LIBAVFORMAT_VERSION_MAJOR);
    same("libavcodec", avcodec_version(), LIBAVCODEC_VERSION_MAJOR);
    same("libavutil", avutil_version(), LIBAVUTIL_VERSION_MAJOR);
    same("libswscale", swscale_version(), LIBSWSCALE_VERSION_MAJOR);
}

/// FFmpeg's log level belongs to the process. The first reader at work makes it quiet, the last one puts it back; a log
/// callback of the application's own stays in place.
class ffmpeg_silence {
public:
    explicit ffmpeg_silence(bool wanted) : wanted_{wanted} {
        if (!wanted_) return;
        std::lock_guard const lock{shared().mutex};
        if (shared().users++ > 0) return;
        shared().level = av_log_get_level();
        av_log_set_level(AV_LOG_QUIET);
    }
    ffmpeg_silence(ffmpeg_silence const&) = delete;
    ffmpeg_silence& operator=(ffmpeg_silence const&) = delete;
    ~ffmpeg_silence() {
        if (!wanted_) return;
        std::lock_guard const lock{shared().mutex};
        if (--shared().users == 0 && av_log_get_level() == AV_LOG_QUIET) av_log_set_level(shared().level);
    }

private:
    struct state {
        std::mutex mutex;
        int users = 0;
        int level = AV_LOG_INFO;
    };
    [[nodiscard]] static state& shared() noexcept {
        static state s;
        return s;
    }

    bool wanted_;
};

} // namespace zeroi2v::detail
