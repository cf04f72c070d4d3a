#include "scene.hpp"

#include <zeroi2v/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace moving_shapes {
namespace {

constexpr double pause_probability = 0.15;
constexpr double least_speed = 0.10, most_speed = 0.18; // cycles per frame: direction is clear from two neighbours
constexpr double path_place = 0.05;                     // how far the middle of a path may be from the frame's

/// Random numbers one after the other.
class dice {
public:
    dice(std::uint64_t seed, std::uint64_t stream) : rng_{seed, stream} {}
    double between(double least, double most) { return least + (most - least) * static_cast<double>(rng_.uniform(next_++)); }

private:
    zeroi2v::counter_rng rng_;
    std::uint64_t next_ = 0;
};

wave draw_wave(dice& random, double least_frequency, double most_frequency, double amplitude) {
    double const angle = random.between(0, turn), frequency = random.between(least_frequency, most_frequency);
    return {frequency * std::cos(angle), frequency * std::sin(angle), random.between(0, 1), amplitude};
}

surface draw_surface(dice& random) {
    surface look;
    double const grey = random.between(0.25, 0.45);
    for (double& channel : look.ground) channel = grey + random.between(-0.05, 0.05);
    for (wave& each : look.ground_waves) each = draw_wave(random, 0.5, 3, 0.06);
    look.shape_wave = draw_wave(random, 0.8, 1.6, 0.12);
    look.brightness = random.between(0.8, 0.95);
    return look;
}

/// Where in its cycle each frame is: a random start, a random speed (negative: backwards), and pauses.
std::vector<double> draw_phases(dice& random, std::size_t frames, double speed) {
    double phase = random.between(0, 1);
    double const step = speed * random.between(least_speed, most_speed);
    std::vector<double> phases;
    for (std::size_t frame = 0; frame < frames; ++frame) {
        phases.push_back(phase);
        if (random.between(0, 1) >= pause_probability) phase += step;
    }
    return phases;
}

double fraction(double value) { return value - std::floor(value); }

/// A point on the edge of the square from -1 to 1: right along the top, down, left along the bottom, up.
std::pair<double, double> on_square(double phase) {
    double const walked = 4 * fraction(phase), along = 2 * fraction(walked) - 1;
    if (walked < 1) return {along, -1};
    if (walked < 2) return {1, along};
    if (walked < 3) return {-along, 1};
    return {-1, -along};
}

/// `rest` is the moment around which the motion happens, `reach` half the width of a path.
moment moment_at(motion kind, moment const& rest, double reach, double phase) {
    moment now = rest;
    double const angle = turn * phase;
    switch (kind) {
    case motion::clockwise:
    case motion::counter_clockwise: // y points down: a growing angle runs clockwise
        now.x += reach * std::cos(angle);
        now.y += reach * std::sin(angle);
        break;
    case motion::path_forward:
    case motion::path_backward: {
        auto const [right, down] = on_square(phase);
        now.x += reach * right;
        now.y += reach * down;
        break;
    }
    case motion::growing:
    case motion::shrinking: now.radius = least_radius + (most_radius - least_radius) * fraction(phase); break;
    case motion::hue_up:
    case motion::hue_down: now.hue = fraction(rest.hue + phase); break;
    }
    return now;
}

/// How far from the middle of its path a shape is, drawn from this range; how far that middle is from the frame's; cycles of a unit of
/// speed. A circle is within the square path, and that one is longer.
struct path {
    double least_reach{}, most_reach{}, place{}, speed = 1;
};
path path_of(motion kind) {
    switch (kind) {
    case motion::clockwise:
    case motion::counter_clockwise: return {0.13, 0.17, path_place};
    case motion::path_forward:
    case motion::path_backward: return {0.24, 0.28, path_place, 0.65};
    default: return {0, 0, (most_place - least_place) / 2};
    }
}

} // namespace

std::string class_name(std::size_t label) {
    constexpr std::array<std::string_view, outlines> shapes{"disc", "bar", "post"};
    constexpr std::array<std::string_view, motions> names{"clockwise", "counter-clockwise", "path forward", "path backward",
                                                          "growing",   "shrinking",         "hue up",        "hue down"};
    return std::string{shapes[label / motions]} + " " + std::string{names[label % motions]};
}

scene draw_scene(std::uint64_t seed, std::uint64_t index, std::size_t label, std::size_t frames) {
    dice random{seed, index};
    scene result;
    result.shape = static_cast<outline>(label / motions);
    result.look = draw_surface(random);
    auto const kind = static_cast<motion>(label % motions);
    path const way = path_of(kind);
    double const reach = random.between(way.least_reach, way.most_reach);
    double const speed = label % 2 == 0 ? way.speed : -way.speed;
    moment rest;
    rest.x = random.between(0.5 - way.place, 0.5 + way.place);
    rest.y = random.between(0.5 - way.place, 0.5 + way.place);
    rest.radius = random.between(0.12, 0.24);
    rest.hue = random.between(0, 1);
    for (double const phase : draw_phases(random, frames, speed)) result.moments.push_back(moment_at(kind, rest, reach, phase));
    return result;
}

scene draw_still(std::uint64_t seed, std::uint64_t index) {
    dice random{seed, index};
    scene result;
    result.look = draw_surface(random);
    result.shape = static_cast<outline>(std::min<std::size_t>(static_cast<std::size_t>(random.between(0, outlines)), outlines - 1));
    moment now;
    now.x = random.between(least_place, most_place);
    now.y = random.between(least_place, most_place);
    now.radius = random.between(least_radius, most_radius);
    now.hue = random.between(0, 1);
    result.moments.push_back(now);
    return result;
}

} // namespace moving_shapes
