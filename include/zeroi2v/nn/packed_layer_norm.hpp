// packed_layer_norm: a layer norm's parameters widened to float, ready to compute.
#pragma once

#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <cstddef>

namespace zeroi2v::detail {

struct packed_layer_norm {
    dynamic_tensor<float, 1> weight, bias; // (C)
    float epsilon{};

    packed_layer_norm() = default;
    packed_layer_norm(stored_layer_norm const& source, float eps)
        : weight{source.weight.count()}, bias{source.bias.count()}, epsilon{eps} {
        source.weight.widen(0, {weight.data(), weight.size()});
        source.bias.widen(0, {bias.data(), bias.size()});
    }

    void operator()(kernel_table const& kernels, float const* x, std::size_t ldx, float* y, std::size_t ldy, std::size_t rows) const noexcept {
        kernels.layer_norm({x, ldx, weight.data(), bias.data(), y, ldy, rows, weight.size(), epsilon});
    }
};

} // namespace zeroi2v::detail
