// The matmul kernels: row blocks, panels and register tiles.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/epilogue.hpp>
#include <zeroi2v/ops/kernels/tile.hpp>
#include <zeroi2v/ops/kernels/tuning.hpp>
#include <zeroi2v/simd/dot.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace zeroi2v::detail {

/// Which products of a long sum are taken. Those before left their sums in matmul_args::partial, [panel][row][channel], for those after.
template <class Product>
struct matmul_slab {
    std::size_t first_k, k;
    bool begins, ends; ///< the sum

    static constexpr bool possible = !integer_sums<Product> && !Product::padded && tuning<Product::sum::size>::k_slab != 0;
};

/// k cut into as few slabs of at most `most` as there can be, the same number of k_blocks in each but the last.
[[nodiscard]] ZEROI2V_ALWAYS_INLINE constexpr std::size_t even_slab(std::size_t k, std::size_t most) noexcept {
    std::size_t const slabs = (k + most - 1) / most;
    return ((k + slabs - 1) / slabs + k_block - 1) / k_block * k_block;
}
static_assert(even_slab(3072, 1024) == 1024 && even_slab(1280, 1024) == 768 && even_slab(2100, 1024) == 768);

/// Rows [row, row + Rows) times the first Vectors vectors of a panel.
template <class Product, std::size_t Rows, std::size_t Vectors>
ZEROI2V_ALWAYS_INLINE void matmul_tile(matmul_args const& args, matmul_slab<Product> const& slab, float* partial, std::size_t row,
                                       std::size_t channel, typename Product::weight const* panel, std::size_t panel_width,
                                       next_panel& next) noexcept {
    using sum = typename Product::sum;
    auto const* const a = static_cast<typename Product::activation const*>(args.a) + row * args.lda + slab.first_k;
    // Rows of a residual lie apart, a few lines each, and no hardware sees the next ones coming: fetched here, they are there when the
    // products are (Emerald Rapids, 788 rows of 768: k = 192 0.69 to 0.81 of the limit, k = 768 0.88 to 0.92).
    if (slab.ends && args.residual != nullptr) {
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r)
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) {
                __builtin_prefetch(args.residual + (row + r) * args.ld_residual + channel + v * sum::size);
                __builtin_prefetch(args.c + (row + r) * args.ldc + channel + v * sum::size, 1);
            }
    }
    tile_sums<sum, Rows, Vectors> sums;
    if (!slab.begins) {
        if constexpr (matmul_slab<Product>::possible)
            ZEROI2V_UNROLL
            for (std::size_t r = 0; r < Rows; ++r)
                ZEROI2V_UNROLL
                for (std::size_t v = 0; v < Vectors; ++v) sums.at[r][v] = sum::load_aligned(partial + r * panel_width + v * sum::size);
    } else if (!has_written_loop<Product, Rows, Vectors>(panel_width, slab.k)) {
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r)
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) sums.at[r][v] = sum::zero();
    }
    tile_product<Product, Rows, Vectors>(a, args.lda, panel, panel_width, slab.k, slab.begins, sums, next);
    if constexpr (matmul_slab<Product>::possible)
        if (!slab.ends) {
            ZEROI2V_UNROLL
            for (std::size_t r = 0; r < Rows; ++r)
                ZEROI2V_UNROLL
                for (std::size_t v = 0; v < Vectors; ++v) sums.at[r][v].store_aligned(partial + r * panel_width + v * sum::size);
            return;
        }
    if constexpr (!integer_sums<Product>)
        if (args.act == activation::none && args.n - channel >= Vectors * sum::size) {
            finish_tile<Product, Rows, Vectors>(args, row, channel, sums);
            return;
        }
    finish_rows<Product, Rows, Vectors>(args, row, channel, sums.at);
}

/// Rows [row, last) times the first Vectors vectors of a panel: whole tiles, then halves down to single rows.
template <class Product, std::size_t Rows, std::size_t Vectors>
inline void matmul_panel(matmul_args const& args, matmul_slab<Product> const& slab, float* partial, std::size_t row, std::size_t last,
                         std::size_t channel, typename Product::weight const* panel, std::size_t panel_width, next_panel next) noexcept {
    for (; row + Rows <= last; row += Rows, partial += Rows * panel_width)
        matmul_tile<Product, Rows, Vectors>(args, slab, partial, row, channel, panel, panel_width, next);
    if constexpr (Rows > 1)
        if (row < last)
            matmul_panel<Product, (Rows > 4 ? 4 : Rows / 2), Vectors>(args, slab, partial, row, last, channel, panel, panel_width, next);
}

