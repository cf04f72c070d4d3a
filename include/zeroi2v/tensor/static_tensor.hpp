// static_tensor: a small tensor of static sizes that lives in the object itself and in constant expressions.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

/// Elements of type T in the object, row-major; a structural type, so a value can be a template argument where T can.
///
/// Cost  sizeof == elements * sizeof(T); meant for small shapes (nothing of it is on the heap).
/// Test  tests/static/tensor.cpp
template <class T, std::size_t... Sizes>
    requires((Sizes != dynamic) && ...)
struct static_tensor {
    using value_type = T;
    using extents_t = zeroi2v::extents<Sizes...>;
    static constexpr std::size_t count = (Sizes * ... * std::size_t{1});

    std::array<T, count> elements{};

    [[nodiscard]] static constexpr std::size_t rank() noexcept { return sizeof...(Sizes); }
    [[nodiscard]] static constexpr std::size_t extent(std::size_t r) noexcept { return extents_t{}.extent(r); }
    [[nodiscard]] static constexpr extents_t extents() noexcept { return {}; }
    [[nodiscard]] static constexpr std::size_t size() noexcept { return count; }
    [[nodiscard]] constexpr T* data() noexcept { return elements.data(); }
    [[nodiscard]] constexpr T const* data() const noexcept { return elements.data(); }
    [[nodiscard]] constexpr T* begin() noexcept { return data(); }
    [[nodiscard]] constexpr T* end() noexcept { return data() + count; }
    [[nodiscard]] constexpr T const* begin() const noexcept { return data(); }
    [[nodiscard]] constexpr T const* end() const noexcept { return data() + count; }

    [[nodiscard]] constexpr tensor_view<T, extents_t> view() noexcept { return {data(), {}}; }
    [[nodiscard]] constexpr tensor_view<T const, extents_t> view() const noexcept { return {data(), {}}; }
    constexpr operator tensor_view<T, extents_t>() noexcept { return view(); }             // NOLINT: as arrays do
    constexpr operator tensor_view<T const, extents_t>() const noexcept { return view(); } // NOLINT

    template <std::convertible_to<std::size_t>... Indices>
        requires(sizeof...(Indices) == sizeof...(Sizes))
    [[nodiscard]] constexpr T& operator()(Indices... indices) noexcept { return elements[offset(indices...)]; }
    template <std::convertible_to<std::size_t>... Indices>
        requires(sizeof...(Indices) == sizeof...(Sizes))
    [[nodiscard]] constexpr T const& operator()(Indices... indices) const noexcept {
        return elements[offset(indices...)];
    }

    friend constexpr bool operator==(static_tensor const&, static_tensor const&) = default;

private:
    template <class... Indices>
    [[nodiscard]] static constexpr std::size_t offset(Indices... indices) noexcept {
        std::size_t result = 0;
        ((ZEROI2V_ASSERT(static_cast<std::size_t>(indices) < Sizes),
          result = result * Sizes + static_cast<std::size_t>(indices)),
         ...);
        return result;
    }
};

namespace detail {
template <class T> inline constexpr bool is_static_tensor_impl = false;
template <class T, std::size_t... Sizes> inline constexpr bool is_static_tensor_impl<static_tensor<T, Sizes...>> = true;
} // namespace detail

/// Made from the template `static_tensor`.
template <class T>
concept is_static_tensor = detail::is_static_tensor_impl<std::remove_cv_t<T>>;

} // namespace zeroi2v
