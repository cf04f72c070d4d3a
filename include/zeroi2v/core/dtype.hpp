// Element types by name, as checkpoints spell them.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/float16.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace zeroi2v {

/// Element types of stored tensors, all that safetensors 0.8 has; `dtype_name` gives its names, and the order is its own.
enum class dtype : std::uint8_t { boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
                                  i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64, int8 = i8 };

/// Bits of one element; those of F4 and F6 stand side by side without gaps.
[[nodiscard]] constexpr std::size_t bits_of(dtype type) noexcept {
    switch (type) {
    case dtype::f4: return 4;
    case dtype::f6_e2m3: case dtype::f6_e3m2: return 6;
    case dtype::boolean: case dtype::u8: case dtype::i8: case dtype::f8_e5m2: case dtype::f8_e4m3: case dtype::f8_e8m0:
    case dtype::f8_e4m3fnuz: case dtype::f8_e5m2fnuz: return 8;
    case dtype::i16: case dtype::u16: case dtype::f16: case dtype::bf16: return 16;
    case dtype::i32: case dtype::u32: case dtype::f32: return 32;
    case dtype::c64: case dtype::f64: case dtype::i64: case dtype::u64: return 64;
    }
    return 0;
}

/// Whether elements share bytes, so that none has an address of its own.
[[nodiscard]] constexpr bool is_packed(dtype type) noexcept { return bits_of(type) % 8 != 0; }

/// Bytes of one element; 1 where it is packed.
[[nodiscard]] constexpr std::size_t size_of(dtype type) noexcept { return (bits_of(type) + 7) / 8; }

/// Bytes of `count` elements; nothing where the number overflows, or where packed elements end inside a byte.
[[nodiscard]] constexpr std::optional<std::size_t> bytes_of(dtype type, std::size_t count) noexcept {
    auto const units = checked_mul(count, is_packed(type) ? bits_of(type) : size_of(type));
    if (!units || !is_packed(type)) return units;
    if (*units % 8 != 0) return std::nullopt;
    return *units / 8;
}

/// The name in a safetensors header: `F32`, `BF16`, `I64`, ...
[[nodiscard]] constexpr std::string_view dtype_name(dtype type) noexcept {
    switch (type) {
    case dtype::boolean: return "BOOL";
    case dtype::f4: return "F4";
    case dtype::f6_e2m3: return "F6_E2M3";
    case dtype::f6_e3m2: return "F6_E3M2";
    case dtype::u8: return "U8";
    case dtype::i8: return "I8";
    case dtype::f8_e5m2: return "F8_E5M2";
    case dtype::f8_e4m3: return "F8_E4M3";
    case dtype::f8_e8m0: return "F8_E8M0";
    case dtype::f8_e4m3fnuz: return "F8_E4M3FNUZ";
    case dtype::f8_e5m2fnuz: return "F8_E5M2FNUZ";
    case dtype::i16: return "I16";
    case dtype::u16: return "U16";
    case dtype::f16: return "F16";
    case dtype::bf16: return "BF16";
    case dtype::i32: return "I32";
    case dtype::u32: return "U32";
    case dtype::f32: return "F32";
    case dtype::c64: return "C64";
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
