// ffmpeg_input: the packets of one video stream, read from one open file.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/video/container_damage.hpp>
#include <zeroi2v/video/ffmpeg/library.hpp>
#include <zeroi2v/video/video_file.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace zeroi2v::detail {

/// The limit as FFmpeg takes it.
[[nodiscard]] inline std::int64_t ffmpeg_max_pixels(video_options const& options) noexcept {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(options.max_pixels, std::numeric_limits<int>::max()));
}

/// A demuxer that reads one file descriptor and can open nothing else.
class ffmpeg_input {
public:
    ffmpeg_input(video_file const& file, video_options const& options) : file_{file} {
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
        AVDictionary* settings = nullptr;
        av_dict_set(&settings, "protocol_whitelist", "file", 0);
        av_dict_set(&settings, "format_whitelist", "mov,mp4,matroska,webm,avi,mpegts,mpeg,ogg", 0);
        int const opened = avformat_open_input(&context, "", nullptr, &settings); // frees the context on failure
        av_dict_free(&settings);
        if (opened < 0) {
            check();
            if (auto const cut = missing_mp4_index(file); cut && opened == AVERROR_INVALIDDATA)
                throw video_error{error_code::decode_failed, file.name() + ": " + *cut};
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

    /// Throws what only the callbacks have seen: the file cannot be read.
    void check() const {
        if (read_error_ != 0)
            throw video_error{error_code::read_failed,
                              file_.name() + ": " + std::strerror(read_error_) + " while reading"};
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
            if (!ffmpeg_has_memory(ffmpeg_largest_piece))
                throw resource_error{error_code::out_of_memory, file_.name() + ": FFmpeg found no memory"};
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
        throw video_error{error_code::limit_exceeded,
                          file_.name() + ": frames of " + std::to_string(is.width) + "x" + std::to_string(is.height)
                              + " found, at most " + std::to_string(options.max_pixels)
                              + " pixels expected (--max-pixels)"};
    }

    static int read(void* self, std::uint8_t* buffer, int bytes) noexcept {
        auto& input = *static_cast<ffmpeg_input*>(self);
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

    video_file const& file_;
    std::int64_t position_ = 0;
    int read_error_ = 0;
    std::unique_ptr<AVIOContext, io_deleter> io_;
    std::unique_ptr<AVFormatContext, ffmpeg_deleter<avformat_close_input>> format_;
    int stream_ = -1;
};

} // namespace zeroi2v::detail
