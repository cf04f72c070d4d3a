// The kernels that work on one row at a time: layer_norm and softmax.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/math.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace zeroi2v::detail {

/// Four running sums, joined as a tree: no wait for the last addition, and a quarter of its rounding errors.
template <class Arch>
struct row_sum {
    using floats = pack<float, Arch>;

    floats part[4];

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static row_sum zero() noexcept {
        return {{floats::zero(), floats::zero(), floats::zero(), floats::zero()}};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE float total() const noexcept {
        return reduce_add((part[0] + part[1]) + (part[2] + part[3]));
    }
};

/// Calls work(which of four sums, position, lanes) for every vector of a row, the last one partial.
template <class Arch, class Work>
ZEROI2V_ALWAYS_INLINE void for_each_vector(std::size_t width, Work work) noexcept {
    constexpr std::size_t size = pack<float, Arch>::size;
    std::size_t i = 0;
    for (; i + 4 * size <= width; i += 4 * size) {
        work(0, i, size);
        work(1, i + size, size);
        work(2, i + 2 * size, size);
        work(3, i + 3 * size, size);
    }
    for (std::size_t which = 0; i < width; ++which, i += size) work(which, i, width - i < size ? width - i : size);
}

template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> read(float const* from, std::size_t lanes) noexcept {
    using floats = pack<float, Arch>;
    return lanes == floats::size ? floats::load(from) : floats::load_partial(from, lanes);
}

template <class Arch>
ZEROI2V_ALWAYS_INLINE void write(pack<float, Arch> value, float* to, std::size_t lanes) noexcept {
    if (lanes == pack<float, Arch>::size) value.store(to);
    else value.store_partial(to, lanes);
}

/// Only the lanes that are there; 0 in the others.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> keep(pack<float, Arch> value, std::size_t lanes) noexcept {
    using floats = pack<float, Arch>;
    return lanes == floats::size ? value : first_or(value, lanes, floats::zero());
}

/// The sums of (x - mean) * scale and of its square.
template <class Arch>
ZEROI2V_ALWAYS_INLINE void moments(float const* x, std::size_t width, float mean, float scale, float& first,
                                   float& second) noexcept {
    using floats = pack<float, Arch>;
    auto sum = row_sum<Arch>::zero();
    auto squares = row_sum<Arch>::zero();
    floats const center = floats::broadcast(mean);
    floats const factor = floats::broadcast(scale);
    for_each_vector<Arch>(width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
        floats const d = keep((read<Arch>(x + i, lanes) - center) * factor, lanes);
        sum.part[which] = sum.part[which] + d;
        squares.part[which] = fma(d, d, squares.part[which]);
    });
    first = sum.total();
    second = squares.total();
}

/// A power of two that brings the largest |x - mean| near 1.
template <class Arch>
ZEROI2V_ALWAYS_INLINE float scale_to_one(float const* x, std::size_t width, float mean) noexcept {
    using floats = pack<float, Arch>;
    floats largest = floats::zero();
    floats const center = floats::broadcast(mean);
    for_each_vector<Arch>(width, [&](std::size_t, std::size_t i, std::size_t lanes) {
        largest = max(largest, keep(abs(read<Arch>(x + i, lanes) - center), lanes));
    });
    float const top = reduce_max(largest);
    std::uint32_t word;
    std::memcpy(&word, &top, sizeof word);
    std::uint32_t const exponent = (word >> 23) & 0xffU;
    std::uint32_t const wanted = exponent < 253U ? 254U - exponent : 1U;
    word = wanted << 23;
    float scale;
    std::memcpy(&scale, &word, sizeof scale);
    return scale;
}

/// What makes a row's elements normal: n = ((x - mean) * scale - offset) * inverse.
struct row_normal {
    float mean, scale, offset, inverse;
};

