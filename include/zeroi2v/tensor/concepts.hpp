// Concepts for what the library accepts as tensors: shape and elements, wherever they are stored.
#pragma once

#include <zeroi2v/tensor/extents.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

/// Has a rank known to the compiler, sizes, and elements: tensor, tensor_view, static_tensor.
template <class T>
concept tensor_like = requires(T const& t) {
    typename std::remove_cvref_t<T>::value_type;
    requires extents_type<typename std::remove_cvref_t<T>::extents_t>;
    { std::remove_cvref_t<T>::rank() } -> std::same_as<std::size_t>;
    { t.extent(std::size_t{}) } -> std::convertible_to<std::size_t>;
    { t.size() } -> std::convertible_to<std::size_t>;
    t.data();
};

/// A tensor of one dimension, element i at v(i).
template <class T>
concept vector_like = tensor_like<T> && std::remove_cvref_t<T>::rank() == 1
                      && requires(T const& v) { v(std::size_t{}); };

/// A tensor of two dimensions, element (r,c) at m(r,c).
template <class T>
concept matrix_like = tensor_like<T> && std::remove_cvref_t<T>::rank() == 2
                      && requires(T const& m) { m(std::size_t{}, std::size_t{}); };

/// All sizes are part of the type.
template <class T>
concept static_shape = tensor_like<T> && std::remove_cvref_t<T>::extents_t::rank_dynamic() == 0;

} // namespace zeroi2v
