// packed_vit_block: one block made ready to compute: weights packed for a kernel table, adapters packed or absent.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace zeroi2v {

namespace detail {

/// A layer norm's parameters widened to float.
struct packed_layer_norm {
    dynamic_tensor<float, 1> weight, bias; // (C)

    packed_layer_norm() = default;
    explicit packed_layer_norm(stored_layer_norm const& source)
        : weight{source.weight.count()}, bias{source.bias.count()} {
        source.weight.widen(0, {weight.data(), weight.size()});
        source.bias.widen(0, {bias.data(), bias.size()});
    }

    void operator()(kernel_table const& kernels, float const* x, std::size_t ldx, float* y, std::size_t ldy, std::size_t rows) const noexcept {
        kernels.layer_norm({x, ldx, weight.data(), bias.data(), y, ldy, rows, weight.size(), layer_norm_epsilon});
    }
};

/// D_fc1 and scale * D_fc2.
struct packed_adapter {
    packed_matrix down; // (R,C)
    packed_matrix up;   // (C,R)
};

/// Part of in_proj: channels [first, first + matrix.out()) of q, k, v, behind an adapter of its own or none.
struct packed_in_proj {
    std::size_t first{};
    packed_matrix matrix;
    std::optional<packed_adapter> adapter;
};

struct no_packed_adapters {
    static constexpr bool present = false;
};
struct packed_adapters {
    static constexpr bool present = true;
    std::optional<packed_adapter> T_Adapter_in, S_Adapter, MLP_Adapter, MLP_Adapter_out;
};

} // namespace detail

/// How weights are packed.
struct packing_options {
    kernel_table const* kernels{};
    dtype type = dtype::f32;                    ///< f32, bf16 or i8
    std::optional<double> adapter_scale{};      ///< needed with adapters
    activation act = activation::quick_gelu;    ///< between c_fc and c_proj
};

/// Scratch of one thread while it works on up to `rows` rows.
struct block_scratch {
    std::size_t rows{};
    float* narrow{};                   // (rows,C)
    float* adapted{};                  // (rows,C), with separate q, k, v adapters only
    float* hidden{};                   // (rows,F) or wider
    float* rank{};                     // (rows,R), with adapters only
    std::span<std::byte> matmul;       // largest matmul_scratch_bytes of the block's matrices for `rows` rows
    std::span<op_times> times;         // where this thread's seconds are added up, or nothing
};

/// A block in the form in which it computes; Adapters as in vit_block.
///
/// The work falls into two stages around attention, each for any range of rows (tokens), on one thread:
///   before_attention   qkv = in_proj(T_Adapter_in(ln_1(x)))
///   after_attention    x = x + S_Adapter(out_proj(y));  x = x + MLP_Adapter_out(c_proj(act(c_fc(MLP_Adapter(ln_2(x))))))
/// A merged block runs the same lines without the adapters: its type has none.
///
/// Numerics  each row's result is the same bits whatever the other rows of the call.
/// Test      tests/unit/model/vit_engine.cpp, tests/unit/golden/golden.cpp
template <class Adapters>
class packed_vit_block {
    static constexpr bool adapted = Adapters::present;
    using packed = std::conditional_t<adapted, detail::packed_adapters, detail::no_packed_adapters>;

public:
    packed_vit_block() = default;

    /// Packs `block`. `release` is called with each tensor once it is packed, so that its memory can be freed.
    /// q_apart packs q on its own, so that it can be computed for fewer rows than k and v.
    template <class Block, class Release>
        requires std::is_same_v<std::remove_const_t<Block>, vit_block<Adapters>>
    packed_vit_block(Block& block, bool q_apart, packing_options const& options, Release&& release)
        : kernels_{options.kernels}, ln_1_{block.ln_1}, ln_2_{block.ln_2}, width_{block.ln_1.weight.count()},
          mlp_width_{block.c_fc.bias.count()}, act_{options.act} {
        pack_in_proj(block, q_apart, options);
        release(block.in_proj.weight);
        out_proj_ = pack(block.out_proj, options);
        release(block.out_proj.weight);
        c_fc_ = pack(block.c_fc, options);
        release(block.c_fc.weight);
        c_proj_ = pack(block.c_proj, options);
        release(block.c_proj.weight);
        if constexpr (adapted) {
            auto const adapter = [&](auto& from, auto& to) {
                if (from) to = pack(*from, options);
            };
            adapter(block.adapters.T_Adapter_in, adapters_.T_Adapter_in);
            adapter(block.adapters.S_Adapter, adapters_.S_Adapter);
            adapter(block.adapters.MLP_Adapter, adapters_.MLP_Adapter);
            adapter(block.adapters.MLP_Adapter_out, adapters_.MLP_Adapter_out);
        }
    }

