// named_tensors: tensors of a file by name, in memory.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace zeroi2v {

/// Tensors by name, and the metadata of the file that holds them.
struct named_tensors {
    std::map<std::string, stored_tensor, std::less<>> tensors;
    std::map<std::string, std::string> metadata;

    [[nodiscard]] auto begin() const noexcept { return tensors.begin(); }
    [[nodiscard]] auto end() const noexcept { return tensors.end(); }
    [[nodiscard]] std::size_t size() const noexcept { return tensors.size(); }
    [[nodiscard]] bool contains(std::string_view name) const { return tensors.contains(name); }

    /// Errors  no such name -> model_error missing_tensors.
    [[nodiscard]] stored_tensor const& operator[](std::string_view name) const {
        auto const place = tensors.find(name);
        if (place == tensors.end())
            throw model_error{error_code::missing_tensors, "tensor " + quoted_name(name) + " is not there"};
        return place->second;
    }
};

} // namespace zeroi2v
