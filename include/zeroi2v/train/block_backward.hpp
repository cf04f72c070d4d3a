// block_backward: the gradients of one block of one clip, of its input and of what trains in it.
#pragma once

#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/quick_gelu.hpp>
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
    weight_gradient(on.kernels, on.workers, dy, x, scale, gradient + layer.weight_first, scratch.weights.data());
    bias_gradient(on.workers, dy, scale, gradient + layer.bias_first);
}

/// Through y = x + up(dropped(down(x))): dx from dy, dx may be dy; x is read only where the adapter trains.
inline void adapter_backward(pass_context const& on, training_adapter const& adapter, dropout const& drop, std::size_t row_step, matrix_view<float const> x,
                             float const* hidden, matrix_view<float const> dy, matrix_view<float> dx, float* gradient, block_scratchpad const& scratch) {
    matrix_view<float> const dhidden{scratch.rank, dy.rows, adapter.rank()};
    linear_backward(on, adapter.up, dy, dhidden);
    linear_gradient(on, adapter.up, dy, matrix_view<float const>{hidden, dy.rows, adapter.rank()}, adapter.scale, gradient, scratch);
    if (drop.drops())
        for_rows(on.workers, dy.rows, [&](std::size_t first, std::size_t last) { drop.apply(scratch.rank, adapter.rank(), first, last, row_step); });
    linear_gradient(on, adapter.down, dhidden, x, 1.0F, gradient, scratch);
    linear_backward(on, adapter.down, dhidden, dx, dy);
}

/// Gradients of the parameters where they train.
inline void norm_gradient(pass_context const& on, training_norm const& norm, matrix_view<float const> x, matrix_view<float const> dy, float* gradient,
                          block_scratchpad const& scratch) {
    if (norm.trains())
        layer_norm_gradient(on.workers, x, dy, static_cast<double>(layer_norm_epsilon), scratch.norms, gradient + norm.weight_first, gradient + norm.bias_first);
}

/// dx = residual + gradient of the input; residual may be none, it, or dy, may be dx.
inline void norm_backward(pass_context const& on, training_norm const& norm, matrix_view<float const> x, matrix_view<float const> dy,
                          matrix_view<float const> residual, matrix_view<float> dx) {
    for_rows(on.workers, x.rows, [&](std::size_t first, std::size_t last) {
        on.kernels.layer_norm_backward({.x = x.row(first), .ldx = x.stride, .weight = norm.parameters.weight.data(), .dy = dy.row(first), .lddy = dy.stride,
                                        .residual = residual.data == nullptr ? nullptr : residual.row(first), .ld_residual = residual.stride,
                                        .dx = dx.row(first), .lddx = dx.stride, .rows = last - first, .width = x.columns, .eps = layer_norm_epsilon});
    });
}

/// The half from the block's output to the residual stream behind attention: g (Q,C) in place.
inline void mlp_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* g,
                         float* gradient) {
    block_views const v{block, on.rows};
    auto dy = v.behind<float const>(g);
    if (block.MLP_Adapter_out) {
        adapter_backward(on, *block.MLP_Adapter_out, on.adapter(block.number, 6), v.step, v.behind<float const>(kept.mlp), kept.hidden_mlp_out, dy,
                         v.behind(scratch.b), gradient, scratch);
        dy = v.behind<float const>(scratch.b);
    }
    if (block.c_proj.trains()) {
        quick_gelu(on.kernels, on.workers, {kept.wide, v.q * v.hidden}, {scratch.wide_2, v.q * v.hidden});
        linear_gradient(on, block.c_proj, dy, v.wide<float const>(scratch.wide_2), 1.0F, gradient, scratch);
    }
    if (!block.c_proj.passes_gradient()) return; // nothing before c_proj trains
    linear_backward(on, block.c_proj, dy, v.wide(scratch.wide));
    for_rows(on.workers, v.q, [&](std::size_t first, std::size_t last) {
        std::size_t const at = first * v.hidden;
        on.kernels.quick_gelu_backward(kept.wide + at, scratch.wide + at, scratch.wide + at, (last - first) * v.hidden);
    });
    auto const dwide = v.wide<float const>(scratch.wide);
    auto const normal = v.behind(scratch.a);
    bool const adapter_trains = block.MLP_Adapter && block.MLP_Adapter->trains();
    if (block.c_fc.trains()) {
        norm_forward(on, block.ln_2, v.behind<float const>(kept.behind), normal);
        if (block.MLP_Adapter)
            linear_forward(on, block.MLP_Adapter->up, matrix_view<float const>{kept.hidden_mlp, v.q, v.rank}, normal, normal);
        linear_gradient(on, block.c_fc, dwide, normal, 1.0F, gradient, scratch);
    }
    if (!block.c_fc.passes_gradient()) return;
    auto const dnormal = v.behind(scratch.b);
    linear_backward(on, block.c_fc, dwide, dnormal);
    if (block.MLP_Adapter) {
        if (adapter_trains) norm_forward(on, block.ln_2, v.behind<float const>(kept.behind), normal);
        adapter_backward(on, *block.MLP_Adapter, on.adapter(block.number, 5), v.step, normal, kept.hidden_mlp, dnormal, dnormal, gradient, scratch);
    }
    norm_gradient(on, block.ln_2, v.behind<float const>(kept.behind), dnormal, gradient, scratch);
    norm_backward(on, block.ln_2, v.behind<float const>(kept.behind), dnormal, v.behind<float const>(g), v.behind(g));
}