    [[nodiscard]] std::size_t width() const noexcept { return width_; }
    [[nodiscard]] std::size_t mlp_width() const noexcept { return mlp_width_; }
    [[nodiscard]] std::size_t rank() const noexcept {
        std::size_t result = 0;
        for_each_adapter([&](detail::packed_adapter const& adapter) { result = std::max(result, adapter.down.outputs()); });
        return result;
    }
    [[nodiscard]] bool separate_inputs() const noexcept {
        return std::any_of(in_proj_.begin(), in_proj_.end(), [](auto const& part) { return part.adapter.has_value(); });
    }
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = 0;
        for_each_matrix([&](packed_matrix const& matrix) { total += matrix.byte_size(); });
        return total;
    }

    /// visit(matrix) for every packed matrix of the block.
    template <class Visit>
    void for_each_matrix(Visit&& visit) const {
        for (auto const& part : in_proj_) visit(part.matrix);
        visit(out_proj_);
        visit(c_fc_);
        visit(c_proj_);
        for_each_adapter([&](detail::packed_adapter const& adapter) { visit(adapter.down); visit(adapter.up); });
    }

    /// qkv rows [0, rows) from x rows; `queries` false leaves out q where it was packed apart.
    void before_attention(float const* x, float* qkv, std::size_t rows, bool queries, block_scratch const& scratch) const noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) {
            std::size_t const count = std::min(scratch.rows, rows - at);
            norm(ln_1_, x + at * width_, width_, count, scratch);
            if constexpr (adapted)
                if (adapters_.T_Adapter_in) apply(*adapters_.T_Adapter_in, scratch.narrow, scratch.narrow, count, scratch);
            for (std::size_t i = 0; i < in_proj_.size(); ++i) {
                if (i == 0 && !queries && in_proj_.size() > 1) continue;
                project(in_proj_[i], qkv + at * 3 * width_, count, scratch);
            }
        }
    }

    /// q of single rows: x row r starts at x + r * x_stride, its qkv row at qkv + r * qkv_stride.
    void queries_only(float const* x, std::size_t x_stride, float* qkv, std::size_t qkv_stride, std::size_t rows, block_scratch const& scratch) const noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) {
            std::size_t const count = std::min(scratch.rows, rows - at);
            norm(ln_1_, x + at * x_stride, x_stride, count, scratch);
            if constexpr (adapted)
                if (adapters_.T_Adapter_in) apply(*adapters_.T_Adapter_in, scratch.narrow, scratch.narrow, count, scratch);
            project(in_proj_.front(), qkv + at * qkv_stride, count, scratch, qkv_stride);
        }
    }

    /// x rows [0, rows), from and to rows of stride x_stride, given what attention made of them (rows of stride y_stride).
    void after_attention(float* x, std::size_t x_stride, float const* y, std::size_t y_stride, std::size_t rows, block_scratch const& scratch) const noexcept {
        for (std::size_t at = 0; at < rows; at += scratch.rows) {
            std::size_t const count = std::min(scratch.rows, rows - at);
            float* const out = x + at * x_stride;
            residual_linear<0>(out_proj_, y + at * y_stride, y_stride, out, x_stride, count, scratch);
            norm(ln_2_, out, x_stride, count, scratch);
            if constexpr (adapted)
                if (adapters_.MLP_Adapter) apply(*adapters_.MLP_Adapter, scratch.narrow, scratch.narrow, count, scratch);
            run(op_group::mlp, c_fc_, scratch.narrow, width_, scratch.hidden, mlp_width_, count, act_, nullptr, 0, scratch);
            residual_linear<1>(c_proj_, scratch.hidden, mlp_width_, out, x_stride, count, scratch);
        }
    }

