// quick_gelu on a device: x * sigmoid(1.702 x) over a whole buffer, in place.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>

#include <cmath>
#include <cstddef>

namespace zeroi2v::cuda_kernels {

/// x = x / (1 + exp(-1.702 x)).
///
/// Numerics  fp32 whatever E; relative error as ops/quick_gelu.hpp, then one rounding to E.
/// Cost      reads and writes x once. cuBLASLt has no epilogue for it, so hidden activations pass through memory once more than they must.
/// Test      tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <element E>
struct quick_gelu_in_place {
    struct arguments {
        E* x{};
        std::size_t count{};
    };
    static constexpr int width = 16 / static_cast<int>(sizeof(E)); ///< 16 bytes a thread
    static constexpr unsigned threads = 256;
    static constexpr char const* name = "quick_gelu";
    static constexpr unsigned max_threads = threads;
    [[nodiscard]] static constexpr std::size_t blocks(std::size_t count) noexcept {
        std::size_t const groups = (count + width - 1) / width;
        return (groups + threads - 1) / threads;
    }

    [[nodiscard]] ZEROI2V_ON_DEVICE static float apply(float x) noexcept { return x / (1.0F + ::expf(-1.702F * x)); }

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        std::size_t const first = (static_cast<std::size_t>(block.index()) * threads + block.thread()) * width;
        if (first >= a.count) return;
        if (first + width <= a.count) {
            float values[width];
            load_group<width>(a.x + first, values);
            ZEROI2V_CUDA_UNROLL
            for (int i = 0; i < width; ++i) values[i] = apply(values[i]);
            store_group<width>(values, a.x + first);
            return;
        }
        for (std::size_t i = first; i < a.count; ++i) a.x[i] = from_float<E>(apply(to_float(a.x[i])));
    }
};

} // namespace zeroi2v::cuda_kernels
