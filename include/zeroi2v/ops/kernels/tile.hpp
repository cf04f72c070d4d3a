// The register tile: a few rows times a few vectors of channels, accumulated over all of k in registers.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernels/tuning.hpp>
#include <zeroi2v/simd/pack.hpp>
#include <zeroi2v/simd/product_loop.hpp>

#include <cstddef>
#include <type_traits>

namespace zeroi2v::detail {

template <class Sum, std::size_t Rows, std::size_t Vectors>
struct tile_sums {
    Sum at[Rows][Vectors];
};

/// The panel after the one in work, fetched into the L2 cache beside the products, a few bytes for every group: weights come from
/// memory or from a shared cache, no hardware knows where the next panel begins, and a burst of fetches would keep the products' own loads
/// waiting (Emerald Rapids, k = 768, 96 rows: 0.79 of the limit without, 0.86 with eight lines every 32 groups, 0.94 with one every four).
struct next_panel {
    char const* at;
    std::size_t step; ///< bytes per group

    ZEROI2V_ALWAYS_INLINE void fetch() noexcept {
        __builtin_prefetch(at, 0, 2);
        at += step;
    }
};

/// Adds the products of one group.
template <class Product, std::size_t Rows, std::size_t Vectors, std::size_t Steps>
ZEROI2V_ALWAYS_INLINE void accumulate_group(typename Product::activation const* a, std::size_t lda, typename Product::weight const* panel,
                                            typename Product::sum (&sums)[Rows][Vectors]) noexcept {
    constexpr std::size_t vector_elements = Product::sum::size * Product::group;
    ZEROI2V_UNROLL
    for (std::size_t step = 0; step < Steps; ++step) {
        std::remove_const_t<decltype(Product::weights(panel, step))> w[Vectors];
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) w[v] = Product::weights(panel + v * vector_elements, step);
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
            auto const x = Product::broadcast(a + r * lda, step);
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = Product::multiply_add(w[v], x, sums[r][v]);
        }
    }
}

/// Adds the products of `groups` groups, all their steps or `last_steps` of one group.
template <class Product, std::size_t Rows, std::size_t Vectors, std::size_t Steps>
ZEROI2V_ALWAYS_INLINE void accumulate(typename Product::activation const* a, std::size_t lda,
                                      typename Product::weight const* panel, std::size_t panel_stride, std::size_t groups,
                                      tile_sums<typename Product::sum, Rows, Vectors>& sums, next_panel& next) noexcept {
    using sum = typename Product::sum;
    sum local[Rows][Vectors];
    ZEROI2V_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) local[r][v] = sums.at[r][v];
    // The loop's own instructions weigh less beside four times the products: 4 to 10 % on Zen 3. With integer sums, and with SSE2,
    // g++ 12 would spill (tests/loops/check.sh).
    constexpr bool four_turns = std::is_same_v<sum, pack<float, typename Product::arch>> && sum::size > 4;
    if constexpr (four_turns) {
        ZEROI2V_FOUR_TURNS
        for (; groups > 0; --groups, a += Product::group, panel += panel_stride) {
            next.fetch();
            accumulate_group<Product, Rows, Vectors, Steps>(a, lda, panel, local);
        }
    } else {
        for (; groups > 0; --groups, a += Product::group, panel += panel_stride) {
            next.fetch();
            accumulate_group<Product, Rows, Vectors, Steps>(a, lda, panel, local);
        }
    }
    ZEROI2V_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        ZEROI2V_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) sums.at[r][v] = local[r][v];
}

/// Whether a loop of its own makes the sums of a whole tile; it needs no zeros to begin with.
template <class Product, std::size_t Rows, std::size_t Vectors>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE bool has_written_loop(std::size_t panel_width, std::size_t k) noexcept {
    return product_loop<Product, Rows, Vectors>::written && panel_width == Vectors * Product::sum::size && k > 0;
}

/// total += A W^T for Rows rows and the first Vectors vectors of a panel; with `begins`, total is zero, or not yet set where has_written_loop.
///
/// Float sums are taken in blocks of k_block products, each block from zero in order of k, the blocks added in order; so
/// every element has the same bits whatever tile it falls into. Integer sums are exact.
template <class Product, std::size_t Rows, std::size_t Vectors>
ZEROI2V_ALWAYS_INLINE void tile_product(typename Product::activation const* a, std::size_t lda,
                                        typename Product::weight const* panel, std::size_t panel_width, std::size_t k,
                                        bool begins, tile_sums<typename Product::sum, Rows, Vectors>& total, next_panel& next) noexcept {
    using sum = typename Product::sum;
    using block_sums = tile_sums<sum, Rows, Vectors>;
    constexpr bool in_blocks = std::is_same_v<sum, pack<float, typename Product::arch>>;
    constexpr std::size_t block = in_blocks ? k_block : ~std::size_t{0} - Product::group + 1;
    if constexpr (product_loop<Product, Rows, Vectors>::written)
        if (has_written_loop<Product, Rows, Vectors>(panel_width, k)) {
            static_assert(Product::steps == 1 && (Product::group == 1 || (Product::padded && !in_blocks)));
            for (std::size_t first = 0; first < k;) {
                std::size_t const now = k - first < block ? k - first : block, groups = (now + Product::group - 1) / Product::group;
                product_loop<Product, Rows, Vectors>::run({.a = a + first, .row_bytes = lda * sizeof(*a), .panel = panel + first * panel_width, .groups = groups,
                                                           .sums = &total, .begins = begins && first == 0, .next = next.at, .step = next.step});
                next.at += groups * next.step;
                first += now;
            }
            return;
        }
    static_assert(k_block % Product::group == 0);
    std::size_t const panel_stride = panel_width * Product::group;
    while (k > 0) {
        std::size_t const now = k < block ? k : block;
        std::size_t const groups = Product::padded ? (now + Product::group - 1) / Product::group : now / Product::group;
        block_sums part;
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r)
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) part.at[r][v] = sum::zero();
        accumulate<Product, Rows, Vectors, Product::steps>(a, lda, panel, panel_stride, groups, part, next);
        if constexpr (!Product::padded && Product::group == 2)
            if (now % 2 != 0)
                accumulate<Product, Rows, Vectors, 1>(a + now - 1, lda, panel + groups * panel_stride, panel_stride, 1, part, next);
        ZEROI2V_UNROLL
        for (std::size_t r = 0; r < Rows; ++r)
            ZEROI2V_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) total.at[r][v] = total.at[r][v] + part.at[r][v];
        a += now;
        panel += groups * panel_stride;
        k -= now;
    }
}

} // namespace zeroi2v::detail
