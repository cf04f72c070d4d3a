// load_le: unsigned integers as files store them, least significant byte first, at any address.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

namespace zeroi2v {

/// The integer whose sizeof(T) bytes begin at `bytes`. Written so that compilers make it one load.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_le(std::byte const* bytes) noexcept {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return static_cast<T>((... | (std::to_integer<unsigned long long>(bytes[I]) << (8U * I))));
    }
    (std::make_index_sequence<sizeof(T)>{});
}

} // namespace zeroi2v
