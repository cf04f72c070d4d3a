// ffmpeg_pass: one pass over a video stream, from its first packet to its last, and the judgement of what is damaged.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/video/container_damage.hpp>
#include <zeroi2v/video/ffmpeg/convert.hpp>
#include <zeroi2v/video/ffmpeg/damage.hpp>
#include <zeroi2v/video/ffmpeg/input.hpp>
#include <zeroi2v/video/ffmpeg/library.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/video_file.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::detail {

[[nodiscard]] inline AVCodec const& ffmpeg_codec(AVCodecParameters const& of, std::string const& file) {
    if (auto const* codec = avcodec_find_decoder(of.codec_id)) return *codec;
    std::array<char, AV_FOURCC_MAX_STRING_SIZE> tag{};
    av_fourcc_make_string(tag.data(), of.codec_tag);
    throw video_error{error_code::codec_unavailable,
                      file + ": "
                          + (of.codec_id == AV_CODEC_ID_NONE ? "an unknown codec with the tag " + std::string{tag.data()}
                                                             : "the codec " + std::string{avcodec_get_name(of.codec_id)})
                          + " found, a codec of this FFmpeg expected"};
}

/// A limit that the caller set was passed: certain, so that no second pass is needed to believe it.
struct counted_limit final : video_error {
    using video_error::video_error;
};

/// A frame is damaged when what is decoded cannot be trusted: FFmpeg marks it or left rows of it unwritten, a packet
/// fails to decode, a picture that a packet's headers promise never comes, a reference picture is missing, or the file
/// ends within it. What FFmpeg merely remarks on is not damage. Strict and lenient passes judge alike.
class ffmpeg_pass {
public:
    using sink = std::function<void(std::size_t, image_view)>;

    ffmpeg_pass(ffmpeg_input& input, video_file const& file, video_options const& options)
        : input_{input},
          file_{file},
          options_{options},
          packet_{ffmpeg_allocated(av_packet_alloc())},
          frame_{ffmpeg_allocated(av_frame_alloc())},
          convert_{file.name()},
          headers_{ffmpeg_headers(*input.stream().codecpar)} {
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
        decoder_->get_buffer2 = &ffmpeg_marked_buffer;
        decoder_->err_recognition = AV_EF_CRCCHECK;
        if (!ffmpeg_marks_concealment(is.codec_id)) decoder_->err_recognition |= AV_EF_EXPLODE;
        check(avcodec_open2(decoder_.get(), &codec, nullptr));
    }

    [[nodiscard]] decode_report run(std::span<std::size_t const> wanted, sink const& take) {
        wanted_ = wanted;
        take_ = &take;
        for (int unreadable = 0;;) {
            int const result = input_.next(*packet_);
            if (result == AVERROR_EOF) break;
            if (++packets_ > options_.max_packets) limit("packets", options_.max_packets, "--max-packets");
            times_.push_back(result < 0 ? AV_NOPTS_VALUE : packet_->pts);
            if (times_.size() > 4 * picture_ledger::most_delay) times_.erase(times_.begin(), times_.end() - 2 * picture_ledger::most_delay);
            if (result < 0) {
                failed(result);
                if (++unreadable == most_unreadable) break;
                continue;
            }
            unreadable = 0;
            if (av_packet_get_side_data(packet_.get(), AV_PKT_DATA_ENCRYPTION_INFO, nullptr) != nullptr) // what is decoded of it may look whole
                throw video_error{error_code::decode_failed, file_.name() + ": encrypted pictures found, ones that need no key expected"};
            send_packet();
        }
        send(nullptr);
        give_up(packets_ + picture_ledger::most_delay + 1);
        input_.check();
        judge_container();
        return report_;
    }

    /// The numbers of the packets that were judged damaged so far.
    [[nodiscard]] std::vector<std::uint64_t> const& places() const noexcept { return damaged_packets_; }
    /// The wanted frames that were not handed over.
    [[nodiscard]] std::span<std::size_t const> wanted() const noexcept { return wanted_; }
    /// Whether an exception comes from the caller's sink.
    [[nodiscard]] bool in_sink() const noexcept { return in_sink_; }

private:
    static constexpr char const* lacks_reference = "a reference picture is missing";
    static constexpr int most_unreadable = 16; // in a row; then a lenient pass takes the file to end here

