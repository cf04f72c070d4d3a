// The kernels that training needs beside the products: gradients of layer_norm and softmax.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/kernels/rows.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>

namespace zeroi2v::detail {

/// The row is made normal again as the forward pass did it: nothing of it is kept but x.
template <class Arch>
void layer_norm_backward(layer_norm_backward_args const& args) noexcept {
    using floats = pack<float, Arch>;
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const x = args.x + row * args.ldx;
        float const* const dy = args.dy + row * args.lddy;
        float const* const residual = args.residual == nullptr ? nullptr : args.residual + row * args.ld_residual;
        float* const dx = args.dx + row * args.lddx;
        row_normal const of = normal_of_row<Arch>(x, args.width, args.eps);
        floats const center = floats::broadcast(of.mean);
        floats const factor = floats::broadcast(of.scale);
        floats const shift = floats::broadcast(-of.offset);
        floats const inverse = floats::broadcast(of.inverse);
        auto const normal = [&](std::size_t i, std::size_t lanes) {
            return fma(read<Arch>(x + i, lanes) - center, factor, shift) * inverse;
        };
        auto sum = row_sum<Arch>::zero();
        auto products = row_sum<Arch>::zero();
        for_each_vector<Arch>(args.width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
            floats const g = keep(read<Arch>(dy + i, lanes) * read<Arch>(args.weight + i, lanes), lanes);
            sum.part[which] = sum.part[which] + g;
            products.part[which] = fma(g, keep(normal(i, lanes), lanes), products.part[which]);
        });
        auto const count = static_cast<float>(args.width);
        floats const mean_g = floats::broadcast(sum.total() / count);
        floats const mean_product = floats::broadcast(products.total() / count);
        floats const per_deviation = floats::broadcast(of.inverse * of.scale);
        for_each_vector<Arch>(args.width, [&](std::size_t, std::size_t i, std::size_t lanes) {
            floats const g = read<Arch>(dy + i, lanes) * read<Arch>(args.weight + i, lanes);
            floats value = (g - mean_g - normal(i, lanes) * mean_product) * per_deviation;
            if (residual != nullptr) value = value + read<Arch>(residual + i, lanes);
            write<Arch>(value, dx + i, lanes);
        });
    }
}

template <class Arch>
void softmax_backward(softmax_backward_args const& args) noexcept {
    using floats = pack<float, Arch>;
    for (std::size_t row = 0; row < args.rows; ++row) {
        float const* const p = args.p + row * args.ldp;
        float const* const dp = args.dp + row * args.lddp;
        float* const dx = args.dx + row * args.lddx;
        auto sum = row_sum<Arch>::zero();
        for_each_vector<Arch>(args.width, [&](std::size_t which, std::size_t i, std::size_t lanes) {
            sum.part[which] = fma(keep(read<Arch>(p + i, lanes), lanes), keep(read<Arch>(dp + i, lanes), lanes), sum.part[which]);
        });
        floats const mean = floats::broadcast(sum.total());
        for_each_vector<Arch>(args.width, [&](std::size_t, std::size_t i, std::size_t lanes) {
            write<Arch>(read<Arch>(p + i, lanes) * (read<Arch>(dp + i, lanes) - mean), dx + i, lanes);
        });
    }
}

} // namespace zeroi2v::detail
