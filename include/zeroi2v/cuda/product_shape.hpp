// product_shape: what a product of activations with a weight is, for whoever computes it: cuBLASLt, or a loop in a test.
#pragma once

#include <zeroi2v/core/dtype.hpp>

#include <compare>
#include <cstddef>

namespace zeroi2v {

/// d[m,n] = sum over k of a[m,k] w[n,k]  (+ bias[n])  (+ c[m,n]), accumulated in fp32 and rounded once.
///
/// Shapes    a (M,K) with rows of stride lda, w (N,K) without gaps, bias (N), c (M,N) with rows of stride ldc, d (M,N), ldd.
///           a and w are of type `in`; bias, c and d of type `out`.
/// Aliasing  d may be c where ldc is ldd, never a.
struct product_shape {
    std::size_t rows{};    ///< M
    std::size_t outputs{}; ///< N
    std::size_t inputs{};  ///< K
    std::size_t lda{}, ldc{}, ldd{};
    dtype in{}, out{};
    bool bias = false;
    bool add = false;      ///< whether c is added

    friend constexpr auto operator<=>(product_shape const&, product_shape const&) = default;
};

/// The operands of a product, on the device. c is null where nothing is added, bias where there is none.
struct product_operands {
    void const* a{};
    void const* w{};
    void const* bias{};
    void const* c{};
    void* d{};
};

} // namespace zeroi2v
