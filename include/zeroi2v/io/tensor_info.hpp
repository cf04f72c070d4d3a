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
    [[nodiscard]] std::size_t byte_size() const noexcept { return sizes.count() * size_of(type); }
    friend bool operator==(tensor_info const&, tensor_info const&) = default;
};

} // namespace zeroi2v
