// attention_backward: gradients of queries, keys and values; those of keys and values return to the frame they were read from.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace zeroi2v {

namespace detail {

/// Where the matrices of one (frame, head) lie in a thread's scratch, in floats.
struct attention_backward_layout {
    std::size_t key_stride, query_stride; // of rows of keys, of queries
    std::size_t scores, other, turned;    // softmax (queries,keys), its gradient, one of them on its side (keys,queries)
    std::size_t panels;                   // keys and values transposed, keys, and dy or queries
    std::size_t total;

    [[nodiscard]] static attention_backward_layout of(kernel_table const& kernels, attention_shape const& shape) noexcept {
        attention_backward_layout at{};
        at.key_stride = (shape.keys + 15) / 16 * 16;
        at.query_stride = (shape.queries + 15) / 16 * 16;
        at.scores = 0;
        at.other = at.scores + shape.queries * at.key_stride;
        at.turned = at.other + shape.queries * at.key_stride;
        at.panels = at.turned + shape.keys * at.query_stride;
        std::size_t const by_key = (float_panel_floats(kernels.attention_product, shape.keys, shape.head_dim) + 15) / 16 * 16;
        std::size_t const by_dim = (float_panel_floats(kernels.attention_product, shape.head_dim, std::max(shape.keys, shape.queries)) + 15) / 16 * 16;
        at.total = at.panels + 2 * by_key + 2 * by_dim;
        return at;
    }
};

/// Asks for rows of a head that is next: a few lines each, far apart, which no hardware sees coming.
inline void fetch_rows(matrix_view<float const> rows) noexcept {
    constexpr std::size_t line = 64 / sizeof(float);
    for (std::size_t r = 0; r < rows.rows; ++r)
        for (std::size_t c = 0; c < rows.columns; c += line) __builtin_prefetch(rows.row(r) + c, 0, 2);
}

} // namespace detail

/// Floats of scratch for `concurrency` threads.
[[nodiscard]] inline std::size_t attention_backward_scratch_floats(kernel_table const& kernels, attention_shape const& shape, int concurrency) noexcept {
    return detail::attention_backward_layout::of(kernels, shape).total * static_cast<std::size_t>(concurrency < 1 ? 1 : concurrency);
}

