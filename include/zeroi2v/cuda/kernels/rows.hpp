// rows: the kernels that work on whole rows of the residual stream, a warp to a row: residual + layer norm, embedding sums.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/cuda/fragments.hpp>

#include <cmath>
#include <cstddef>

namespace zeroi2v::cuda_kernels {

inline constexpr unsigned row_threads = 128; ///< 4 rows to a block

/// Blocks for `rows` rows.
[[nodiscard]] ZEROI2V_ON_BOTH constexpr std::size_t row_blocks(std::size_t rows) noexcept { return (rows + row_threads / warp_lanes - 1) / (row_threads / warp_lanes); }

/// A row in a warp's registers: group i of a lane holds columns (i * 32 + lane) * Width and the next ones.
template <int Width, int Groups>
struct warp_row {
    float values[Groups][Width];

    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr int column(int lane, int group) noexcept { return (group * warp_lanes + lane) * Width; }
    /// The longest row that fits.
    static constexpr int capacity = warp_lanes * Width * Groups;

    /// use(group, first column) for each group that lies within `columns`, a multiple of Width.
    template <class Use>
    ZEROI2V_ON_DEVICE static void for_each(int lane, int columns, Use&& use) noexcept {
        ZEROI2V_CUDA_UNROLL
        for (int group = 0; group < Groups; ++group)
            if (column(lane, group) < columns) use(group, column(lane, group));
    }
};

template <class Block>
ZEROI2V_ON_DEVICE float warp_sum(Block& block, float value) noexcept {
    ZEROI2V_CUDA_UNROLL
    for (unsigned mask = warp_lanes / 2; mask > 0; mask /= 2) value += block.shuffle_xor(value, mask);
    return value;
}

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, for a row in registers.
///
/// Numerics  fp32, two passes; what the rounded mean is off is taken out of deviation and variance. The same bits in every run.
template <class Out, int Width, int Groups, class Block>
ZEROI2V_ON_DEVICE void normalise(Block& block, warp_row<Width, Groups> const& row, int columns, float const* weight, float const* bias, float epsilon,
                                 Out* y) noexcept {
    using line = warp_row<Width, Groups>;
    float sum = 0;
    line::for_each(block.lane(), columns, [&](int group, int) {
        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < Width; ++i) sum += row.values[group][i];
    });
    float const mean = warp_sum(block, sum) / static_cast<float>(columns);
    float rest = 0, squares = 0;
    line::for_each(block.lane(), columns, [&](int group, int) {
        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < Width; ++i) {
            float const d = row.values[group][i] - mean;
            rest += d;
            squares = ::fmaf(d, d, squares);
        }
    });
    float const off = warp_sum(block, rest) / static_cast<float>(columns);
    float const variance = ::fmaxf(warp_sum(block, squares) / static_cast<float>(columns) - off * off, 0.0F);
    float const scale = 1.0F / ::sqrtf(variance + epsilon);
    line::for_each(block.lane(), columns, [&](int group, int at) {
        float out[Width], w[Width], b[Width];
        load_group<Width>(weight + at, w);
        load_group<Width>(bias + at, b);
        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < Width; ++i) out[i] = ::fmaf((row.values[group][i] - mean - off) * scale, w[i], b[i]);
        store_group<Width>(out, y + at);
    });
}

/// x += delta; y = layer_norm(x): the end of one half of a block and the beginning of the next, in one pass over the row.
///
/// Shapes    x (rows,C) fp32, delta (rows,C) E or null, y (rows,C) Out, each with a stride of its own; C a multiple of Width, at
///           most 32 Width Groups.
/// Aliasing  none, but y may be x where it has its stride.
/// Cost      reads x, delta; writes x where it changed, y.
/// Test      tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <element E, element Out, int Width, int Groups>
struct add_norm {
    struct arguments {
        float* x{};
        std::size_t x_stride{};
        E const* delta{};
        std::size_t delta_stride{};
        Out* y{};
        std::size_t y_stride{};
        float const *weight{}, *bias{};
        std::size_t rows{};
        int columns{};
        float epsilon{};
    };
    static constexpr char const* name = "add_norm";
    static constexpr unsigned max_threads = row_threads;

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        using line = warp_row<Width, Groups>;
        std::size_t const row = static_cast<std::size_t>(block.index()) * (row_threads / warp_lanes) + static_cast<std::size_t>(block.warp());
        if (row >= a.rows) return; // a whole warp
        float* const x = a.x + row * a.x_stride;
        line values;
        line::for_each(block.lane(), a.columns, [&](int group, int at) {
            load_group<Width>(x + at, values.values[group]);
            if (a.delta == nullptr) return;
            float change[Width];
            load_group<Width>(a.delta + row * a.delta_stride + at, change);
            ZEROI2V_CUDA_UNROLL
            for (int i = 0; i < Width; ++i) values.values[group][i] += change[i];
            store_group<Width>(values.values[group], x + at);
        });
        normalise(block, values, a.columns, a.weight, a.bias, a.epsilon, a.y + row * a.y_stride);
    }
};

/// x[t,0] = class + position[0] + time[t];  x[t,1+p] = patch[t,p] + position[1+p] + time[t];  then ln_pre.
///
/// Shapes    patches (frames P,C) fp32: products with conv1; position (N,C), time (T,C), x (frames N,C), N = P + 1; C a multiple of
///           Width, at most 32 Width Groups.
/// Test      tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <int Width, int Groups>
struct embed {
    struct arguments {
        float const *patches{}, *class_embedding{}, *position{}, *time{}; // (frames*P,C), (C), (N,C), (T,C)
        float const *weight{}, *bias{};                                   // (C), of ln_pre
        float* x{};                                                       // (frames*N,C)
        std::size_t rows{};
        int tokens{}, clip_frames{}, columns{};
        float epsilon{};
    };
    static constexpr char const* name = "embed";
    static constexpr unsigned max_threads = row_threads;

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        using line = warp_row<Width, Groups>;
        std::size_t const row = static_cast<std::size_t>(block.index()) * (row_threads / warp_lanes) + static_cast<std::size_t>(block.warp());
        if (row >= a.rows) return;
        auto const tokens = static_cast<std::size_t>(a.tokens), columns = static_cast<std::size_t>(a.columns);
        std::size_t const frame = row / tokens, token = row % tokens;
        float const* const from = token == 0 ? a.class_embedding : a.patches + (frame * (tokens - 1) + token - 1) * columns;
        float const* const position = a.position + token * columns;
        float const* const time = a.time + frame % static_cast<std::size_t>(a.clip_frames) * columns;
        line values;
        line::for_each(block.lane(), a.columns, [&](int group, int at) {
            float where[Width], when[Width];
            load_group<Width>(from + at, values.values[group]);
            load_group<Width>(position + at, where);
            load_group<Width>(time + at, when);
            ZEROI2V_CUDA_UNROLL
            for (int i = 0; i < Width; ++i) values.values[group][i] = values.values[group][i] + where[i] + when[i];
        });
        normalise(block, values, a.columns, a.weight, a.bias, a.epsilon, a.x + row * columns);
    }
};

} // namespace zeroi2v::cuda_kernels
