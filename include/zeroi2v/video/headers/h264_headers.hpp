// h264_headers: which packets of H.264 hold a picture, and where a reference picture is missing.
#pragma once

#include <zeroi2v/video/headers/packet_headers.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace zeroi2v::detail {

/// Follows `frame_num`, which counts reference pictures: a number left out is a picture left out (ITU-T H.264, 7.4.3).
///
/// Where a stream goes on at a recovery point with another number, two recordings were joined: the picture there is
/// whole, and only those that are shown before it lack their references.
/// Test  tests/unit/video/headers/h264_headers.cpp
class h264_headers final : public packet_headers {
public:
    /// An avcC record, or parameter sets after start codes.
    void configure(byte_span extra) override {
        if (extra.size() < 7 || extra[0] != 1) {
            for (byte_span const unit : nal_units(extra, 0)) read_parameters(unit);
            return;
        }
        length_bytes_ = (extra[4] & 3U) + 1U;
        std::size_t at = 5;
        for (unsigned const mask : {31U, 255U}) {
            if (at >= extra.size()) return;
            for (unsigned sets = extra[at++] & mask; sets > 0 && extra.size() - at >= 2; --sets) {
                std::size_t const length = std::size_t{extra[at]} << 8U | extra[at + 1];
                at += 2;
                if (length > extra.size() - at) return;
                if (length > 0) read_parameters(extra.subspan(at, length));
                at += length;
            }
        }
    }

    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        packet_promise promise;
        bool began = false;
        recovery_ = false;
        for (byte_span const unit : nal_units(packet, length_bytes_)) {
            unsigned const type = unit[0] & 31U;
            if (type == 6) recovery_ = recovery_ || is_recovery_point(unit);
            if (type == 7 || type == 8) read_parameters(unit);
            if (type != 1 && type != 5) continue;
            auto const slice = read_slice(unit);
            if (!slice) {
                if (!began) known_ = false; // the decoder will say what is wrong with it
                return promise;
            }
            if (began && slice->first_macroblock != 0) continue;
            began = true;
            begin_picture(number, *slice, promise);
        }
        return promise;
    }