/// The mean is corrected by the sum of the differences from it, so a row of large, nearly equal values loses nothing.
/// Where the squares leave float's range, the differences are scaled by a power of two first.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE row_normal normal_of_row(float const* x, std::size_t width, float eps) noexcept {
    auto const count = static_cast<float>(width);
    auto sum = row_sum<Arch>::zero();
    for_each_vector<Arch>(width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
        sum.part[which] = sum.part[which] + read<Arch>(x + i, lanes);
    });
    float const mean = sum.total() / count;
    float scale = 1.0F;
    float first;
    float second;
    moments<Arch>(x, width, mean, scale, first, second);
    if (!(second <= 1e37F && second >= 1e-30F)) {
        scale = scale_to_one<Arch>(x, width, mean);
        moments<Arch>(x, width, mean, scale, first, second);
    }
    float const offset = first / count; // what the mean is off, scaled
    double const squares = static_cast<double>(second) - static_cast<double>(first) * static_cast<double>(offset);
    double const wide = static_cast<double>(scale);
    double const scaled_variance = squares < 0 ? 0 : squares / static_cast<double>(width);
    double const deviation = __builtin_sqrt(scaled_variance / (wide * wide) + static_cast<double>(eps)) * wide;
    return {mean, scale, offset, deviation == 0 ? 0.0F : static_cast<float>(1 / deviation)};
}

/// y = (x - mean) / sqrt(variance + eps) * weight + bias.
template <class Arch>
void layer_norm(layer_norm_args const& args) noexcept {
    using floats = pack<float, Arch>;
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const x = args.x + row * args.ldx;
        float* const y = args.y + row * args.ldy;
        row_normal const of = normal_of_row<Arch>(x, args.width, args.eps);
        floats const center = floats::broadcast(of.mean);
        floats const factor = floats::broadcast(of.scale);
        floats const shift = floats::broadcast(-of.offset);
        floats const normal = floats::broadcast(of.inverse);
        for_each_vector<Arch>(args.width, [&](std::size_t, std::size_t i, std::size_t lanes) {
            floats const d = fma(read<Arch>(x + i, lanes) - center, factor, shift);
            write<Arch>(fma(d * normal, read<Arch>(args.weight + i, lanes), read<Arch>(args.bias + i, lanes)), y + i, lanes);
        });
    }
}

/// The largest element of a row, at least the lowest float: so a row of -inf only has a finite maximum to subtract.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE float row_max(float const* x, std::size_t width) noexcept {
    using floats = pack<float, Arch>;
    floats const lowest = floats::broadcast(-0x1.fffffep127F);
    floats largest[4] = {lowest, lowest, lowest, lowest};
    for_each_vector<Arch>(width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
        floats const value = read<Arch>(x + i, lanes);
        largest[which] = max(lanes == floats::size ? value : first_or(value, lanes, lowest), largest[which]);
    });
    return reduce_max(max(max(largest[0], largest[1]), max(largest[2], largest[3])));
}

/// y = value(x); returns the sum. A NaN of the row is in the sum.
template <class Arch, class Value>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE float map_and_sum(float const* x, float* y, std::size_t width, Value value) noexcept {
    auto sum = row_sum<Arch>::zero();
    for_each_vector<Arch>(width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
        pack<float, Arch> const mapped = value(read<Arch>(x + i, lanes));
        sum.part[which] = sum.part[which] + keep(mapped, lanes);
        write<Arch>(mapped, y + i, lanes);
    });
    return sum.total();
}

template <class Arch>
ZEROI2V_ALWAYS_INLINE void scale_row(float const* x, float* y, std::size_t width, float scale) noexcept {
    using floats = pack<float, Arch>;
    floats const factor = floats::broadcast(scale);
    for_each_vector<Arch>(width, [&](std::size_t, std::size_t i, std::size_t lanes) {
        write<Arch>(read<Arch>(x + i, lanes) * factor, y + i, lanes);
    });
}

/// 1 / sum; 0 for the sum of a row of -inf only.
[[nodiscard]] ZEROI2V_ALWAYS_INLINE float inverse_of_sum(float sum) noexcept { return sum == 0.0F ? 0.0F : 1.0F / sum; }

template <class Arch>
void softmax(softmax_args const& args) noexcept {
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const x = args.x + row * args.ldx;
        float* const y = args.y + row * args.ldy;
        auto const top = pack<float, Arch>::broadcast(row_max<Arch>(x, args.width));
        float const sum = map_and_sum<Arch>(x, y, args.width, [top](auto value) { return exp_of_difference(value, top); });
        scale_row<Arch>(y, y, args.width, inverse_of_sum(sum));
    }
}

} // namespace zeroi2v::detail
