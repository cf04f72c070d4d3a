// packed_vit_block: one block made ready to compute: weights packed for a kernel table, adapters packed or absent.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/block_scratch.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/nn/packed_layer_norm.hpp>
#include <zeroi2v/nn/packed_linear.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

/// A block in the form in which it computes; Adapters as in vit_weights.
///
/// What stands around attention falls into three stages, each for any range of rows (tokens), on one thread:
///   attention_input    qkv = in_proj(ln_1(x))
///   attention_output   x = x + out_proj(y)
///   mlp                x = x + c_proj(act(c_fc(ln_2(x))))
/// where each Linear stands for itself and the adapters at it. A merged block runs the same lines; its type has no adapters.
///
/// Numerics  each row's result is the same bits whatever the other rows of the call.
/// Test      tests/unit/model/vit_engine.cpp, tests/unit/golden/golden.cpp
template <class Adapters>
class packed_vit_block {
public:
    packed_vit_block() = default;

    /// Packs `block` and `adapters` (block_adapters, or no_adapters). `release` is called with each weight of the block once it is
    /// packed, so that its memory can be freed. q_apart packs q on its own, so that it can be computed for fewer rows than k and v.
    template <class Block, class BlockAdapters, class Release>
        requires std::is_same_v<std::remove_const_t<Block>, vit_block>
    packed_vit_block(Block& block, BlockAdapters const& adapters, bool q_apart, packing_options const& options, Release&& release)
        : kernels_{options.kernels}, ln_1_{block.ln_1, options.norm_epsilon}, ln_2_{block.ln_2, options.norm_epsilon}, width_{block.ln_1.weight.count()},
          mlp_width_{block.c_fc.bias.count()}, act_{options.act} {
        auto const pack = [&](block_linear which, op_group group, std::size_t first_apart) {
            auto& layer = block.*info_of(which).member;
            packed_linear<Adapters> packed{layer, which, adapters, first_apart, group, options};
            release(layer.weight);
            return packed;
        };
        in_proj_ = pack(block_linear::in_proj, op_group::qkv, q_apart ? width_ : 0);
        out_proj_ = pack(block_linear::out_proj, op_group::proj, 0);
        c_fc_ = pack(block_linear::c_fc, op_group::mlp, 0);
        c_proj_ = pack(block_linear::c_proj, op_group::mlp, 0);
    }

    [[nodiscard]] std::size_t width() const noexcept { return width_; }
    [[nodiscard]] std::size_t mlp_width() const noexcept { return mlp_width_; }
    [[nodiscard]] std::size_t rank() const noexcept {
        std::size_t result = 0;
        for_each_linear([&](packed_linear<Adapters> const& linear) {
            linear.for_each_adapter([&](detail::packed_adapter const& adapter) { result = std::max(result, adapter.down.outputs()); });
        });
        return result;
    }
    /// Whether block_scratch::adapted is needed.
    [[nodiscard]] bool adapts_parts() const noexcept {
        bool result = false;
        for_each_linear([&](packed_linear<Adapters> const& linear) { result = result || linear.adapts_parts(); });
        return result;
    }
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = 0;
        for_each_matrix([&](packed_matrix const& matrix) { total += matrix.byte_size(); });
        return total;
    }

    /// visit(matrix) for every packed matrix of the block.
    template <class Visit>
    void for_each_matrix(Visit&& visit) const {
        for_each_linear([&](packed_linear<Adapters> const& linear) { linear.for_each_matrix(visit); });
    }

    /// Which of q, k, v: `all_but_first` and `first` leave out and compute q where it was packed apart.
    using wanted = typename packed_linear<Adapters>::wanted;

    /// qkv (rows,3C) from x (rows,C).
    void attention_input(matrix_view<float const> x, matrix_view<float> qkv, block_scratch const& scratch, wanted parts = wanted::all) const noexcept {
        if (parts == wanted::first && !in_proj_.apart()) return;
        in_row_blocks(x.rows, scratch, [&](std::size_t at, std::size_t count) {
            in_proj_(norm(ln_1_, part(x, at, count), scratch), part(qkv, at, count), {}, scratch, parts);
        });
    }

    /// x (rows,C), in place, from what attention made of them, y (rows,C), which may be overwritten.
    void attention_output(matrix_view<float> x, matrix_view<float> y, block_scratch const& scratch) const noexcept {
        in_row_blocks(x.rows, scratch, [&](std::size_t at, std::size_t count) {
            matrix_view<float> const out = part(x, at, count);
            out_proj_(part(y, at, count), out, {activation::none, out}, scratch);
        });
    }

    /// x (rows,C), in place.
    void mlp(matrix_view<float> x, block_scratch const& scratch) const noexcept {
        in_row_blocks(x.rows, scratch, [&](std::size_t at, std::size_t count) {
            matrix_view<float> const out = part(x, at, count), hidden{scratch.hidden, count, mlp_width_};
            c_fc_(norm(ln_2_, out, scratch), hidden, {act_, {}}, scratch);
            c_proj_(hidden, out, {activation::none, out}, scratch);
        });
    }

private:
    template <class Visit>
    void for_each_linear(Visit&& visit) const {
        visit(in_proj_);
        visit(out_proj_);
        visit(c_fc_);
        visit(c_proj_);
    }

    /// layer(x), in scratch.narrow.
    [[nodiscard]] matrix_view<float> norm(detail::packed_layer_norm const& layer, matrix_view<float const> x, block_scratch const& scratch) const noexcept {
        op_timer const timer{scratch.times, op_group::norms};
        layer(*kernels_, x.data, x.stride, scratch.narrow, width_, x.rows);
        return {scratch.narrow, x.rows, width_};
    }

    template <class T>
    [[nodiscard]] static matrix_view<T> part(matrix_view<T> of, std::size_t at, std::size_t count) noexcept {
        return {of.row(at), count, of.columns, of.stride};
    }
    /// work(first, count) for as many rows at a time as the scratch has room for.
    template <class Work>
    static void in_row_blocks(std::size_t rows, block_scratch const& scratch, Work&& work) noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) work(at, std::min(scratch.rows, rows - at));
    }

    kernel_table const* kernels_{};
    detail::packed_layer_norm ln_1_, ln_2_;
    packed_linear<Adapters> in_proj_, out_proj_, c_fc_, c_proj_;
    std::size_t width_{}, mlp_width_{};
    activation act_{};
};

} // namespace zeroi2v
