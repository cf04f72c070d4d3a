// packed_linear: one Linear of a block made ready to compute, and the adapters that stand at it.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/block_scratch.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/parallel/executor.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <vector>

namespace zeroi2v {

/// How weights are packed.
struct packing_options {
    kernel_table const* kernels{};
    dtype type = dtype::f32;                    ///< f32, bf16 or i8
    std::optional<double> adapter_scale{};      ///< needed with adapters
    activation act = activation::quick_gelu;    ///< between c_fc and c_proj
    float norm_epsilon = 1e-5F;
};

namespace detail {

/// D_fc1 and scale * D_fc2.
struct packed_adapter {
    packed_matrix down; // (R,C)
    packed_matrix up;   // (C,R)
};

/// Outputs [first, first + matrix.outputs()) of a Linear.
struct merged_part {
    std::size_t first{};
    packed_matrix matrix;
};
/// The same behind an adapter of its own, or none.
struct adapted_part : merged_part {
    std::optional<packed_adapter> adapter;
};

struct no_adapters_around {};
struct adapters_around {
    std::optional<packed_adapter> before, after;
};

/// c = act(a matrix^T + bias) + residual on the calling thread.
inline void run_product(kernel_table const& kernels, op_group group, packed_matrix const& matrix, matrix_view<float const> a, matrix_view<float> c,
                        epilogue const& end, block_scratch const& scratch) noexcept {
    op_timer const timer{scratch.times, group};
    serial_executor here;
    matmul(kernels, here, a, matrix, end, c, scratch.matmul);
}

} // namespace detail

/// after(linear(before(x))), where of the adapters each may be absent; a merged model's type has none.
///
/// Outputs that are wanted apart, and those that see an adapter of their own, are parts.
/// Numerics  each row's result is the same bits whatever the other rows of the call.
/// Test      tests/unit/nn/packed_vit_block.cpp
template <class Adapters>
class packed_linear {
    static constexpr bool adapted = Adapters::present;
    using part = std::conditional_t<adapted, detail::adapted_part, detail::merged_part>;
    using around = std::conditional_t<adapted, detail::adapters_around, detail::no_adapters_around>;

public:
    packed_linear() = default;

    /// `adapters`: those of the block, or none. `first_apart`: as many outputs, 0 or a third, are a part of their own where nothing forbids it.
    template <class BlockAdapters>
    packed_linear(stored_linear const& layer, block_linear which, BlockAdapters const& adapters, std::size_t first_apart, op_group group, packing_options const& options)
        : kernels_{options.kernels}, group_{group} {
        std::size_t const outputs = layer.bias.count(), third = outputs / 3;
        auto const add = [&](std::size_t first, std::size_t count) -> part& {
            part& added = parts_.emplace_back();
            added.first = first;
            added.matrix = packed_matrix{*options.kernels, options.type, layer.weight, &layer.bias, {.first_row = first, .rows = count}};
            return added;
        };
        if constexpr (adapted)
            for (adapter_site_info const& site : adapter_sites) {
                auto const& source = adapters[site.site];
                if (site.linear != which || !source) continue;
                if (site.side == adapter_side::output) around_.after = pack(*source, options);
                else if (site.rows == adapter_rows::all) around_.before = pack(*source, options);
                else add(parts_.size() * third, third).adapter = pack(*source, options);
            }
        if (!parts_.empty()) return;
        bool apart = first_apart > 0;
        if constexpr (adapted) apart = apart && !around_.after;
        if (apart) add(0, first_apart);
        add(apart ? first_apart : 0, outputs - (apart ? first_apart : 0));
    }

    /// Whether the first part can be had for fewer rows than the others.
    [[nodiscard]] bool apart() const noexcept { return parts_.size() > 1; }
    /// Whether a part has an adapter of its own, which needs block_scratch::adapted.
    [[nodiscard]] bool adapts_parts() const noexcept {
        if constexpr (adapted) return std::any_of(parts_.begin(), parts_.end(), [](part const& each) { return each.adapter.has_value(); });
        else return false;
    }

