// Extents: the sizes of a tensor's dimensions, each known to the compiler or only at run time.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/config.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

namespace zeroi2v {

/// Marks a dimension whose size is known at run time only.
inline constexpr std::size_t dynamic = std::numeric_limits<std::size_t>::max();

/// The sizes of the dimensions of a tensor, row-major order, outermost first.
///
/// A static size is part of the type and takes no byte; a dynamic one is stored.
/// Post-condition  e.rank() == sizeof...(Sizes) and, for static r, e.extent(r) == the size in the type.
/// Source          std::mdspan's extents (P0009); this one is what the library needs of it.
/// Test            tests/static/tensor.cpp, tests/unit/tensor/extents.cpp
template <std::size_t... Sizes>
class extents {
    static constexpr std::array<std::size_t, sizeof...(Sizes)> sizes_{Sizes...};
    static constexpr std::size_t dynamic_count_ = ((Sizes == dynamic ? 1U : 0U) + ... + 0U);

    [[nodiscard]] static constexpr std::size_t dynamic_index(std::size_t r) noexcept {
        std::size_t index = 0;
        for (std::size_t i = 0; i < r; ++i) index += sizes_[i] == dynamic ? 1U : 0U;
        return index;
    }

    struct none {};
    using stored = std::conditional_t<dynamic_count_ == 0, none, std::array<std::size_t, dynamic_count_>>;

public:
    constexpr extents() noexcept = default;

    /// One size per dimension. A static dimension's size must be the one in the type.
    template <std::convertible_to<std::size_t>... Values>
        requires(sizeof...(Values) == sizeof...(Sizes) && sizeof...(Sizes) > 0)
    constexpr explicit(dynamic_count_ == 0) extents(Values... values) noexcept {
        std::array<std::size_t, sizeof...(Sizes)> const given{static_cast<std::size_t>(values)...};
        if constexpr (dynamic_count_ > 0)
            for (std::size_t r = 0; r < sizeof...(Sizes); ++r)
                if (sizes_[r] == dynamic) stored_[dynamic_index(r)] = given[r];
        for (std::size_t r = 0; r < sizeof...(Sizes); ++r) ZEROI2V_ASSERT(extent(r) == given[r]);
    }

    [[nodiscard]] static constexpr std::size_t rank() noexcept { return sizeof...(Sizes); }
    [[nodiscard]] static constexpr std::size_t rank_dynamic() noexcept { return dynamic_count_; }
    [[nodiscard]] static constexpr std::size_t static_extent(std::size_t r) noexcept { return sizes_[r]; }

    [[nodiscard]] constexpr std::size_t extent(std::size_t r) const noexcept {
        if constexpr (dynamic_count_ == 0) return sizes_[r];
        else return sizes_[r] == dynamic ? stored_[dynamic_index(r)] : sizes_[r];
    }

    /// The number of elements.
    [[nodiscard]] constexpr std::size_t size() const noexcept {
        std::size_t product = 1;
        for (std::size_t r = 0; r < rank(); ++r) product *= extent(r);
        return product;
    }

    [[nodiscard]] constexpr std::array<std::size_t, sizeof...(Sizes)> to_array() const noexcept {
        std::array<std::size_t, sizeof...(Sizes)> result{};
        for (std::size_t r = 0; r < rank(); ++r) result[r] = extent(r);
        return result;
    }

    template <std::size_t... Others>
    [[nodiscard]] friend constexpr bool operator==(extents const& a, extents<Others...> const& b) noexcept {
        if constexpr (sizeof...(Others) != sizeof...(Sizes)) return false;
        else return a.to_array() == b.to_array();
    }

private:
    ZEROI2V_NO_UNIQUE_ADDRESS stored stored_{};
};

namespace detail {
template <class Sequence> struct dims_impl;
template <std::size_t... I> struct dims_impl<std::index_sequence<I...>> {
    using type = extents<(static_cast<void>(I), dynamic)...>;
};
template <class T> inline constexpr bool is_extents = false;
template <std::size_t... Sizes> inline constexpr bool is_extents<extents<Sizes...>> = true;
} // namespace detail

/// Extents of Rank dimensions, all known at run time only.
template <std::size_t Rank>
using dims = typename detail::dims_impl<std::make_index_sequence<Rank>>::type;

/// A type made from the template `extents`.
template <class T>
concept extents_type = detail::is_extents<T>;

template <std::convertible_to<std::size_t>... Values>
extents(Values...) -> extents<(static_cast<void>(sizeof(Values)), dynamic)...>;

} // namespace zeroi2v
