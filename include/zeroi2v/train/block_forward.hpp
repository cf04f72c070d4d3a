// block_forward: the forward pass of one block of one clip as training runs it, keeping what the backward pass needs.
#pragma once

#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/activation.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/layer_norm.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/rotary.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
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
    std::span<std::byte> room{}; ///< for partial sums of long products; aligned to 64, may be too small

    /// Dropout of an adapter of a block.
    [[nodiscard]] dropout adapter(std::size_t block, adapter_site site) const noexcept {
        return {adapter_dropout, seed, step, dropout::adapter_place(block, index_of(site)), sample, rows.all()};
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

inline void linear_forward(pass_context const& on, training_linear const& layer, matrix_view<float const> x, matrix_view<float> y,
                           matrix_view<float const> residual = {}) {
    matmul(on.kernels, on.workers, x, layer.forward, {activation::none, residual}, y, on.room);
}

/// y = x + up(dropped(down(x))); y may be x. `hidden` keeps the dropped values; row r is row r * row_step of what `drop` begins with.
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
    layer_norm(on.kernels, on.workers, x, {p.weight.data(), p.weight.size()}, {p.bias.data(), p.bias.size()}, y, p.epsilon);
}

/// Views of the matrices of a block: of all rows, or of some that stand in a row, and then in front of attention or behind it.
struct block_views {
    std::size_t first{}; ///< row
    std::size_t m, q;    ///< rows: all, and those behind attention
    std::size_t width, hidden, rank;
    std::size_t step;    ///< rows of the clip from one row behind attention to the next

    block_views(training_block const& block, clip_rows const& rows) noexcept
        : m{rows.all()}, q{rows.behind(block)}, width{block.width()}, hidden{block.mlp_width()}, rank{block.rank()},
          step{block.class_only ? rows.tokens : 1} {}

    [[nodiscard]] block_views part(index_range some) const noexcept {
        block_views rest = *this;
        rest.first = some.begin;
        rest.m = rest.q = some.size();
        return rest;
    }

    template <class T> [[nodiscard]] matrix_view<T> all(T* data) const noexcept { return {data + first * width, m, width}; }
    template <class T> [[nodiscard]] matrix_view<T> behind(T* data) const noexcept { return {data + first * width, q, width}; }
    template <class T> [[nodiscard]] matrix_view<T> wide(T* data) const noexcept { return {data + first * hidden, q, hidden}; }
    template <class T> [[nodiscard]] T* ranks(T* data) const noexcept { return data + first * rank; }
    /// Those of (M,C) that are needed behind attention.
    template <class T> [[nodiscard]] matrix_view<T> chosen(T* data) const noexcept { return {data + first * step * width, q, width, step * width}; }
    /// Columns of part `part` of (M,3C), of the rows that it has.
    template <class T> [[nodiscard]] matrix_view<T> columns(T* qkv, training_block::in_part const& part) const noexcept {
        std::size_t const apart = part.queries_only ? step : 1;
        return {qkv + first * apart * 3 * width + part.first, part.queries_only ? q : m, part.linear.out(), apart * 3 * width};
    }
    /// Of a thread's own rows.
    [[nodiscard]] matrix_view<float> own(float* data) const noexcept { return {data, q, width}; }
    [[nodiscard]] matrix_view<float> own_wide(float* data) const noexcept { return {data, q, hidden}; }

    /// Dropout of an adapter, for rows that are `apart` rows of the clip from each other.
    [[nodiscard]] dropout drop(pass_context const& on, training_block const& block, training_adapter const& adapter, std::size_t apart) const noexcept {
        return on.adapter(block.number, adapter.site).from(first * apart);
    }
};

/// work(on, views of some rows, scratch) for all of `rows` rows, some at a time: on one thread each, where there are enough of them.
template <class Work>
void in_row_blocks(pass_context const& on, block_scratchpad const& scratch, block_views const& v, std::size_t rows, Work&& work) {
    auto const parts = static_cast<std::size_t>(on.workers.concurrency());
    std::size_t const tile = on.kernels.f32.row_tile;
    if (rows < 4 * parts * tile && rows <= scratch.threads.front().rows) { // the products share out their weights instead
        work(on, v.part({0, rows}), scratch.threads.front());
        return;
    }
    dealt_blocks blocks{rows, parts, scratch.threads.front().rows, tile};
    on.workers.run(static_cast<int>(parts), [&](int number) {
        auto const part = static_cast<std::size_t>(number);
        row_scratch const& own = scratch.threads[part];
        serial_executor here;
        pass_context const alone{on.kernels, here, on.map, on.rows, on.adapter_dropout, on.seed, on.step, on.sample, own.room};
        for (index_range some = blocks.take(part); !some.empty(); some = blocks.take(part)) work(alone, v.part(some), own);
    });
}

/// q, k or v of some rows, behind the adapter that a part of in_proj may have; the adapted rows go to `adapted`.
inline void in_part_forward(pass_context const& on, training_block const& block, std::size_t j, block_activations const& kept, block_views const& v,
                            matrix_view<float const> input, matrix_view<float> adapted) {
    auto const& part = block.in_proj[j];
    if (part.adapter) {
        std::size_t const apart = part.queries_only ? v.step : 1;
        adapter_forward(on, *part.adapter, v.drop(on, block, *part.adapter, apart), apart, input, v.ranks(kept.hidden_of(*part.adapter)), adapted);
        input = adapted;
    }
    linear_forward(on, part.linear, input, v.columns(kept.qkv, part));
}