/// Given y = attention(q, k, v) through `map` in a clip of shape.frames frames, and dy:
///
///   P = softmax(q k^T / sqrt(D)),  dP = dy v^T,  dS = P (dP - rowsum(P dP))
///   dq = dS k / sqrt(D);   dk[s] = sum of dS^T q / sqrt(D),  dv[s] = sum of P^T dy,  over the frames t that read frame s,
/// in ascending order of t. A frame that none reads gets zeros.
///
/// Shapes    as attention: q, dy, dq (T,queries,H,D); k, v, dk, dv (T,keys,H,D), any strides.
/// Aliasing  results share nothing with operands.
/// Numerics  P is made again; float, products on the kernel of attention. The same bits for every executor.
/// Errors    scratch too small or not aligned to 64 -> ZEROI2V_REQUIRE.
/// Cost      10 T queries keys H D flops. scratch: attention_backward_scratch_floats.
/// Test      tests/unit/train/attention_backward.cpp
inline void attention_backward(kernel_table const& kernels, executor& workers, attention_shape const& shape, frame_map<> const& map,
                               token_rows<float const> q, token_rows<float const> k, token_rows<float const> v, token_rows<float const> dy,
                               token_rows<float> dq, token_rows<float> dk, token_rows<float> dv, std::span<float> scratch) {
    auto const at = detail::attention_backward_layout::of(kernels, shape);
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    ZEROI2V_REQUIRE(scratch.size() >= at.total * parts, "zeroi2v::attention_backward: scratch is too small");
    ZEROI2V_REQUIRE(reinterpret_cast<std::uintptr_t>(scratch.data()) % 64 == 0, "zeroi2v::attention_backward: scratch must be aligned to 64");
    ZEROI2V_REQUIRE(map.heads() == shape.heads, "zeroi2v::attention_backward: the map must have as many heads");
    auto const scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
    std::size_t const queries = shape.queries, keys = shape.keys, dim = shape.head_dim;

    auto const one = [&](std::size_t unit, std::size_t next, float* memory) noexcept {
        std::size_t const head = unit % shape.heads, frame = unit / shape.heads;
        auto const rows = [&]<class T>(token_rows<T> const& of, std::size_t t, std::size_t count) {
            return matrix_view<T>{of.head(t, head), count, dim, of.token_stride};
        };
        matrix_view<float> const scores{memory + at.scores, queries, keys, at.key_stride};
        matrix_view<float> const other{memory + at.other, queries, keys, at.key_stride};
        matrix_view<float> const turned{memory + at.turned, keys, queries, at.query_stride};
        float* const keys_across = memory + at.panels; // channels are keys
        float* const values_across = keys_across + (float_panel_floats(kernels.attention_product, keys, dim) + 15) / 16 * 16;
        float* const keys_along = values_across + (float_panel_floats(kernels.attention_product, keys, dim) + 15) / 16 * 16; // channels are dims
        float* const others_along = keys_along + (float_panel_floats(kernels.attention_product, dim, std::max(keys, queries)) + 15) / 16 * 16;
        std::size_t const width = kernels.attention_product.panel_width;
        index_range const all{0, (dim + width - 1) / width};
        auto const gradient_k = rows(dk, frame, keys), gradient_v = rows(dv, frame, keys);
        auto const readers = map.readers(head, frame, shape.frames);
        if (readers.size() == 0) {
            for (std::size_t n = 0; n < keys; ++n) {
                std::fill_n(gradient_k.row(n), dim, 0.0F);
                std::fill_n(gradient_v.row(n), dim, 0.0F);
            }
            return;
        }
        detail::pack_rows(kernels.attention_product, rows(k, frame, keys), scale, keys_across);
        detail::pack_rows(kernels.attention_product, rows(v, frame, keys), 1.0F, values_across);
        detail::pack_columns(kernels.attention_product, rows(k, frame, keys), scale, keys_along, all);
        std::size_t const next_head = next % shape.heads, next_frame = next / shape.heads;
        auto const next_rows = [&](token_rows<float const> const& of, std::size_t count) {
            return matrix_view<float const>{of.head(next_frame, next_head), count, dim, of.token_stride};
        };
        bool first = true;
        for (std::size_t const t : readers) {
            auto const sum_so_far = [&](matrix_view<float> const& gradient) { return first ? matrix_view<float const>{} : matrix_view<float const>{gradient}; };
            detail::multiply_panels(kernels.attention_product, rows(q, t, queries), keys_across, {}, scores);
            if (first) detail::fetch_rows(next_rows(k, keys));
            kernels.softmax({scores.data, scores.stride, scores.data, scores.stride, queries, keys});
            detail::multiply_panels(kernels.attention_product, rows(dy, t, queries), values_across, {}, other);
            if (first) detail::fetch_rows(next_rows(v, keys));
            kernels.softmax_backward({scores.data, scores.stride, other.data, other.stride, other.data, other.stride, queries, keys});
            detail::multiply_panels(kernels.attention_product, other, keys_along, {}, rows(dq, t, queries));
            if (first) detail::fetch_rows(next_rows(q, queries));

            detail::transpose_block(scores.data, scores.stride, queries, keys, turned.data, turned.stride);
            detail::pack_columns(kernels.attention_product, rows(dy, t, queries), 1.0F, others_along, all);
            detail::multiply_panels(kernels.attention_product, turned, others_along, sum_so_far(gradient_v), gradient_v);
            if (first) detail::fetch_rows(next_rows(dy, queries));

            detail::transpose_block(other.data, other.stride, queries, keys, turned.data, turned.stride);
            detail::pack_columns(kernels.attention_product, rows(q, t, queries), scale, others_along, all);
            detail::multiply_panels(kernels.attention_product, turned, others_along, sum_so_far(gradient_k), gradient_k);
            first = false;
        }
    };
    std::size_t const units = shape.frames * shape.heads;
    if (units == 0 || queries == 0 || keys == 0 || dim == 0) return;
    dealt_blocks blocks{units, parts, 1};
    workers.run(static_cast<int>(parts), [&](int number) {
        auto const part = static_cast<std::size_t>(number);
        float* const memory = scratch.data() + part * at.total;
        for (index_range unit = blocks.take(part); !unit.empty();) {
            index_range const next = blocks.take(part);
            one(unit.begin, next.empty() ? unit.begin : next.begin, memory);
            unit = next;
        }
    });
}

} // namespace zeroi2v
