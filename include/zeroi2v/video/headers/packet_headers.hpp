// packet_headers: what the headers in a packet promise, so that a picture that is lost in silence is missed.
#pragma once

#include <zeroi2v/video/headers/bits.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace zeroi2v::detail {

/// What one packet lets a decoder's caller expect. Whatever cannot be told is not promised.
struct packet_promise {
    std::optional<std::uint64_t> picture; ///< number of the packet whose picture must come out
    bool lost_reference = false;          ///< it refers to a picture that the stream does not have
    bool may_drop = false;                ///< pictures that were promised before and have not come out may be left out
};

/// Reads the packets of one stream in order.
/// Errors  none: a header that makes no sense promises nothing; the decoder judges it.
class packet_headers {
public:
    packet_headers() = default;
    packet_headers(packet_headers const&) = delete;
    packet_headers& operator=(packet_headers const&) = delete;
    virtual ~packet_headers() = default;

    /// Parameter sets from outside the packets.
    virtual void configure(byte_span) {}
    /// Whether mend() has something to do.
    [[nodiscard]] virtual bool needs_mending(byte_span) const { return false; }
    /// Whether a picture that is not promised may lack its parameter sets.
    [[nodiscard]] virtual bool needs_parameters() const { return true; }
    /// The time stamps go back: what follows is another recording.
    virtual void joined() {}
    /// Makes messages that carry no picture harmless where a decoder would give up the packet for them.
    virtual void mend(std::span<std::uint8_t>) const {}
    /// `number` names the packet in promises, of this and later calls.
    [[nodiscard]] virtual packet_promise read(std::uint64_t number, byte_span packet) = 0;
};

/// VP8: a frame is shown, or is only a reference.
class vp8_headers final : public packet_headers {
public:
    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        if (packet.size() < 3 || (packet[0] & 0x10U) == 0) return {};
        return {.picture = number};
    }
};

/// MPEG-1 and MPEG-2: a packet holds a frame, both fields of one, or one field.
///
/// `temporal_reference` numbers the pictures of a group in their order of display: a number that never came is a picture
/// that is missing, and a B picture that is shown after the last I or P picture lacks the next one. What follows a joint
/// refers to another recording up to the next I picture.
/// Test  tests/unit/video/headers/packet_headers.cpp
class mpeg_headers final : public packet_headers {
public:
    void joined() override { joined_ = true; }

    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        packet_promise promise;
        bool seen = false;
        unsigned structure = frame;
        for (std::size_t at = 0; at + 6 <= packet.size(); ++at) {
            if (packet[at] != 0 || packet[at + 1] != 0 || packet[at + 2] != 1) continue;
            if (packet[at + 3] == 0x00) { // a picture
                if (seen) settle(number, structure, promise);
                unsigned const order = unsigned{packet[at + 4]} << 2U | packet[at + 5] >> 6U;
                if (follow(packet[at + 5] >> 3U & 7U, order)) promise.lost_reference = true;
                seen = true;
                structure = frame;
            } else if (packet[at + 3] == 0xb5 && packet[at + 4] >> 4U == 8 && at + 7 <= packet.size()) { // its extension
                structure = packet[at + 6] & 3U;
            } else if (packet[at + 3] == 0xb5 && packet[at + 4] >> 4U == 1 && at + 10 <= packet.size()) { // a sequence's
                low_delay_ = (packet[at + 9] & 0x80U) != 0; // may leave numbers out
            } else if (packet[at + 3] >= 0x01 && packet[at + 3] <= 0xaf && seen && structure == frame) {
                break; // slices of a whole frame
            }
        }
        if (seen) settle(number, structure, promise);
        return promise;
    }

private:
    static constexpr unsigned frame = 3, intra = 1, predicted = 2, both_ways = 3;

    /// Whether a picture of this kind, which has this place in the order of display, lacks a reference.
    bool follow(unsigned kind, unsigned order) noexcept {
        if (kind == intra) {
            joined_ = false;
            anchor_ = order;
            unseen_ = between_ = 0;
            return false;
        }
        if (joined_) return anchor_.has_value();
        if (!anchor_ || (kind != predicted && kind != both_ways)) return false;
        unsigned const step = (order - *anchor_) % orders;
        if (kind == both_ways) {
            ++between_;
            if (step == 0 || step >= orders / 2) return false;
            anchor_ = order;
            return true;
        }
        if (step == 0) return false; // the second field
        bool const lost = step >= orders / 2 || (!low_delay_ && unseen_ > 0 && between_ == 0);
        unseen_ = step >= orders / 2 ? 0 : step - 1;
        between_ = 0;
        anchor_ = order;
        return lost;
    }

    void settle(std::uint64_t number, unsigned structure, packet_promise& promise) {
        if (structure != frame && field_ && field_->structure + structure == frame) {
            promise.picture = field_->number;
            field_.reset();
        } else if (structure == frame) {
            promise.picture = number;
            field_.reset();
        } else {
            field_ = first_field{number, structure}; // promised with the second
        }
    }

    struct first_field {
        std::uint64_t number;
        unsigned structure;
    };
    static constexpr unsigned orders = 1024;

    std::optional<first_field> field_;
    std::optional<unsigned> anchor_;       // place of the last I or P picture
    unsigned unseen_ = 0, between_ = 0;    // pictures to come before it, and B pictures since
    bool joined_ = false, low_delay_ = false;
};

/// MPEG-4 part 2: a packet holds one coded picture (VOP). One of a few bytes repeats the last and is not promised, nor is
/// anything once a packet held several, as AVI files do.
class mpeg4_headers final : public packet_headers {
public:
    [[nodiscard]] bool needs_parameters() const override { return false; }

    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        std::size_t pictures = 0, begin = 0;
        unsigned kind = 0;
        for (std::size_t at = 0; at + 5 <= packet.size(); ++at) {
            if (packet[at] != 0 || packet[at + 1] != 0 || packet[at + 2] != 1 || packet[at + 3] != 0xb6) continue;
            if (pictures++ == 0) begin = at, kind = packet[at + 4] >> 6U;
        }
        packed_ = packed_ || pictures > 1;
        begun_ = begun_ || (pictures > 0 && kind == 0);
        if (packed_ || !begun_ || pictures == 0 || packet.size() - begin <= least_coded) return {};
        return {.picture = number};
    }

private:
    static constexpr std::size_t least_coded = 12;
    bool packed_ = false, begun_ = false;
};

} // namespace zeroi2v::detail