/// kept.qkv from kept.x.
inline void in_proj_forward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch) {
    block_views const v{block, on.rows};
    training_adapter const* const adapter = block.adapter(block_linear::in_proj, adapter_side::input);
    in_row_blocks(on, scratch, v, v.m, [&](pass_context const& here, block_views const& w, row_scratch const& own) {
        auto const normal = block.class_only ? w.all(scratch.a) : w.own(own.a); // queries of the class tokens follow
        norm_forward(here, block.ln_1, w.all<float const>(kept.x), normal);
        if (adapter != nullptr) adapter_forward(here, *adapter, w.drop(on, block, *adapter, 1), 1, normal, w.ranks(kept.hidden_of(*adapter)), normal);
        for (std::size_t j = 0; j < block.in_proj.size(); ++j)
            if (!block.in_proj[j].queries_only) in_part_forward(here, block, j, kept, w, normal, w.own(own.b));
    });
    for (std::size_t j = 0; j < block.in_proj.size(); ++j)
        if (block.in_proj[j].queries_only) in_part_forward(on, block, j, kept, v, v.chosen<float const>(scratch.a), v.behind(scratch.b));
}

/// y = after(layer(x)) + residual for some rows after attention; `adapter` at the output of `layer` may be null.
inline void residual_forward(pass_context const& here, training_block const& block, block_views const& w, block_activations const& kept, training_linear const& layer,
                             training_adapter const* adapter, matrix_view<float const> x, matrix_view<float> y, matrix_view<float const> residual) {
    if (adapter == nullptr) return linear_forward(here, layer, x, y, residual);
    matrix_view<float> const unadapted = w.behind(kept.unadapted_by(*adapter));
    linear_forward(here, layer, x, unadapted);
    adapter_forward(here, *adapter, w.drop(here, block, *adapter, w.step), w.step, unadapted, w.ranks(kept.hidden_of(*adapter)), y);
    add_rows(here.workers, residual, y);
}

/// y from what attention gave.
inline void behind_attention_forward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch,
                                     float const* attended, float* y) {
    block_views const v{block, on.rows};
    training_adapter const* const out_adapter = block.adapter(block_linear::out_proj, adapter_side::output);
    training_adapter const* const mlp_adapter = block.adapter(block_linear::c_fc, adapter_side::input);
    training_adapter const* const mlp_out_adapter = block.adapter(block_linear::c_proj, adapter_side::output);
    in_row_blocks(on, scratch, v, v.q, [&](pass_context const& here, block_views const& w, row_scratch const& own) {
        auto const behind = w.behind(kept.behind);
        residual_forward(here, block, w, kept, block.out_proj, out_adapter, w.behind(attended), behind, w.chosen<float const>(kept.x));
        auto const normal = w.own(own.a);
        norm_forward(here, block.ln_2, behind, normal);
        if (mlp_adapter != nullptr)
            adapter_forward(here, *mlp_adapter, w.drop(here, block, *mlp_adapter, w.step), w.step, normal, w.ranks(kept.hidden_of(*mlp_adapter)), normal);
        auto const before = w.wide(kept.wide), after = w.own_wide(own.wide);
        linear_forward(here, block.c_fc, normal, before);
        activate(here.kernels, here.workers, block.act, {before.data, w.q * w.hidden}, {after.data, w.q * w.hidden});
        residual_forward(here, block, w, kept, block.c_proj, mlp_out_adapter, after, w.behind(y), behind);
    });
}

/// The rotary embedding, or with direction -1 its gradient, of (M,3C): of the patch tokens' keys, and of their queries where they are there.
inline void rotate(pass_context const& on, training_block const& block, float* qkv, float direction) {
    if (on.rows.rotary == nullptr) return;
    std::size_t const width = block.width();
    for_rows(on.workers, on.rows.all(), [&](std::size_t first, std::size_t last) {
        for (std::size_t row = first; row < last; ++row) {
            std::size_t const token = row % on.rows.tokens;
            if (token < on.rows.prefix) continue;
            float* const q = qkv + row * 3 * width;
            if (!block.class_only) on.rows.rotary->rotate(q, on.rows.heads, token - on.rows.prefix, direction);
            on.rows.rotary->rotate(q + width, on.rows.heads, token - on.rows.prefix, direction);
        }
    });
}

} // namespace detail

/// y = block(x) for one clip, x = kept.x (M,C) untouched, y (Q,C): the next block's x, or of the last block the class tokens.
///
/// Numerics  as vit_engine but for the order of additions around adapters; the same bits for every executor.
/// Cost      as vit_engine: a thread takes some rows through all products between two attentions.
/// Test      tests/unit/train/trainer.cpp
inline void block_forward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* y) {
    auto const& rows = on.rows;
    std::size_t const width = block.width(), stride = 3 * width;
    detail::in_proj_forward(on, block, kept, scratch);
    detail::rotate(on, block, kept.qkv, 1);
    float* const attended = block.out_proj.trains() ? kept.attended : scratch.b;
    auto const from = [&](std::size_t first) { return token_rows<float const>{kept.qkv + first, rows.tokens * stride, stride, rows.head_dim}; };
    auto const shape = rows.attention(block);
    attention(on.kernels, on.workers, shape, from(0), from(width), from(2 * width), {attended, shape.queries * width, width, rows.head_dim},
              [&](std::size_t head, std::size_t frame) { return on.map.source(head, frame, rows.frames); }, scratch.attention);
    detail::behind_attention_forward(on, block, kept, scratch, attended, y);
}

} // namespace zeroi2v
