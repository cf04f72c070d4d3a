// video_reader: decodes the frames of a file with FFmpeg.
// It is over 400 lines because it is the only header that includes FFmpeg: everything that touches it is here.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/container_damage.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/video_file.hpp>
#include <zeroi2v/video/video_options.hpp>

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

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {
namespace detail {

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

/// The limit as FFmpeg takes it.
[[nodiscard]] inline std::int64_t ffmpeg_max_pixels(video_options const& options) noexcept {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(options.max_pixels, std::numeric_limits<int>::max()));
}

/// A demuxer that reads one file descriptor and can open nothing else.
class ffmpeg_input {
public:
    using clock = std::chrono::steady_clock;

    ffmpeg_input(video_file const& file, video_options const& options, clock::time_point deadline)
        : file_{file}, deadline_{deadline} {
        constexpr int buffer_bytes = 1 << 16;
        auto* const buffer = static_cast<unsigned char*>(ffmpeg_allocated(av_malloc(buffer_bytes)));
        io_.reset(avio_alloc_context(buffer, buffer_bytes, 0, this, &ffmpeg_input::read, nullptr, &ffmpeg_input::seek));
        if (!io_) av_free(buffer);
        static_cast<void>(ffmpeg_allocated(io_.get()));
        auto* context = ffmpeg_allocated(avformat_alloc_context());
        context->pb = io_.get();
        context->io_open = [](AVFormatContext*, AVIOContext**, char const*, int, AVDictionary**) {
            return AVERROR(EPERM);
        };
        context->interrupt_callback = {&ffmpeg_input::interrupted, this};
        AVDictionary* settings = nullptr;
        av_dict_set(&settings, "protocol_whitelist", "file", 0);
        av_dict_set(&settings, "format_whitelist", "mov,mp4,matroska,webm,avi,mpegts,mpeg,ogg", 0);
        int const opened = avformat_open_input(&context, "", nullptr, &settings); // frees the context on failure
        av_dict_free(&settings);
        if (opened < 0) {
            check();
            std::string found;
            if (file.size() == 0)
                found = " (an empty file)";
            else if (opened == AVERROR(EINVAL))
                found = " (another container)"; // not on the list
            fail(opened, error_code::unsupported_format,
                 found + ", one of mov, mp4, matroska, webm, avi, mpegts, mpeg, ogg expected");
        }
        format_.reset(context);
        probe(options);
    }

    [[nodiscard]] AVFormatContext& format() const noexcept { return *format_; }
    [[nodiscard]] AVStream& stream() const noexcept { return *format_->streams[stream_]; }

    /// Throws what only the callbacks have seen: time is up, or the file cannot be read.
    void check() const {
        if (read_error_ != 0)
            throw video_error{error_code::read_failed,
                              file_.name() + ": " + std::strerror(read_error_) + " while reading"};
        if (expired_ || clock::now() >= deadline_)
            throw video_error{error_code::limit_exceeded, file_.name() + ": not decoded within the time allowed"};
    }

    /// The next packet of the video stream: 0, AVERROR_EOF, or what is wrong with the next bytes.
    [[nodiscard]] int next(AVPacket& packet) {
        for (;;) {
            av_packet_unref(&packet);
            int const result = av_read_frame(format_.get(), &packet);
            check();
            if (result < 0 || packet.stream_index == stream_) return result;
        }
    }

    [[noreturn]] void fail(int code, error_code kind, std::string const& rest) const {
        if (code == AVERROR(ENOMEM)) { // memory is short, or the file asks for more than anybody has
            constexpr std::size_t most = std::numeric_limits<int>::max() - 64; // that FFmpeg ever grants in one piece
            std::unique_ptr<void, ffmpeg_deleter<av_free>> const memory{av_malloc(most)};
            if (!memory) throw resource_error{error_code::out_of_memory, file_.name() + ": FFmpeg found no memory"};
            throw video_error{error_code::limit_exceeded, file_.name() + ": more memory asked for than FFmpeg grants"};
        }
        if (code == AVERROR(EAGAIN)) // a thread that the system does not give
            throw resource_error{error_code::thread_unavailable, file_.name() + ": no thread for the decoder" + rest};
        throw video_error{kind, file_.name() + ": " + ffmpeg_text(code) + rest};
    }

private:
    struct io_deleter {
        void operator()(AVIOContext* io) const noexcept {
            av_freep(&io->buffer);
            avio_context_free(&io);
        }
    };

    void probe(video_options const& options) {
        // frames are decoded while probing: the limit on their size must already stand
        for (unsigned i = 0; i < format_->nb_streams; ++i) require_size(*format_->streams[i], options);
        std::vector<AVDictionary*> settings(format_->nb_streams, nullptr);
        for (auto& each : settings) av_dict_set_int(&each, "max_pixels", ffmpeg_max_pixels(options), 0);
        int const found = avformat_find_stream_info(format_.get(), settings.data());
        for (auto& each : settings) av_dict_free(&each);
        check();
        if (found < 0) fail(found, error_code::decode_failed, " while the streams were looked at");
        stream_ = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
        if (stream_ < 0 || (stream().disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
            throw video_error{error_code::no_stream, file_.name() + ": no video stream found among "
                                                         + std::to_string(format_->nb_streams)
                                                         + " streams, one expected"};
        require_size(stream(), options); // as the stream itself has it
        for (unsigned i = 0; i < format_->nb_streams; ++i)
            if (static_cast<int>(i) != stream_) format_->streams[i]->discard = AVDISCARD_ALL;
    }

    void require_size(AVStream const& stream, video_options const& options) const {
        AVCodecParameters const& is = *stream.codecpar;
        if (is.codec_type != AVMEDIA_TYPE_VIDEO || is.width <= 0 || is.height <= 0) return;
        if (static_cast<std::uint64_t>(is.width) * static_cast<std::uint64_t>(is.height) <= options.max_pixels) return;
        throw video_error{error_code::limit_exceeded, file_.name() + ": frames of " + std::to_string(is.width) + "x"
                                                          + std::to_string(is.height) + " found, at most "
                                                          + std::to_string(options.max_pixels) + " pixels expected"};
    }

    static int read(void* self, std::uint8_t* buffer, int bytes) noexcept {
        auto& input = *static_cast<ffmpeg_input*>(self);
        if (interrupted(self) != 0) return AVERROR_EXIT;
        auto const got = input.file_.read_at(input.position_, {buffer, static_cast<std::size_t>(bytes)});
        if (got == 0) return AVERROR_EOF;
        if (got < 0) {
            input.read_error_ = static_cast<int>(-got);
            return AVERROR(input.read_error_);
        }
        input.position_ += got;
        return static_cast<int>(got);
    }

    static std::int64_t seek(void* self, std::int64_t offset, int whence) noexcept {
        auto& input = *static_cast<ffmpeg_input*>(self);
        std::int64_t const size = input.file_.size();
        if ((whence & AVSEEK_SIZE) != 0) return size;
        whence &= ~AVSEEK_FORCE;
        std::int64_t const base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? input.position_ : size;
        if (offset < -base || offset > std::numeric_limits<std::int64_t>::max() - base) return AVERROR(EINVAL);
        return input.position_ = base + offset;
    }

    static int interrupted(void* self) noexcept {
        auto& input = *static_cast<ffmpeg_input*>(self);
        if (clock::now() >= input.deadline_) input.expired_ = true;
        return input.expired_ ? 1 : 0;
    }

    video_file const& file_;
    clock::time_point deadline_;
    std::int64_t position_ = 0;
    int read_error_ = 0;
    bool expired_ = false;
    std::unique_ptr<AVIOContext, io_deleter> io_;
    std::unique_ptr<AVFormatContext, ffmpeg_deleter<avformat_close_input>> format_;
    int stream_ = -1;
};

/// Decoded frames to RGB: FFmpeg's own default conversion (that of its programs' scale filter), then upright.
class ffmpeg_converter {
public:
    explicit ffmpeg_converter(std::string const& file) : file_{file} {}

    /// The view is valid until the next call.
    [[nodiscard]] image_view operator()(AVFrame const& frame, orientation way) {
        configuration const wanted{frame.width, frame.height, frame.format, frame.colorspace, frame.color_range};
        if (!scaler_ || wanted != current_) configure(wanted);
        image_size const size{static_cast<std::size_t>(frame.height), static_cast<std::size_t>(frame.width)};
        std::array<std::uint8_t*, 4> const planes{reinterpret_cast<std::uint8_t*>(pixels_.data()), nullptr, nullptr,
                                                  nullptr};
        std::array<int, 4> const strides{static_cast<int>(row_bytes_), 0, 0, 0};
        int const rows =
            sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes.data(), strides.data());
        if (rows != frame.height) refuse(wanted);
        image_view const picture = view_pixels(planes[0], size, row_bytes_);
        if (way.is_upright()) return picture;
        image_size const turned = way.turned(size);
        if (turned_.extent(0) != turned.height || turned_.extent(1) != turned.width)
            turned_ = image{turned.height, turned.width, std::size_t{3}};
        orient(picture, way, turned_);
        return view_pixels(turned_);
    }

private:
    struct configuration {
        int width, height, format;
        AVColorSpace space;
        AVColorRange range;
        friend bool operator==(configuration const&, configuration const&) = default;
    };

    [[noreturn]] void refuse(configuration const& wanted) const {
        char const* const name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(wanted.format));
        throw video_error{error_code::unsupported_format,
                          file_ + ": pixel format " + std::string{name != nullptr ? name : "unknown"} + " of "
                              + std::to_string(wanted.width) + "x" + std::to_string(wanted.height)
                              + " found, one that FFmpeg converts to RGB expected"};
    }

    void configure(configuration const& wanted) {
        scaler_.reset(ffmpeg_allocated(sws_alloc_context()));
        auto const set = [&](char const* name, std::int64_t value) { av_opt_set_int(scaler_.get(), name, value, 0); };
        set("srcw", wanted.width);
        set("srch", wanted.height);
        set("src_format", wanted.format);
        set("dstw", wanted.width);
        set("dsth", wanted.height);
        set("dst_format", AV_PIX_FMT_RGB24);
        set("sws_flags", SWS_BICUBIC);
        if (wanted.format == AV_PIX_FMT_YUV420P) set("src_v_chr_pos", 128); // where MPEG-2 and its successors have it
        int const made = sws_init_context(scaler_.get(), nullptr, nullptr);
        if (made == AVERROR(ENOMEM)) static_cast<void>(ffmpeg_allocated<void>(nullptr));
        if (made < 0) refuse(wanted);
        int* table_in = nullptr;
        int* table_out = nullptr;
        int full_in = 0, full_out = 0, brightness = 0, contrast = 0, saturation = 0;
        int const details = sws_getColorspaceDetails(scaler_.get(), &table_in, &full_in, &table_out, &full_out,
                                                     &brightness, &contrast, &saturation);
        if (details >= 0) {
            bool const has_matrix = wanted.space >= AVCOL_SPC_BT709 && wanted.space <= AVCOL_SPC_BT2020_CL
                                    && wanted.space != AVCOL_SPC_YCGCO;
            int const* const table = sws_getCoefficients(has_matrix ? wanted.space : AVCOL_SPC_BT470BG);
            if (wanted.range != AVCOL_RANGE_UNSPECIFIED) full_in = wanted.range == AVCOL_RANGE_JPEG ? 1 : 0;
            sws_setColorspaceDetails(scaler_.get(), table, full_in, table, full_out, brightness, contrast, saturation);
        }
        // vector code of swscale writes whole registers: every row ends in padding
        row_bytes_ = (static_cast<std::size_t>(wanted.width) * 3 + 127) / 64 * 64;
        pixels_ = aligned_buffer{row_bytes_ * static_cast<std::size_t>(wanted.height) + 64};
        std::memset(pixels_.data(), 0, pixels_.size());
        current_ = wanted;
    }

    std::string const& file_;
    ffmpeg_scaler scaler_;
    configuration current_{};
    aligned_buffer pixels_;
    std::size_t row_bytes_ = 0;
    image turned_;
};

/// The display matrix of a frame, else of its stream. One that is no quarter turn or mirror is refused.
[[nodiscard]] inline orientation ffmpeg_orientation(AVFrame const* frame, AVStream const& stream,
                                                    std::string const& file) {
    std::array<std::int32_t, 9> matrix{};
    constexpr std::size_t bytes = sizeof matrix;
    auto const* const of_frame =
        frame != nullptr ? av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX) : nullptr;
    if (of_frame != nullptr && of_frame->size >= bytes) {
        std::memcpy(matrix.data(), of_frame->data, bytes);
    } else {
#if LIBAVFORMAT_VERSION_MAJOR >= 61
        auto const* stored = av_packet_side_data_get(stream.codecpar->coded_side_data,
                                                     stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
        if (stored == nullptr || stored->size < bytes) return {};
        std::memcpy(matrix.data(), stored->data, bytes);
#else
        std::size_t size = 0;
        auto const* stored = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
        if (stored == nullptr || size < bytes) return {};
        std::memcpy(matrix.data(), stored, bytes);
#endif
    }
    std::array<double, 4> turn{double(matrix[0]), double(matrix[1]), double(matrix[3]), double(matrix[4])};
    double largest = 0;
    for (double const each : turn) largest = std::max(largest, std::abs(each));
    if (largest == 0) return {};
    for (double& each : turn) each /= largest;
    auto const unit = [](double x) { return std::abs(x) < 0.02 ? 0 : x > 0.98 ? 1 : x < -0.98 ? -1 : 2; };
    orientation const way{unit(turn[0]), unit(turn[2]), unit(turn[1]), unit(turn[3])};
    bool const straight = way.xy == 0 && way.yx == 0 && std::abs(way.xx) == 1 && std::abs(way.yy) == 1;
    bool const quarter = way.xx == 0 && way.yy == 0 && std::abs(way.xy) == 1 && std::abs(way.yx) == 1;
    if (!straight && !quarter)
        throw video_error{error_code::unsupported_format, file + ": rotation by "
                                                              + std::to_string(-av_display_rotation_get(matrix.data()))
                                                              + " degrees found, quarter turns and mirrors expected"};
    return way;
}

/// Buffers start at zero: what a damaged stream leaves unwritten is never what memory held before.
inline int ffmpeg_clean_buffer(AVCodecContext* context, AVFrame* frame, int flags) noexcept {
    int const result = avcodec_default_get_buffer2(context, frame, flags);
    if (result < 0) return result;
    for (auto* buffer : frame->buf)
        if (buffer != nullptr) std::memset(buffer->data, 0, static_cast<std::size_t>(buffer->size));
    return result;
}

[[nodiscard]] inline AVCodec const& ffmpeg_codec(AVCodecParameters const& of, std::string const& file) {
    if (auto const* codec = avcodec_find_decoder(of.codec_id)) return *codec;
    std::array<char, AV_FOURCC_MAX_STRING_SIZE> tag{};
    av_fourcc_make_string(tag.data(), of.codec_tag);
    throw video_error{error_code::codec_unavailable,
                      file + ": codec_unavailable: "
                          + (of.codec_id == AV_CODEC_ID_NONE ? "unknown codec, tag " + std::string{tag.data()}
                                                             : std::string{avcodec_get_name(of.codec_id)})
                          + " found, a codec of this FFmpeg expected"};
}

/// Whether the decoder covers damage up and marks the frame. The others are told to fail instead.
[[nodiscard]] constexpr bool ffmpeg_marks_concealment(AVCodecID id) noexcept {
    switch (id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_H263:
    case AV_CODEC_ID_H263P:
    case AV_CODEC_ID_FLV1:
    case AV_CODEC_ID_MSMPEG4V2:
    case AV_CODEC_ID_MSMPEG4V3:
    case AV_CODEC_ID_WMV1:
    case AV_CODEC_ID_WMV2: return true;
    default: return false;
    }
}

/// Whether the decoder may work on several frames at once. An error of the others, mpeg4 among them, can leave a frame
/// marked as made and without a picture; frame threads hand it on, and libavcodec then ends the process by an assertion.
/// Slice threads would switch off their search for damage, so they get one thread.
[[nodiscard]] constexpr bool ffmpeg_threads_frames(AVCodecID id) noexcept {
    switch (id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1: return true;
    default: return false;
    }
}

/// One pass over a video stream, from its first packet to its last.
class ffmpeg_pass {
public:
    using sink = std::function<void(std::size_t, image_view)>;

    ffmpeg_pass(ffmpeg_input& input, video_file const& file, video_options const& options)
        : input_{input},
          file_{file},
          options_{options},
          packet_{ffmpeg_allocated(av_packet_alloc())},
          frame_{ffmpeg_allocated(av_frame_alloc())},
          convert_{file.name()} {
        AVCodecParameters const& is = *input.stream().codecpar;
        AVCodec const& codec = ffmpeg_codec(is, file.name());
        decoder_.reset(ffmpeg_allocated(avcodec_alloc_context3(&codec)));
        check(avcodec_parameters_to_context(decoder_.get(), &is));
        decoder_->pkt_timebase = input.stream().time_base;
        decoder_->max_pixels = ffmpeg_max_pixels(options);
        // which packet a decoder complains about is certain on one thread only
        bool const threaded = !options.lenient && ffmpeg_threads_frames(is.codec_id);
        decoder_->thread_count = threaded ? std::clamp(options.threads, 1, 64) : 1;
        decoder_->thread_type = FF_THREAD_FRAME; // slice threads would switch off the search for damage
        decoder_->get_buffer2 = &ffmpeg_clean_buffer;
        decoder_->err_recognition = AV_EF_CRCCHECK;
        if (!options.lenient || !ffmpeg_marks_concealment(is.codec_id)) decoder_->err_recognition |= AV_EF_EXPLODE;
        check(avcodec_open2(decoder_.get(), &codec, nullptr));
    }

    [[nodiscard]] decode_report run(std::span<std::size_t const> wanted, sink const& take) {
        wanted_ = wanted;
        take_ = &take;
        for (int unreadable = 0;;) {
            int const result = input_.next(*packet_);
            if (result == AVERROR_EOF) break;
            if (++packets_ > options_.max_packets) limit("packets", options_.max_packets);
            if (result < 0) {
                damaged(result);
                if (++unreadable == most_unreadable) break;
                continue;
            }
            unreadable = 0;
            if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) {
                damaged(AVERROR_INVALIDDATA);
                continue;
            }
            // decoders treat time stamps as opaque: here they number the packets, to know a frame's packet again
            packet_->pts = packet_->dts = static_cast<std::int64_t>(packets_);
            send(packet_.get());
        }
        send(nullptr);
        input_.check();
        judge_container();
        return report_;
    }

private:
    static constexpr int most_unreadable = 16; // in a row; then a lenient pass takes the file to end here

    void send(AVPacket const* packet) {
        for (int tries = 0;; ++tries) {
            int const result = avcodec_send_packet(decoder_.get(), packet);
            receive();
            if (result == AVERROR(EAGAIN) && tries < 8) continue;
            if (result < 0 && result != AVERROR_EOF) damaged(result, packets_);
            return;
        }
    }

    void receive() {
        for (std::uint64_t errors = 0; errors <= most_unreadable;) {
            input_.check();
            int const result = avcodec_receive_frame(decoder_.get(), frame_.get());
            if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) return;
            if (result < 0) {
                damaged(result, packets_);
                ++errors;
                continue;
            }
            deliver();
            av_frame_unref(frame_.get());
        }
    }

    void deliver() {
        if (known_damaged(frame_->pts)) return;
        if ((frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0 || frame_->decode_error_flags != 0)
            return damaged(AVERROR_INVALIDDATA);
        image_size const size{static_cast<std::size_t>(frame_->height), static_cast<std::size_t>(frame_->width)};
        std::uint64_t const pixels = std::uint64_t{size.height} * size.width;
        if (pixels > options_.max_pixels) limit("pixels of a frame", options_.max_pixels);
        if ((total_pixels_ += pixels) > options_.max_total_pixels) limit("pixels in all", options_.max_total_pixels);
        orientation const way = ffmpeg_orientation(frame_.get(), input_.stream(), file_.name());
        image_size const upright = way.turned(size);
        if (report_.decoded > 0 && upright != size_)
            throw video_error{error_code::format_changed, file_.name() + ": frame " + std::to_string(report_.decoded)
                                                              + ": " + std::to_string(upright.width) + "x"
                                                              + std::to_string(upright.height) + " found, "
                                                              + std::to_string(size_.width) + "x"
                                                              + std::to_string(size_.height) + " as before expected"};
        size_ = upright;
        std::size_t const index = report_.decoded++;
        if (wanted_.empty() || wanted_.front() != index) return;
        wanted_ = wanted_.subspan(1);
        (*take_)(index, convert_(*frame_, way));
    }

    /// What the container tells only after the last packet; frames that its index promises beyond the end of the file.
    void judge_container() {
        std::string const format = input_.format().iformat->name;
        container_damage const damage = damage_of(file_, format);
        if (damage.count > 0 && !options_.lenient)
            throw video_error{error_code::decode_failed, file_.name() + ": " + damage.what + ", seen after frame "
                                                             + std::to_string(report_.decoded)
                                                             + ", an undamaged file expected"};
        report_.skipped += damage.count;
        auto const indexed =
            static_cast<std::uint64_t>(std::max(avformat_index_get_entries_count(&input_.stream()), 0));
        if (report_.skipped > 0 && format.starts_with("mov,") && indexed > packets_)
            report_.skipped += static_cast<std::size_t>(indexed - packets_);
    }

    /// Strict: the end. Lenient: one more skipped; the frame of `packet`, should it come, is not taken.
    void damaged(int code, std::uint64_t packet = 0) {
        if (code == AVERROR(ENOMEM)) input_.fail(code, error_code::decode_failed, {});
        if (!options_.lenient)
            input_.fail(code, error_code::decode_failed,
                        " at frame " + std::to_string(report_.decoded) + ", an undamaged frame expected");
        report_.skipped += 1;
        if (packet != 0) damaged_packets_.push_back(static_cast<std::int64_t>(packet));
    }

    [[nodiscard]] bool known_damaged(std::int64_t pts) const noexcept {
        return std::binary_search(damaged_packets_.begin(), damaged_packets_.end(), pts);
    }

    void check(int code) const {
        if (code < 0) input_.fail(code, error_code::decode_failed, " while the decoder was set up");
    }

    [[noreturn]] void limit(char const* what, std::uint64_t most) const {
        throw video_error{error_code::limit_exceeded, file_.name() + ": frame " + std::to_string(report_.decoded)
                                                          + ": more " + what + " found than the " + std::to_string(most)
                                                          + " expected"};
    }

    ffmpeg_input& input_;
    video_file const& file_;
    video_options const& options_;
    ffmpeg_packet packet_;
    ffmpeg_frame frame_;
    ffmpeg_decoder decoder_;
    ffmpeg_converter convert_;
    std::span<std::size_t const> wanted_;
    sink const* take_ = nullptr;
    decode_report report_;
    image_size size_{};
    std::uint64_t packets_ = 0;
    std::uint64_t total_pixels_ = 0;
    std::vector<std::int64_t> damaged_packets_; // ascending
};

} // namespace detail

