// The epilogue of a matmul: bias, activation and residual, on the sums of a tile.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/elementwise.hpp>
#include <zeroi2v/ops/kernels/tile.hpp>
#include <zeroi2v/simd/activations.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace zeroi2v::detail {

template <class Product>
inline constexpr bool integer_sums = std::is_same_v<typename Product::sum, pack<std::int32_t, typename Product::arch>>;

/// The one activation whose code stands in every tile's epilogue: CLIP's. Any other is called once per tile. With all of them in the tiles
/// each new one would add code to some 40 functions of every instruction set.
inline constexpr activation activation_in_tiles = activation::quick_gelu;

/// sums + bias as floats: one vector of one row, from channel `at` on, of which `here` channels exist.
template <class Product>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, typename Product::arch> with_bias(matmul_args const& args, std::size_t row, std::size_t at, std::size_t here,
                                                                                  typename Product::sum sum) noexcept {
    using floats = pack<float, typename Product::arch>;
    using ints = pack<std::int32_t, typename Product::arch>;
    bool const whole = here >= floats::size;
    auto const read = [here, whole](float const* from) { return whole ? floats::load(from) : floats::load_partial(from, here); };
    if constexpr (integer_sums<Product>) {
        if constexpr (Product::offset_bits != 0) sum = sum - (ints::load_partial(args.sums + at, whole ? floats::size : here) << Product::offset_bits);
        floats const scale = read(args.scales + at) * floats::broadcast(args.row_scales[row]);
        return args.bias == nullptr ? sum.to_float() * scale : fma(sum.to_float(), scale, read(args.bias + at));
    } else {
        return args.bias == nullptr ? sum : sum + read(args.bias + at);
    }
}

/// act(sums + bias) + residual for Vectors vectors of one row, from `channel` on, of which `left` channels exist.
template <class Product, std::size_t Vectors>
ZEROI2V_ALWAYS_INLINE void finish_row(matmul_args const& args, std::size_t row, std::size_t channel, std::size_t left,
                                      typename Product::sum const (&sums)[Vectors]) noexcept {
    using floats = pack<float, typename Product::arch>;
    ZEROI2V_UNROLL
    for (std::size_t v = 0; v < Vectors; ++v) {
        std::size_t const at = channel + v * floats::size;
        std::size_t const here = left - v * floats::size;
        bool const whole = here >= floats::size;
        floats value = with_bias<Product>(args, row, at, here, sums[v]);
        if (args.act == activation_in_tiles) value = activation_function<activation_in_tiles>::value(value);
        if (args.residual != nullptr) {
            float const* const residual = args.residual + row * args.ld_residual + at;
            value = value + (whole ? floats::load(residual) : floats::load_partial(residual, here));
        }
        float* const to = args.c + row * args.ldc + at;
        if (whole) value.store(to);
        else value.store_partial(to, here);
    }
}

/// act(sums + bias) + residual for some rows whose sums lie in memory, `width` per row, of which `left` channels exist.
/// The room of the sums is used up: the values between are not written to c, which may be the residual.
template <class Product>
ZEROI2V_NEVER_INLINE void finish_by_call(matmul_args const& args, std::size_t row, std::size_t rows, std::size_t channel, float* room, std::size_t width) noexcept {
    using sum = typename Product::sum;
    using floats = pack<float, typename Product::arch>;
    using element = std::conditional_t<integer_sums<Product>, std::int32_t, float>; // read and written as whole registers, which may alias
    std::size_t const left = args.n - channel, last = row + rows, used = left < width ? left : width;
    auto const over_vectors = [&](auto work) {
        float* values = room;
        for (std::size_t r = row; r < last; ++r, values += width)
            for (std::size_t i = 0; i < used; i += floats::size) work(values + i, r, channel + i, used - i < floats::size ? used - i : floats::size);
    };
    over_vectors([&](float* values, std::size_t r, std::size_t at, std::size_t here) {
        with_bias<Product>(args, r, at, here, sum::load(reinterpret_cast<element const*>(values))).store(values);
    });
    activation_kernels<typename Product::arch>::all[static_cast<std::size_t>(args.act)].forward(room, room, rows * width);
    over_vectors([&](float* values, std::size_t r, std::size_t at, std::size_t here) {
        floats value = floats::load(values);
        if (args.residual != nullptr) value = value + floats::load_partial(args.residual + r * args.ld_residual + at, here);
        value.store_partial(args.c + r * args.ldc + at, here);
    });
}

/// act(sums + bias) + residual for a tile of sums.
template <class Product, std::size_t Rows, std::size_t Vectors>
ZEROI2V_ALWAYS_INLINE void finish_rows(matmul_args const& args, std::size_t row, std::size_t channel, typename Product::sum const (&sums)[Rows][Vectors]) noexcept {
    using element = std::conditional_t<integer_sums<Product>, std::int32_t, float>;
    constexpr std::size_t size = Product::sum::size;
    if (args.act == activation::none || args.act == activation_in_tiles) {
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) finish_row<Product, Vectors>(args, row + r, channel, args.n - channel, sums[r]);
        return;
    }
    float room[Rows * Vectors * size];
    ZEROI2V_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) sums[r][v].store(reinterpret_cast<element*>(room + (r * Vectors + v) * size));
    finish_by_call<Product>(args, row, Rows, channel, room, Vectors * size);
}

/// sums + bias + residual of a tile whose channels all exist: what finish_row asks of every vector is asked once.
template <class Product, std::size_t Rows, std::size_t Vectors>
ZEROI2V_ALWAYS_INLINE void finish_tile(matmul_args const& args, std::size_t row, std::size_t channel,
                                       tile_sums<typename Product::sum, Rows, Vectors>& sums) noexcept {
    using floats = pack<float, typename Product::arch>;
    if (args.bias != nullptr)
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) {
            floats const bias = floats::load(args.bias + channel + v * floats::size);
            ZEROI2V_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums.at[r][v] = sums.at[r][v] + bias;
        }
    if (args.residual != nullptr)
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r)
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v)
                sums.at[r][v] = sums.at[r][v] + floats::load(args.residual + (row + r) * args.ld_residual + channel + v * floats::size);
    ZEROI2V_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) sums.at[r][v].store(args.c + (row + r) * args.ldc + channel + v * floats::size);
}

} // namespace zeroi2v::detail
