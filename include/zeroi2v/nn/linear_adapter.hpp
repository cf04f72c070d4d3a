// linear_adapter: the trainable detour x + scale * (D_fc2 (D_fc1 x)), linear from end to end.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace zeroi2v {

/// Two linears, down to rank R and up again; the scale belongs to the model, not to the adapter.
///
///   A(x) = x + scale (W2 (W1 x + b1) + b2),   W1, b1 = D_fc1,  W2, b2 = D_fc2
///
/// Shapes  D_fc1 (R,C), (R); D_fc2 (C,R), (C).    Source  ZeroI2V, linear adapters.
/// Test    tests/unit/nn/linear_adapter.cpp
template <class Down, class Up = Down>
struct linear_adapter {
    using down_t = Down;
    using up_t = Up;

    Down D_fc1; // (R,C), (R)
    Up D_fc2;   // (C,R), (C)

    friend constexpr bool operator==(linear_adapter const&, linear_adapter const&)
        requires std::equality_comparable<Down> && std::equality_comparable<Up> = default;
};

template <class Down, class Up>
linear_adapter(Down, Up) -> linear_adapter<Down, Up>;

template <class T, std::size_t Width, std::size_t Rank>
using static_linear_adapter = linear_adapter<static_linear<T, Rank, Width>, static_linear<T, Width, Rank>>;

template <class T>
using dynamic_linear_adapter = linear_adapter<dynamic_linear<T>>;

template <class T>
using linear_adapter_view = linear_adapter<linear_view<T>>;

/// Elements of dtypes known at run time: what files hold.
using stored_linear_adapter = linear_adapter<stored_linear>;

/// Any adapter whose elements can be read one by one.
template <class T>
concept linear_adapter_like = requires(T const& a) {
    requires linear_like<decltype(a.D_fc1)>;
    requires linear_like<decltype(a.D_fc2)>;
};

/// An adapter that lives in the object itself and in constant expressions.
template <class T>
concept static_linear_adapter_like = linear_adapter_like<T> && static_linear_like<typename T::down_t>
                                     && static_linear_like<typename T::up_t>;

/// A dynamic adapter that changes nothing: all elements zero. Training fills D_fc1.weight; D_fc2 starts at zero,
/// so that the model begins as the image model it grows from.
template <class T>
[[nodiscard]] dynamic_linear_adapter<T> make_linear_adapter(std::size_t width, std::size_t rank) {
    return {{dynamic_tensor<T, 2>{rank, width}, dynamic_tensor<T, 1>{rank}},
            {dynamic_tensor<T, 2>{width, rank}, dynamic_tensor<T, 1>{width}}};
}

/// y = A(x) for every row, plainly, in double with one rounding at the end: the yardstick for kernels, constexpr for
/// static sizes.
///
/// Shapes  x, y (N,C); y may be x.   Errors  sizes that do not fit -> ZEROI2V_REQUIRE.
template <linear_adapter_like Adapter, matrix_like X, matrix_like Y>
constexpr void apply(Adapter const& adapter, double scale, X const& x, Y&& y) {
    using result = typename std::remove_cvref_t<Y>::value_type;
    auto const& [down, up] = adapter;
    std::size_t const rank = down.weight.extent(0);
    std::size_t const width = down.weight.extent(1);
    ZEROI2V_REQUIRE(down.bias.extent(0) == rank && up.weight.extent(0) == width && up.weight.extent(1) == rank
                        && up.bias.extent(0) == width,
                    "zeroi2v::linear_adapter: D_fc1 must be (R,C), (R) and D_fc2 (C,R), (C)");
    ZEROI2V_REQUIRE(x.extent(1) == width && y.extent(1) == width && x.extent(0) == y.extent(0),
                    "zeroi2v::apply: x and y must be (N,C) with the adapter's C");
    std::vector<double> hidden(rank, 0.0);
    for (std::size_t n = 0; n < x.extent(0); ++n) {
        for (std::size_t r = 0; r < rank; ++r) {
            double sum = to_double(down.bias(r));
            for (std::size_t c = 0; c < width; ++c) sum += to_double(down.weight(r, c)) * to_double(x(n, c));
            hidden[r] = sum;
        }
        for (std::size_t c = 0; c < width; ++c) {
            double sum = to_double(up.bias(c));
            for (std::size_t r = 0; r < rank; ++r) sum += to_double(up.weight(c, r)) * hidden[r];
            y(n, c) = round_to<result>(to_double(x(n, c)) + scale * sum);
        }
    }
}

/// The same on a static (N,C) tensor.
template <static_linear_adapter_like Adapter, class T, std::size_t N, std::size_t C>
[[nodiscard]] constexpr static_tensor<T, N, C> apply(Adapter const& adapter, double scale,
                                                     static_tensor<T, N, C> const& x) {
    static_tensor<T, N, C> y{};
    apply(adapter, scale, x, y);
    return y;
}

} // namespace zeroi2v