    void send_packet() {
        // transport streams flag a packet where a counter jumps; elsewhere the flag means that its end is not in the file
        bool const cut = (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0
                         && std::string_view{input_.format().iformat->name} != "mpegts";
        if (cut) damaged("the file ends within a packet", packets_, report_.decoded);
        follow_time();
        bool const readable = packet_->size == 0 || read_headers(!cut);
        started_ = started_ || (readable && (packet_->flags & AV_PKT_FLAG_KEY) != 0);
        // decoders treat time stamps as opaque: here they number the packets, to know a frame's packet again
        packet_->pts = packet_->dts = static_cast<std::int64_t>(packets_);
        send(packet_.get());
    }

    /// Notices where streams that can be joined byte by byte were joined.
    void follow_time() {
        std::string_view const format = input_.format().iformat->name;
        if (!headers_ || packet_->dts == AV_NOPTS_VALUE || (format != "mpegts" && format != "mpeg")) return;
        AVRational const unit = input_.stream().time_base;
        if (last_time_ != AV_NOPTS_VALUE && av_compare_ts(packet_->dts, unit, last_time_, unit) < 0
            && av_rescale_q(last_time_ - packet_->dts, unit, {1, 2}) > 0)
            headers_->joined();
        last_time_ = packet_->dts;
    }

    /// Whether a decoder that begins here has what the packet needs, as far as can be told: its parameter sets.
    bool read_headers(bool expected) {
        if (!headers_) return true;
        std::size_t extra_bytes = 0;
        if (auto const* const extra = av_packet_get_side_data(packet_.get(), AV_PKT_DATA_NEW_EXTRADATA, &extra_bytes))
            headers_->configure({extra, extra_bytes});
        byte_span const bytes{packet_->data, static_cast<std::size_t>(packet_->size)};
        packet_promise const promise = headers_->read(packets_, bytes);
        if (promise.may_drop) ledger_.forget();
        bool const shown = (packet_->flags & AV_PKT_FLAG_DISCARD) == 0; // edit lists take pictures out
        if (promise.picture && expected && shown) ledger_.expect(*promise.picture, time_of(*promise.picture));
        if (promise.lost_reference) lacking_.push_back(packets_); // judged when it comes, or does not
        if (headers_->needs_mending(bytes)) {
            check(av_packet_make_writable(packet_.get()));
            headers_->mend({packet_->data, static_cast<std::size_t>(packet_->size)});
        }
        return promise.picture.has_value() || !headers_->needs_parameters();
    }

    void send(AVPacket const* packet) {
        for (int tries = 0;; ++tries) {
            int const result = avcodec_send_packet(decoder_.get(), packet);
            receive();
            if (result == AVERROR(EAGAIN) && tries < 8) continue;
            if (result < 0 && result != AVERROR_EOF) failed(result, packets_);
            return;
        }
    }

    void receive() {
        for (std::uint64_t errors = 0; errors <= most_unreadable;) {
            input_.check();
            int const result = avcodec_receive_frame(decoder_.get(), frame_.get());
            if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) return;
            if (result < 0) {
                failed(result, packets_);
                ++errors;
                continue;
            }
            deliver();
            av_frame_unref(frame_.get());
        }
    }