/// From the gradient of qkv (in scratch.wide) to that of what ln_1 gives (in scratch.b).
inline void in_proj_backward(pass_context const& on, training_block const& block, block_activations const& kept, block_scratchpad const& scratch, float* gradient) {
    block_views const v{block, on.rows};
    bool adapters_train = block.T_Adapter_in && block.T_Adapter_in->trains(), weights_train = false;
    for (auto const& part : block.in_proj) {
        adapters_train = adapters_train || (part.adapter && part.adapter->trains());
        weights_train = weights_train || part.linear.trains();
    }
    auto const normal = v.all(scratch.a);
    if (adapters_train || weights_train) norm_forward(on, block.ln_1, v.all<float const>(kept.x), normal);
    if (weights_train && block.T_Adapter_in)
        linear_forward(on, block.T_Adapter_in->up, matrix_view<float const>{kept.hidden_in[0], v.m, v.rank}, normal, normal);

    // Parts of all rows first: what follows adds to them.
    auto const dnormal = v.all(scratch.b);
    bool first = true;
    for (bool const queries_only : {false, true})
        for (std::size_t j = 0; j < block.in_proj.size(); ++j) {
            auto const& part = block.in_proj[j];
            if (part.queries_only != queries_only) continue;
            auto const dy = v.columns<float const>(scratch.wide, part);
            auto const input = queries_only ? v.chosen<float const>(scratch.a) : v.all<float const>(scratch.a);
            auto const to = queries_only ? v.chosen(scratch.b) : dnormal;
            auto const sum = first ? matrix_view<float const>{} : matrix_view<float const>{to};
            first = false;
            if (!part.adapter) {
                linear_gradient(on, part.linear, dy, input, 1.0F, gradient, scratch);
                if (part.linear.passes_gradient()) linear_backward(on, part.linear, dy, to, sum);
                continue;
            }
            auto const own = queries_only ? v.behind(scratch.c) : v.all(scratch.c);
            if (part.linear.trains()) {
                linear_forward(on, part.adapter->up, matrix_view<float const>{kept.hidden_in[j], own.rows, v.rank}, own, input);
                linear_gradient(on, part.linear, dy, own, 1.0F, gradient, scratch);
            }
            if (!part.linear.passes_gradient()) continue;
            linear_backward(on, part.linear, dy, own);
            adapter_backward(on, *part.adapter, on.adapter(block.number, 1 + j), queries_only ? v.step : 1, input, kept.hidden_in[j], own, own, gradient, scratch);
            if (sum.data == nullptr) copy_rows(on.workers, own, to);
            else add_rows(on.workers, own, to);
        }
    if (!block.T_Adapter_in || !block.before_in_proj()) return;
    if (weights_train) norm_forward(on, block.ln_1, v.all<float const>(kept.x), normal); // the adapter's own input again
    adapter_backward(on, *block.T_Adapter_in, on.adapter(block.number, 0), 1, normal, kept.hidden_in[0], dnormal, dnormal, gradient, scratch);
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
    detail::block_views const v{block, on.rows};
    auto const& rows = on.rows;
    detail::mlp_backward(on, block, kept, scratch, dy, gradient);
    if (!block.attention_side()) return;

    auto projected = v.behind<float const>(dy);
    if (block.S_Adapter) {
        detail::adapter_backward(on, *block.S_Adapter, on.adapter(block.number, 4), v.step, v.behind<float const>(kept.projected), kept.hidden_out, projected,
                                 v.behind(scratch.b), gradient, scratch);
        projected = v.behind<float const>(scratch.b);
    }
    detail::linear_gradient(on, block.out_proj, projected, v.behind<float const>(kept.attended), 1.0F, gradient, scratch);
    if (!block.out_proj.passes_gradient()) return;
    detail::linear_backward(on, block.out_proj, projected, v.behind(scratch.a));

    std::size_t const stride = 3 * v.width;
    auto const shape = rows.attention(block);
    auto const read = [&](std::size_t first) { return token_rows<float const>{kept.qkv + first, rows.tokens * stride, stride, rows.head_dim}; };
    auto const write = [&](std::size_t first) { return token_rows<float>{scratch.wide + first, rows.tokens * stride, stride, rows.head_dim}; };
    attention_backward(on.kernels, on.workers, shape, on.map, read(0), read(v.width), read(2 * v.width),
                       {scratch.a, shape.queries * v.width, v.width, rows.head_dim}, write(0), write(v.width), write(2 * v.width), scratch.attention);
    detail::in_proj_backward(on, block, kept, scratch, gradient);
    if (!block.before_in_proj()) return;
    auto const x = v.all<float const>(kept.x);
    auto const dnormal = v.all<float const>(scratch.b);
    detail::norm_gradient(on, block.ln_1, x, dnormal, gradient, scratch);
    if (!block.passes_gradient) return;
    if (!block.class_only) {
        detail::norm_backward(on, block.ln_1, x, dnormal, v.all<float const>(dy), v.all(dx));
        return;
    }
    detail::norm_backward(on, block.ln_1, x, dnormal, {}, v.all(dx));
    detail::add_rows(on.workers, v.behind<float const>(dy), v.chosen(dx));
}

} // namespace zeroi2v
