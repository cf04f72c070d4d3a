// scene: what one video shows. A textured shape before a textured ground, and how it moves, all drawn from a seed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

namespace moving_shapes {

enum class outline { disc, bar, post }; ///< round, wide, tall
inline constexpr std::size_t outlines = 3;

/// Radians of one turn.
inline constexpr double turn = 2 * std::numbers::pi;

/// Each even motion and the next one show the same frames in opposite order.
enum class motion { clockwise, counter_clockwise, path_forward, path_backward, growing, shrinking, hue_up, hue_down };
inline constexpr std::size_t motions = 8;

/// A class is outline x motion: number outline * motions + motion.
inline constexpr std::size_t classes = outlines * motions;

/// The class whose videos are those of `label` played backwards.
[[nodiscard]] constexpr std::size_t reversed(std::size_t label) noexcept { return label ^ std::size_t{1}; }

/// Such as "disc growing"; one for each class.
[[nodiscard]] std::string class_name(std::size_t label);

/// What a single frame tells. Lengths in sides of the frame, from its top left corner; hue in turns, [0,1).
struct moment {
    double x = 0.5, y = 0.5; ///< centre of the shape
    double radius = 0.2;
    double hue = 0;
};

/// The ranges that moments are drawn from, and come from in every motion.
inline constexpr double least_place = 0.18, most_place = 0.82, least_radius = 0.08, most_radius = 0.30;

/// One wave of a texture: amplitude sin(2 pi (right u + down v + phase)).
struct wave {
    double right{}, down{}, phase{}, amplitude{};
};

/// What does not change within a video, and tells nothing about the motion.
struct surface {
    std::array<double, 3> ground{}; ///< red, green, blue in [0,1]
    std::array<wave, 3> ground_waves{};
    wave shape_wave{}; ///< moves and grows with the shape
    double brightness{};
};

/// A video: its frames are moments of one surface.
struct scene {
    outline shape{};
    surface look{};
    std::vector<moment> moments{};
};

/// Video number `index` of a seed, of class `label`, `frames` long.
///
/// Place, size, hue, start phase and speed are uniform, and now and then a frame is shown twice; none of them depends on
/// which of a pair the motion is. A video and the same one played backwards are therefore drawn equally often, the one
/// under one class of the pair, the other under the other, and each frame alone is distributed alike in both.
[[nodiscard]] scene draw_scene(std::uint64_t seed, std::uint64_t index, std::size_t label, std::size_t frames);

/// Still number `index` of a seed: one moment, every part of it uniform.
[[nodiscard]] scene draw_still(std::uint64_t seed, std::uint64_t index);

} // namespace moving_shapes
