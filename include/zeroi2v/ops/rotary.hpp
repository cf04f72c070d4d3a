// rotary: axial rotary position embedding of queries and keys, as DINOv3 has it.
#pragma once

#include <zeroi2v/core/assert.hpp>

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace zeroi2v {

/// cos and sin of every patch's angles.
///
///   y, x   = 2 (i + 0.5) / G - 1 of the patch's row and column i, in [-1,1]
///   f[j]   = theta^(-4 j / D),  j in [0, D/4)
///   angles = 2 pi (y f, x f), D/2 of them
///
/// Numerics  angles, cos and sin in double, rounded once.    Errors  D no multiple of 4 -> ZEROI2V_REQUIRE.
/// Source    DINOv3.    Test  tests/unit/ops/rotary.cpp
struct rotary_angles {
    std::size_t half{};           ///< D/2
    std::vector<float> cos, sin;  // (G*G,D/2)

    rotary_angles(std::size_t grid, std::size_t head_dim, double theta) : half{head_dim / 2} {
        ZEROI2V_REQUIRE(head_dim % 4 == 0, "zeroi2v::rotary_angles: head_dim must be a multiple of 4");
        cos.reserve(grid * grid * half);
        sin.reserve(grid * grid * half);
        auto const side = static_cast<double>(grid);
        for (std::size_t row = 0; row < grid; ++row)
            for (std::size_t column = 0; column < grid; ++column)
                for (std::size_t const at : {row, column}) {
                    double const place = 2 * (static_cast<double>(at) + 0.5) / side - 1;
                    for (std::size_t j = 0; j < half / 2; ++j) {
                        double const frequency = std::pow(theta, -4 * static_cast<double>(j) / static_cast<double>(head_dim));
                        double const angle = 2 * std::numbers::pi * place * frequency;
                        cos.push_back(static_cast<float>(std::cos(angle)));
                        sin.push_back(static_cast<float>(std::sin(angle)));
                    }
                }
    }

    /// Rotates the `heads` heads of one row of patch `patch`, in place; backwards with `direction` -1, which undoes it.
    ///
    ///   x'[i] = x[i] cos[i] - x[i + D/2] sin[i],   x'[i + D/2] = x[i + D/2] cos[i] + x[i] sin[i],   i in [0, D/2)
    /// Cost  6 flops per pair of channels.
    void rotate(float* x, std::size_t heads, std::size_t patch, float direction = 1) const noexcept {
        float const* const c = cos.data() + patch * half;
        float const* const s = sin.data() + patch * half;
        for (std::size_t h = 0; h < heads; ++h, x += 2 * half)
            for (std::size_t i = 0; i < half; ++i) {
                float const first = x[i], second = x[i + half], sine = direction * s[i];
                x[i] = first * c[i] - second * sine;
                x[i + half] = second * c[i] + first * sine;
            }
    }
};

} // namespace zeroi2v