private:
    struct sequence_set {
        bool known = false, separate_planes = false, gaps_allowed = false, frames_only = true, zero_deltas = false;
        unsigned chroma = 1, frame_num_bits = 4, order_type = 0, order_bits = 4;
    };
    struct picture_set {
        bool known = false, order_present = false, weighted = false, redundant = false;
        unsigned sequence = 0, weighted_b = 0;
        std::array<unsigned, 2> references{1, 1};
    };
    enum class slice_kind { p, b, i };
    struct slice_header {
        std::uint32_t first_macroblock = 0, frame_num = 0, order = 0;
        slice_kind kind = slice_kind::i;
        bool idr = false, reference = false, field = false, bottom = false, resets = false;
        sequence_set const* sequence = nullptr;
    };
    struct first_field {
        std::uint64_t number;
        std::uint32_t frame_num;
        bool bottom;
    };

    void read_parameters(byte_span unit) {
        auto const payload = nal_payload(unit, 1, 1024);
        if ((unit[0] & 31U) == 7) read_sequence(payload);
        if ((unit[0] & 31U) == 8) read_picture_set(payload);
    }

    void read_sequence(byte_span payload) {
        bit_reader in{payload};
        sequence_set s;
        unsigned const profile = in.bits(8);
        in.skip(16);
        std::uint32_t const id = in.ue();
        for (unsigned const high : {100U, 110U, 122U, 244U, 44U, 83U, 86U, 118U, 128U, 138U, 139U, 134U, 135U}) {
            if (profile != high) continue;
            s.chroma = in.ue();
            if (s.chroma == 3) s.separate_planes = in.flag();
            static_cast<void>(in.ue()); // bit depths
            static_cast<void>(in.ue());
            in.skip(1);
            if (in.flag())
                for (unsigned list = 0; list < (s.chroma == 3 ? 12U : 8U); ++list)
                    if (in.flag()) skip_scaling_list(in, list < 6 ? 16 : 64);
        }
        s.frame_num_bits = in.ue() + 4;
        s.order_type = in.ue();
        if (s.order_type == 0) {
            s.order_bits = in.ue() + 4;
        } else if (s.order_type == 1) {
            s.zero_deltas = in.flag();
            static_cast<void>(in.se());
            static_cast<void>(in.se());
            for (std::uint32_t n = in.ue(); n > 0 && in.sound(); --n) static_cast<void>(in.se());
        }
        static_cast<void>(in.ue()); // reference frames
        s.gaps_allowed = in.flag();
        static_cast<void>(in.ue()); // width, height
        static_cast<void>(in.ue());
        s.frames_only = in.flag();
        s.known = in.sound() && s.frame_num_bits <= 16 && s.order_type <= 2 && s.order_bits <= 16 && s.chroma <= 3;
        if (s.known && id < sequences_.size()) sequences_[id] = s;
    }

    static void skip_scaling_list(bit_reader& in, int entries) {
        std::int32_t last = 8, next = 8;
        for (int i = 0; i < entries && in.sound(); ++i) {
            if (next != 0) next = (last + in.se() % 256 + 256) % 256;
            if (next != 0) last = next;
        }
    }

    void read_picture_set(byte_span payload) {
        bit_reader in{payload};
        picture_set p;
        std::uint32_t const id = in.ue();
        p.sequence = in.ue();
        in.skip(1); // entropy coding
        p.order_present = in.flag();
        bool const grouped = in.ue() != 0; // flexible macroblock order
        for (unsigned& count : p.references) count = in.ue() + 1;
        p.weighted = in.flag();
        p.weighted_b = in.bits(2);
        static_cast<void>(in.se()); // quantisers
        static_cast<void>(in.se());
        static_cast<void>(in.se());
        in.skip(2);
        p.redundant = in.flag();
        p.known = in.sound() && !grouped && p.sequence < sequences_.size();
        if (id < pictures_.size() && in.sound()) pictures_[id] = p;
    }

    /// Whether an SEI unit has a recovery point from which pictures are exact at once.
    static bool is_recovery_point(byte_span unit) {
        auto const payload = nal_payload(unit, 1, 4096);
        for (std::size_t at = 0; at + 2 < payload.size();) {
            unsigned type = 0;
            std::size_t size = 0;
            while (at < payload.size() && payload[at] == 255) type += payload[at++];
            if (at < payload.size()) type += payload[at++];
            while (at < payload.size() && payload[at] == 255) size += payload[at++];
            if (at < payload.size()) size += payload[at++];
            if (type == 6 && at < payload.size()) return bit_reader{byte_span{payload}.subspan(at)}.ue() == 0;
            if (size > payload.size() - at) return false;
            at += size;
        }
        return false;
    }

    [[nodiscard]] std::optional<slice_header> read_slice(byte_span unit) const {
        auto const payload = nal_payload(unit, 1, 512);
        bit_reader in{payload};
        slice_header s;
        s.idr = (unit[0] & 31U) == 5;
        s.reference = (unit[0] & 0x60U) != 0;
        s.first_macroblock = in.ue();
        std::uint32_t const type = in.ue();
        std::uint32_t const set = in.ue();
        if (type > 9 || set >= pictures_.size() || !pictures_[set].known) return std::nullopt;
        picture_set const& p = pictures_[set];
        sequence_set const& q = sequences_[p.sequence];
        if (!q.known) return std::nullopt;
        s.sequence = &q;
        s.kind = type % 5 == 1 ? slice_kind::b : type % 5 == 0 || type % 5 == 3 ? slice_kind::p : slice_kind::i;
        if (q.separate_planes) in.skip(2);
        s.frame_num = in.bits(q.frame_num_bits);
        if (!q.frames_only) s.field = in.flag();
        if (s.field) s.bottom = in.flag();
        if (s.idr) static_cast<void>(in.ue());
        if (q.order_type == 0) {
            s.order = in.bits(q.order_bits);
            if (p.order_present && !s.field) static_cast<void>(in.se());
        } else if (q.order_type == 1 && !q.zero_deltas) {
            static_cast<void>(in.se());
            if (p.order_present && !s.field) static_cast<void>(in.se());
        }
        if (p.redundant) static_cast<void>(in.ue());
        skip_references(in, p, q, s);
        if (s.reference) s.resets = !s.idr && resets_numbers(in);
        if (!in.sound()) return std::nullopt;
        return s;
    }

    /// Lists of references and their weights.
    static void skip_references(bit_reader& in, picture_set const& p, sequence_set const& q, slice_header const& s) {
        if (s.kind == slice_kind::i) return;
        bool const b = s.kind == slice_kind::b;
        if (b) in.skip(1);
        auto counts = p.references;
        if (in.flag()) {
            counts[0] = in.ue() + 1;
            if (b) counts[1] = in.ue() + 1;
        }
        unsigned const lists = b ? 2 : 1;
        for (unsigned list = 0; list < lists; ++list)
            if (in.flag())
                while (in.sound() && in.ue() != 3) static_cast<void>(in.ue());
        if (!(p.weighted && !b) && !(p.weighted_b == 1 && b)) return;
        bool const colour = q.chroma != 0 && !q.separate_planes;
        static_cast<void>(in.ue());
        if (colour) static_cast<void>(in.ue());
        for (unsigned list = 0; list < lists; ++list)
            for (unsigned i = 0; i < counts[list] && in.sound(); ++i) {
                if (in.flag())
                    for (int n = 0; n < 2; ++n) static_cast<void>(in.se());
                if (colour && in.flag())
                    for (int n = 0; n < 4; ++n) static_cast<void>(in.se());
            }
    }

    /// Whether the marking of references has operation 5, after which numbers begin at 0.
    static bool resets_numbers(bit_reader& in) {
        bool resets = false;
        if (!in.flag()) return false;
        for (std::uint32_t operation = in.ue(); operation != 0 && in.sound(); operation = in.ue()) {
            resets = resets || operation == 5;
            if (operation != 5) static_cast<void>(in.ue());
            if (operation == 3) static_cast<void>(in.ue());
        }
        return resets;
    }

    void begin_picture(std::uint64_t number, slice_header const& s, packet_promise& promise) {
        if (s.field && field_ && field_->frame_num == s.frame_num && field_->bottom != s.bottom) {
            promise.picture = field_->number; // the second field of one picture
            field_.reset();
            if (s.reference) last_reference_ = s.frame_num;
            return;
        }
        field_.reset();
        if (s.field)
            field_ = first_field{number, s.frame_num, s.bottom}; // promised with the second
        else
            promise.picture = number;
        follow_numbers(s, promise);
    }

    void follow_numbers(slice_header const& s, packet_promise& promise) {
        std::uint32_t const modulus = 1U << s.sequence->frame_num_bits;
        if (s.idr || s.kind == slice_kind::p) joined_at_.reset();
        if (!s.idr && known_ && s.sequence->frame_num_bits == bits_) {
            bool const next = s.frame_num == (last_reference_ + 1) % modulus;
            bool const again = s.frame_num == last_reference_;
            // two reference frames have two numbers, unless the encoder does not count
            bool expected = next || (again && !(counts_ && s.reference && last_is_reference_ && !s.field));
            counts_ = counts_ || (next && s.reference && last_is_reference_);
            // some encoders count every picture
            if (!expected && !counts_references_) expected = s.frame_num == (last_ + 1) % modulus;
            if (!last_is_reference_ && s.frame_num == last_) counts_references_ = true;
            if (!expected && !s.sequence->gaps_allowed) {
                if (s.kind == slice_kind::i && recovery_)
                    joined_at_ = s.order;
                else
                    promise.lost_reference = true;
            } else if (joined_at_ && s.sequence->order_type == 0) {
                std::uint32_t const orders = 1U << s.sequence->order_bits;
                promise.lost_reference = (s.order - *joined_at_ + orders) % orders >= orders / 2; // shown before it
            }
        }
        known_ = known_ || s.idr || recovery_ || s.kind == slice_kind::i;
        bits_ = s.sequence->frame_num_bits;
        last_ = s.resets ? 0 : s.frame_num;
        last_is_reference_ = s.reference;
        if (s.reference || promise.lost_reference || joined_at_) last_reference_ = last_;
    }

    std::array<sequence_set, 32> sequences_;
    std::array<picture_set, 256> pictures_;
    unsigned length_bytes_ = 0;
    std::optional<first_field> field_;
    std::optional<std::uint32_t> joined_at_; // order of a picture at which another recording begins
    bool known_ = false;                     // a point to begin at was seen, and numbers have been followed since
    bool recovery_ = false;                  // of the packet at hand
    bool last_is_reference_ = true, counts_ = false, counts_references_ = false;
    unsigned bits_ = 0;
    std::uint32_t last_ = 0, last_reference_ = 0;
};

} // namespace zeroi2v::detail
