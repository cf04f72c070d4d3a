// exp and quick_gelu over arrays.
#pragma once

#include <zeroi2v/simd/math.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>

namespace zeroi2v::detail {

template <class Arch>
void exp_array(float const* x, float* y, std::size_t count) noexcept {
    using floats = pack<float, Arch>;
    std::size_t i = 0;
    for (; i + floats::size <= count; i += floats::size) exp(floats::load(x + i)).store(y + i);
    if (i < count) exp(floats::load_partial(x + i, count - i)).store_partial(y + i, count - i);
}

template <class Arch>
void quick_gelu_array(float const* x, float* y, std::size_t count) noexcept {
    using floats = pack<float, Arch>;
    std::size_t i = 0;
    for (; i + floats::size <= count; i += floats::size) quick_gelu(floats::load(x + i)).store(y + i);
    if (i < count) quick_gelu(floats::load_partial(x + i, count - i)).store_partial(y + i, count - i);
}

} // namespace zeroi2v::detail
