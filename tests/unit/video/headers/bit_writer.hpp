// bit_writer: headers of a video stream put together bit by bit.
#pragma once

#include "../support.hpp"

#include <cstddef>
#include <cstdint>

namespace video_test {

class bit_writer {
public:
    bit_writer& bits(std::uint32_t value, unsigned count) {
        while (count-- > 0) {
            if (used_++ % 8 == 0) bytes_.push_back(0);
            bytes_.back() = static_cast<std::uint8_t>(bytes_.back() | (value >> count & 1U) << (7 - (used_ - 1) % 8));
        }
        return *this;
    }
    bit_writer& ue(std::uint32_t value) {
        unsigned length = 0;
        while ((value + 1) >> (length + 1) != 0) ++length;
        return bits(0, length).bits(value + 1, length + 1);
    }
    bit_writer& se(std::int32_t value) { return ue(value > 0 ? static_cast<std::uint32_t>(2 * value - 1) : static_cast<std::uint32_t>(-2 * value)); }
    /// A NAL unit after a start code, with the bytes that keep start codes out of it.
    [[nodiscard]] bytes unit(bytes const& header) const {
        bytes made{0, 0, 1};
        made.insert(made.end(), header.begin(), header.end());
        int zeros = 0;
        for (std::uint8_t const byte : bytes_) {
            if (zeros >= 2 && byte <= 3) made.push_back(3), zeros = 0;
            zeros = byte == 0 ? zeros + 1 : 0;
            made.push_back(byte);
        }
        made.push_back(0x80);
        return made;
    }

private:
    bytes bytes_;
    std::size_t used_ = 0;
};

} // namespace video_test
