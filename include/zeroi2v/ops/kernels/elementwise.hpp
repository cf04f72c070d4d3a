// exp, and every activation with its gradient, over arrays.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/activations.hpp>
#include <zeroi2v/simd/math.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <utility>

namespace zeroi2v::detail {

template <class Arch>
void exp_array(float const* x, float* y, std::size_t count) noexcept {
    using floats = pack<float, Arch>;
    std::size_t i = 0;
    for (; i + floats::size <= count; i += floats::size) exp(floats::load(x + i)).store(y + i);
    if (i < count) exp(floats::load_partial(x + i, count - i)).store_partial(y + i, count - i);
}

template <activation A, class Arch>
void activation_array(float const* x, float* y, std::size_t count) noexcept {
    using floats = pack<float, Arch>;
    using function = activation_function<A>;
    std::size_t i = 0;
    for (; i + floats::size <= count; i += floats::size) function::value(floats::load(x + i)).store(y + i);
    if (i < count) function::value(floats::load_partial(x + i, count - i)).store_partial(y + i, count - i);
}

template <activation A, class Arch>
void activation_backward_array(float const* x, float const* dy, float* dx, std::size_t count) noexcept {
    using floats = pack<float, Arch>;
    using function = activation_function<A>;
    std::size_t i = 0;
    for (; i + floats::size <= count; i += floats::size)
        (floats::load(dy + i) * function::derivative(floats::load(x + i))).store(dx + i);
    if (std::size_t const left = count - i; left > 0) {
        floats const derivative = function::derivative(floats::load_partial(x + i, left));
        (floats::load_partial(dy + i, left) * derivative).store_partial(dx + i, left);
    }
}

/// `all`: the kernels of every activation, in the order of the enumeration.
template <class Arch, class Numbers = std::make_index_sequence<activation_count>>
struct activation_kernels;

template <class Arch, std::size_t... Number>
struct activation_kernels<Arch, std::index_sequence<Number...>> {
    static constexpr activation_kernel all[]{
        {&activation_array<static_cast<activation>(Number), Arch>, &activation_backward_array<static_cast<activation>(Number), Arch>}...};
};

} // namespace zeroi2v::detail
