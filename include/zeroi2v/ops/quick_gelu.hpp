// quick_gelu: x * sigmoid(1.702 x), the activation of CLIP.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <cstddef>
#include <span>

namespace zeroi2v {

/// y = x / (1 + exp(-1.702 x)).
///
/// Aliasing  y may be x.    Numerics  relative error at most (4 + 2|x|) 2^-23; -inf gives NaN and +inf gives +inf, as
///           x * sigmoid(1.702 x) does.     Errors  lengths differ -> ZEROI2V_REQUIRE.
/// Test      tests/unit/ops/quick_gelu.cpp; all 2^32 inputs: tests/exhaustive/elementwise.cpp
inline void quick_gelu(kernel_table const& kernels, executor& workers, std::span<float const> x, std::span<float> y) {
    ZEROI2V_REQUIRE(x.size() == y.size(), "zeroi2v::quick_gelu: y must be as long as x");
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    workers.run(static_cast<int>(parts), [&](int part) {
        index_range const range = partition(x.size(), parts, static_cast<std::size_t>(part), 64);
        kernels.quick_gelu(x.data() + range.begin, y.data() + range.begin, range.size());
    });
}

/// The same with the kernels of the compiler's flags, on the calling thread.
template <class Arch = default_arch>
void quick_gelu(std::span<float const> x, std::span<float> y) {
    serial_executor workers;
    quick_gelu(default_kernels<Arch>(), workers, x, y);
}

} // namespace zeroi2v
