// Bits of a video stream: a reader that never passes the end, and the NAL units of H.264 and HEVC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zeroi2v::detail {

using byte_span = std::span<std::uint8_t const>;

/// Reads bits from the first to the last; past the end it gives zeros and is no longer `sound()`.
class bit_reader {
public:
    explicit bit_reader(byte_span bytes) noexcept : bytes_{bytes} {}

    [[nodiscard]] bool sound() const noexcept { return at_ <= bytes_.size() * 8; }

    [[nodiscard]] std::uint32_t bits(unsigned count) noexcept {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < count; ++i, ++at_) {
            bool const inside = at_ < bytes_.size() * 8;
            value = value << 1U | (inside ? bytes_[at_ / 8] >> (7 - at_ % 8) & 1U : 0U);
        }
        return value;
    }
    [[nodiscard]] bool flag() noexcept { return bits(1) != 0; }
    void skip(std::size_t count) noexcept { at_ += count; }

    /// Exp-Golomb, unsigned; a code of more than 32 bits leaves the reader unsound.
    [[nodiscard]] std::uint32_t ue() noexcept {
        unsigned zeros = 0;
        while (zeros < 32 && sound() && !flag()) ++zeros;
        if (zeros == 32) at_ = bytes_.size() * 8 + 1;
        return (zeros == 32 ? 0U : (1U << zeros) - 1U) + bits(zeros % 32);
    }
    /// Exp-Golomb, signed.
    [[nodiscard]] std::int32_t se() noexcept {
        std::uint32_t const code = ue();
        auto const half = static_cast<std::int32_t>(code / 2);
        return (code & 1U) != 0 ? half + 1 : -half;
    }

private:
    byte_span bytes_;
    std::size_t at_ = 0;
};

/// The NAL units of a packet: each after its length, or between start codes where there are no lengths, or they do not
/// fit and there is a start code at the beginning.
/// Cost  one pass over the bytes where there are start codes.
[[nodiscard]] inline std::vector<byte_span> nal_units(byte_span packet, unsigned length_bytes) {
    std::vector<byte_span> units;
    auto const starts = [&](std::size_t at) {
        return packet.size() - at >= 3 && packet[at] == 0 && packet[at + 1] == 0 && packet[at + 2] == 1;
    };
    if (length_bytes > 0) {
        bool fits = true;
        for (std::size_t at = 0; fits && packet.size() - at >= length_bytes;) {
            std::size_t length = 0;
            for (unsigned i = 0; i < length_bytes; ++i) length = length << 8U | packet[at++];
            fits = length <= packet.size() - at;
            if (fits && length > 0) units.push_back(packet.subspan(at, length));
            if (fits) at += length;
        }
        if (fits || !(starts(0) || (packet.size() > 3 && packet[0] == 0 && starts(1)))) return units;
        units.clear();
    }
    std::size_t begin = packet.size();
    for (std::size_t at = 0; at + 3 <= packet.size();) {
        if (packet[at + 2] > 1) {
            at += 3;
        } else if (starts(at)) {
            if (begin < at) units.push_back(packet.subspan(begin, at - begin));
            begin = at += 3;
        } else {
            at += 1;
        }
    }
    if (begin < packet.size()) units.push_back(packet.subspan(begin));
    return units;
}

/// The payload of a NAL unit after its header, at most `most` bytes, without the bytes that keep start codes out.
[[nodiscard]] inline std::vector<std::uint8_t> nal_payload(byte_span unit, std::size_t header, std::size_t most) {
    std::vector<std::uint8_t> payload;
    int zeros = 0;
    for (std::size_t at = header; at < unit.size() && payload.size() < most; ++at) {
        if (zeros >= 2 && unit[at] == 3) {
            zeros = 0;
            continue;
        }
        zeros = unit[at] == 0 ? zeros + 1 : 0;
        payload.push_back(unit[at]);
    }
    return payload;
}

} // namespace zeroi2v::detail
