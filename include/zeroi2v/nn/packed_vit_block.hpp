// packed_vit_block: one block made ready to compute: weights packed for a kernel table, adapters packed or absent.
#pragma once

#include <zeroi2v/nn/adapter_sites.hpp>
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
/// The work falls into two stages around attention, each for any range of rows (tokens), on one thread:
///   before_attention   qkv = in_proj(ln_1(x))
///   after_attention    x = x + out_proj(y);  x = x + c_proj(quick_gelu(c_fc(ln_2(x))))
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
        : kernels_{options.kernels}, ln_1_{block.ln_1}, ln_2_{block.ln_2}, width_{block.ln_1.weight.count()},
          mlp_width_{block.c_fc.bias.count()} {
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

    /// qkv rows [0, rows) from x rows; `queries` false leaves out q where it was packed apart.
    void before_attention(float const* x, float* qkv, std::size_t rows, bool queries, block_scratch const& scratch) const noexcept {
        using wanted = typename packed_linear<Adapters>::wanted;
        project(x, width_, qkv, 3 * width_, rows, queries ? wanted::all : wanted::all_but_first, scratch);
    }

    /// q of single rows: x row r starts at x + r * x_stride, its qkv row at qkv + r * qkv_stride.
    void queries_only(float const* x, std::size_t x_stride, float* qkv, std::size_t qkv_stride, std::size_t rows, block_scratch const& scratch) const noexcept {
        if (in_proj_.apart()) project(x, x_stride, qkv, qkv_stride, rows, packed_linear<Adapters>::wanted::first, scratch);
    }

    /// x rows [0, rows), from and to rows of stride x_stride, given what attention made of them (rows of stride y_stride), which
    /// may be overwritten.
    void after_attention(float* x, std::size_t x_stride, float* y, std::size_t y_stride, std::size_t rows, block_scratch const& scratch) const noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) {
            std::size_t const count = std::min(scratch.rows, rows - at);
            matrix_view<float> const out{x + at * x_stride, count, width_, x_stride}, hidden{scratch.hidden, count, mlp_width_};
            out_proj_({y + at * y_stride, count, width_, y_stride}, out, {activation::none, out}, scratch);
            c_fc_(norm(ln_2_, out, scratch), hidden, {activation::quick_gelu, {}}, scratch);
            c_proj_(hidden, out, {activation::none, out}, scratch);
        }
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

    /// qkv = in_proj(ln_1(x)), of it the columns wanted.
    void project(float const* x, std::size_t x_stride, float* qkv, std::size_t qkv_stride, std::size_t rows, typename packed_linear<Adapters>::wanted wanted,
                 block_scratch const& scratch) const noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) {
            std::size_t const count = std::min(scratch.rows, rows - at);
            matrix_view<float> const out{qkv + at * qkv_stride, count, 3 * width_, qkv_stride};
            in_proj_(norm(ln_1_, {x + at * x_stride, count, width_, x_stride}, scratch), out, {}, scratch, wanted);
        }
    }

    kernel_table const* kernels_{};
    detail::packed_layer_norm ln_1_, ln_2_;
    packed_linear<Adapters> in_proj_, out_proj_, c_fc_, c_proj_;
    std::size_t width_{}, mlp_width_{};
};

} // namespace zeroi2v
