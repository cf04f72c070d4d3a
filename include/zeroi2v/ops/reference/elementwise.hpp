// reference::quick_gelu in double.
#pragma once

#include <cmath>

namespace zeroi2v::reference {

/// x * sigmoid(1.702 x).
[[nodiscard]] inline double quick_gelu(double x) noexcept { return x * (1 / (1 + std::exp(-1.702 * x))); }

} // namespace zeroi2v::reference