private:
    template <class Visit>
    void for_each_adapter(Visit&& visit) const {
        for (auto const& part : in_proj_)
            if (part.adapter) visit(*part.adapter);
        if constexpr (adapted)
            for (auto const* adapter : {&adapters_.T_Adapter_in, &adapters_.S_Adapter, &adapters_.MLP_Adapter, &adapters_.MLP_Adapter_out})
                if (*adapter) visit(**adapter);
    }

    [[nodiscard]] static packed_matrix pack(stored_linear const& layer, packing_options const& options) {
        return packed_matrix{*options.kernels, options.type, layer.weight, &layer.bias};
    }
    [[nodiscard]] static detail::packed_adapter pack(stored_linear_adapter const& adapter, packing_options const& options) {
        return {pack(adapter.D_fc1, options),
                packed_matrix{*options.kernels, options.type, adapter.D_fc2.weight, &adapter.D_fc2.bias, {.scale = options.adapter_scale.value()}}};
    }

    void pack_in_proj(vit_block<Adapters> const& block, bool q_apart, packing_options const& options) {
        auto const rows = [&](std::size_t first, std::size_t count) -> detail::packed_in_proj& {
            in_proj_.push_back({first, packed_matrix{*options.kernels, options.type, block.in_proj.weight, &block.in_proj.bias, {.first_row = first, .rows = count}}, std::nullopt});
            return in_proj_.back();
        };
        if constexpr (adapted) {
            auto const& a = block.adapters;
            if (a.T_Adapter_in_q) {
                std::size_t j = 0;
                for (auto const* adapter : {&a.T_Adapter_in_q, &a.T_Adapter_in_k, &a.T_Adapter_in_v})
                    rows(j++ * width_, width_).adapter = pack(adapter->value(), options);
                return;
            }
        }
        if (!q_apart) {
            rows(0, 3 * width_);
            return;
        }
        rows(0, width_);
        rows(width_, 2 * width_);
    }

    /// scratch.narrow = layer(x) for `rows` rows.
    void norm(detail::packed_layer_norm const& layer, float const* x, std::size_t ldx, std::size_t rows, block_scratch const& scratch) const noexcept {
        op_timer const timer{scratch.times, op_group::norms};
        layer(*kernels_, x, ldx, scratch.narrow, width_, rows);
    }

    void run(op_group group, packed_matrix const& matrix, float const* a, std::size_t lda, float* c, std::size_t ldc, std::size_t rows, activation act,
             float const* residual, std::size_t ld_residual, block_scratch const& scratch) const noexcept {
        op_timer const timer{scratch.times, group};
        serial_executor here;
        epilogue const fused{act, residual == nullptr ? matrix_view<float const>{} : matrix_view<float const>{residual, rows, matrix.outputs(), ld_residual}};
        matmul(*kernels_, here, {a, rows, matrix.inputs(), lda}, matrix, fused, {c, rows, matrix.outputs(), ldc}, scratch.matmul);
    }

    /// to = A(from) for `rows` rows of C contiguous values; to may be from.
    void apply(detail::packed_adapter const& adapter, float const* from, float* to, std::size_t rows, block_scratch const& scratch) const noexcept {
        run(op_group::adapters, adapter.down, from, width_, scratch.rank, adapter.down.outputs(), rows, activation::none, nullptr, 0, scratch);
        run(op_group::adapters, adapter.up, scratch.rank, adapter.down.outputs(), to, width_, rows, activation::none, from, width_, scratch);
    }

    void project(detail::packed_in_proj const& part, float* qkv, std::size_t rows, block_scratch const& scratch, std::size_t stride = 0) const noexcept {
        float const* input = scratch.narrow;
        if (part.adapter) {
            apply(*part.adapter, scratch.narrow, scratch.adapted, rows, scratch);
            input = scratch.adapted;
        }
        run(op_group::qkv, part.matrix, input, width_, qkv + part.first, stride == 0 ? 3 * width_ : stride, rows, activation::none, nullptr, 0, scratch);
    }

    /// x += A(layer(y)), where A is S_Adapter (Which 0) or MLP_Adapter_out (1), or nothing.
    template <int Which>
    void residual_linear(packed_matrix const& layer, float const* y, std::size_t ldy, float* x, std::size_t ldx, std::size_t rows, block_scratch const& scratch) const noexcept {
        constexpr op_group group = Which == 0 ? op_group::proj : op_group::mlp;
        if constexpr (adapted) {
            auto const& adapter = Which == 0 ? adapters_.S_Adapter : adapters_.MLP_Adapter_out;
            if (adapter) {
                run(group, layer, y, ldy, scratch.narrow, width_, rows, activation::none, nullptr, 0, scratch);
                apply(*adapter, scratch.narrow, scratch.narrow, rows, scratch);
                for (std::size_t r = 0; r < rows; ++r)
                    for (std::size_t c = 0; c < width_; ++c) x[r * ldx + c] += scratch.narrow[r * width_ + c];
                return;
            }
        }
        run(group, layer, y, ldy, x, ldx, rows, activation::none, x, ldx, scratch);
    }

    kernel_table const* kernels_{};
    detail::packed_layer_norm ln_1_, ln_2_;
    std::vector<detail::packed_in_proj> in_proj_;
    packed_matrix out_proj_, c_fc_, c_proj_;
    ZEROI2V_NO_UNIQUE_ADDRESS packed adapters_;
    std::size_t width_{}, mlp_width_{};
    activation act_{};
};

} // namespace zeroi2v
