// kernel_choice: from sizes known at run time to the instances of kernels that are made for them.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/float16.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

namespace zeroi2v::detail {

template <int Value>
using constant = std::integral_constant<int, Value>;

/// use(E{}) with the element of a device engine's type.
/// Errors  another type -> device_error unsupported_dtype.
template <class Use>
decltype(auto) with_device_element(dtype type, Use&& use) {
    switch (type) {
    case dtype::f32: return use(float{});
    case dtype::bf16: return use(bf16{});
    case dtype::f16: return use(f16{});
    default: throw device_error{error_code::unsupported_dtype, "dtype: " + std::string{dtype_name(type)} + " found; engines on a device have F32, BF16 and F16"};
    }
}

/// The head sizes that attention kernels are made for; others are rounded up.
template <class E>
inline constexpr auto attention_dims = [] {
    if constexpr (std::same_as<E, float>) return std::array{32, 64, 96, 128};
    else return std::array{32, 64, 80, 96, 128};
}();

/// use(constant<D>{}) with the least D of attention_dims that holds `dim`.
/// Errors  dim over 128 -> device_error unsupported_device.
template <class E, class Use>
void with_attention_dim(std::size_t dim, Use&& use) {
    constexpr auto dims = attention_dims<E>;
    bool found = false;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((!found && dim <= static_cast<std::size_t>(dims[I]) ? void((found = true, use(constant<dims[I]>{}))) : void()), ...);
    }(std::make_index_sequence<dims.size()>{});
    if (!found)
        throw device_error{error_code::unsupported_device, "cuda: head_dim: " + std::to_string(dim) + " found, at most 128 expected on a device"};
}

/// use(std::integral_constant<activation, A>{}) with the activation that `act` is; nothing for activation::none.
template <class Use>
void with_activation(activation act, Use&& use) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((act == static_cast<activation>(I + 1) ? void(use(std::integral_constant<activation, static_cast<activation>(I + 1)>{})) : void()), ...);
    }(std::make_index_sequence<activation_count - 1>{});
}

/// use(constant<Width>{}, constant<Groups>{}) for rows of `columns` elements: four at a time where that divides, and as few registers
/// as hold 128, 768 (ViT-B), 1024 (ViT-L) or 4096 columns.
/// Errors  longer rows -> device_error unsupported_device.
template <class Use>
void with_row_shape(std::size_t columns, Use&& use) {
    bool const fours = columns % 4 == 0;
    if (fours && columns <= 128) return use(constant<4>{}, constant<1>{});
    if (fours && columns <= 768) return use(constant<4>{}, constant<6>{});
    if (fours && columns <= 1024) return use(constant<4>{}, constant<8>{});
    if (fours && columns <= 4096) return use(constant<4>{}, constant<32>{});
    if (!fours && columns <= 1024) return use(constant<1>{}, constant<32>{});
    throw device_error{error_code::unsupported_device, "cuda: width: " + std::to_string(columns) + " found, at most "
                                                           + (fours ? "4096" : "1024 (4096 for multiples of 4)") + " expected on a device"};
}

} // namespace zeroi2v::detail
