// merge of static tensors: an adapter multiplied into its linear by the compiler.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

namespace zeroi2v {

/// Where the adapter stands: before the linear (x -> A -> linear) or after it (x -> linear -> A).
struct before_t { explicit before_t() = default; };
struct after_t { explicit after_t() = default; };
inline constexpr before_t before{};
inline constexpr after_t after{};

template <class T>
concept merge_side = std::same_as<T, before_t> || std::same_as<T, after_t>;

/// The type that holds the values of both: f16 with bf16 gives float.
template <weight_element A, weight_element B>
using wider_element =
    std::conditional_t<std::same_as<A, B>, A,
                       std::conditional_t<std::same_as<A, double> || std::same_as<B, double>, double, float>>;

namespace detail {

// Never constexpr: reached in a constant expression it stops the compiler at the line with the sentence.
[[noreturn, gnu::cold]] inline void nonfinite_merge(char const* sentence) {
    throw checkpoint_error{error_code::nonfinite_merge, sentence};
}

// base + delta with one rounding; an element without a delta keeps its bits where the types are the same.
template <weight_element Result, weight_element Base>
[[nodiscard]] constexpr Result merged_element(Base base, double delta) {
    if (is_finite(delta)) { // asked before delta is compared, which a compiler may take for a number
        Result const result = delta == 0 ? round_to<Result>(to_double(base)) : round_to<Result>(to_double(base) + delta);
        if (is_finite(to_double(result))) return result;
    }
    nonfinite_merge("zeroi2v::merge: the result must be finite in its element type");
}

template <weight_element T, std::size_t... Sizes>
[[nodiscard]] constexpr auto doubles(static_tensor<T, Sizes...> const& t) {
    std::array<double, static_tensor<T, Sizes...>::count> result{};
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = to_double(t.elements[i]);
    return result;
}

// c[m,n] = sum over k of a[m,k] b[k,n], all row-major.
template <std::size_t M, std::size_t K, std::size_t N>
[[nodiscard]] constexpr std::array<double, M * N> product(std::array<double, M * K> const& a,
                                                          std::array<double, K * N> const& b) {
    std::array<double, M * N> c{};
    double const* const left = a.data();
    double const* const right = b.data();
    for (std::size_t m = 0; m < M; ++m)
        for (std::size_t n = 0; n < N; ++n) {
            double sum = 0;
            for (std::size_t k = 0; k < K; ++k) sum += left[m * K + k] * right[k * N + n];
            c[m * N + n] = sum;
        }
    return c;
}

} // namespace detail

/// The linear that does what linear and adapter do together; A = I + scale W2 W1, a = scale (W2 b1 + b2).
///
///   before:  weight W A, bias W a + b        after:  weight A W, bias A b + a
///
/// Shapes    linear (out,in); before: adapter of width in; after: of width out. Static sizes; meant for constant
///           expressions up to about 32x8x32 (out or in x rank x width), the compilers' default limits.
/// Numerics  products and sums in double as W + scale (W W2) W1, one rounding to the wider element type; an element
///           whose delta is zero keeps its bits.
/// Errors    widths that do not fit: no compilation. A result that is not finite: no compilation in a constant
///           expression, otherwise checkpoint_error nonfinite_merge.
/// Source    ZeroI2V, re-parameterisation.
/// Test      tests/static/merge.cpp, tests/unit/nn/merge.cpp, tests/compile_fail/merge_*.cpp
template <static_linear_like Linear, static_linear_adapter_like Adapter, merge_side Side>
[[nodiscard]] constexpr auto merge(Linear const& layer, Adapter const& adapter, Side, double scale) {
    using weight = typename Linear::weight_t;
    using down = typename Adapter::down_t::weight_t;
    using up = typename Adapter::up_t::weight_t;
    constexpr bool is_before = std::same_as<Side, before_t>;
    constexpr std::size_t out = weight::extent(0);
    constexpr std::size_t in = weight::extent(1);
    constexpr std::size_t rank = down::extent(0);
    constexpr std::size_t width = down::extent(1);
    static_assert(up::extent(0) == width && up::extent(1) == rank,
                  "zeroi2v::merge: D_fc1 must be (R,C) and D_fc2 (C,R)");
    static_assert(Linear::bias_t::extent(0) == out && Adapter::down_t::bias_t::extent(0) == rank
                      && Adapter::up_t::bias_t::extent(0) == width,
                  "zeroi2v::merge: each bias must have as many elements as its weight has rows");
    static_assert(!is_before || width == in,
                  "zeroi2v::merge: an adapter before a linear must have the linear's input width");
    static_assert(is_before || width == out,
                  "zeroi2v::merge: an adapter after a linear must have the linear's output width");

    using adapter_element = wider_element<typename down::value_type, typename up::value_type>;
    using element = wider_element<typename weight::value_type, adapter_element>;
    static_linear<element, out, in> result{};

    auto const w = detail::doubles(layer.weight);          // (out,in)
    auto const w1 = detail::doubles(adapter.D_fc1.weight); // (R,C)
    auto const w2 = detail::doubles(adapter.D_fc2.weight); // (C,R)
    auto const b = detail::doubles(layer.bias);            // (out)
    auto const b1 = detail::doubles(adapter.D_fc1.bias);   // (R)
    auto const b2 = detail::doubles(adapter.D_fc2.bias);   // (C)

    auto const weight_delta = [&] {
        if constexpr (is_before) return detail::product<out, rank, in>(detail::product<out, in, rank>(w, w2), w1);
        else return detail::product<out, rank, in>(w2, detail::product<rank, out, in>(w1, w));
    }();
    auto const bias_delta = [&] {
        auto hidden = b1;
        if constexpr (!is_before) {
            auto const moved = detail::product<rank, out, 1>(w1, b);
            for (std::size_t r = 0; r < rank; ++r) hidden[r] += moved[r];
        }
        auto shift = detail::product<width, rank, 1>(w2, hidden);
        for (std::size_t c = 0; c < width; ++c) shift[c] += b2[c];
        if constexpr (is_before) return detail::product<out, in, 1>(w, shift);
        else return shift;
    }();
    for (std::size_t i = 0; i < out * in; ++i)
        result.weight.elements[i] = detail::merged_element<element>(layer.weight.elements[i], scale * weight_delta[i]);
    for (std::size_t o = 0; o < out; ++o)
        result.bias.elements[o] = detail::merged_element<element>(layer.bias.elements[o], scale * bias_delta[o]);
    return result;
}

} // namespace zeroi2v
