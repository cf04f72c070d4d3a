// Makes small video files for the tests, with FFmpeg's encoders and muxers.
#pragma once

#include "support.hpp"

#include <zeroi2v/video/ffmpeg.hpp>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace video_test {

struct recipe {
    std::string encoder = "libx264";
    AVPixelFormat format = AV_PIX_FMT_YUV420P;
    int width = 64, height = 48, frames = 20;
    int group = 12, b_frames = 2;
    std::vector<std::pair<std::string, std::string>> settings{};                        ///< the encoder's own options
    std::vector<std::pair<std::string, std::string>> muxing{};                          ///< the muxer's
    std::function<std::int64_t(int)> time = [](int i) { return std::int64_t{i} * 40; }; ///< of frame i, in milliseconds
    int rotation = 0;                           ///< degrees, as av_display_rotation_set takes them
    std::function<void(AVFrame&, int)> paint{}; ///< default: a moving pattern, its brightness the frame's number
};

inline int ok(int code, char const* what) {
    if (code < 0) throw std::runtime_error{std::string{what} + ": " + zeroi2v::detail::ffmpeg_text(code)};
    return code;
}

/// Frame i has in its first plane, top left quarter, the value 30 + 8 i (mod 200), so that its number can be read back.
inline void paint_number(AVFrame& frame, int i) {
    for (int plane = 0; plane < 4 && frame.data[plane] != nullptr; ++plane) {
        int const rows = plane == 0 ? frame.height : AV_CEIL_RSHIFT(frame.height, 1);
        for (int y = 0; y < rows; ++y)
            for (int x = 0; x < std::min(frame.linesize[plane], frame.width); ++x)
                frame.data[plane][y * frame.linesize[plane] + x] = static_cast<std::uint8_t>(
                    plane > 0                                     ? 128
                    : y < frame.height / 2 && x < frame.width / 2 ? 30 + i * 8 % 200
                                                                  : 60 + (x * 3 + y * 5 + i * 7) % 120);
    }
}

/// The frame's number as painted, read from a gray RGB picture.
inline int number_of(zeroi2v::image_view pixels) {
    std::uint8_t const* const p = pixels.data() + pixels.extent(0) / 4 * pixels.stride(0) + pixels.extent(1) / 4 * 3;
    double const luma = p[1] * 219.0 / 255.0 + 16.0;
    return static_cast<int>(std::lround((luma - 30.0) / 8.0));
}

class muxer {
public:
    explicit muxer(std::filesystem::path const& path) {
        ok(avformat_alloc_output_context2(&context_, nullptr, nullptr, path.c_str()), "container");
        ok(avio_open(&context_->pb, path.c_str(), AVIO_FLAG_WRITE), "file");
    }
    muxer(muxer const&) = delete;
    muxer& operator=(muxer const&) = delete;
    ~muxer() {
        avio_closep(&context_->pb);
        avformat_free_context(context_);
    }
    AVFormatContext* operator->() const { return context_; }
    AVFormatContext* get() const { return context_; }

private:
    AVFormatContext* context_ = nullptr;
};

