// rand_augment: a few random changes of colour and geometry, the same ones for every frame of a clip.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/video/image.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Random numbers one after the other from a counter-based generator: the same sequence for the same seed and stream.
class random_sequence {
public:
    constexpr random_sequence(std::uint64_t seed, std::uint64_t stream) noexcept : random_{seed, stream} {}

    [[nodiscard]] constexpr double uniform() noexcept { return static_cast<double>(random_.uniform(next_++)); }                 ///< [0, 1)
    [[nodiscard]] constexpr double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
    [[nodiscard]] constexpr double normal() noexcept { return static_cast<double>(random_.normal(next_++)); }
    [[nodiscard]] constexpr std::size_t below(std::size_t count) noexcept {                                                   ///< [0, count), count < 2^32
        return static_cast<std::size_t>((static_cast<std::uint64_t>(random_.bits(next_++)) * count) >> 32U);
    }

private:
    counter_rng random_;
    std::uint64_t next_ = 0;
};

/// What may be done to a picture.
enum class picture_change {
    brightness, contrast, saturation, sharpness, auto_contrast, equalize, invert, posterize, solarize, solarize_add,
    rotate, shear_x, shear_y, translate_x, translate_y,
};
inline constexpr std::size_t picture_change_count = 15;

/// One change with its strength: a factor, a threshold, bits, radians, a slope or a share of the picture.
struct drawn_change {
    picture_change kind{};
    double amount{};

    friend constexpr bool operator==(drawn_change const&, drawn_change const&) = default;
};

/// `layers` changes, each left out with probability 1/2, with strengths around `magnitude` of 10.
///
/// Source  Cubuk et al., RandAugment (2019), with the changes and the normally distributed magnitude of PyTorchVideo.
[[nodiscard]] inline std::vector<drawn_change> draw_changes(std::size_t layers, double magnitude, random_sequence& random) {
    std::vector<drawn_change> drawn;
    for (std::size_t i = 0; i < layers; ++i) {
        auto const kind = static_cast<picture_change>(random.below(picture_change_count));
        double const level = std::clamp(magnitude + 0.5 * random.normal(), 0.0, 10.0) / 10;
        double const sign = random.uniform() < 0.5 ? -1 : 1;
        bool const done = random.uniform() < 0.5;
        if (!done) continue;
        using enum picture_change;
        switch (kind) {
        case brightness: case contrast: case saturation: case sharpness: drawn.push_back({kind, 1 + sign * 0.9 * level}); break;
        case posterize: drawn.push_back({kind, 4 - std::floor(4 * level)}); break; // bits
        case solarize: drawn.push_back({kind, 256 * (1 - level)}); break;         // threshold
        case solarize_add: drawn.push_back({kind, 110 * level}); break;
        case rotate: drawn.push_back({kind, sign * level * std::numbers::pi / 6}); break;
        case shear_x: case shear_y: drawn.push_back({kind, sign * 0.3 * level}); break;
        case translate_x: case translate_y: drawn.push_back({kind, sign * 0.45 * level}); break;
        default: drawn.push_back({kind, 0}); break;
        }
    }
    return drawn;
}

namespace detail {

[[nodiscard]] inline std::uint8_t to_byte(double value) noexcept { return static_cast<std::uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); }

template <class Value>
void map_bytes(image& pixels, Value value) {
    std::array<std::uint8_t, 256> table{};
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = to_byte(value(static_cast<double>(i)));
    for (std::uint8_t& byte : pixels) byte = table[byte];
}

[[nodiscard]] inline double grey(std::uint8_t const* pixel) noexcept { return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]; }

/// Each channel through a table of its own, made from its histogram.
template <class Make>
void map_by_histogram(image& pixels, Make make) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
        std::array<std::size_t, 256> histogram{};
        for (std::size_t i = channel; i < pixels.size(); i += 3) ++histogram[pixels.data()[i]];
        std::array<std::uint8_t, 256> const table = make(histogram);
        for (std::size_t i = channel; i < pixels.size(); i += 3) pixels.data()[i] = table[pixels.data()[i]];
    }
}

/// The pixel at (x, y) comes from (a x + b y, c x + d y) + (e, f), measured from the middle; nearest; grey outside.
inline void move_pixels(image& pixels, double a, double b, double c, double d, double e, double f) {
    image const source{pixels};
    auto const height = static_cast<double>(pixels.extent(0)), width = static_cast<double>(pixels.extent(1));
    for (std::size_t row = 0; row < pixels.extent(0); ++row)
        for (std::size_t column = 0; column < pixels.extent(1); ++column) {
            double const x = static_cast<double>(column) + 0.5 - width / 2, y = static_cast<double>(row) + 0.5 - height / 2;
            double const from_x = std::floor(a * x + b * y + e + width / 2), from_y = std::floor(c * x + d * y + f + height / 2);
            bool const inside = from_x >= 0 && from_y >= 0 && from_x < width && from_y < height;
            for (std::size_t channel = 0; channel < 3; ++channel)
                pixels(row, column, channel) = inside ? source(static_cast<std::size_t>(from_y), static_cast<std::size_t>(from_x), channel) : std::uint8_t{128};
        }
}

