// Matmul on matrix registers: blocks of 32 rows by 32 channels, each finished beside the products of the next.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/epilogue.hpp>
#include <zeroi2v/ops/kernels/matmul.hpp>
#include <zeroi2v/ops/kernels/tuning.hpp>
#include <zeroi2v/simd/pack.hpp>
#include <zeroi2v/simd/tiles.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace zeroi2v {
template <class Arch>
struct tiles; // simd/tiles.hpp, where the compiler's flags allow them
} // namespace zeroi2v

namespace zeroi2v::detail {

/// A product of whole tiles.
template <class Product>
concept tile_product_type = requires { Product::tile_k; };

/// Rows of sums that wait for their epilogue. It is vector work and the products are not: done row by row beside them, it takes no time.
template <class Product>
struct waiting_rows {
    using sum = typename Product::sum;
    using element = std::conditional_t<integer_sums<Product>, std::int32_t, float>;

    matmul_args const& args;
    element const* at = nullptr;
    std::size_t row = 0, last = 0, channel = 0;

    ZEROI2V_ALWAYS_INLINE void finish_one() noexcept {
        if (row == last) return;
        if (args.n - channel > sum::size) finish_rows<Product, 1, 2>(args, row, channel, {{sum::load(at), sum::load(at + sum::size)}});
        else finish_rows<Product, 1, 1>(args, row, channel, {{sum::load(at)}});
        at += 2 * sum::size;
        ++row;
    }
};

/// Sums of `steps` tiles of k into tiles 0 to 3, or 0 and 1 where there are no lower rows.
template <class Product, bool Lower>
ZEROI2V_ALWAYS_INLINE void tile_sums_of(char const* a, std::size_t lda, char const* panel, std::size_t steps, waiting_rows<Product>& waiting,
                                        std::size_t lines, char const*& next) noexcept {
    using regs = tiles<typename Product::arch>;
    constexpr std::size_t panel_row = 2 * regs::row_bytes;
    regs::template zero<0>();
    regs::template zero<1>();
    if constexpr (Lower) {
        regs::template zero<2>();
        regs::template zero<3>();
    }
    std::size_t const rows_a_step = steps == 0 ? 0 : (waiting.last - waiting.row + steps - 1) / steps;
    for (; steps > 0; --steps) {
        regs::template load<6>(panel, panel_row);
        regs::template load<4>(a, lda);
        regs::template load<7>(panel + regs::row_bytes, panel_row);
        Product::template multiply_add<0, 4, 6>();
        Product::template multiply_add<1, 4, 7>();
        if constexpr (Lower) {
            regs::template load<5>(a + regs::rows * lda, lda);
            Product::template multiply_add<2, 5, 6>();
            Product::template multiply_add<3, 5, 7>();
        }
        for (std::size_t line = 0; line < lines; ++line, next += 64) __builtin_prefetch(next, 0, 2);
        for (std::size_t i = 0; i < rows_a_step; ++i) waiting.finish_one();
        a += regs::row_bytes;
        panel += regs::rows * panel_row;
    }
}

/// C = act(A W^T + bias) + residual, see matmul_args.
///
/// Numerics  float sums are taken in blocks of tile_k_block products, a block tile by tile in order of k, each tile's products in two
///           chains; the blocks added in order. Integer sums are exact.
template <class Product>
void tile_matmul(matmul_args const& args) noexcept {
    using regs = tiles<typename Product::arch>;
    using sum = typename Product::sum;
    using element = typename waiting_rows<Product>::element;
    constexpr std::size_t width = 2 * sum::size;
    constexpr std::size_t rows = 2 * regs::rows;
    constexpr std::size_t block_steps = integer_sums<Product> ? ~std::size_t{0} : tile_k_block / Product::tile_k;
    std::size_t const steps = (args.k + Product::tile_k - 1) / Product::tile_k;
    std::size_t const step_bytes = regs::rows * 2 * regs::row_bytes;
    std::size_t const lda = args.lda * sizeof(typename Product::activation);
    auto const* const panels = static_cast<char const*>(args.panels);
    auto const* const a = static_cast<char const*>(args.a);
    alignas(64) element sums[rows * width];
    alignas(64) element more[rows * width];
    waiting_rows<Product> waiting{args};
    std::size_t upper = regs::rows, lower = regs::rows; // as the tiles are configured
    regs::configure(upper, lower);
    for (std::size_t first = 0; first < args.m; first += tile_row_block) {
        std::size_t const last = args.m - first < tile_row_block ? args.m : first + tile_row_block;
        std::size_t const blocks = (last - first + rows - 1) / rows;
        std::size_t const lines = (step_bytes / 64 + blocks - 1) / blocks; // all of the next panel beside this one's products
        char const* panel = panels;
        for (std::size_t channel = 0; channel < args.n; channel += width, panel += steps * step_bytes) {
            char const* next = args.n - channel > width ? panel + steps * step_bytes : panels;
            for (std::size_t row = first; row < last; row += rows) {
                std::size_t const above = last - row < regs::rows ? last - row : regs::rows;
                std::size_t const below = last - row < rows ? last - row - above : regs::rows;
                if (above != upper || (below != lower && below != 0)) {
                    upper = above;
                    lower = below != 0 ? below : regs::rows;
                    regs::configure(upper, lower);
                }
                for (std::size_t done = 0; done == 0 || done < steps;) {
                    std::size_t const now = steps - done < block_steps ? steps - done : block_steps;
                    char const* const from = a + row * lda + done * regs::row_bytes;
                    if (below != 0) tile_sums_of<Product, true>(from, lda, panel + done * step_bytes, now, waiting, lines, next);
                    else tile_sums_of<Product, false>(from, lda, panel + done * step_bytes, now, waiting, lines, next);
                    while (waiting.row != waiting.last) waiting.finish_one();
                    element* const to = done == 0 ? sums : more;
                    regs::template store<0>(to, 2 * regs::row_bytes);
                    regs::template store<1>(to + sum::size, 2 * regs::row_bytes);
                    if (below != 0) {
                        regs::template store<2>(to + regs::rows * width, 2 * regs::row_bytes);
                        regs::template store<3>(to + regs::rows * width + sum::size, 2 * regs::row_bytes);
                    }
                    if (done != 0)
                        for (std::size_t i = 0; i < (above + below) * width; i += sum::size) (sum::load(sums + i) + sum::load(more + i)).store(sums + i);
                    done += now;
                    if (steps == 0) break;
                }
                waiting.at = sums;
                waiting.row = row;
                waiting.last = row + above + below;
                waiting.channel = channel;
            }
        }
    }
    while (waiting.row != waiting.last) waiting.finish_one();
    regs::release();
}

/// Nothing but products on tiles.
template <class Product>
std::size_t tile_dot_loop(std::size_t iterations) noexcept {
    using regs = tiles<typename Product::arch>;
    regs::configure(regs::rows, regs::rows);
    for (std::size_t n = 0; n < iterations; ++n) {
        Product::template multiply_add<0, 4, 6>();
        Product::template multiply_add<1, 4, 7>();
        Product::template multiply_add<2, 5, 6>();
        Product::template multiply_add<3, 5, 7>();
    }
    regs::release();
    return iterations * 4 * regs::rows * Product::sum::size * Product::tile_k * 2;
}

template <class Product>
[[nodiscard]] consteval matmul_kernel tile_kernel_of() {
    matmul_kernel kernel{};
    kernel.run = &tile_matmul<Product>;
    kernel.row_tile = 2 * tiles<typename Product::arch>::rows;
    kernel.row_block = tile_row_block;
    kernel.panel_width = 2 * Product::sum::size;
    kernel.group = Product::group;
    kernel.k_multiple = Product::tile_k;
    kernel.weight_bytes = sizeof(typename Product::weight);
    kernel.activation_bytes = sizeof(typename Product::activation);
    kernel.max_k = ~std::size_t{0};
    if constexpr (integer_sums<Product>) {
        kernel.prepare_rows = &quantize_rows<Product>;
        kernel.max_k = Product::max_k;
    } else {
        kernel.prepare_rows = &round_rows<Product>;
    }
    kernel.dot_loop = &tile_dot_loop<Product>;
    return kernel;
}

} // namespace zeroi2v::detail
