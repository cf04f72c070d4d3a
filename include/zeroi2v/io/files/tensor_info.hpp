// tensor_info: what a file says about one tensor, without its elements.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <string>

namespace zeroi2v {

/// Name, element type and sizes of a tensor in a file. Who made it has checked that count and bytes do not overflow.
struct tensor_info {
    std::string name;
    dtype type{dtype::f32};
    shape sizes{};

    [[nodiscard]] std::size_t count() const noexcept { return sizes.count(); }
    [[nodiscard]] std::size_t byte_size() const noexcept { return bytes_of(type, sizes.count()).value_or(0); }
    friend bool operator==(tensor_info const&, tensor_info const&) = default;
};

/// A tensor that is in the file and that nothing here can represent: `kind` says what it is, as `a quantized tensor, ...`.
struct unreadable_tensor {
    std::string name, kind;
};

} // namespace zeroi2v