/// Chooses the number of vectors that hold the panel's channels.
template <class Product, std::size_t Rows, std::size_t Vectors>
inline void matmul_panel_of(std::size_t vectors, matmul_args const& args, matmul_slab<Product> const& slab, float* partial, std::size_t row,
                            std::size_t last, std::size_t channel, typename Product::weight const* panel, std::size_t panel_width,
                            next_panel next) noexcept {
    if constexpr (Vectors > 1)
        if (vectors < Vectors) {
            matmul_panel_of<Product, Rows, Vectors - 1>(vectors, args, slab, partial, row, last, channel, panel, panel_width, next);
            return;
        }
    matmul_panel<Product, Rows, Vectors>(args, slab, partial, row, last, channel, panel, panel_width, next);
}

/// The kernel: row blocks outermost, then slabs of k, then panels, then row tiles. A block's rows stay in the cache while all panels
/// pass; a panel stays nearer while all tiles of the block pass.
template <class Product, std::size_t Rows, std::size_t Vectors>
void matmul(matmul_args const& args) noexcept {
    using sum = typename Product::sum;
    using weight = typename Product::weight;
    using tuned = tuning<sum::size>;
    constexpr std::size_t width = Vectors * sum::size;
    constexpr std::size_t block = tuned::row_block / Rows * Rows;
    std::size_t const padded_k = (args.k + Product::group - 1) / Product::group * Product::group;
    auto const* const panels = static_cast<weight const*>(args.panels);
    std::size_t slab_k = args.k;
    if constexpr (matmul_slab<Product>::possible)
        if (args.partial != nullptr && args.k > tuned::k_slab) slab_k = even_slab(args.k, tuned::k_slab);
    for (std::size_t row = 0; row < args.m; row += block) {
        std::size_t const last = args.m - row < block ? args.m : row + block;
        std::size_t const tiles = (last - row + Rows - 1) / Rows;
        std::size_t const step = (width * Product::group * sizeof(weight) + tiles - 1) / tiles; // all of the next panel beside this one's tiles
        for (std::size_t first_k = 0; first_k == 0 || first_k < args.k; first_k += slab_k) {
            bool const ends = args.k - first_k <= slab_k;
            matmul_slab<Product> const slab{first_k, ends ? args.k - first_k : slab_k, first_k == 0, ends};
            weight const* panel = panels + first_k * width;
            float* partial = args.partial;
            for (std::size_t channel = 0; channel < args.n; channel += width, panel += width * padded_k) {
                std::size_t const left = args.n - channel;
                std::size_t const vectors = left < width ? (left + sum::size - 1) / sum::size : Vectors;
                weight const* const after = left > width ? panel + width * padded_k : panels + (ends ? 0 : first_k + slab_k) * width;
                next_panel const next{reinterpret_cast<char const*>(after), step};
                matmul_panel_of<Product, Rows, Vectors>(vectors, args, slab, partial, row, last, channel, panel, width, next);
                if constexpr (matmul_slab<Product>::possible)
                    if (partial != nullptr) partial += (last - row) * width;
            }
            if (slab_k == 0) break;
        }
    }
}

/// Rows to 8 bits: x = scale * q + error, |q| <= 127, scale = max |x| / 127, nearest, ties to even. Stored with 2^offset_bits
/// added. A row with a NaN or an infinity gets the scale NaN, a row below 2^-121 zeros.
template <class Product>
void quantize_rows(prepare_rows_args const& args) noexcept {
    using floats = pack<float, typename Product::arch>;
    using ints = pack<std::int32_t, typename Product::arch>;
    using stored = typename Product::activation;
    constexpr std::int32_t offset = Product::offset_bits == 0 ? 0 : 1 << Product::offset_bits;
    alignas(64) std::int32_t shifts[floats::size];
    for (std::int32_t& each : shifts) each = offset;
    ints const shift = ints::load(shifts);
    std::size_t const padded_k = (args.k + Product::group - 1) / Product::group * Product::group;
    std::size_t const per_line = 64 / sizeof(stored);
    std::size_t const stride = (padded_k + per_line - 1) / per_line * per_line;
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const x = args.a + row * args.lda;
        stored* const q = static_cast<stored*>(args.prepared) + row * stride;
        floats largest = floats::zero();
        floats const nothing = barrier(floats::zero()); // no compiler option makes 0 of its products
        floats poison = floats::zero();                 // 0 * x: a NaN where x is not finite
        std::size_t k = 0;
        for (; k + floats::size <= args.k; k += floats::size) {
            floats const value = floats::load(x + k);
            largest = max(largest, abs(value));
            poison = fma(value, nothing, poison);
        }
        if (k < args.k) {
            floats const value = floats::load_partial(x + k, args.k - k);
            largest = max(largest, abs(value));
            poison = fma(value, nothing, poison);
        }
        float const top = reduce_max(largest);
        args.row_scales[row] = top / 127.0F + reduce_add(poison);
        floats const per_step = floats::broadcast(top >= 0x1p-121F ? 127.0F / top : 0.0F); // of less, 127 / top is no float
        auto const steps = [&](floats value) {
            return ints::nearest(min(floats::broadcast(127.0F), max(floats::broadcast(-127.0F), value * per_step))) + shift;
        };
        for (k = 0; k + floats::size <= args.k; k += floats::size) detail::narrow(steps(floats::load(x + k)).value, q + k);
        if (k < args.k) {
            alignas(64) std::int32_t lane[floats::size];
            steps(floats::load_partial(x + k, args.k - k)).store(lane);
            for (std::size_t i = 0; k < args.k; ++i, ++k) q[k] = static_cast<stored>(lane[i]);
        }
        for (; k < stride; ++k) q[k] = static_cast<stored>(offset);
    }
}