inline void encode(std::filesystem::path const& path, recipe const& r) {
    muxer out{path};
    AVCodec const* const codec = avcodec_find_encoder_by_name(r.encoder.c_str());
    if (codec == nullptr) throw std::runtime_error{r.encoder + " is not in this FFmpeg"};
    zeroi2v::detail::ffmpeg_decoder const encoder{avcodec_alloc_context3(codec)};
    encoder->width = r.width;
    encoder->height = r.height;
    encoder->pix_fmt = r.format;
    encoder->time_base = r.encoder.starts_with("mpeg") ? AVRational{1, 25} : AVRational{1, 1000};
    encoder->framerate = {25, 1};
    encoder->gop_size = r.group;
    encoder->max_b_frames = r.b_frames;
    encoder->thread_count = 1;
    encoder->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    if ((out->oformat->flags & AVFMT_GLOBALHEADER) != 0) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary* settings = nullptr;
    if (r.encoder == "libx264") av_dict_set(&settings, "x264-params", "log-level=none", 0);
    for (auto const& [name, value] : r.settings) av_dict_set(&settings, name.c_str(), value.c_str(), 0);
    int const opened = avcodec_open2(encoder.get(), codec, &settings);
    av_dict_free(&settings);
    ok(opened, "encoder");
    AVStream* const stream = avformat_new_stream(out.get(), nullptr);
    stream->time_base = encoder->time_base;
    stream->avg_frame_rate = {25, 1};
    avcodec_parameters_from_context(stream->codecpar, encoder.get());
    if (r.rotation != 0) {
        auto* const matrix = reinterpret_cast<std::int32_t*>(
            av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(std::int32_t)));
        av_display_rotation_set(matrix, r.rotation);
    }
    AVDictionary* muxing = nullptr;
    for (auto const& [name, value] : r.muxing) av_dict_set(&muxing, name.c_str(), value.c_str(), 0);
    int const begun = avformat_write_header(out.get(), &muxing);
    av_dict_free(&muxing);
    ok(begun, "header");

    zeroi2v::detail::ffmpeg_packet const packet{av_packet_alloc()};
    auto const drain = [&] {
        while (avcodec_receive_packet(encoder.get(), packet.get()) >= 0) {
            av_packet_rescale_ts(packet.get(), encoder->time_base, stream->time_base);
            packet->stream_index = 0;
            ok(av_interleaved_write_frame(out.get(), packet.get()), "packet");
        }
    };
    for (int i = 0; i < r.frames; ++i) {
        zeroi2v::detail::ffmpeg_frame const frame{av_frame_alloc()};
        frame->width = r.width;
        frame->height = r.height;
        frame->format = r.format;
        ok(av_frame_get_buffer(frame.get(), 0), "frame");
        if (r.paint)
            r.paint(*frame, i);
        else
            paint_number(*frame, i);
        frame->pts = encoder->time_base.den == 25 ? i : r.time(i);
        ok(avcodec_send_frame(encoder.get(), frame.get()), "encode");
        drain();
    }
    avcodec_send_frame(encoder.get(), nullptr);
    drain();
    ok(av_write_trailer(out.get()), "trailer");
}

/// A file whose stream claims a codec and a size, with packets of arbitrary bytes.
inline void claim(std::filesystem::path const& path, AVCodecID codec, int width, int height, bytes const& payload,
                  int packets, AVMediaType type = AVMEDIA_TYPE_VIDEO) {
    muxer out{path};
    AVStream* const stream = avformat_new_stream(out.get(), nullptr);
    stream->codecpar->codec_type = type;
    stream->codecpar->codec_id = codec;
    stream->codecpar->width = width;
    stream->codecpar->height = height;
    stream->codecpar->sample_rate = type == AVMEDIA_TYPE_AUDIO ? 8000 : 0;
    if (type == AVMEDIA_TYPE_AUDIO) av_channel_layout_default(&stream->codecpar->ch_layout, 1);
    stream->time_base = {1, 1000};
    ok(avformat_write_header(out.get(), nullptr), "header");
    for (int i = 0; i < packets; ++i) {
        zeroi2v::detail::ffmpeg_packet const packet{av_packet_alloc()};
        ok(av_new_packet(packet.get(), static_cast<int>(payload.size())), "packet");
        std::copy(payload.begin(), payload.end(), packet->data);
        packet->pts = packet->dts = av_rescale_q(i, {1, 25}, stream->time_base);
        packet->flags |= AV_PKT_FLAG_KEY;
        ok(av_interleaved_write_frame(out.get(), packet.get()), "packet");
    }
    ok(av_write_trailer(out.get()), "trailer");
}

/// Where the packets of the first stream lie in a file: offset and size.
inline std::vector<std::pair<std::size_t, std::size_t>> packets_of(std::filesystem::path const& path) {
    AVFormatContext* context = nullptr;
    ok(avformat_open_input(&context, path.c_str(), nullptr, nullptr), "open");
    std::vector<std::pair<std::size_t, std::size_t>> places;
    zeroi2v::detail::ffmpeg_packet const packet{av_packet_alloc()};
    while (av_read_frame(context, packet.get()) >= 0) {
        places.emplace_back(static_cast<std::size_t>(packet->pos), static_cast<std::size_t>(packet->size));
        av_packet_unref(packet.get());
    }
    avformat_close_input(&context);
    return places;
}

} // namespace video_test
