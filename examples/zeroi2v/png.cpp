#include "png.hpp"

#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/video/normalize.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace zeroi2v::program {
namespace {

void append_big_endian(std::string& out, std::uint32_t value) {
    for (unsigned shift = 32; shift > 0; shift -= 8) out += static_cast<char>((value >> (shift - 8)) & 0xFFU);
}

void append_chunk(std::string& out, std::string_view type, std::string_view data) {
    append_big_endian(out, static_cast<std::uint32_t>(data.size()));
    std::string const body = std::string{type} + std::string{data};
    crc32 sum;
    sum.update(std::as_bytes(std::span{body}));
    out += body;
    append_big_endian(out, sum.value());
}

/// A zlib stream of stored blocks.
std::string stored(std::string_view data) {
    std::string out = "\x78\x01";
    std::uint32_t a = 1, b = 0;
    for (char const c : data) {
        a = (a + static_cast<unsigned char>(c)) % 65521;
        b = (b + a) % 65521;
    }
    do {
        auto const block = data.substr(0, 65535);
        data.remove_prefix(block.size());
        auto const length = static_cast<std::uint16_t>(block.size());
        out += data.empty() ? '\x01' : '\x00';
        for (std::uint16_t const half : {length, static_cast<std::uint16_t>(~length)}) {
            out += static_cast<char>(half & 0xFF);
            out += static_cast<char>(half >> 8);
        }
        out += block;
    } while (!data.empty());
    append_big_endian(out, (b << 16) | a);
    return out;
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j) group = (group << 8) | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j) out += i + j <= bytes.size() ? digits[(group >> (18 - 6 * j)) & 63U] : '=';
    }
    return out;
}

} // namespace

std::string png(std::span<std::uint8_t const> pixels, std::size_t width, std::size_t height) {
    std::string out = "\x89PNG\r\n\x1a\n";
    std::string header;
    append_big_endian(header, static_cast<std::uint32_t>(width));
    append_big_endian(header, static_cast<std::uint32_t>(height));
    header += std::string{"\x08\x02\x00\x00\x00", 5}; // 8 bits, RGB
    append_chunk(out, "IHDR", header);
    std::string rows;
    for (std::size_t y = 0; y < height; ++y) {
        rows += '\0'; // no filter
        rows.append(reinterpret_cast<char const*>(pixels.data()) + y * width * 3, width * 3);
    }
    append_chunk(out, "IDAT", stored(rows));
    append_chunk(out, "IEND", {});
    return out;
}

std::string thumbnail(view<float const, 3> frame, normalization normalize, std::size_t side) {
    std::size_t const from = frame.extent(1);
    side = std::min(side, from);
    auto const statistics = statistics_of(normalize);
    std::vector<std::uint8_t> pixels(side * side * 3);
    for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t y = 0; y < side; ++y)
            for (std::size_t x = 0; x < side; ++x) {
                float sum = 0;
                std::size_t const top = y * from / side, bottom = (y + 1) * from / side, left = x * from / side, right = (x + 1) * from / side;
                for (std::size_t i = top; i < bottom; ++i)
                    for (std::size_t j = left; j < right; ++j) sum += frame(c, i, j);
                float const mean = sum / static_cast<float>((bottom - top) * (right - left));
                float const value = mean * statistics.deviation[c] + statistics.mean[c];
                pixels[(y * side + x) * 3 + c] = static_cast<std::uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
            }
    return "data:image/png;base64," + base64(png(pixels, side, side));
}

} // namespace zeroi2v::program
