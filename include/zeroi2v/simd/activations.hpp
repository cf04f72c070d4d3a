// activation_function: every activation and its derivative on a pack.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/math.hpp>
#include <zeroi2v/simd/pack.hpp>

namespace zeroi2v {

namespace detail {

/// x, at most `limit` in size. A NaN stays one, under -ffast-math too, where min and max may exchange their arguments.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> clamped(pack<float, Arch> x, float limit) noexcept {
    auto const high = pack<float, Arch>::broadcast(limit), low = pack<float, Arch>::broadcast(-limit);
    auto const seen = barrier(x); // what is compared is not what is chosen: no compiler makes min and max of it
    return where_less(seen, low, low, where_less(high, seen, high, x));
}

} // namespace detail

/// value(x) and derivative(x) of one activation.
///
/// Numerics  as each states. Where x is 0 or |x| > 1e-18, no step on the way is subnormal: one would cost the processor some 150 cycles.
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

/// x P(x) with P(x) = (1 + erf(x / sqrt(2))) / 2; the derivative is P(x) + x exp(-x^2 / 2) / sqrt(2 pi).
///
///   |x| < 1     P = 1/2 + x p(x^2), p minimax in the absolute error of P
///   beyond      P(-|x|) = exp(-x^2 / 2) r q(r), r = 1 / (1 + |x| / 2), and P(|x|) = 1 - P(-|x|)
///
/// Numerics  at most 4 ulp where x >= -1 (measured 3.1, with FMA 2.6); below that relative (4 + x^2) 2^-23, the rounding of x^2 / 2 in exp. Below
///           -12.6 it is -0 and its derivative 0. -inf gives NaN (as -inf * 0 does), +inf gives +inf. The derivative is within
///           4 max(1, |x|) 2^-23; at the infinities it is 0 and 1.
template <>
struct activation_function<activation::gelu> {
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> value(pack<float, Arch> x) noexcept {
        return x * parts<Arch>{x}.integral;
    }
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> derivative(pack<float, Arch> x) noexcept {
        using floats = pack<float, Arch>;
        parts<Arch> const of{x};
        return fma(of.near * of.exponential, floats::broadcast(0x1.988454p-2F), of.integral);
    }

private:
    template <class Arch>
    struct parts {
        using floats = pack<float, Arch>;

        floats near;        ///< x, at most 13 in size, so that nothing overflows
        floats exponential; ///< exp(-x^2 / 2), or 0 where it is below exp(-80)
        floats integral;    ///< P(x)

        ZEROI2V_ALWAYS_INLINE explicit parts(floats x) noexcept {
            floats const zero = floats::zero(), one = floats::broadcast(1.0F);
            near = detail::clamped(x, 13.0F);
            floats const size = abs(near), square = near * near, exponent = square * floats::broadcast(-0.5F);
            exponential = where_less(floats::broadcast(-80.0F), exponent, exp(exponent), zero);
            floats const r = one / fma(size, floats::broadcast(0.5F), one);
            floats const q = polynomial(r, 0x1.9882e4p-3F, 0x1.988f64p-3F, 0x1.3376a8p-3F, 0x1.4c5dbp-5F, 0x1.ed01cap-12F, -0x1.54c72ap-2F, 0x1.77d48cp-2F,
                                        -0x1.008614p-3F);
            floats const tail = exponential * (r * q);
            floats const p = polynomial(square, 0x1.988454p-2F, -0x1.105832p-4F, 0x1.46ce26p-7F, -0x1.36f96p-10F, 0x1.dbb0b6p-14F, -0x1.ff867cp-18F);
            floats const beyond = where_less(near, zero, tail, one - tail);
            integral = where_less(size, one, fma(near, p, floats::broadcast(0.5F)), beyond);
        }
    };
};

/// x s with s = 1 / (1 + exp(-2 u)) = (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3); the derivative is s + 2 x u' s (1 - s).
///
/// Numerics  relative (4 + 2|x| + x^2) 2^-23 (measured 0.45 of it), the rounding of u in exp. Below -9 it is -0 and its derivative 0.
///           -inf gives NaN (as -inf * 0 does), +inf gives +inf. The derivative is within 4 max(1, |x|) 2^-23; at the infinities it is
///           0 and 1.
template <>
struct activation_function<activation::gelu_tanh> {
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> value(pack<float, Arch> x) noexcept {
        return x * parts<Arch>{x}.s;
    }
    template <class Arch>
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack<float, Arch> derivative(pack<float, Arch> x) noexcept {
        using floats = pack<float, Arch>;
        parts<Arch> const of{x};
        floats const twice_slope = fma(of.square, floats::broadcast(0x1.b6676cp-3F), floats::broadcast(0x1.988454p+0F));
        return fma(of.near * twice_slope, of.s * (of.exponential * of.s), of.s);
    }

private:
    template <class Arch>
    struct parts {
        using floats = pack<float, Arch>;

        floats near;        ///< x, at most 9 in size, so that nothing overflows
        floats square;      ///< of it
        floats exponential; ///< exp(-2 u), from exp(-67) to exp(67)
        floats s;           ///< 0 below -9

        ZEROI2V_ALWAYS_INLINE explicit parts(floats x) noexcept {
            floats const one = floats::broadcast(1.0F);
            near = detail::clamped(x, 9.0F);
            square = near * near;
            exponential = exp(near * fma(square, floats::broadcast(-0x1.2444f2p-4F), floats::broadcast(-0x1.988454p+0F)));
            s = where_less(x, floats::broadcast(-9.0F), floats::zero(), one / (one + exponential));
        }
    };
};

} // namespace zeroi2v
