// The kernels of one instruction set, gathered into its table.
#pragma once

#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/attention.hpp>
#include <zeroi2v/ops/kernels/backward.hpp>
#include <zeroi2v/ops/kernels/elementwise.hpp>
#include <zeroi2v/ops/kernels/matmul.hpp>
#include <zeroi2v/ops/kernels/rows.hpp>
#include <zeroi2v/ops/kernels/tile_matmul.hpp>
#include <zeroi2v/ops/kernels/tuning.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/pack.hpp>
#include <zeroi2v/simd/products.hpp>

#include <cstddef>

namespace zeroi2v {

namespace detail {

/// 12 independent chains of FMAs on registers: what the processor can do at most.
template <class Arch>
std::size_t fma_loop(std::size_t iterations) noexcept {
    using floats = pack<float, Arch>;
    constexpr std::size_t chains = 12;
    floats chain[chains];
    ZEROI2V_UNROLL
    for (std::size_t i = 0; i < chains; ++i) chain[i] = floats::broadcast(static_cast<float>(i));
    floats const factor = floats::broadcast(0.5F);
    floats const addend = floats::broadcast(0.25F);
    for (std::size_t n = 0; n < iterations; ++n) {
        ZEROI2V_UNROLL
        for (std::size_t i = 0; i < chains; ++i) chain[i] = barrier(fma(chain[i], factor, addend));
    }
    floats sum = floats::zero();
    ZEROI2V_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sum = sum + chain[i];
    [[maybe_unused]] float volatile const seen = reduce_add(sum); // or the loop would be dropped
    return iterations * chains * floats::size * 2;
}

template <class Product, std::size_t Rows, std::size_t Vectors>
[[nodiscard]] consteval matmul_kernel kernel_of_product() {
    if constexpr (tile_product_type<Product>) return tile_kernel_of<Product>();
    else return matmul_kernel_of<Product, Rows, Vectors>();
}

template <class Arch>
[[nodiscard]] consteval kernel_table make_kernel_table() {
    constexpr std::size_t rows = tuning<pack<float, Arch>::size>::rows;
    constexpr std::size_t vectors = tuning<pack<float, Arch>::size>::vectors;
    return {.level = Arch::level,
            .f32 = matmul_kernel_of<f32_product<Arch>, rows, vectors>(),
            .attention_product = matmul_kernel_of<f32_product<Arch>, attention_layout<Arch>::rows, tuning<pack<float, Arch>::size>::attention_vectors>(),
            .bf16 = kernel_of_product<typename products<Arch>::bf16, rows, vectors>(),
            .i8 = kernel_of_product<typename products<Arch>::i8, rows, vectors>(),
            .layer_norm = &layer_norm<Arch>,
            .softmax = &softmax<Arch>,
            .activations = activation_kernels<Arch>::all,
            .exp = &exp_array<Arch>,
            .attention = &attention<Arch>,
            .attention_scratch = &attention_scratch<Arch>,
            .layer_norm_backward = &layer_norm_backward<Arch>,
            .softmax_backward = &softmax_backward<Arch>,
            .fma_loop = &fma_loop<Arch>};
}

template <class Arch>
inline constexpr kernel_table table_of = make_kernel_table<Arch>();

} // namespace detail

template <class Arch>
kernel_table const& kernels_of() noexcept {
    return detail::table_of<Arch>;
}

} // namespace zeroi2v
