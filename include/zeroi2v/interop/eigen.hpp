// eigen: tensors and views as Eigen matrices and back, without a copy.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <Eigen/Core>

#include <array>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

namespace detail {

[[nodiscard]] constexpr int eigen_size(std::size_t size) noexcept {
    return size == dynamic ? Eigen::Dynamic : static_cast<int>(size);
}

template <class Array>
using array_element = std::remove_pointer_t<decltype(std::declval<Array&>().data())>;

// Eigen keeps const on the matrix, not on its scalars.
template <class Element, class Matrix>
using as_const_as = std::conditional_t<std::is_const_v<Element>, Matrix const, Matrix>;

template <class Array>
using extents_of = typename std::remove_cvref_t<Array>::extents_t;

// Eigen wants a matrix of one column to be column-major: the elements lie the same way.
template <class Array>
inline constexpr auto eigen_order = extents_of<Array>::static_extent(1) == 1 && extents_of<Array>::static_extent(0) != 1
                                        ? Eigen::ColMajor : Eigen::RowMajor;

template <class Array>
using eigen_matrix = as_const_as<
    array_element<Array>,
    Eigen::Matrix<std::remove_const_t<array_element<Array>>, eigen_size(extents_of<Array>::static_extent(0)),
                  eigen_size(extents_of<Array>::static_extent(1)), eigen_order<Array>>>;
template <class Array>
using eigen_vector = as_const_as<array_element<Array>,
                                 Eigen::Matrix<std::remove_const_t<array_element<Array>>,
                                               eigen_size(extents_of<Array>::static_extent(0)), 1>>;

template <class Array>
[[nodiscard]] constexpr std::size_t stride_of(Array const& array, std::size_t r) noexcept {
    if constexpr (requires { array.stride(r); }) return array.stride(r);
    else return r + 1 == std::remove_cvref_t<Array>::rank() ? 1 : array.extent(1);
}

} // namespace detail

/// A matrix of any strides as an Eigen::Map on the same elements; static sizes stay static.
///
/// Shapes    (rows, columns).   Aliasing  owns nothing: the elements must outlive the map.   Cost  no copy.
/// Test      tests/unit/interop/eigen.cpp
template <matrix_like Array>
[[nodiscard]] auto as_eigen(Array&& array) {
    using matrix = detail::eigen_matrix<Array>;
    using stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    auto const index = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
    Eigen::Index const row = index(detail::stride_of(array, 0));
    Eigen::Index const column = index(detail::stride_of(array, 1));
    auto const strides = matrix::IsRowMajor ? stride{row, column} : stride{column, row};
    return Eigen::Map<matrix, Eigen::Unaligned, stride>{array.data(), index(array.extent(0)), index(array.extent(1)),
                                                        strides};
}

/// A vector as an Eigen::Map (a column) on the same elements.
template <vector_like Array>
[[nodiscard]] auto as_eigen(Array&& array) {
    using vector = detail::eigen_vector<Array>;
    using stride = Eigen::InnerStride<Eigen::Dynamic>;
    return Eigen::Map<vector, Eigen::Unaligned, stride>{array.data(), static_cast<Eigen::Index>(array.extent(0)),
                                                        stride{static_cast<Eigen::Index>(detail::stride_of(array, 0))}};
}

/// An Eigen matrix, map or block with direct access to its elements, of either storage order, as a strided view.
///
/// Errors    a negative stride -> ZEROI2V_REQUIRE.   Aliasing  owns nothing: the matrix must outlive the view.
template <class Derived>
    requires(static_cast<bool>(Derived::Flags & Eigen::DirectAccessBit))
[[nodiscard]] auto as_view(Eigen::DenseBase<Derived>& matrix) {
    using element = std::remove_pointer_t<decltype(matrix.derived().data())>;
    auto& derived = matrix.derived();
    ZEROI2V_REQUIRE(derived.rowStride() >= 0 && derived.colStride() >= 0,
                    "zeroi2v::as_view: strides must not be negative");
    auto const size = [](Eigen::Index i) { return static_cast<std::size_t>(i); };
    return tensor_view<element, dims<2>, strided<2>>{
        derived.data(), dims<2>{size(derived.rows()), size(derived.cols())},
        strided<2>{{size(derived.rowStride()), size(derived.colStride())}}};
}
template <class Derived>
    requires(static_cast<bool>(Derived::Flags & Eigen::DirectAccessBit))
[[nodiscard]] auto as_view(Eigen::DenseBase<Derived> const& matrix) {
    using element = std::remove_pointer_t<decltype(matrix.derived().data())> const;
    auto const& derived = matrix.derived();
    ZEROI2V_REQUIRE(derived.rowStride() >= 0 && derived.colStride() >= 0,
                    "zeroi2v::as_view: strides must not be negative");
    auto const size = [](Eigen::Index i) { return static_cast<std::size_t>(i); };
    return tensor_view<element, dims<2>, strided<2>>{
        derived.data(), dims<2>{size(derived.rows()), size(derived.cols())},
        strided<2>{{size(derived.rowStride()), size(derived.colStride())}}};
}

} // namespace zeroi2v
