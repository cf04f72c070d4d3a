// What tells that a decoded video cannot be trusted: unwritten pictures, pictures that never come, references that lack.
#pragma once

#include <zeroi2v/video/ffmpeg/library.hpp>
#include <zeroi2v/video/headers/h264_headers.hpp>
#include <zeroi2v/video/headers/hevc_headers.hpp>
#include <zeroi2v/video/headers/packet_headers.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace zeroi2v::detail {

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

/// Whether the decoder may work on several frames at once: not where it marks damage, since a frame is handed out while
/// others may still be marking it. (An error of mpeg4 can leave a frame marked as made and without a picture; frame
/// threads hand it on, and libavcodec then ends the process by an assertion.) On several threads HEVC loses pictures of
/// sound transport streams. Slice threads would switch off the search for damage.
[[nodiscard]] constexpr bool ffmpeg_threads_frames(AVCodecID id) noexcept {
    return id == AV_CODEC_ID_VP8 || id == AV_CODEC_ID_VP9 || id == AV_CODEC_ID_AV1;
}

/// Reads the headers of a stream's packets, where they promise something.
[[nodiscard]] inline std::unique_ptr<packet_headers> ffmpeg_headers(AVCodecParameters const& is) {
    std::unique_ptr<packet_headers> headers;
    switch (is.codec_id) {
    case AV_CODEC_ID_H264: headers = std::make_unique<h264_headers>(); break;
    case AV_CODEC_ID_HEVC: headers = std::make_unique<hevc_headers>(); break;
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO: headers = std::make_unique<mpeg_headers>(); break;
    case AV_CODEC_ID_MPEG4: headers = std::make_unique<mpeg4_headers>(); break;
    case AV_CODEC_ID_VP8: headers = std::make_unique<vp8_headers>(); break;
    default: return headers;
    }
    if (is.extradata_size > 0) headers->configure({is.extradata, static_cast<std::size_t>(is.extradata_size)});
    return headers;
}

/// What a picture's memory holds before a decoder writes to it: never what was there before, and nothing that a picture
/// has by itself. Bits as dark as can be, as samples of 9 bits too.
[[nodiscard]] inline std::array<std::uint8_t, 512> const& ffmpeg_unwritten_bytes() noexcept {
    static constexpr auto bytes = [] {
        std::array<std::uint8_t, 512> made{};
        std::uint32_t state = 2463534242U;
        for (std::size_t i = 0; i < 256; ++i) {
            state ^= state << 13U, state ^= state >> 17U, state ^= state << 5U;
            made[i] = made[i + 256] = static_cast<std::uint8_t>(state >> 16U & 1U);
        }
        return made;
    }();
    return bytes;
}

/// Gives a decoder memory of known content.
inline int ffmpeg_marked_buffer(AVCodecContext* context, AVFrame* frame, int flags) noexcept {
    int const result = avcodec_default_get_buffer2(context, frame, flags);
    if (result < 0) return result;
    auto const& pattern = ffmpeg_unwritten_bytes();
    for (auto* buffer : frame->buf) {
        if (buffer == nullptr) continue;
        auto const size = static_cast<std::size_t>(buffer->size);
        for (std::size_t at = 0; at < size; at += 256) std::memcpy(buffer->data + at, pattern.data(), std::min<std::size_t>(256, size - at));
    }
    return result;
}

