// activate_in_place on a device: an activation over a whole buffer.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>

#include <cmath>
#include <cstddef>

namespace zeroi2v::cuda_kernels {

/// The value of one activation in fp32, with the errors that simd/activations.hpp states for it. There is none for `none`.
template <activation A>
struct device_activation;

template <>
struct device_activation<activation::quick_gelu> {
    [[nodiscard]] ZEROI2V_ON_DEVICE static float value(float x) noexcept { return x / (1.0F + ::expf(-1.702F * x)); }
};

template <>
struct device_activation<activation::gelu> {
    [[nodiscard]] ZEROI2V_ON_DEVICE static float value(float x) noexcept { return x * (0.5F * ::erfcf(-0x1.6a09e6p-1F * x)); }
};

template <>
struct device_activation<activation::gelu_tanh> {
    [[nodiscard]] ZEROI2V_ON_DEVICE static float value(float x) noexcept {
        return x / (1.0F + ::expf(x * (x * x * -0x1.2444f2p-4F - 0x1.988454p+0F)));
    }
};

/// x = act(x).
///
/// Numerics  fp32 whatever E, then one rounding to E.
/// Cost      reads and writes x once. cuBLASLt has no epilogue for CLIP's, so hidden activations pass through memory once more than they must.
/// Test      tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <element E, activation A>
struct activate_in_place {
    struct arguments {
        E* x{};
        std::size_t count{};
    };
    static constexpr int width = 16 / static_cast<int>(sizeof(E)); ///< 16 bytes a thread
    static constexpr unsigned threads = 256;
    static constexpr char const* name = to_string(A).data();
    static constexpr unsigned max_threads = threads;
    [[nodiscard]] static constexpr std::size_t blocks(std::size_t count) noexcept {
        std::size_t const groups = (count + width - 1) / width;
        return (groups + threads - 1) / threads;
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        using function = device_activation<A>;
        std::size_t const first = (static_cast<std::size_t>(block.index()) * threads + block.thread()) * width;
        if (first >= a.count) return;
        if (first + width <= a.count) {
            float values[width];
            load_group<width>(a.x + first, values);
            ZEROI2V_CUDA_UNROLL
            for (int i = 0; i < width; ++i) values[i] = function::value(values[i]);
            store_group<width>(values, a.x + first);
            return;
        }
        for (std::size_t i = first; i < a.count; ++i) a.x[i] = from_float<E>(function::value(to_float(a.x[i])));
    }
};

} // namespace zeroi2v::cuda_kernels
