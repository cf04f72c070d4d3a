// ffmpeg_converter: decoded frames to upright RGB pictures.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/ffmpeg/library.hpp>
#include <zeroi2v/video/image.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace zeroi2v::detail {

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

} // namespace zeroi2v::detail
