// block_backward: the gradients of one block of one clip, of its input and of what trains in it.
#pragma once

#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/activation.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/train/activations.hpp>
#include <zeroi2v/train/attention_backward.hpp>
#include <zeroi2v/train/block_forward.hpp>
#include <zeroi2v/train/dropout.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/training_block.hpp>
#include <zeroi2v/train/training_linear.hpp>

#include <algorithm>
#include <cstddef>

namespace zeroi2v {

namespace detail {

/// dx = dy W (+ residual); dx shares nothing with dy.
inline void linear_backward(pass_context const& on, training_linear const& layer, matrix_view<float const> dy, matrix_view<float> dx,
                            matrix_view<float const> residual = {}) {
    matmul(on.kernels, on.workers, dy, layer.backward, {activation::none, residual}, dx, on.room);
}

/// Gradients of weight and bias where they train; `scale` stands before both in the layer.
inline void linear_gradient(pass_context const& on, training_linear const& layer, matrix_view<float const> dy, matrix_view<float const> x, float scale,
                            float* gradient, block_scratchpad const& scratch) {
    if (!layer.trains()) return;
    weight_gradient(on.kernels, on.workers, dy, x, scale, gradient + layer.weight_first, gradient + layer.bias_first, scratch.weights.data());
}

/// Of y = x + up(dropped(down(x))): the gradient of what down gave, from dy.
inline void adapter_hidden_backward(pass_context const& on, training_adapter const& adapter, dropout const& drop, std::size_t row_step,
                                    matrix_view<float const> dy, float* dhidden) {
    linear_backward(on, adapter.up, dy, matrix_view<float>{dhidden, dy.rows, adapter.rank()});
    if (drop.drops())
        for_rows(on.workers, dy.rows, [&](std::size_t first, std::size_t last) { drop.apply(dhidden, adapter.rank(), first, last, row_step); });
}

/// The gradient of x from both, dx may be dy.
inline void adapter_backward(pass_context const& on, training_adapter const& adapter, float const* dhidden, matrix_view<float const> dy, matrix_view<float> dx) {
    linear_backward(on, adapter.down, matrix_view<float const>{dhidden, dy.rows, adapter.rank()}, dx, dy);
}

/// The gradients of the adapter where it trains.
inline void adapter_gradient(pass_context const& on, training_adapter const& adapter, matrix_view<float const> x, float const* hidden,
                             matrix_view<float const> dy, float const* dhidden, float* gradient, block_scratchpad const& scratch) {
    linear_gradient(on, adapter.up, dy, matrix_view<float const>{hidden, dy.rows, adapter.rank()}, adapter.scale, gradient, scratch);
    linear_gradient(on, adapter.down, matrix_view<float const>{dhidden, dy.rows, adapter.rank()}, x, 1.0F, gradient, scratch);
}

/// Gradients of the parameters where they train.
inline void norm_gradient(pass_context const& on, training_norm const& norm, matrix_view<float const> x, matrix_view<float const> dy, float* gradient,
                          block_scratchpad const& scratch) {
    if (norm.trains())
        layer_norm_gradient(on.workers, x, dy, static_cast<double>(norm.parameters.epsilon), scratch.norms, gradient + norm.weight_first, gradient + norm.bias_first);
}

/// dx = residual + gradient of the input; residual may be none, it, or dy, may be dx.
inline void norm_backward(pass_context const& on, training_norm const& norm, matrix_view<float const> x, matrix_view<float const> dy,
                          matrix_view<float const> residual, matrix_view<float> dx) {
    for_rows(on.workers, x.rows, [&](std::size_t first, std::size_t last) {
        on.kernels.layer_norm_backward({.x = x.row(first), .ldx = x.stride, .weight = norm.parameters.weight.data(), .dy = dy.row(first), .lddy = dy.stride,
                                        .residual = residual.data == nullptr ? nullptr : residual.row(first), .ld_residual = residual.stride,
                                        .dx = dx.row(first), .lddx = dx.stride, .rows = last - first, .width = x.columns, .eps = norm.parameters.epsilon});
    });
}

/// From the block's output to the residual stream behind attention, g (Q,C) in place, and on to what attention gave, in scratch.a.
///
/// A thread takes some rows as far as it can; the gradients of weights, which need all rows, come between.
inline void behind_attention_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch,
                                      float* g, float* gradient) {
    block_views const v{block, on.rows};
    training_adapter const* const out_adapter = block.adapter(block_linear::out_proj, adapter_side::output);
    training_adapter const* const mlp_adapter = block.adapter(block_linear::c_fc, adapter_side::input);
    training_adapter const* const mlp_out_adapter = block.adapter(block_linear::c_proj, adapter_side::output);
    auto const rank_out = scratch.rank[0], rank_mlp = scratch.rank[1];
    bool const adapter_trains = mlp_adapter != nullptr && mlp_adapter->trains();
    in_row_blocks(on, scratch, v, v.q, [&](pass_context const& here, block_views const& w, row_scratch const& own) {
        auto dy = w.behind<float const>(g);
        if (mlp_out_adapter != nullptr) {
            auto const to = block.c_proj.trains() ? w.behind(scratch.c) : w.own(own.a);
            adapter_hidden_backward(here, *mlp_out_adapter, w.drop(on, block, *mlp_out_adapter, w.step), w.step, dy, w.ranks(rank_out));
            adapter_backward(here, *mlp_out_adapter, w.ranks(rank_out), dy, to);
            dy = to;
        }
        auto const wide = w.wide(kept.wide);
        if (block.c_proj.trains()) {
            auto const after = w.wide(scratch.wide_2);
            activate(here.kernels, here.workers, block.act, {wide.data, w.q * w.hidden}, {after.data, w.q * w.hidden});
        }
        if (!block.c_proj.passes_gradient()) return; // nothing before c_proj trains
        auto const dwide = block.c_fc.trains() ? w.wide(scratch.wide) : w.own_wide(own.wide);
        linear_backward(here, block.c_proj, dy, dwide);
        for_rows(here.workers, w.q, [&](std::size_t first, std::size_t last) {
            here.kernels.of(block.act).backward(wide.row(first), dwide.row(first), dwide.row(first), (last - first) * w.hidden);
        });
        if (adapter_trains || block.c_fc.trains()) norm_forward(here, block.ln_2, w.behind<float const>(kept.behind), w.behind(scratch.a));
        if (!block.c_fc.passes_gradient()) return;
        linear_backward(here, block.c_fc, dwide, w.behind(scratch.b));
        if (mlp_adapter != nullptr)
            adapter_hidden_backward(here, *mlp_adapter, w.drop(on, block, *mlp_adapter, w.step), w.step, w.behind<float const>(scratch.b), w.ranks(rank_mlp));
    });
    if (mlp_out_adapter != nullptr)
        adapter_gradient(on, *mlp_out_adapter, v.behind<float const>(kept.unadapted_by(*mlp_out_adapter)), kept.hidden_of(*mlp_out_adapter), v.behind<float const>(g), rank_out, gradient, scratch);
    linear_gradient(on, block.c_proj, v.behind<float const>(mlp_out_adapter != nullptr ? scratch.c : g), v.wide<float const>(scratch.wide_2), 1.0F, gradient, scratch);
    if (!block.c_proj.passes_gradient()) return;
    auto const normal = v.behind(scratch.a);
    bool const passes = block.c_fc.passes_gradient();
    if (mlp_adapter != nullptr && passes)
        adapter_gradient(on, *mlp_adapter, normal, kept.hidden_of(*mlp_adapter), v.behind<float const>(scratch.b), rank_mlp, gradient, scratch);
    if (block.c_fc.trains()) {
        if (mlp_adapter != nullptr) linear_forward(on, mlp_adapter->up, matrix_view<float const>{kept.hidden_of(*mlp_adapter), v.q, v.rank}, normal, normal);
        linear_gradient(on, block.c_fc, v.wide<float const>(scratch.wide), normal, 1.0F, gradient, scratch);
    }
    if (!passes) return;

    auto const rank_s = scratch.rank[0];
    in_row_blocks(on, scratch, v, v.q, [&](pass_context const& here, block_views const& w, row_scratch const& own) {
        auto const dnormal = w.behind(scratch.b), dy = w.behind(g);
        if (mlp_adapter != nullptr) adapter_backward(here, *mlp_adapter, w.ranks(rank_mlp), dnormal, dnormal);
        norm_backward(here, block.ln_2, w.behind<float const>(kept.behind), dnormal, dy, dy);
        if (!block.attention_side()) return;
        auto projected = dy;
        if (out_adapter != nullptr) {
            projected = block.out_proj.trains() ? w.behind(scratch.c) : w.own(own.a);
            adapter_hidden_backward(here, *out_adapter, w.drop(on, block, *out_adapter, w.step), w.step, dy, w.ranks(rank_s));
            adapter_backward(here, *out_adapter, w.ranks(rank_s), dy, projected);
        }
        if (block.out_proj.passes_gradient()) linear_backward(here, block.out_proj, projected, w.behind(scratch.a));
    });
    norm_gradient(on, block.ln_2, v.behind<float const>(kept.behind), v.behind<float const>(scratch.b), gradient, scratch);
    if (!block.attention_side()) return;
    if (out_adapter != nullptr)
        adapter_gradient(on, *out_adapter, v.behind<float const>(kept.unadapted_by(*out_adapter)), kept.hidden_of(*out_adapter), v.behind<float const>(g), rank_s, gradient, scratch);
    linear_gradient(on, block.out_proj, v.behind<float const>(out_adapter != nullptr ? scratch.c : g), v.behind<float const>(kept.attended), 1.0F, gradient, scratch);
}

/// From the gradient of qkv (in scratch.wide) to that of what ln_1 gives (in scratch.b).
inline void in_proj_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* gradient) {
    block_views const v{block, on.rows};
    float* const dhidden = scratch.rank[0];
    training_adapter const* const in_adapter = block.adapter(block_linear::in_proj, adapter_side::input);
    bool adapters_train = in_adapter != nullptr && in_adapter->trains(), weights_train = false;
    for (auto const& part : block.in_proj) {
        adapters_train = adapters_train || (part.adapter != nullptr && part.adapter->trains());
        weights_train = weights_train || part.linear.trains();
    }
    auto const normal_of = [&](pass_context const& here, block_views const& w) {
        norm_forward(here, block.ln_1, w.all<float const>(kept.x), w.all(scratch.a));
    };
    auto const to_in_adapter = [&](pass_context const& here, block_views const& w) {
        if (in_adapter != nullptr && block.before_in_proj())
            adapter_hidden_backward(here, *in_adapter, w.drop(on, block, *in_adapter, 1), 1, w.all<float const>(scratch.b), w.ranks(dhidden));
    };
    // Parts of all rows first: what follows adds to them.
    std::size_t done = 0;
    for (bool const queries_only : {false, true})
        for (std::size_t j = 0; j < block.in_proj.size(); ++j) {
            auto const& part = block.in_proj[j];
            if (part.queries_only != queries_only) continue;
            bool const first = done++ == 0, last_of_all_rows = done == block.in_proj.size() && !queries_only;
            std::size_t const apart = queries_only ? v.step : 1, rows = queries_only ? v.q : v.m;
            auto const dnormal = [&](block_views const& w) { return queries_only ? w.chosen(scratch.b) : w.all(scratch.b); };
            auto const own = [&](block_views const& w) { return queries_only ? w.behind(scratch.c) : w.all(scratch.c); };
            auto const sum = [&](block_views const& w) { return first ? matrix_view<float const>{} : matrix_view<float const>{dnormal(w)}; };
            bool const passes = part.linear.passes_gradient();
            in_row_blocks(on, scratch, v, rows, [&](pass_context const& here, block_views const& w, row_scratch const&) {
                if (first && (adapters_train || weights_train)) normal_of(here, w);
                if (!passes) return;
                auto const dy = w.columns<float const>(scratch.wide, part);
                linear_backward(here, part.linear, dy, part.adapter ? own(w) : dnormal(w), part.adapter ? matrix_view<float const>{} : sum(w));
                if (part.adapter) adapter_hidden_backward(here, *part.adapter, w.drop(on, block, *part.adapter, apart), apart, own(w), w.ranks(dhidden));
                else if (last_of_all_rows) to_in_adapter(here, w);
            });
            if (weights_train && in_adapter != nullptr && first)
                linear_forward(on, in_adapter->up, matrix_view<float const>{kept.hidden_of(*in_adapter), v.m, v.rank}, v.all(scratch.a), v.all(scratch.a));
            auto const input = queries_only ? v.chosen<float const>(scratch.a) : v.all<float const>(scratch.a);
            auto const dy = v.columns<float const>(scratch.wide, part);
            if (!part.adapter) {
                linear_gradient(on, part.linear, dy, input, 1.0F, gradient, scratch);
                continue;
            }
            if (passes) {
                adapter_gradient(on, *part.adapter, input, kept.hidden_of(*part.adapter), own(v), dhidden, gradient, scratch);
                in_row_blocks(on, scratch, v, rows, [&](pass_context const& here, block_views const& w, row_scratch const&) {
                    if (first) {
                        adapter_backward(here, *part.adapter, w.ranks(dhidden), own(w), dnormal(w));
                        return;
                    }
                    adapter_backward(here, *part.adapter, w.ranks(dhidden), own(w), own(w));
                    add_rows(here.workers, own(w), dnormal(w));
                });
            }
            if (part.linear.trains()) {
                linear_forward(on, part.adapter->up, matrix_view<float const>{kept.hidden_of(*part.adapter), input.rows, v.rank}, own(v), input);
                linear_gradient(on, part.linear, dy, own(v), 1.0F, gradient, scratch);
            }
        }
    if (in_adapter == nullptr || !block.before_in_proj()) return;
    if (block.class_only) in_row_blocks(on, scratch, v, v.m, [&](pass_context const& here, block_views const& w, row_scratch const&) { to_in_adapter(here, w); });
    if (weights_train) normal_of(on, v); // the adapter's own input again
    adapter_gradient(on, *in_adapter, v.all<float const>(scratch.a), kept.hidden_of(*in_adapter), v.all<float const>(scratch.b), dhidden, gradient, scratch);
}

