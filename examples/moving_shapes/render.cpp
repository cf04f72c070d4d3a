#include "render.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

namespace moving_shapes {
namespace {

using colour = std::array<double, 3>; // red, green, blue in [0,1]

constexpr double side = static_cast<double>(picture_side);

/// A fully saturated hue, then mixed with a fifth of white.
colour of_hue(double hue, double brightness) {
    colour result{};
    for (std::size_t channel = 0; channel < 3; ++channel) {
        double const turned = hue * 6 + 4 * static_cast<double>(channel); // red, green, blue a third of a turn apart
        double const distance = std::abs(std::fmod(turned, 6.0) - 3);
        result[channel] = brightness * (0.2 + 0.8 * std::clamp(distance - 1, 0.0, 1.0));
    }
    return result;
}

double value_of(wave const& w, double u, double v) { return w.amplitude * std::sin(turn * (w.right * u + w.down * v + w.phase)); }

/// Whether (u, v), in radii from the centre, lies in the shape.
bool covers(outline shape, double u, double v) {
    switch (shape) {
    case outline::disc: return u * u + v * v <= 0.64;
    case outline::bar: return std::abs(u) <= 1 && std::abs(v) <= 0.4;
    case outline::post: return std::abs(u) <= 0.4 && std::abs(v) <= 1;
    }
    return false;
}

std::uint8_t byte_of(double value) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0))); }

/// Where the middle of pixel `i` lies, in sides.
double middle(std::size_t i) { return (static_cast<double>(i) + 0.5) / side; }

/// The wave at every pixel, by sin(a + b) = sin a cos b + cos a sin b: two sines a row and a column, not one a pixel.
void add_wave(wave const& w, std::span<double> pixels) {
    std::array<double, picture_side> sine{}, cosine{};
    for (std::size_t x = 0; x < picture_side; ++x) {
        double const angle = turn * w.right * middle(x);
        sine[x] = w.amplitude * std::sin(angle);
        cosine[x] = w.amplitude * std::cos(angle);
    }
    for (std::size_t y = 0; y < picture_side; ++y) {
        double const angle = turn * (w.down * middle(y) + w.phase), sine_y = std::sin(angle), cosine_y = std::cos(angle);
        for (std::size_t x = 0; x < picture_side; ++x) pixels[y * picture_side + x] += sine[x] * cosine_y + cosine[x] * sine_y;
    }
}

/// The ground alone, (S,S,3).
zeroi2v::image ground_of(surface const& look) {
    std::vector<double> shade(picture_side * picture_side);
    for (wave const& each : look.ground_waves) add_wave(each, shade);
    zeroi2v::image ground{picture_side, picture_side, std::size_t{3}};
    for (std::size_t i = 0; i < shade.size(); ++i)
        for (std::size_t channel = 0; channel < 3; ++channel) ground.data()[3 * i + channel] = byte_of(look.ground[channel] + shade[i]);
    return ground;
}

/// The share of pixel (x, y) that the shape covers.
double coverage(outline shape, moment const& now, std::size_t x, std::size_t y) {
    double covered = 0;
    for (double const down : {-0.25, 0.25})
        for (double const right : {-0.25, 0.25})
            covered += covers(shape, (middle(x) + right / side - now.x) / now.radius, (middle(y) + down / side - now.y) / now.radius) ? 0.25 : 0;
    return covered;
}

/// First pixel and one past the last that `centre` +- `radius` can touch.
std::pair<std::size_t, std::size_t> touched(double centre, double radius) {
    auto const pixel = [](double at) { return static_cast<std::size_t>(std::clamp(at * side, 0.0, side)); };
    return {pixel(centre - radius), std::min(pixel(centre + radius) + 1, picture_side)};
}

void paint_shape(zeroi2v::image& picture, scene const& shown, moment const& now) {
    colour const paint = of_hue(now.hue, shown.look.brightness);
    wave const& texture = shown.look.shape_wave;
    auto const [top, bottom] = touched(now.y, now.radius);
    auto const [left, right] = touched(now.x, now.radius);
    for (std::size_t y = top; y < bottom; ++y)
        for (std::size_t x = left; x < right; ++x) {
            double const share = coverage(shown.shape, now, x, y);
            if (share == 0) continue;
            double const shade = 1 - texture.amplitude + value_of(texture, (middle(x) - now.x) / now.radius, (middle(y) - now.y) / now.radius);
            for (std::size_t channel = 0; channel < 3; ++channel)
                picture(y, x, channel) = byte_of((1 - share) * picture(y, x, channel) / 255 + share * shade * paint[channel]);
        }
}

} // namespace

std::vector<zeroi2v::image> render(scene const& shown) {
    auto const ground = ground_of(shown.look);
    std::vector<zeroi2v::image> pictures;
    for (moment const& now : shown.moments) {
        pictures.emplace_back(picture_side, picture_side, std::size_t{3});
        std::copy_n(ground.data(), ground.size(), pictures.back().data());
        paint_shape(pictures.back(), shown, now);
    }
    return pictures;
}

} // namespace moving_shapes
