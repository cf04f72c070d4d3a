// The kernels of one instruction set, gathered into its table.
#pragma once

#include <zeroi2v/ops/kernel_table.hpp>

namespace zeroi2v {
} // namespace zeroi2v