/// From the gradient of what ln_1 gives (in scratch.b; the hidden rows of the adapter before in_proj in scratch.rank[0]) and dy to dx.
inline void ln_1_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* dy,
                          float* dx, float* gradient) {
    block_views const v{block, on.rows};
    training_adapter const* const in_adapter = block.adapter(block_linear::in_proj, adapter_side::input);
    in_row_blocks(on, scratch, v, v.m, [&](pass_context const& here, block_views const& w, row_scratch const&) {
        auto const dnormal = w.all(scratch.b);
        if (in_adapter != nullptr) adapter_backward(here, *in_adapter, w.ranks(scratch.rank[0]), dnormal, dnormal);
        if (!block.passes_gradient) return;
        norm_backward(here, block.ln_1, w.all<float const>(kept.x), dnormal, block.class_only ? matrix_view<float const>{} : w.all<float const>(dy), w.all(dx));
    });
    norm_gradient(on, block.ln_1, v.all<float const>(kept.x), v.all<float const>(scratch.b), gradient, scratch);
    if (block.passes_gradient && block.class_only) add_rows(on.workers, v.behind<float const>(dy), v.chosen(dx));
}

} // namespace detail

/// From dy, the gradient of the block's output (Q,C), which is overwritten, to that of its input, dx (M,C), and of what trains.
///
/// dx may be dy where all rows go on (not class_only); it is written only where the block passes its gradient on.
/// Shapes    gradient: a flat one; each tensor of the block that trains is written, not added to.
/// Numerics  float; sums over rows of biases and norms in double. The same bits for every executor.
/// Cost      twice the forward pass at most: half of it where only adapters train; nothing before what trains first.
/// Test      tests/unit/train/trainer.cpp: every tensor against central differences in double.
inline void block_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* dy,
                           float* dx, float* gradient) {
    if (!block.anything()) return;
    detail::behind_attention_backward(on, block, kept, scratch, dy, gradient);
    if (!block.attention_side() || !block.out_proj.passes_gradient()) return;

    auto const& rows = on.rows;
    std::size_t const width = block.width(), stride = 3 * width;
    auto const shape = rows.attention(block);
    auto const read = [&](std::size_t first) { return token_rows<float const>{kept.qkv + first, rows.tokens * stride, stride, rows.head_dim}; };
    auto const write = [&](std::size_t first) { return token_rows<float>{scratch.wide + first, rows.tokens * stride, stride, rows.head_dim}; };
    attention_backward(on.kernels, on.workers, shape, on.map, read(0), read(width), read(2 * width), {scratch.a, shape.queries * width, width, rows.head_dim},
                       write(0), write(width), write(2 * width), scratch.attention);
    detail::rotate(on, block, scratch.wide, -1);
    detail::in_proj_backward(on, block, kept, scratch, gradient);
    if (block.before_in_proj()) detail::ln_1_backward(on, block, kept, scratch, dy, dx, gradient);
}

} // namespace zeroi2v
