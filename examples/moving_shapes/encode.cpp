#include "encode.hpp"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace moving_shapes {
namespace {

constexpr int quantiser = 3; // 1 is the finest, 31 the coarsest

int checked(int code, char const* what) {
    if (code >= 0) return code;
    std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
    av_strerror(code, text.data(), text.size());
    throw std::runtime_error{std::string{what} + ": " + text.data()};
}

struct deleter {
    void operator()(AVFormatContext* container) const noexcept {
        avio_closep(&container->pb);
        avformat_free_context(container);
    }
    void operator()(AVCodecContext* encoder) const noexcept { avcodec_free_context(&encoder); }
    void operator()(AVFrame* frame) const noexcept { av_frame_free(&frame); }
    void operator()(AVPacket* packet) const noexcept { av_packet_free(&packet); }
};
template <class T>
using owned = std::unique_ptr<T, deleter>;

template <class T>
owned<T> allocated(T* object) {
    if (object == nullptr) throw std::runtime_error{"FFmpeg: no memory, or not in this build"};
    return owned<T>{object};
}

owned<AVFormatContext> open_container(std::string const& path) {
    AVFormatContext* container = nullptr;
    checked(avformat_alloc_output_context2(&container, nullptr, "mp4", path.c_str()), "mp4");
    owned<AVFormatContext> result{container};
    checked(avio_open(&container->pb, path.c_str(), AVIO_FLAG_WRITE), path.c_str());
    return result;
}

owned<AVCodecContext> open_encoder(int width, int height) {
    AVCodec const* const codec = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
    auto encoder = allocated(avcodec_alloc_context3(codec));
    encoder->width = width;
    encoder->height = height;
    encoder->pix_fmt = AV_PIX_FMT_YUV420P;
    encoder->time_base = {1, frame_rate};
    encoder->framerate = {frame_rate, 1};
    encoder->gop_size = 0; // every frame is an intra frame
    encoder->max_b_frames = 0;
    encoder->thread_count = 1;
    encoder->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    encoder->global_quality = FF_QP2LAMBDA * quantiser;
    checked(avcodec_open2(encoder.get(), codec, nullptr), "MPEG-4 encoder");
    return encoder;
}

/// BT.601 in the range of video, rounded; the colour planes hold means of 2 x 2 pixels.
std::uint8_t plane_value(std::array<int, 3> const& weights, int offset, std::array<int, 3> const& rgb, int pixels) {
    int const sum = weights[0] * rgb[0] + weights[1] * rgb[1] + weights[2] * rgb[2];
    int const divisor = 1000 * pixels;
    int const rounded = sum >= 0 ? (sum + divisor / 2) / divisor : -((-sum + divisor / 2) / divisor);
    return static_cast<std::uint8_t>(std::clamp(rounded + offset, 0, 255));
}

std::array<int, 3> sum_of(zeroi2v::image const& picture, std::size_t y, std::size_t x, std::size_t block) {
    std::array<int, 3> sum{};
    for (std::size_t down = 0; down < block; ++down)
        for (std::size_t right = 0; right < block; ++right)
            for (std::size_t channel = 0; channel < 3; ++channel) sum[channel] += picture(y + down, x + right, channel);
    return sum;
}

void fill(AVFrame& frame, zeroi2v::image const& picture) {
    constexpr std::array<int, 3> luma{257, 504, 98}, blue{-148, -291, 439}, red{439, -368, -71}; // thousandths
    auto const put = [&](int plane, std::size_t y, std::size_t x, std::uint8_t value) {
        frame.data[plane][static_cast<std::ptrdiff_t>(y) * frame.linesize[plane] + static_cast<std::ptrdiff_t>(x)] = value;
    };
    for (std::size_t y = 0; y < picture.extent(0); ++y)
        for (std::size_t x = 0; x < picture.extent(1); ++x) put(0, y, x, plane_value(luma, 16, sum_of(picture, y, x, 1), 1));
    for (std::size_t y = 0; y < picture.extent(0) / 2; ++y)
        for (std::size_t x = 0; x < picture.extent(1) / 2; ++x) {
            auto const four = sum_of(picture, 2 * y, 2 * x, 2);
            put(1, y, x, plane_value(blue, 128, four, 4));
            put(2, y, x, plane_value(red, 128, four, 4));
        }
}

owned<AVFrame> frame_of(zeroi2v::image const& picture, std::int64_t number) {
    auto frame = allocated(av_frame_alloc());
    frame->width = static_cast<int>(picture.extent(1));
    frame->height = static_cast<int>(picture.extent(0));
    frame->format = AV_PIX_FMT_YUV420P;
    checked(av_frame_get_buffer(frame.get(), 0), "frame");
    frame->pts = number;
    frame->quality = FF_QP2LAMBDA * quantiser;
    fill(*frame, picture);
    return frame;
}

void write_packets(AVCodecContext& encoder, AVFormatContext& container, AVStream const& stream) {
    auto const packet = allocated(av_packet_alloc());
    for (int code; (code = avcodec_receive_packet(&encoder, packet.get())) != AVERROR(EAGAIN) && code != AVERROR_EOF;) {
        checked(code, "encoding");
        av_packet_rescale_ts(packet.get(), encoder.time_base, stream.time_base);
        packet->stream_index = stream.index;
        checked(av_interleaved_write_frame(&container, packet.get()), "writing");
    }
}

} // namespace

void encode(std::filesystem::path const& path, std::span<zeroi2v::image const> pictures) {
    auto const container = open_container(path.string());
    auto const encoder = open_encoder(static_cast<int>(pictures.front().extent(1)), static_cast<int>(pictures.front().extent(0)));
    AVStream* const stream = avformat_new_stream(container.get(), nullptr);
    if (stream == nullptr) throw std::runtime_error{"FFmpeg: no memory"};
    stream->time_base = encoder->time_base;
    stream->avg_frame_rate = encoder->framerate;
    checked(avcodec_parameters_from_context(stream->codecpar, encoder.get()), "stream");
    container->flags |= AVFMT_FLAG_BITEXACT;
    checked(avformat_write_header(container.get(), nullptr), "header");
    std::int64_t number = 0;
    for (auto const& picture : pictures) {
        checked(avcodec_send_frame(encoder.get(), frame_of(picture, number++).get()), "encoding");
        write_packets(*encoder, *container, *stream);
    }
    checked(avcodec_send_frame(encoder.get(), nullptr), "encoding");
    write_packets(*encoder, *container, *stream);
    checked(av_write_trailer(container.get()), "trailer");
}

} // namespace moving_shapes