/// Whether the decoder left a row of a picture as it got it: some decoders hand out what they failed to decode.
/// Cost  a few bytes per row.
[[nodiscard]] inline bool ffmpeg_has_unwritten_row(AVFrame const& frame) noexcept {
    AVPixFmtDescriptor const* const format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
    if (format == nullptr || (format->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_PAL)) != 0) return false;
    if (frame.buf[0] == nullptr || frame.linesize[0] < 0) return false;
    auto const& pattern = ffmpeg_unwritten_bytes();
    auto const as_given = [&](int plane, int row, int bytes) {
        std::uint8_t const* const begin = frame.data[plane] + static_cast<std::ptrdiff_t>(row) * frame.linesize[plane];
        for (auto const* buffer : frame.buf) {
            if (buffer == nullptr || begin < buffer->data || begin >= buffer->data + buffer->size) continue;
            for (int at = 0; at < bytes;) {
                auto const from = static_cast<std::size_t>(begin + at - buffer->data) % 256;
                int const count = std::min(bytes - at, 256);
                if (std::memcmp(begin + at, pattern.data() + from, static_cast<std::size_t>(count)) != 0) return false;
                at += count;
            }
            return true;
        }
        return false;
    };
    int const bytes = av_image_get_linesize(static_cast<AVPixelFormat>(frame.format), frame.width, 0);
    if (bytes < 32) return false; // too few to tell
    for (int row = 0; row < frame.height; ++row)
        if (as_given(0, row, bytes)) return true;
    return false;
}

/// Which promised pictures never came. Packets have ascending numbers; a frame has the number of its packet.
///
/// Not missed: what would have been shown before the first frame that came, or before one that went out already (as far
/// as the container's time stamps say: FFmpeg leaves out what comes too late for its order of display).
class picture_ledger {
public:
    void expect(std::uint64_t number, std::int64_t time) {
        auto const newest = std::max_element(shown_.begin(), shown_.end());
        expected_.push_back({number, time, newest == shown_.end() ? AV_NOPTS_VALUE : *newest, !first_time_.has_value()});
    }
    /// The picture of this packet is accounted for otherwise.
    void settle(std::uint64_t number) {
        std::erase_if(expected_, [&](promise const& p) { return p.number == number; });
    }
    void forget() { expected_.clear(); }

    /// A frame came out. `time` is that of its packet.
    void arrived(std::uint64_t number, std::int64_t time) {
        settle(number);
        if (!first_time_) first_time_ = time;
        shown_.push_back(time);
        if (shown_.size() > order_depth) shown_.pop_front();
        recent_.push_back(number);
        if (recent_.size() > 4 * most_delay) recent_.pop_front();
    }

    /// The next picture that is given up: none that is `most_delay` packets younger than `number` is waited for.
    [[nodiscard]] std::optional<std::uint64_t> missing(std::uint64_t number, bool reorders) {
        while (!expected_.empty() && expected_.front().number + most_delay < number) {
            promise const p = expected_.front();
            expected_.pop_front();
            if (!excused(p, reorders)) return p.number;
        }
        return std::nullopt;
    }

    /// How many of the latest frames belong to packets after this one.
    [[nodiscard]] std::size_t later_than(std::uint64_t number) const noexcept {
        return static_cast<std::size_t>(std::count_if(recent_.begin(), recent_.end(), [&](auto each) { return each > number; }));
    }

    static constexpr std::uint64_t most_delay = 128; ///< of a decoder: 64 threads, 16 pictures to put in order

private:
    static constexpr std::size_t order_depth = 16; // the largest buffer for the order of display

    struct promise {
        std::uint64_t number;
        std::int64_t time, shown_before; ///< shown_before: the latest time among the last frames out when it was sent
        bool first;                      ///< no frame was out
    };

    [[nodiscard]] bool excused(promise const& p, bool reorders) const noexcept {
        if (!first_time_) return true;
        if (p.time == AV_NOPTS_VALUE) return p.first || reorders;
        if (p.first && (*first_time_ == AV_NOPTS_VALUE || p.time < *first_time_)) return true;
        return p.shown_before != AV_NOPTS_VALUE && p.time < p.shown_before;
    }

    std::deque<promise> expected_;
    std::deque<std::int64_t> shown_;   // times of the last frames out
    std::deque<std::uint64_t> recent_; // their packets
    std::optional<std::int64_t> first_time_;
};

} // namespace zeroi2v::detail
