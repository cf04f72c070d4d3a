// block_forward: the forward pass of one block of one clip as training runs it, keeping what the backward pass needs.
#pragma once

#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/layer_norm.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/quick_gelu.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/train/activations.hpp>
#include <zeroi2v/train/dropout.hpp>
#include <zeroi2v/train/training_block.hpp>
#include <zeroi2v/train/training_linear.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace zeroi2v {

/// Who computes one clip, and which of its values are dropped.
struct pass_context {
    kernel_table const& kernels;
    executor& workers;
    frame_map<> const& map;
    clip_rows rows;
    double adapter_dropout{};
    std::uint64_t seed{}, step{}, sample{};
    std::span<std::byte> room{}; ///< for the partial sums of long products; aligned to 64, may be too small

    /// Dropout of adapter `which` (T_Adapter_in, _q, _k, _v, S_Adapter, MLP_Adapter, MLP_Adapter_out: 0 to 6) of a block.
    [[nodiscard]] dropout adapter(std::size_t block, std::size_t which) const noexcept {
        return {adapter_dropout, seed, step, dropout::adapter_place(block, which), sample, rows.all()};
    }
};

namespace detail {

template <class Work>
void for_rows(executor& workers, std::size_t rows, Work&& work) {
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const range = partition(rows, parts, static_cast<std::size_t>(part));
        if (!range.empty()) work(range.begin, range.end);
    });
}

/// to += from
inline void add_rows(executor& workers, matrix_view<float const> from, matrix_view<float> to) {
    for_rows(workers, to.rows, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            for (std::size_t c = 0; c < to.columns; ++c) to.row(r)[c] += from.row(r)[c];
    });
}

inline void copy_rows(executor& workers, matrix_view<float const> from, matrix_view<float> to) {
    for_rows(workers, to.rows, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) std::copy_n(from.row(r), to.columns, to.row(r));
    });
}

inline void linear_forward(pass_context const& on, training_linear const& layer, matrix_view<float const> x, matrix_view<float> y,
                           matrix_view<float const> residual = {}) {
    matmul(on.kernels, on.workers, x, layer.forward, {activation::none, residual}, y, on.room);
}

/// y = x + up(dropped(down(x))); y may be x. `hidden` keeps the dropped values; row r is row r * row_step of the clip.
inline void adapter_forward(pass_context const& on, training_adapter const& adapter, dropout const& drop, std::size_t row_step, matrix_view<float const> x,
                            float* hidden, matrix_view<float> y) {
    matrix_view<float> const inside{hidden, x.rows, adapter.rank()};
    linear_forward(on, adapter.down, x, inside);
    if (drop.drops())
        for_rows(on.workers, x.rows, [&](std::size_t first, std::size_t last) { drop.apply(hidden, adapter.rank(), first, last, row_step); });
    linear_forward(on, adapter.up, inside, y, x);
}

inline void norm_forward(pass_context const& on, training_norm const& norm, matrix_view<float const> x, matrix_view<float> y) {
    auto const& p = norm.parameters;
    layer_norm(on.kernels, on.workers, x, {p.weight.data(), p.weight.size()}, {p.bias.data(), p.bias.size()}, y, layer_norm_epsilon);
}

/// Views of the rows of a block: all of them, and those behind attention.
struct block_views {
    std::size_t m, q, width, hidden, rank, step; // step: rows of the clip from one row behind attention to the next

    block_views(training_block const& block, clip_rows const& rows) noexcept
        : m{rows.all()}, q{rows.behind(block)}, width{block.width()}, hidden{block.mlp_width()}, rank{block.rank()},
          step{block.class_only ? rows.tokens : 1} {}

    template <class T> [[nodiscard]] matrix_view<T> all(T* data) const noexcept { return {data, m, width}; }
    template <class T> [[nodiscard]] matrix_view<T> behind(T* data) const noexcept { return {data, q, width}; }
    template <class T> [[nodiscard]] matrix_view<T> wide(T* data) const noexcept { return {data, q, hidden}; }
    /// Those of (M,C) that are needed behind attention.
    template <class T> [[nodiscard]] matrix_view<T> chosen(T* data) const noexcept { return {data, q, width, step * width}; }
    /// Columns of part `part` of (M,3C), of the rows that it has.
    template <class T> [[nodiscard]] matrix_view<T> columns(T* qkv, training_block::in_part const& part) const noexcept {
        return part.queries_only ? matrix_view<T>{qkv + part.first, q, part.linear.out(), step * 3 * width}
                                 : matrix_view<T>{qkv + part.first, m, part.linear.out(), 3 * width};
    }
};

} // namespace detail

