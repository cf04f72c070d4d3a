// matrix_view: rows of contiguous elements at any distance from each other; what every op takes.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace zeroi2v {

/// `rows` rows of `columns` elements; row i starts at data + i * stride. Made from any tensor or view of rank 2 whose last
/// dimension is contiguous, or of a higher rank in row-major order (all but the last dimension are then rows).
///
/// Errors  a strided view whose last stride is not 1 -> ZEROI2V_REQUIRE.    Test  tests/unit/ops/matrix_view.cpp
template <class T>
struct matrix_view {
    T* data{};
    std::size_t rows{};
    std::size_t columns{};
    std::size_t stride{};

    constexpr matrix_view() noexcept = default;
    constexpr matrix_view(T* elements, std::size_t row_count, std::size_t column_count) noexcept
        : matrix_view{elements, row_count, column_count, column_count} {}
    constexpr matrix_view(T* elements, std::size_t row_count, std::size_t column_count, std::size_t row_stride) noexcept
        : data{elements}, rows{row_count}, columns{column_count}, stride{row_stride} {}

    template <class Other, extents_type Extents, class Layout>
        requires(std::is_convertible_v<Other (*)[], T (*)[]>
                 && (std::is_same_v<Layout, row_major> ? Extents::rank() >= 1 : Extents::rank() == 2))
    constexpr matrix_view(tensor_view<Other, Extents, Layout> const& view) // NOLINT: converts as views do
        : data{view.data()}, rows{1}, columns{view.extent(Extents::rank() - 1)}, stride{columns} {
        for (std::size_t r = 0; r + 1 < Extents::rank(); ++r) rows *= view.extent(r);
        if constexpr (!std::is_same_v<Layout, row_major>) {
            ZEROI2V_REQUIRE(view.stride(1) == 1 || columns <= 1, "zeroi2v::matrix_view: elements of a row must be contiguous");
            stride = view.stride(0);
        }
    }

    /// From an owner of elements, such as tensor and static_tensor.
    template <class Owner>
        requires(requires(Owner& owner) { { owner.view() }; } && !std::is_same_v<std::remove_cvref_t<Owner>, matrix_view>
                 && std::is_constructible_v<matrix_view, decltype(std::declval<Owner&>().view())>)
    constexpr matrix_view(Owner&& owner) : matrix_view{owner.view()} {} // NOLINT: converts as views do

    /// A view of T is a view of T const.
    template <class Other>
        requires(std::is_same_v<Other const, T> && !std::is_same_v<Other, T>)
    constexpr matrix_view(matrix_view<Other> const& other) noexcept // NOLINT
        : data{other.data}, rows{other.rows}, columns{other.columns}, stride{other.stride} {}

    [[nodiscard]] constexpr T* row(std::size_t i) const noexcept { return data + i * stride; }
    [[nodiscard]] constexpr bool empty() const noexcept { return rows == 0 || columns == 0; }
    [[nodiscard]] constexpr bool same_shape(std::size_t r, std::size_t c) const noexcept { return rows == r && columns == c; }
};

} // namespace zeroi2v
