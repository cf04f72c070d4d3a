// activation_function: every activation and its derivative on a pack.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/math.hpp>
#include <zeroi2v/simd/pack.hpp>

namespace zeroi2v {

/// value(x) and derivative(x) of one activation.
///
/// Numerics  ops/activation.hpp has the bounds. No step on the way is subnormal: one would cost the processor some 150 cycles.
/// Test      tests/unit/ops/activation.cpp; all inputs: tests/exhaustive/elementwise.cpp
template <activation A>
struct activation_function;

template <>
struct activation_function<activation::none> {
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> value(pack<float, Arch> x) noexcept {
        return x;
    }
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> derivative(pack<float, Arch>) noexcept {
        return pack<float, Arch>::broadcast(1.0F);
    }
};

/// x / (1 + exp(-1.702 x)); the derivative is s + 1.702 x s (1 - s), s = 1 / (1 + exp(-1.702 x)).
template <>
struct activation_function<activation::quick_gelu> {
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> value(pack<float, Arch> x) noexcept {
        return x / divisor(x);
    }
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> derivative(pack<float, Arch> x) noexcept {
        using floats = pack<float, Arch>;
        floats const one = floats::broadcast(1.0F);
        floats const s = one / divisor(x);
        return fma(x, floats::broadcast(1.702F) * (s * (one - s)), s);
    }

private:
    /// Below the floor exp would be subnormal, and 1 + exp is 1 anyway.
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> divisor(pack<float, Arch> x) noexcept {
        using floats = pack<float, Arch>;
        floats const exponent = max(floats::broadcast(-80.0F), x * floats::broadcast(-1.702F)); // a NaN as second argument stays
        return floats::broadcast(1.0F) + exp(exponent);
    }
};

} // namespace zeroi2v