/// Decodes the first video stream of a regular file, frame by frame, and hands over those that are wanted.
///
/// Frames    numbered in order of display, as they come out of the decoder; edit lists and the rotation in the metadata
///           are applied. The number of frames is known after a pass, whatever the container says. A pass always
///           starts at the first packet and never seeks.
/// Pixels    FFmpeg's default conversion to RGB; only wanted frames are converted, and none is kept.
/// Damage    strict: the first damaged packet or frame ends the pass. Lenient: it is left out and counted; frames
///           that refer to it are delivered as the decoder makes them.
/// Files     mov/mp4, matroska/webm, avi, mpegts, mpeg, ogg, judged by content. The path is only ever a local file;
///           nothing inside it can make FFmpeg open another file or a connection.
/// Errors    video_error: open_failed, read_failed, unsupported_format, no_stream, codec_unavailable, decode_failed,
///           format_changed, limit_exceeded. resource_error: out_of_memory, thread_unavailable; open_failed
///           where there is no descriptor left.
/// Threads   one reader, one thread at a time; readers do not disturb each other.
/// Test      tests/unit/video/ffmpeg.cpp
class video_reader {
public:
    using frame_sink = detail::ffmpeg_pass::sink;

    explicit video_reader(std::filesystem::path const& path, video_options const& options = {})
        : options_{options}, file_{path}, deadline_{detail::ffmpeg_input::clock::now() + allowed(options)} {
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

    /// Decodes the whole stream and calls `take(index, pixels)` for each index of `wanted` that exists, in ascending
    /// order; the pixels are valid during the call. `wanted` ascends without repetition.
    decode_report decode(std::span<std::size_t const> wanted, frame_sink const& take) {
        detail::ffmpeg_silence const silence{options_.silence_ffmpeg};
        auto const input = take_opened();
        return detail::ffmpeg_pass{*input, file_, options_}.run(wanted, take);
    }

private:
    [[nodiscard]] static std::chrono::milliseconds allowed(video_options const& options) noexcept {
        double const seconds = options.max_seconds > 0 ? std::min(options.max_seconds, 1e9) : 0;
        return std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1000)};
    }

    [[nodiscard]] std::unique_ptr<detail::ffmpeg_input> open() const {
        return std::make_unique<detail::ffmpeg_input>(file_, options_, deadline_);
    }
    [[nodiscard]] std::unique_ptr<detail::ffmpeg_input> take_opened() { return opened_ ? std::move(opened_) : open(); }

    video_options options_;
    video_file file_;
    detail::ffmpeg_input::clock::time_point deadline_;
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