inline void sharpen(image& pixels, double amount) {
    image const source{pixels};
    for (std::size_t row = 1; row + 1 < pixels.extent(0); ++row)
        for (std::size_t column = 1; column + 1 < pixels.extent(1); ++column)
            for (std::size_t channel = 0; channel < 3; ++channel) {
                double sum = 4.0 * source(row, column, channel);
                for (std::size_t y = row - 1; y <= row + 1; ++y)
                    for (std::size_t x = column - 1; x <= column + 1; ++x) sum += source(y, x, channel);
                double const smooth = sum / 13;
                pixels(row, column, channel) = to_byte(smooth + amount * (source(row, column, channel) - smooth));
            }
}

} // namespace detail

/// Changes a picture in place.
///
/// Numerics  double arithmetic, rounded to bytes; deterministic.     Test  tests/unit/video/rand_augment.cpp
inline void apply(drawn_change const& change, image& pixels) {
    double const amount = change.amount;
    double const height = static_cast<double>(pixels.extent(0)), width = static_cast<double>(pixels.extent(1));
    using enum picture_change;
    switch (change.kind) {
    case brightness: detail::map_bytes(pixels, [&](double v) { return v * amount; }); break;
    case contrast: {
        double mean = 0;
        for (std::size_t i = 0; i < pixels.size(); i += 3) mean += detail::grey(pixels.data() + i);
        mean /= std::max(1.0, height * width);
        detail::map_bytes(pixels, [&](double v) { return mean + amount * (v - mean); });
        break;
    }
    case saturation:
        for (std::size_t i = 0; i < pixels.size(); i += 3) {
            double const level = detail::grey(pixels.data() + i);
            for (std::size_t channel = 0; channel < 3; ++channel) pixels.data()[i + channel] = detail::to_byte(level + amount * (pixels.data()[i + channel] - level));
        }
        break;
    case sharpness: detail::sharpen(pixels, amount); break;
    case auto_contrast:
        detail::map_by_histogram(pixels, [](std::array<std::size_t, 256> const& histogram) {
            auto const first = static_cast<double>(std::find_if(histogram.begin(), histogram.end(), [](std::size_t n) { return n != 0; }) - histogram.begin());
            auto const last = 255 - static_cast<double>(std::find_if(histogram.rbegin(), histogram.rend(), [](std::size_t n) { return n != 0; }) - histogram.rbegin());
            std::array<std::uint8_t, 256> table{};
            for (std::size_t v = 0; v < 256; ++v) table[v] = last > first ? detail::to_byte((static_cast<double>(v) - first) * 255 / (last - first)) : static_cast<std::uint8_t>(v);
            return table;
        });
        break;
    case equalize:
        detail::map_by_histogram(pixels, [](std::array<std::size_t, 256> const& histogram) {
            std::size_t total = 0, last = 0, sum = 0;
            for (std::size_t const n : histogram) {
                total += n;
                last = n != 0 ? n : last;
            }
            std::size_t const step = (total - last) / 255;
            std::array<std::uint8_t, 256> table{};
            for (std::size_t v = 0; v < 256; ++v) {
                table[v] = step == 0 ? static_cast<std::uint8_t>(v) : static_cast<std::uint8_t>(std::min<std::size_t>((sum + step / 2) / step, 255));
                sum += histogram[v];
            }
            return table;
        });
        break;
    case invert: detail::map_bytes(pixels, [](double v) { return 255 - v; }); break;
    case posterize: {
        unsigned const bits = static_cast<unsigned>(std::clamp(amount, 0.0, 8.0));
        unsigned const mask = (0xff00U >> bits) & 0xffU;
        for (std::uint8_t& byte : pixels) byte = static_cast<std::uint8_t>(byte & mask);
        break;
    }
    case solarize: detail::map_bytes(pixels, [&](double v) { return v < amount ? v : 255 - v; }); break;
    case solarize_add: detail::map_bytes(pixels, [&](double v) { return v < 128 ? v + amount : v; }); break;
    case rotate: detail::move_pixels(pixels, std::cos(amount), -std::sin(amount), std::sin(amount), std::cos(amount), 0, 0); break;
    case shear_x: detail::move_pixels(pixels, 1, amount, 0, 1, 0, 0); break;
    case shear_y: detail::move_pixels(pixels, 1, 0, amount, 1, 0, 0); break;
    case translate_x: detail::move_pixels(pixels, 1, 0, 0, 1, amount * width, 0); break;
    case translate_y: detail::move_pixels(pixels, 1, 0, 0, 1, 0, amount * height); break;
    }
}

} // namespace zeroi2v
