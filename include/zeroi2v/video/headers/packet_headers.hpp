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
class mpeg_headers final : public packet_headers {
public:
    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        packet_promise promise;
        bool seen = false;
        unsigned structure = frame;
        for (std::size_t at = 0; at + 6 <= packet.size(); ++at) {
            if (packet[at] != 0 || packet[at + 1] != 0 || packet[at + 2] != 1) continue;
            if (packet[at + 3] == 0x00) { // a picture
                if (seen) settle(number, structure, promise);
                seen = true;
                structure = frame;
            } else if (packet[at + 3] == 0xb5 && packet[at + 4] >> 4U == 8 && at + 7 <= packet.size()) { // its extension
                structure = packet[at + 6] & 3U;
            } else if (packet[at + 3] >= 0x01 && packet[at + 3] <= 0xaf && seen && structure == frame) {
                break; // slices of a whole frame
            }
        }
        if (seen) settle(number, structure, promise);
        return promise;
    }

private:
    static constexpr unsigned frame = 3;

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
    std::optional<first_field> field_;
};

} // namespace zeroi2v::detail
