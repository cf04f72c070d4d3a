// exp and its relatives on a pack.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstdint>

namespace zeroi2v {

/// c0 + c1 x + c2 x^2 + ...
template <class Arch, class... Coefficients>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> polynomial(pack<float, Arch> x, float c0, Coefficients... others) noexcept {
    if constexpr (sizeof...(others) == 0) return pack<float, Arch>::broadcast(c0);
    else return fma(polynomial(x, others...), x, pack<float, Arch>::broadcast(c0));
}

namespace detail {

/// x = n ln 2 + r with |r| <= ln 2 / 2.
template <class Arch>
struct reduced {
    pack<float, Arch> r;
    pack<std::int32_t, Arch> n;
};

template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE reduced<Arch> reduce_by_ln2(pack<float, Arch> x) noexcept {
    using floats = pack<float, Arch>;
    x = min(floats::broadcast(89.0F), max(floats::broadcast(-104.0F), x)); // a NaN as second argument stays
    auto const n = pack<std::int32_t, Arch>::nearest(x * floats::broadcast(0x1.715476p+0F));
    floats const whole = n.to_float();
    // ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20: the first part has 15 bits, so that whole * it is exact.
    floats const near = barrier(fnma(whole, floats::broadcast(0x1.62e4p-1F), x));
    return {fnma(whole, floats::broadcast(0x1.7f7d1cp-20F), near), n};
}

/// 2^n (1 + r + r^2 q(r)), q(r) = (e^r - 1 - r) / r^2 minimax in the relative error of e^r: 0.03 ulp.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> exp_of_reduced(reduced<Arch> x) noexcept {
    using floats = pack<float, Arch>;
    floats const q = polynomial(x.r, 0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558f2p-5F, 0x1.123a2p-7F, 0x1.6a23dp-10F);
    floats const fraction = fma(x.r * x.r, q, x.r);
    return scale_by_power(fraction + floats::broadcast(1.0F), x.n);
}

} // namespace detail

/// e^x.
///
///   n = nearest integer of x / ln 2,  r = x - n ln 2 (ln 2 in two parts),  e^x = 2^n (1 + r + r^2 q(r))
///
/// Numerics  at most 2 ulp for every float (measured 1.01), subnormal results included; exp(0) == 1; above 88.73 +inf,
///           below -103.98 0, a NaN stays a NaN. Reads and writes no rounding or flush mode.
/// Cost      about 20 instructions.      Test  tests/unit/simd/math.cpp; all inputs: tests/exhaustive/elementwise.cpp
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> exp(pack<float, Arch> x) noexcept {
    return detail::exp_of_reduced(detail::reduce_by_ln2(x));
}

/// e^(a - b) for a <= b, as accurate as exp: what the subtraction rounds off is not lost.
///
/// Numerics  at most 2 ulp for finite a and b; a = -inf gives 0 for a finite b; a NaN, or b = +inf with a, gives NaN.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> exp_of_difference(pack<float, Arch> a, pack<float, Arch> b) noexcept {
    using floats = pack<float, Arch>;
    floats const difference = barrier(a - b);
    floats const taken = barrier(difference - a);
    floats const low = (a - barrier(difference - taken)) - (b + taken);
    // Where the difference is infinite `low` is a NaN, which as first argument gives way to the bound.
    floats const bounded = min(max(low, floats::broadcast(-1e-5F)), floats::broadcast(1e-5F));
    auto x = detail::reduce_by_ln2(difference);
    x.r = x.r + bounded;
    return detail::exp_of_reduced(x);
}

} // namespace zeroi2v