/// y = block(x) for one clip, x = kept.x (M,C) untouched, y (Q,C): the next block's x, or of the last block the class tokens.
///
/// Numerics  as vit_engine but for the order of additions around adapters; the same bits for every executor.
/// Test      tests/unit/train/trainer.cpp
inline void block_forward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* y) {
    detail::block_views const v{block, on.rows};
    auto const& rows = on.rows;
    // Attention.
    detail::norm_forward(on, block.ln_1, v.all<float const>(kept.x), v.all(scratch.a));
    if (block.T_Adapter_in)
        detail::adapter_forward(on, *block.T_Adapter_in, on.adapter(block.number, 0), 1, v.all<float const>(scratch.a), kept.hidden_in[0], v.all(scratch.a));
    for (std::size_t j = 0; j < block.in_proj.size(); ++j) {
        auto const& part = block.in_proj[j];
        auto input = part.queries_only ? v.chosen<float const>(scratch.a) : v.all<float const>(scratch.a);
        if (part.adapter) {
            auto const adapted = part.queries_only ? v.behind(scratch.b) : v.all(scratch.b);
            detail::adapter_forward(on, *part.adapter, on.adapter(block.number, 1 + j), part.queries_only ? v.step : 1, input, kept.hidden_in[j], adapted);
            input = adapted;
        }
        detail::linear_forward(on, part.linear, input, v.columns(kept.qkv, part));
    }
    float* const attended = block.out_proj.trains() ? kept.attended : scratch.b;
    std::size_t const stride = 3 * v.width;
    auto const from = [&](std::size_t first) { return token_rows<float const>{kept.qkv + first, rows.tokens * stride, stride, rows.head_dim}; };
    auto const shape = rows.attention(block);
    attention(on.kernels, on.workers, shape, from(0), from(v.width), from(2 * v.width),
              {attended, shape.queries * v.width, v.width, rows.head_dim},
              [&](std::size_t head, std::size_t frame) { return on.map.source(head, frame, rows.frames); }, scratch.attention);
    auto const behind = v.behind(kept.behind);
    auto const x = v.chosen<float const>(kept.x);
    if (block.S_Adapter) {
        detail::linear_forward(on, block.out_proj, v.behind<float const>(attended), v.behind(kept.projected));
        detail::adapter_forward(on, *block.S_Adapter, on.adapter(block.number, 4), v.step, v.behind<float const>(kept.projected), kept.hidden_out, behind);
        detail::add_rows(on.workers, x, behind);
    } else {
        detail::linear_forward(on, block.out_proj, v.behind<float const>(attended), behind, x);
    }
    // MLP.
    auto const normal = v.behind(scratch.a);
    detail::norm_forward(on, block.ln_2, behind, normal);
    if (block.MLP_Adapter)
        detail::adapter_forward(on, *block.MLP_Adapter, on.adapter(block.number, 5), v.step, normal, kept.hidden_mlp, normal);
    detail::linear_forward(on, block.c_fc, normal, v.wide(kept.wide));
    quick_gelu(on.kernels, on.workers, {kept.wide, v.q * v.hidden}, {scratch.wide, v.q * v.hidden});
    auto const out = v.behind(y);
    if (block.MLP_Adapter_out) {
        detail::linear_forward(on, block.c_proj, v.wide<float const>(scratch.wide), v.behind(kept.mlp));
        detail::adapter_forward(on, *block.MLP_Adapter_out, on.adapter(block.number, 6), v.step, v.behind<float const>(kept.mlp), kept.hidden_mlp_out, out);
        detail::add_rows(on.workers, behind, out);
    } else {
        detail::linear_forward(on, block.c_proj, v.wide<float const>(scratch.wide), out, behind);
    }
}

} // namespace zeroi2v
