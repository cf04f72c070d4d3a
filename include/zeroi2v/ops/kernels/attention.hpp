// The attention kernel: both products on the register tiles, the scores of a few queries in the L1 cache between them.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/matmul.hpp>
#include <zeroi2v/ops/kernels/rows.hpp>
#include <zeroi2v/ops/kernels/tuning.hpp>
#include <zeroi2v/simd/dot.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>

namespace zeroi2v::detail {

/// Where everything lies in the scratch of one call, in floats.
template <class Arch>
struct attention_layout {
    static constexpr std::size_t lanes = pack<float, Arch>::size;
    using tile = tuning<lanes>;
    static constexpr std::size_t rows = tile::attention_rows;
    static constexpr std::size_t width = tile::attention_vectors * lanes; // of a panel
    static constexpr std::size_t query_block = rows * (tile::attention_queries / rows); // their scores stay in the L1 cache
    static constexpr std::size_t key_block = 512;                         // keys between two updates of maximum and sum

    std::size_t values;      // behind the keys' panels, width x dim each
    std::size_t scores;      // behind the values' panels, width x keys each
    std::size_t score_stride;
    std::size_t sums;        // (query_block, padded dim), where there is more than one block of keys
    std::size_t sum_stride;
    std::size_t total;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static std::size_t padded(std::size_t count) noexcept {
        return (count + width - 1) / width * width;
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static attention_layout of(std::size_t keys, std::size_t dim) noexcept {
        attention_layout at;
        at.values = padded(keys) * dim;
        at.scores = at.values + padded(dim) * keys;
        at.scores = (at.scores + 15) / 16 * 16;
        at.score_stride = padded(keys < key_block ? keys : key_block) + 16; // no multiple of a page apart
        at.score_stride = (at.score_stride + 15) / 16 * 16;
        at.sums = at.scores + query_block * at.score_stride;
        at.sum_stride = (padded(dim) + 15) / 16 * 16;
        at.total = at.sums + (keys > key_block ? query_block * at.sum_stride : 0);
        return at;
    }
};

template <class Arch>
[[nodiscard]] std::size_t attention_scratch(std::size_t keys, std::size_t dim) noexcept {
    return attention_layout<Arch>::of(keys, dim).total;
}

/// Panels of keys, transposed: element d of key n at [n / width][d][n % width].
template <class Arch>
ZEROI2V_ALWAYS_INLINE void pack_keys(attention_args const& args, float* to) noexcept {
    constexpr std::size_t width = attention_layout<Arch>::width;
    for (std::size_t first = 0; first < args.keys; first += width, to += width * args.dim) {
        std::size_t const here = args.keys - first < width ? args.keys - first : width;
        float const* const from = args.k + first * args.k_stride;
        std::size_t n = 0;
        for (; n + 4 <= here; n += 4) {
            float const* const keys = from + n * args.k_stride;
            std::size_t d = 0;
            for (; d + 4 <= args.dim; d += 4) transpose_4x4(keys + d, args.k_stride, to + d * width + n, width);
            for (; d < args.dim; ++d)
                for (std::size_t i = 0; i < 4; ++i) to[d * width + n + i] = keys[i * args.k_stride + d];
        }
        for (std::size_t d = 0; d < args.dim; ++d) {
            for (std::size_t i = n; i < here; ++i) to[d * width + i] = from[i * args.k_stride + d];
            for (std::size_t i = here; i < width; ++i) to[d * width + i] = 0;
        }
    }
}

/// Panels of values: element d of key n at [d / width][n][d % width].
template <class Arch>
ZEROI2V_ALWAYS_INLINE void pack_values(attention_args const& args, float* to) noexcept {
    using floats = pack<float, Arch>;
    constexpr std::size_t width = attention_layout<Arch>::width;
    for (std::size_t first = 0; first < args.dim; first += width)
        for (std::size_t n = 0; n < args.keys; ++n, to += width)
            for (std::size_t d = 0; d < width; d += floats::size) {
                std::size_t const at = first + d;
                std::size_t const left = at < args.dim ? args.dim - at : 0;
                floats const value = left == 0 ? floats::zero()
                                               : read<Arch>(args.v + n * args.v_stride + at, left < floats::size ? left : floats::size);
                value.store_aligned(to + d);
            }
}

/// y = exp((x - shift) * scale); returns the sum.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE float exp_row(float const* x, float* y, std::size_t width, float shift, float scale) noexcept {
    using floats = pack<float, Arch>;
    floats const top = floats::broadcast(shift);
    floats const factor = floats::broadcast(scale);
    return map_and_sum<Arch>(x, y, width, [top, factor](floats value) { return exp((value - top) * factor); });
}

/// Asks for row `row` of the next call's queries, and for as large a part of its keys and values. They lie one head apart from each other,
/// a few lines each, and no hardware sees them coming.
template <class Arch>
ZEROI2V_ALWAYS_INLINE void fetch_next(attention_args const& args, std::size_t row) noexcept {
    constexpr std::size_t line = 64 / sizeof(float);
    for (std::size_t d = 0; d < args.dim; d += line) __builtin_prefetch(args.next_q + row * args.q_stride + d, 0, 2);
    for (std::size_t key = args.keys * row / args.queries, end = args.keys * (row + 1) / args.queries; key < end; ++key)
        for (std::size_t d = 0; d < args.dim; d += line) {
            __builtin_prefetch(args.next_k + key * args.k_stride + d, 0, 2);
            __builtin_prefetch(args.next_v + key * args.v_stride + d, 0, 2);
        }
}

/// The kernel. Per block of queries: scores = q k^T; exp of their distance from the row's maximum; times v; divided by the
/// row's sum. With more keys than a block holds, sums and results so far are brought to each new maximum.
template <class Arch>
void attention(attention_args const& args) noexcept {
    using layout = attention_layout<Arch>;
    using product = f32_product<Arch>;
    layout const at = layout::of(args.keys, args.dim);
    float* const keys = args.scratch;
    float* const values = args.scratch + at.values;
    float* const scores = args.scratch + at.scores;
    pack_keys<Arch>(args, keys);
    pack_values<Arch>(args, values);
    bool const one_block = args.keys <= layout::key_block;

    for (std::size_t query = 0; query < args.queries; query += layout::query_block) {
        std::size_t const rows = args.queries - query < layout::query_block ? args.queries - query : layout::query_block;
        float* const y = args.y + query * args.y_stride;
        float* const result = one_block ? y : args.scratch + at.sums;
        std::size_t const result_stride = one_block ? args.y_stride : at.sum_stride;
        float top[layout::query_block];
        float sum[layout::query_block];
        for (std::size_t key = 0; key == 0 || key < args.keys; key += layout::key_block) {
            std::size_t const count = args.keys - key < layout::key_block ? args.keys - key : layout::key_block;
            matmul_args call{};
            call.a = args.q + query * args.q_stride;
            call.lda = args.q_stride;
            call.panels = keys + key * args.dim;
            call.c = scores;
            call.ldc = at.score_stride;
            call.m = rows;
            call.n = count;
            call.k = args.dim;
            matmul<product, layout::rows, layout::tile::attention_vectors>(call);

            for (std::size_t r = 0; r < rows; ++r) {
                float* const row = scores + r * at.score_stride;
                if (args.next_q != nullptr && key == 0) fetch_next<Arch>(args, query + r);
                float largest = row_max<Arch>(row, count);
                if (key > 0) {
                    largest = largest > top[r] ? largest : top[r];
                    float correction;
                    sum[r] *= exp_row<Arch>(top + r, &correction, 1, largest, args.scale);
                    scale_row<Arch>(result + r * result_stride, result + r * result_stride, args.dim, correction);
                } else {
                    sum[r] = 0;
                }
                top[r] = largest;
                sum[r] += exp_row<Arch>(row, row, count, largest, args.scale);
            }

            call.a = scores;
            call.lda = at.score_stride;
            call.c = result;
            call.ldc = result_stride;
            call.n = args.dim;
            call.k = count;
            call.residual = key > 0 ? result : nullptr;
            call.ld_residual = result_stride;
            for (std::size_t d = 0; d < args.dim; d += layout::width) { // panels of values are args.keys long
                call.panels = values + d * args.keys + key * layout::width;
                call.n = args.dim - d < layout::width ? args.dim - d : layout::width;
                matmul<product, layout::rows, layout::tile::attention_vectors>(call);
                call.c += layout::width;
                if (call.residual != nullptr) call.residual += layout::width;
            }
        }
        for (std::size_t r = 0; r < rows; ++r)
            scale_row<Arch>(result + r * result_stride, y + r * args.y_stride, args.dim, inverse_of_sum(sum[r]));
    }
}

} // namespace zeroi2v::detail
