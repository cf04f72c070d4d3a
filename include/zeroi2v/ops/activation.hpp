// activate: the function between the two Linears of an MLP, over an array.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <cstddef>
#include <span>

namespace zeroi2v {

/// y = act(x).
///
/// Aliasing  y may be x.
/// Numerics  simd/activations.hpp states each one's error. A NaN stays a NaN and +inf gives +inf.
/// Errors    lengths differ -> ZEROI2V_REQUIRE.
/// Test      tests/unit/ops/activation.cpp; all 2^32 inputs: tests/exhaustive/elementwise.cpp
inline void activate(kernel_table const& kernels, executor& workers, activation act, std::span<float const> x, std::span<float> y) {
    ZEROI2V_REQUIRE(x.size() == y.size(), "zeroi2v::activate: y must be as long as x");
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const range = partition(x.size(), parts, static_cast<std::size_t>(part), 64);
        kernels.of(act).forward(x.data() + range.begin, y.data() + range.begin, range.size());
    });
}

/// The same with the kernels of the compiler's flags, on the calling thread.
template <class Arch = default_arch>
void activate(activation act, std::span<float const> x, std::span<float> y) {
    serial_executor workers;
    activate(default_kernels<Arch>(), workers, act, x, y);
}

/// y = x * sigmoid(1.702 x), the activation of OpenAI's CLIP.
inline void quick_gelu(kernel_table const& kernels, executor& workers, std::span<float const> x, std::span<float> y) {
    activate(kernels, workers, activation::quick_gelu, x, y);
}
template <class Arch = default_arch>
void quick_gelu(std::span<float const> x, std::span<float> y) {
    activate<Arch>(activation::quick_gelu, x, y);
}

} // namespace zeroi2v
