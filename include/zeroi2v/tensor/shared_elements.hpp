// shared_elements: whether two arrays of any strides have an element in common, judged by elements and not by ranges of addresses.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace zeroi2v {

/// One dimension of an array: `count` elements, each `stride` elements behind the one before.
struct strided_axis {
    std::size_t stride{};
    std::size_t count{};
};

namespace detail {

/// Elements from the first to the last one of an array of these dimensions.
[[nodiscard]] constexpr std::ptrdiff_t reach_of(std::span<strided_axis const> axes) noexcept {
    std::size_t reach = 0;
    for (strided_axis const& axis : axes) reach += axis.stride * (axis.count - 1);
    return static_cast<std::ptrdiff_t>(reach);
}

[[nodiscard]] constexpr std::ptrdiff_t floor_div(std::ptrdiff_t a, std::ptrdiff_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }

/// Whether an element of a lies `apart` elements before one of b: a + apart = b. Dimensions in descending order of strides, none of them 0.
///
/// Of the dimension with the largest stride only the steps are followed that bring what is left of both within reach of each other: where
/// strides nest, as those of any tensor do, that is one or two.
[[nodiscard]] constexpr bool meet(std::ptrdiff_t apart, std::span<strided_axis const> a, std::span<strided_axis const> b) noexcept {
    std::ptrdiff_t const reach_a = reach_of(a), reach_b = reach_of(b);
    if (apart > reach_b || apart < -reach_a) return false;
    if (a.empty() && b.empty()) return true;
    std::size_t const stride_a = a.empty() ? 0 : a.front().stride, stride_b = b.empty() ? 0 : b.front().stride;
    auto const stride = static_cast<std::ptrdiff_t>(std::max(stride_a, stride_b));
    bool const of_a = stride_a >= stride_b, of_b = stride_b >= stride_a;
    auto const rest_a = of_a ? a.subspan(1) : a, rest_b = of_b ? b.subspan(1) : b;
    auto const last = of_a ? static_cast<std::ptrdiff_t>(a.front().count - 1) : 0; // steps forward in a, and in b
    auto const first = of_b ? -static_cast<std::ptrdiff_t>(b.front().count - 1) : 0;
    // -reach(rest of a) <= apart + step * stride <= reach(rest of b)
    std::ptrdiff_t const from = std::max(first, -floor_div(apart + reach_of(rest_a), stride));
    std::ptrdiff_t const to = std::min(last, floor_div(reach_of(rest_b) - apart, stride));
    for (std::ptrdiff_t step = from; step <= to; ++step)
        if (meet(apart + step * stride, rest_a, rest_b)) return true;
    return false;
}

} // namespace detail

/// The elements data[sum over r of i_r * axes[r].stride], 0 <= i_r < axes[r].count, of an array of at most Rank dimensions.
template <class T, std::size_t Rank>
struct strided_elements {
    T const* data{};
    std::array<strided_axis, Rank> axes{};

    [[nodiscard]] constexpr bool empty() const noexcept {
        return std::any_of(axes.begin(), axes.end(), [](strided_axis const& axis) { return axis.count == 0; });
    }
    /// The same elements at the same indices.
    friend constexpr bool operator==(strided_elements const& a, strided_elements const& b) noexcept {
        return a.data == b.data && std::equal(a.axes.begin(), a.axes.end(), b.axes.begin(), [](strided_axis const& x, strided_axis const& y) {
            return x.count == y.count && (x.stride == y.stride || x.count <= 1);
        });
    }
};

/// Whether a and b have an element in common: parts of one product (T,N,3C), whose addresses interleave, have none.
///
/// Cost  some ten steps where the strides of both nest, whatever the sizes; no allocation.
/// Test  tests/unit/tensor/shared_elements.cpp
template <class T, std::size_t Rank>
[[nodiscard]] bool share_elements(strided_elements<T, Rank> const& a, strided_elements<T, Rank> const& b) noexcept {
    if (a.empty() || b.empty()) return false;
    auto const sorted = [](std::array<strided_axis, Rank>& axes) {
        auto const end = std::remove_if(axes.begin(), axes.end(), [](strided_axis const& axis) { return axis.stride == 0 || axis.count == 1; });
        for (auto next = axes.begin(); next != end; ++next) // sorted by insertion: there are few
            std::rotate(std::upper_bound(axes.begin(), next, *next, [](strided_axis const& x, strided_axis const& y) { return x.stride > y.stride; }), next, next + 1);
        return std::span<strided_axis const>{axes.begin(), end};
    };
    auto axes_a = a.axes, axes_b = b.axes;
    auto const bytes = static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(a.data) - reinterpret_cast<std::uintptr_t>(b.data));
    return detail::meet(bytes / static_cast<std::ptrdiff_t>(sizeof(T)), sorted(axes_a), sorted(axes_b));
}

} // namespace zeroi2v