    /// visit(adapter) for every adapter.
    template <class Visit>
    void for_each_adapter(Visit&& visit) const {
        if constexpr (adapted) {
            for (part const& each : parts_)
                if (each.adapter) visit(*each.adapter);
            if (around_.before) visit(*around_.before);
            if (around_.after) visit(*around_.after);
        }
    }
    /// visit(matrix) for every packed matrix.
    template <class Visit>
    void for_each_matrix(Visit&& visit) const {
        for (part const& each : parts_) visit(each.matrix);
        for_each_adapter([&](detail::packed_adapter const& adapter) { visit(adapter.down); visit(adapter.up); });
    }

    /// Which parts a call computes.
    enum class wanted { all, first, all_but_first };

    /// y = act(after(linear(before(x)))) + residual; x may be overwritten, y may be the residual. With `wanted` only the columns of
    /// these parts; without parts of their own they are computed by all_but_first.
    void operator()(matrix_view<float> x, matrix_view<float> y, epilogue const& end, block_scratch const& scratch, wanted which = wanted::all) const noexcept {
        if (which == wanted::first && !apart()) return;
        if constexpr (adapted) {
            if (around_.before) apply(*around_.before, x, x, scratch);
            if (around_.after) {
                with_adapter_after(x, y, end, scratch);
                return;
            }
        }
        std::size_t const from = which == wanted::all_but_first && apart() ? 1 : 0, to = which == wanted::first ? 1 : parts_.size();
        for (std::size_t i = from; i < to; ++i) run_part(parts_[i], x, y, end, scratch);
    }

private:
    [[nodiscard]] static detail::packed_adapter pack(stored_linear_adapter const& adapter, packing_options const& options) {
        return {packed_matrix{*options.kernels, options.type, adapter.D_fc1.weight, &adapter.D_fc1.bias},
                packed_matrix{*options.kernels, options.type, adapter.D_fc2.weight, &adapter.D_fc2.bias, {.scale = options.adapter_scale.value()}}};
    }

    void run_part(part const& some, matrix_view<float const> x, matrix_view<float> y, epilogue const& end, block_scratch const& scratch) const noexcept {
        if constexpr (adapted)
            if (some.adapter) {
                matrix_view<float> const adapted_rows{scratch.adapted, x.rows, x.columns};
                apply(*some.adapter, x, adapted_rows, scratch);
                x = adapted_rows;
            }
        auto const columns = [&]<class T>(matrix_view<T> all) {
            return all.data == nullptr ? all : matrix_view<T>{all.data + some.first, all.rows, some.matrix.outputs(), all.stride};
        };
        detail::run_product(*kernels_, group_, some.matrix, x, columns(y), {end.act, columns(end.residual)}, scratch);
    }

    /// to = A(from); to may be from.
    void apply(detail::packed_adapter const& adapter, matrix_view<float const> from, matrix_view<float> to, block_scratch const& scratch) const noexcept {
        matrix_view<float> const rank{scratch.rank, from.rows, adapter.down.outputs()};
        detail::run_product(*kernels_, op_group::adapters, adapter.down, from, rank, {}, scratch);
        detail::run_product(*kernels_, op_group::adapters, adapter.up, rank, to, {activation::none, from}, scratch);
    }

    void with_adapter_after(matrix_view<float const> x, matrix_view<float> y, epilogue const& end, block_scratch const& scratch) const noexcept {
        bool const adds = end.residual.data != nullptr;
        matrix_view<float> const result = adds ? matrix_view<float>{scratch.narrow, x.rows, y.columns} : y;
        for (part const& each : parts_) run_part(each, x, result, {}, scratch);
        apply(*around_.after, result, result, scratch);
        for (std::size_t r = 0; r < x.rows; ++r) {
            if (end.act != activation::none) kernels_->of(end.act).forward(result.row(r), result.row(r), y.columns);
            if (adds)
                for (std::size_t c = 0; c < y.columns; ++c) y.row(r)[c] = end.residual.row(r)[c] + result.row(r)[c];
        }
    }

    kernel_table const* kernels_{};
    op_group group_{};
    std::vector<part> parts_;
    ZEROI2V_NO_UNIQUE_ADDRESS around around_;
};

} // namespace zeroi2v
