// tensor_view: a non-owning window on elements that lie somewhere in memory, row-major or strided.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/tensor/extents.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace zeroi2v {

/// Elements lie one after the other, last dimension fastest; takes no byte.
struct row_major {
    template <extents_type Extents>
    [[nodiscard]] static constexpr std::size_t stride(Extents const& e, std::size_t r) noexcept {
        std::size_t product = 1;
        for (std::size_t i = r + 1; i < Extents::rank(); ++i) product *= e.extent(i);
        return product;
    }
    friend constexpr bool operator==(row_major, row_major) noexcept { return true; }
};

/// Any stride per dimension, in elements.
template <std::size_t Rank>
struct strided {
    std::array<std::size_t, Rank> strides{};

    template <extents_type Extents>
    [[nodiscard]] constexpr std::size_t stride(Extents const&, std::size_t r) const noexcept { return strides[r]; }
    friend constexpr bool operator==(strided const&, strided const&) noexcept = default;
};

/// A window on elements of type T (const T: read only), with sizes Extents and the order in memory Layout.
///
/// Aliasing  owns nothing: the elements must outlive the view. Copying a view copies no element.
/// Cost      a row-major view of static extents is one pointer (asserted in tests/static/tensor.cpp).
/// Test      tests/unit/tensor/tensor_view.cpp
template <class T, extents_type Extents, class Layout = row_major>
class tensor_view {
public:
    using value_type = std::remove_cv_t<T>;
    using element_type = T;
    using extents_t = Extents;
    using layout_t = Layout;

    constexpr tensor_view() noexcept = default;
    constexpr tensor_view(T* data, Extents sizes, Layout layout = {}) noexcept
        : data_{data}, extents_{sizes}, layout_{layout} {}

    /// Sizes given one by one, all dimensions dynamic by deduction: `tensor_view v{pointer, T, N, C}`.
    template <std::convertible_to<std::size_t>... Values>
        requires(sizeof...(Values) == Extents::rank() && sizeof...(Values) > 0 && std::is_same_v<Layout, row_major>)
    constexpr explicit tensor_view(T* data, Values... values) noexcept : data_{data}, extents_{values...} {}

    /// A view of T is a view of T const; static sizes may be forgotten.
    template <class Other, extents_type OtherExtents>
        requires(std::is_convertible_v<Other (*)[], T (*)[]> && OtherExtents::rank() == Extents::rank()
                 && !std::is_same_v<tensor_view, tensor_view<Other, OtherExtents, Layout>>
                 && (std::is_same_v<OtherExtents, Extents> || Extents::rank_dynamic() == Extents::rank()))
    constexpr tensor_view(tensor_view<Other, OtherExtents, Layout> const& other) noexcept // NOLINT: as pointers do
        : data_{other.data()}, extents_{forget(other.extents())}, layout_{other.layout()} {}

    [[nodiscard]] static constexpr std::size_t rank() noexcept { return Extents::rank(); }
    [[nodiscard]] constexpr std::size_t extent(std::size_t r) const noexcept { return extents_.extent(r); }
    [[nodiscard]] constexpr std::size_t stride(std::size_t r) const noexcept { return layout_.stride(extents_, r); }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return extents_.size(); }
    [[nodiscard]] constexpr bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] constexpr T* data() const noexcept { return data_; }
    [[nodiscard]] constexpr Extents const& extents() const noexcept { return extents_; }
    [[nodiscard]] constexpr Layout const& layout() const noexcept { return layout_; }

    /// The element at one index per dimension.
    template <std::convertible_to<std::size_t>... Indices>
        requires(sizeof...(Indices) == Extents::rank())
    [[nodiscard]] constexpr T& operator()(Indices... indices) const noexcept {
        std::array<std::size_t, Extents::rank()> const index{static_cast<std::size_t>(indices)...};
        std::size_t offset = 0;
        for (std::size_t r = 0; r < Extents::rank(); ++r) {
            ZEROI2V_ASSERT(index[r] < extents_.extent(r));
            if constexpr (std::is_same_v<Layout, row_major>) offset = offset * extents_.extent(r) + index[r];
            else offset += index[r] * stride(r);
        }
        return data_[offset];
    }

    [[nodiscard]] constexpr T* begin() const noexcept requires std::is_same_v<Layout, row_major> { return data_; }
    [[nodiscard]] constexpr T* end() const noexcept requires std::is_same_v<Layout, row_major> {
        return data_ + size();
    }

private:
    template <class OtherExtents>
    [[nodiscard]] static constexpr Extents forget(OtherExtents const& e) noexcept {
        if constexpr (std::is_same_v<OtherExtents, Extents>) return e;
        else
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
                return Extents{e.extent(I)...};
            }(std::make_index_sequence<Extents::rank()>{});
    }

    T* data_{};
    ZEROI2V_NO_UNIQUE_ADDRESS Extents extents_{};
    ZEROI2V_NO_UNIQUE_ADDRESS Layout layout_{};
};

template <class T, std::convertible_to<std::size_t>... Values>
    requires(sizeof...(Values) > 0)
tensor_view(T*, Values...) -> tensor_view<T, dims<sizeof...(Values)>>;

template <class T, extents_type Extents>
tensor_view(T*, Extents) -> tensor_view<T, Extents>;

/// A row-major view of Rank dynamic dimensions.
template <class T, std::size_t Rank>
using view = tensor_view<T, dims<Rank>>;

} // namespace zeroi2v