    void deliver() {
        started_ = true;
        auto const number = static_cast<std::uint64_t>(frame_->pts);
        if (known_damaged(number)) return;
        if ((frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0 || frame_->decode_error_flags != 0)
            return damaged(ffmpeg_text(AVERROR_INVALIDDATA), number, report_.decoded);
        if (std::erase(lacking_, number) > 0) return damaged(lacks_reference, number, report_.decoded);
        if (ffmpeg_has_unwritten_row(*frame_)) return damaged("rows that were not decoded", number, report_.decoded);
        ledger_.arrived(number, time_of(number));
        give_up(number);
        image_size const size{static_cast<std::size_t>(frame_->height), static_cast<std::size_t>(frame_->width)};
        std::uint64_t const pixels = std::uint64_t{size.height} * size.width;
        if (pixels > options_.max_pixels) limit("pixels of a frame", options_.max_pixels, "--max-pixels");
        if ((total_pixels_ += pixels) > options_.max_total_pixels)
            limit("pixels in all", options_.max_total_pixels, "--max-total-pixels");
        orientation const way = ffmpeg_orientation(frame_.get(), input_.stream(), file_.name());
        std::size_t const index = report_.decoded++;
        if (wanted_.empty() || wanted_.front() != index) return;
        wanted_ = wanted_.subspan(1);
        image_view const picture = convert_(*frame_, way);
        in_sink_ = true;
        (*take_)(index, picture);
        in_sink_ = false;
    }

    /// Counts the pictures that have not come by the time that packet `number`'s has.
    void give_up(std::uint64_t number) {
        while (!lacking_.empty() && lacking_.front() + picture_ledger::most_delay < number) {
            std::uint64_t const lost = lacking_.front();
            lacking_.erase(lacking_.begin());
            damaged(lacks_reference, lost, position_of(lost));
        }
        while (auto const lost = ledger_.missing(number, decoder_->has_b_frames > 0))
            damaged("a picture is missing", *lost, position_of(*lost));
    }

    /// Where the picture of a packet would have been among the frames.
    [[nodiscard]] std::size_t position_of(std::uint64_t number) const noexcept {
        return report_.decoded - std::min(report_.decoded, ledger_.later_than(number));
    }

    /// What the container tells only after the last packet; frames that its index promises beyond the end of the file.
    void judge_container() {
        std::string const format = input_.format().iformat->name;
        container_damage damage = damage_of(file_, format);
        if (format.starts_with("mov,")) {
            AVStream& stream = input_.stream();
            int const count = avformat_index_get_entries_count(&stream);
            for (int i = 0; i < count; ++i) damage.count += avformat_index_get_entry(&stream, i)->pos >= file_.size() ? 1U : 0U;
            damage.what = std::to_string(damage.count) + " frames of its index are not in the file";
        }
        if (format == "mpegts" && damage.count == 0) damage = transport_losses(file_, static_cast<unsigned>(input_.stream().id));
        if (damage.count == 0) return;
        require_memory();
        if (!options_.lenient)
            throw video_error{error_code::decode_failed, file_.name() + ": " + damage.what + ", seen after frame "
                                                             + std::to_string(report_.decoded)
                                                             + ", an undamaged file expected"};
        report_.skipped += damage.count;
    }

    /// FFmpeg refused bytes. What precedes the first picture that can be decoded is no damage.
    void failed(int code, std::uint64_t packet = 0) {
        if (code == AVERROR(ENOMEM) || code == AVERROR(EAGAIN)) input_.fail(code, error_code::decode_failed, {});
        if (!started_ && packet != 0) return ledger_.settle(packet);
        damaged(ffmpeg_text(code == -1 ? AVERROR_INVALIDDATA : code), packet, report_.decoded); // -1 has no meaning
    }

    /// Strict: the end. Lenient: one more skipped; the frame of `packet`, should it come, is not taken.
    void damaged(std::string const& what, std::uint64_t packet, std::size_t frame) {
        require_memory();
        if (!options_.lenient)
            throw video_error{error_code::decode_failed, file_.name() + ": " + what + " at frame " + std::to_string(frame)
                                                             + ", an undamaged frame expected"};
        if (packet != 0) {
            ledger_.settle(packet);
            auto const place = std::lower_bound(damaged_packets_.begin(), damaged_packets_.end(), packet);
            if (place != damaged_packets_.end() && *place == packet) return; // counted already
            damaged_packets_.insert(place, packet);
        }
        report_.skipped += 1;
    }

    /// FFmpeg loses the reason of some errors. Where memory is short, it is the reason.
    void require_memory() const {
        std::size_t const frame = static_cast<std::size_t>(std::max(decoder_->coded_width, 16))
                                  * static_cast<std::size_t>(std::max(decoder_->coded_height, 16)) * 3;
        if (!ffmpeg_has_memory(std::min((std::size_t{16} << 20U) + 8 * frame, ffmpeg_largest_piece)))
            throw resource_error{error_code::out_of_memory, file_.name() + ": FFmpeg has no memory to decode frame "
                                                                + std::to_string(report_.decoded)};
    }

    [[nodiscard]] bool known_damaged(std::uint64_t number) const noexcept {
        return std::binary_search(damaged_packets_.begin(), damaged_packets_.end(), number);
    }

    /// Of a packet that was read not long ago, as the container states it.
    [[nodiscard]] std::int64_t time_of(std::uint64_t number) const noexcept {
        std::uint64_t const age = packets_ - number;
        return number > packets_ || age >= times_.size() ? AV_NOPTS_VALUE : times_[times_.size() - 1 - age];
    }

    void check(int code) const {
        if (code < 0) input_.fail(code, error_code::decode_failed, " while the decoder was set up");
    }

    [[noreturn]] void limit(char const* what, std::uint64_t most, char const* option) const {
        throw counted_limit{error_code::limit_exceeded, file_.name() + ": frame " + std::to_string(report_.decoded)
                                                            + ": more " + what + " found than the " + std::to_string(most)
                                                            + " expected (" + option + ")"};
    }

    ffmpeg_input& input_;
    video_file const& file_;
    video_options const& options_;
    ffmpeg_packet packet_;
    ffmpeg_frame frame_;
    ffmpeg_decoder decoder_;
    ffmpeg_converter convert_;
    std::unique_ptr<packet_headers> headers_; // where the codec's are known
    picture_ledger ledger_;
    std::span<std::size_t const> wanted_;
    sink const* take_ = nullptr;
    bool in_sink_ = false;
    bool started_ = false; // a point to begin at, or a frame, was there
    decode_report report_;
    std::uint64_t packets_ = 0;
    std::uint64_t total_pixels_ = 0;
    std::vector<std::uint64_t> lacking_;         // packets whose pictures lack a reference, ascending
    std::vector<std::int64_t> times_;            // of the latest packets
    std::int64_t last_time_ = AV_NOPTS_VALUE;    // of decoding
    std::vector<std::uint64_t> damaged_packets_; // ascending
};

} // namespace zeroi2v::detail
