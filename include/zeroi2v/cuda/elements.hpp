// elements: float, bf16 and f16 as kernels read and write them, one by one and in aligned groups.
#pragma once

#include <zeroi2v/core/float16.hpp>
#include <zeroi2v/cuda/annotations.hpp>

#include <concepts>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace zeroi2v::cuda_kernels {

/// What activations and weights are made of on a device.
template <class E>
concept element = std::same_as<E, float> || std::same_as<E, bf16> || std::same_as<E, f16>;

/// Elements of tensor core products: two to a register.
template <class E>
concept half_element = std::same_as<E, bf16> || std::same_as<E, f16>;

/// The element's value; exact.
ZEROI2V_ON_DEVICE float to_float(float value) noexcept { return value; }
ZEROI2V_ON_DEVICE float to_float(bf16 value) noexcept {
#ifdef __CUDACC__
    return __uint_as_float(static_cast<std::uint32_t>(value.bits) << 16);
#else
    return static_cast<float>(value);
#endif
}
ZEROI2V_ON_DEVICE float to_float(f16 value) noexcept {
#ifdef __CUDACC__
    return __half2float(__ushort_as_half(value.bits));
#else
    return static_cast<float>(value);
#endif
}

/// The element nearest to `value`, ties to even.
template <element E>
ZEROI2V_ON_DEVICE E from_float(float value) noexcept {
    if constexpr (std::same_as<E, float>) {
        return value;
    } else {
#ifdef __CUDACC__
        E result;
        if constexpr (std::same_as<E, bf16>) result.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
        else result.bits = __half_as_ushort(__float2half_rn(value));
        return result;
#else
        return E{value};
#endif
    }
}

/// Two elements in a register, the first in its lower half.
template <half_element E>
ZEROI2V_ON_DEVICE std::uint32_t pack_pair(float first, float second) noexcept {
    return static_cast<std::uint32_t>(from_float<E>(first).bits) | static_cast<std::uint32_t>(from_float<E>(second).bits) << 16;
}

/// Width elements that are loaded and stored at once.
template <element E, int Width>
struct alignas(Width * sizeof(E)) element_group {
    E values[Width];
};

/// Width elements at `from`, which is aligned to all of them.
template <int Width, element E>
ZEROI2V_ON_DEVICE void load_group(E const* from, float (&to)[Width]) noexcept {
    element_group<E, Width> const group = *reinterpret_cast<element_group<E, Width> const*>(from);
    ZEROI2V_CUDA_UNROLL
    for (int i = 0; i < Width; ++i) to[i] = to_float(group.values[i]);
}
template <int Width, element E>
ZEROI2V_ON_DEVICE void store_group(float const (&from)[Width], E* to) noexcept {
    element_group<E, Width> group;
    ZEROI2V_CUDA_UNROLL
    for (int i = 0; i < Width; ++i) group.values[i] = from_float<E>(from[i]);
    *reinterpret_cast<element_group<E, Width>*>(to) = group;
}

} // namespace zeroi2v::cuda_kernels
