// linear: y = x W^T + b, the weight (out,in) as every file holds it.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

/// Weight and bias of a fully connected layer: a pair, in whatever holds the elements.
///
/// Shapes  weight (out,in), bias (out).
/// Test    tests/unit/nn/linear.cpp
template <class Weight, class Bias>
struct linear {
    using weight_t = Weight;
    using bias_t = Bias;

    Weight weight; // (out,in)
    Bias bias;     // (out)

    friend constexpr bool operator==(linear const&, linear const&) requires std::equality_comparable<Weight> = default;
};

template <class Weight, class Bias>
linear(Weight, Bias) -> linear<Weight, Bias>;

/// Elements in the object, sizes in the type: for constant expressions and small layers.
template <class T, std::size_t Out, std::size_t In>
using static_linear = linear<static_tensor<T, Out, In>, static_tensor<T, Out>>;

/// Elements on the heap.
template <class T>
using dynamic_linear = linear<dynamic_tensor<T, 2>, dynamic_tensor<T, 1>>;

/// Elements somewhere else.
template <class T>
using linear_view = linear<view<T, 2>, view<T, 1>>;

/// Elements of a dtype known at run time: what files hold.
using stored_linear = linear<stored_tensor, stored_tensor>;

/// Any linear whose elements can be read one by one.
template <class T>
concept linear_like = requires(T const& l) {
    requires matrix_like<decltype(l.weight)>;
    requires vector_like<decltype(l.bias)>;
};

/// A linear that lives in the object itself and in constant expressions.
template <class T>
concept static_linear_like = linear_like<T> && is_static_tensor<typename T::weight_t>
                             && is_static_tensor<typename T::bias_t>;

/// y[n,o] = sum over i of x[n,i] weight[o,i] + bias[o], plainly.
///
/// Shapes    x (N,in), y (N,out).   Aliasing  y overlaps nothing.
/// Numerics  products and sums in double, one rounding at the end: the yardstick for packed kernels, constexpr.
/// Errors    sizes that do not fit -> ZEROI2V_REQUIRE.
template <linear_like Linear, matrix_like X, matrix_like Y>
constexpr void apply(Linear const& layer, X const& x, Y&& y) {
    using result = typename std::remove_cvref_t<Y>::value_type;
    std::size_t const out = layer.weight.extent(0);
    std::size_t const in = layer.weight.extent(1);
    ZEROI2V_REQUIRE(layer.bias.extent(0) == out && x.extent(1) == in && y.extent(1) == out
                        && x.extent(0) == y.extent(0),
                    "zeroi2v::apply: x must be (N,in), y (N,out), bias (out)");
    for (std::size_t n = 0; n < x.extent(0); ++n)
        for (std::size_t o = 0; o < out; ++o) {
            double sum = 0;
            for (std::size_t i = 0; i < in; ++i) sum += to_double(x(n, i)) * to_double(layer.weight(o, i));
            y(n, o) = round_to<result>(sum + to_double(layer.bias(o)));
        }
}

/// The same on a static (N,in) tensor, returning (N,out).
template <static_linear_like Linear, class T, std::size_t N, std::size_t In>
[[nodiscard]] constexpr auto apply(Linear const& layer, static_tensor<T, N, In> const& x) {
    static_assert(Linear::weight_t::extents_t::static_extent(1) == In,
                  "zeroi2v::apply: x must have as many columns as the weight");
    static_tensor<T, N, Linear::weight_t::extents_t::static_extent(0)> y{};
    apply(layer, x, y);
    return y;
}

/// The same on one static vector (in), returning (out).
template <static_linear_like Linear, class T, std::size_t In>
[[nodiscard]] constexpr auto apply(Linear const& layer, static_tensor<T, In> const& x) {
    constexpr std::size_t out = Linear::weight_t::extents_t::static_extent(0);
    auto const row = apply(layer, static_tensor<T, 1, In>{x.elements});
    return static_tensor<T, out>{row.elements};
}

} // namespace zeroi2v
