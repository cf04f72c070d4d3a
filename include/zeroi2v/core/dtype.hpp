// Element types by name, as checkpoints spell them.
#pragma once

#include <zeroi2v/core/float16.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace zeroi2v {

/// Element types of stored tensors; the names of `dtype_name` are those of safetensors.
enum class dtype : std::uint8_t { boolean, u8, i8, f8_e5m2, f8_e4m3, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64,
                                  int8 = i8 };

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(dtype type) noexcept {
    switch (type) {
    case dtype::boolean: case dtype::u8: case dtype::i8: case dtype::f8_e5m2: case dtype::f8_e4m3: return 1;
    case dtype::i16: case dtype::u16: case dtype::f16: case dtype::bf16: return 2;
    case dtype::i32: case dtype::u32: case dtype::f32: return 4;
    case dtype::f64: case dtype::i64: case dtype::u64: return 8;
    }
    return 0;
}

/// The name in a safetensors header: `F32`, `BF16`, `I64`, ...
[[nodiscard]] constexpr std::string_view dtype_name(dtype type) noexcept {
    switch (type) {
    case dtype::boolean: return "BOOL";
    case dtype::u8: return "U8";
    case dtype::i8: return "I8";
    case dtype::f8_e5m2: return "F8_E5M2";
    case dtype::f8_e4m3: return "F8_E4M3";
    case dtype::i16: return "I16";
    case dtype::u16: return "U16";
    case dtype::f16: return "F16";
    case dtype::bf16: return "BF16";
    case dtype::i32: return "I32";
    case dtype::u32: return "U32";
    case dtype::f32: return "F32";
    case dtype::f64: return "F64";
    case dtype::i64: return "I64";
    case dtype::u64: return "U64";
    }
    return "?";
}

/// The type with this safetensors name, if there is one.
[[nodiscard]] constexpr std::optional<dtype> dtype_from_name(std::string_view name) noexcept {
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
        if (dtype_name(static_cast<dtype>(i)) == name) return static_cast<dtype>(i);
    return std::nullopt;
}

/// The types a weight may have.
[[nodiscard]] constexpr bool is_weight_dtype(dtype type) noexcept {
    return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16;
}

namespace detail {
template <class T> struct no_dtype : std::false_type {};
template <class T> inline constexpr dtype dtype_of_impl = [] {
    static_assert(no_dtype<T>::value, "zeroi2v::dtype_of: no stored type has values of T");
    return dtype::u8;
}();
template <> inline constexpr dtype dtype_of_impl<bool> = dtype::boolean;
template <> inline constexpr dtype dtype_of_impl<std::uint8_t> = dtype::u8;
template <> inline constexpr dtype dtype_of_impl<std::int8_t> = dtype::i8;
template <> inline constexpr dtype dtype_of_impl<std::int16_t> = dtype::i16;
template <> inline constexpr dtype dtype_of_impl<std::uint16_t> = dtype::u16;
template <> inline constexpr dtype dtype_of_impl<f16> = dtype::f16;
template <> inline constexpr dtype dtype_of_impl<bf16> = dtype::bf16;
template <> inline constexpr dtype dtype_of_impl<std::int32_t> = dtype::i32;
template <> inline constexpr dtype dtype_of_impl<std::uint32_t> = dtype::u32;
template <> inline constexpr dtype dtype_of_impl<float> = dtype::f32;
template <> inline constexpr dtype dtype_of_impl<double> = dtype::f64;
template <> inline constexpr dtype dtype_of_impl<std::int64_t> = dtype::i64;
template <> inline constexpr dtype dtype_of_impl<std::uint64_t> = dtype::u64;
} // namespace detail

/// The dtype whose elements are values of T.
template <class T>
inline constexpr dtype dtype_of = detail::dtype_of_impl<std::remove_cv_t<T>>;

} // namespace zeroi2v
