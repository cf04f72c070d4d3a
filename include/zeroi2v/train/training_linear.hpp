// training_linear: a Linear, an adapter or a layer norm made ready for both directions, frozen or not.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/nn/packed_layer_norm.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/train/trainable.hpp>

#include <algorithm>
#include <cstddef>

namespace zeroi2v {

/// Rows [first_row, first_row + rows) of a weight (out,in), packed as they are and on their side.
///
/// The constructor only plans; `pack` packs everything, `refresh` packs again what trains, after each step.
struct training_linear {
    packed_matrix forward;  // (rows,in), with bias
    packed_matrix backward; // (in,rows): dy to dx; empty where no gradient passes
    std::size_t weight_first = trained_tensors::none; ///< in a flat gradient: of `rows` rows of the weight, and of the bias
    std::size_t bias_first = trained_tensors::none;

    training_linear() = default;
    training_linear(kernel_table const& kernels, stored_tensor const& weight, stored_tensor const* bias, trained_tensors const& trained,
                    bool passes_gradient, packing const& part = {})
        : kernels_{&kernels}, weight_{&weight}, bias_{bias}, part_{part}, passes_{passes_gradient},
          out_{std::min(part.rows, weight.sizes()[0] - part.first_row)}, in_{weight.count() / weight.sizes()[0]} {
        if (std::size_t const first = trained.first_of(weight); first != trained_tensors::none) weight_first = first + part.first_row * in_;
        if (bias != nullptr)
            if (std::size_t const first = trained.first_of(*bias); first != trained_tensors::none) bias_first = first + part.first_row;
    }

    [[nodiscard]] bool trains() const noexcept { return weight_first != trained_tensors::none; }
    /// Whether a gradient goes through, from dy to dx.
    [[nodiscard]] bool passes_gradient() const noexcept { return passes_; }
    [[nodiscard]] std::size_t out() const noexcept { return out_; }
    [[nodiscard]] std::size_t in() const noexcept { return in_; }
    /// Bytes of what `pack` makes.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return sizeof(float) * (float_panel_floats(kernels_->f32, out_, in_) + out_ + (passes_ ? float_panel_floats(kernels_->f32, in_, out_) : 0));
    }

    void pack() {
        forward = packed_matrix{*kernels_, dtype::f32, *weight_, bias_, part_};
        if (!passes_) return;
        backward = packed_matrix{*kernels_, dtype::f32, *weight_, nullptr, on_its_side()};
    }
    void refresh() {
        if (!trains()) return;
        forward.repack(*weight_, bias_, part_);
        if (passes_) backward.repack(*weight_, nullptr, on_its_side());
    }

private:
    [[nodiscard]] packing on_its_side() const noexcept {
        packing side = part_;
        side.transposed = true;
        return side;
    }

    kernel_table const* kernels_{};
    stored_tensor const* weight_{};
    stored_tensor const* bias_{};
    packing part_;
    bool passes_{};
    std::size_t out_{}, in_{};
};

/// D_fc1, and D_fc2 times the adapter's scale.
struct training_adapter {
    adapter_site site{};
    training_linear down; // (R,C)
    training_linear up;   // (C,R)
    float scale{};

    training_adapter(adapter_site where, kernel_table const& kernels, stored_linear_adapter const& adapter, double by, trained_tensors const& trained)
        : site{where}, down{kernels, adapter.D_fc1.weight, &adapter.D_fc1.bias, trained, true},
          up{kernels, adapter.D_fc2.weight, &adapter.D_fc2.bias, trained, true, {.scale = by}}, scale{static_cast<float>(by)} {}

    [[nodiscard]] bool trains() const noexcept { return down.trains(); }
    [[nodiscard]] std::size_t rank() const noexcept { return down.out(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return down.bytes() + up.bytes(); }
    void pack() {
        down.pack();
        up.pack();
    }
    void refresh() {
        down.refresh();
        up.refresh();
    }
};

/// A layer norm's parameters widened, and where their gradients go.
struct training_norm {
    detail::packed_layer_norm parameters; // (C)
    std::size_t weight_first = trained_tensors::none;
    std::size_t bias_first = trained_tensors::none;

    training_norm() = default;
    training_norm(stored_layer_norm const& source, trained_tensors const& trained, float epsilon)
        : parameters{source, epsilon}, weight_first{trained.first_of(source.weight)}, bias_first{trained.first_of(source.bias)}, source_{&source} {}

    [[nodiscard]] bool trains() const noexcept { return weight_first != trained_tensors::none; }
    [[nodiscard]] std::size_t width() const noexcept { return parameters.weight.size(); }
    void refresh() {
        if (trains()) parameters = detail::packed_layer_norm{*source_, parameters.epsilon};
    }

private:
    stored_layer_norm const* source_{};
};

} // namespace zeroi2v
