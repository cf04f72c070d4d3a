// element_matrix: a matrix of any weight type and any strides, read and written as doubles line by line.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace zeroi2v::detail {

// call(T{}) with T the element type of a weight dtype.
template <class Call>
decltype(auto) with_weight_element(dtype type, Call&& call) {
    switch (type) {
    case dtype::f16: return call(f16{});
    case dtype::bf16: return call(bf16{});
    case dtype::f64: return call(double{});
    default: return call(float{});
    }
}

/// Element (r,c) lies at data + (r * row_stride + c * column_stride) * size_of(type). A vector is one row.
template <class Byte>
struct basic_element_matrix {
    Byte* data{};
    dtype type{dtype::f32};
    std::size_t rows{};
    std::size_t columns{};
    std::size_t row_stride{};
    std::size_t column_stride{1};

    [[nodiscard]] basic_element_matrix transposed() const noexcept {
        return {data, type, columns, rows, column_stride, row_stride};
    }

    [[nodiscard]] basic_element_matrix<std::byte const> as_const() const noexcept {
        return {data, type, rows, columns, row_stride, column_stride};
    }

    /// Rows [first, first + count) as doubles, `columns` apart.
    void load(std::size_t first, std::size_t count, double* out) const noexcept {
        with_weight_element(type, [&]<class T>(T) {
            // The direction with the small stride goes inside.
            if (column_stride <= row_stride) {
                for (std::size_t r = 0; r < count; ++r)
                    for (std::size_t c = 0; c < columns; ++c) out[r * columns + c] = to_double(at<T>(first + r, c));
            } else {
                for (std::size_t c = 0; c < columns; ++c)
                    for (std::size_t r = 0; r < count; ++r) out[r * columns + c] = to_double(at<T>(first + r, c));
            }
        });
    }

    template <weight_element T>
    [[nodiscard]] T at(std::size_t r, std::size_t c) const noexcept {
        T value;
        std::memcpy(&value, data + (r * row_stride + c * column_stride) * sizeof(T), sizeof(T));
        return value;
    }
    template <weight_element T>
    void set(std::size_t r, std::size_t c, T value) const noexcept requires(!std::is_const_v<Byte>) {
        std::memcpy(data + (r * row_stride + c * column_stride) * sizeof(T), &value, sizeof(T));
    }
};

using element_matrix = basic_element_matrix<std::byte const>;
using element_matrix_out = basic_element_matrix<std::byte>;

// The type whose values include those of both.
[[nodiscard]] constexpr dtype wider(dtype a, dtype b) noexcept {
    if (a == b) return a;
    return a == dtype::f64 || b == dtype::f64 ? dtype::f64 : dtype::f32;
}

// A tensor of rank 1 or 2 as a matrix; a vector is one row.
[[nodiscard]] inline element_matrix elements_of(stored_tensor const& t) noexcept {
    bool const vector = t.sizes().rank() == 1;
    std::size_t const rows = vector ? 1 : t.sizes()[0];
    std::size_t const columns = vector ? t.sizes()[0] : t.sizes()[1];
    return {t.bytes().data(), t.type(), rows, columns, columns, 1};
}
[[nodiscard]] inline element_matrix_out elements_of(stored_tensor& t) noexcept {
    auto const m = elements_of(std::as_const(t));
    return {t.bytes().data(), m.type, m.rows, m.columns, m.row_stride, m.column_stride};
}
template <tensor_like Tensor>
    requires weight_element<typename Tensor::value_type>
[[nodiscard]] element_matrix elements_of(Tensor const& t) noexcept {
    constexpr bool vector = Tensor::rank() == 1;
    std::size_t const columns = t.extent(Tensor::rank() - 1);
    std::size_t row_stride = columns;
    std::size_t column_stride = 1;
    if constexpr (requires { t.stride(std::size_t{}); }) {
        row_stride = t.stride(0);
        column_stride = t.stride(Tensor::rank() - 1);
    }
    return {reinterpret_cast<std::byte const*>(t.data()), dtype_of<typename Tensor::value_type>,
            vector ? 1 : t.extent(0), columns, row_stride, column_stride};
}
template <tensor_like Tensor>
    requires weight_element<typename Tensor::value_type> && (!requires(Tensor& t) { t.stride(std::size_t{}); })
[[nodiscard]] element_matrix_out elements_of(Tensor& t) noexcept {
    auto const m = elements_of(std::as_const(t));
    return {reinterpret_cast<std::byte*>(t.data()), m.type, m.rows, m.columns, m.row_stride, m.column_stride};
}

} // namespace zeroi2v::detail