/// Rows rounded to bf16, nearest even, and padded with zeros to whole cache lines.
template <class Product>
void round_rows(prepare_rows_args const& args) noexcept {
    using floats = pack<float, typename Product::arch>;
    static_assert(32 % floats::size == 0);
    std::size_t const stride = (args.k + 31) / 32 * 32;
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const x = args.a + row * args.lda;
        std::uint16_t* const to = static_cast<std::uint16_t*>(args.prepared) + row * stride;
        std::size_t k = 0;
        for (; k + floats::size <= args.k; k += floats::size) round_to_bf16(floats::load(x + k).value, to + k);
        for (; k < stride; k += floats::size) round_to_bf16(floats::load_partial(x + k, k < args.k ? args.k - k : 0).value, to + k);
        args.row_scales[row] = 1.0F;
    }
}

/// 12 independent chains of multiply-adds on registers: what the processor can do at most.
template <class Product>
std::size_t dot_loop(std::size_t iterations) noexcept {
    using sum = typename Product::sum;
    constexpr std::size_t chains = 12;
    alignas(64) typename Product::weight panel[sum::size * Product::group] = {};
    typename Product::activation row[Product::group] = {};
    auto weights = Product::weights(panel, 0);
    auto const x = Product::broadcast(row, 0);
    sum chain[chains];
    ZEROI2V_UNROLL
    for (std::size_t i = 0; i < chains; ++i) chain[i] = sum::zero();
    for (std::size_t n = 0; n < iterations; ++n) {
        ZEROI2V_UNROLL
        for (std::size_t i = 0; i < chains; ++i) {
            weights.value = barrier(weights.value); // or one product would serve all
            chain[i].value = barrier(Product::multiply_add(weights, x, chain[i]).value);
        }
    }
    sum total = sum::zero();
    ZEROI2V_UNROLL
    for (std::size_t i = 0; i < chains; ++i) total = total + chain[i];
    auto const floats = [&] {
        if constexpr (integer_sums<Product>) return total.to_float();
        else return total;
    };
    [[maybe_unused]] float volatile const seen = reduce_add(floats()); // or the loop would be dropped
    return iterations * chains * sum::size * Product::group / Product::steps * 2;
}

template <class Product, std::size_t Rows, std::size_t Vectors>
[[nodiscard]] consteval matmul_kernel matmul_kernel_of() {
    matmul_kernel kernel{};
    kernel.run = &matmul<Product, Rows, Vectors>;
    kernel.row_tile = Rows;
    kernel.row_block = tuning<Product::sum::size>::row_block;
    kernel.k_slab = matmul_slab<Product>::possible ? tuning<Product::sum::size>::k_slab : 0;
    kernel.panel_width = Vectors * Product::sum::size;
    kernel.group = Product::group;
    kernel.k_multiple = Product::group;
    kernel.weight_bytes = sizeof(typename Product::weight);
    kernel.max_k = ~std::size_t{0};
    if constexpr (Product::padded) kernel.dot_loop = &dot_loop<Product>;
    if constexpr (integer_sums<Product>) {
        kernel.prepare_rows = &quantize_rows<Product>;
        kernel.activation_bytes = sizeof(typename Product::activation);
        kernel.max_k = Product::max_k;
        kernel.weight_sums = Product::offset_bits != 0;
    } else if constexpr (Product::padded) {
        kernel.prepare_rows = &round_rows<Product>;
        kernel.activation_bytes = sizeof(typename Product::activation);
    }
    return kernel;
}

} // namespace zeroi2v::detail
