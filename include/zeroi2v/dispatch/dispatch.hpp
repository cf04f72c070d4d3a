// dispatch: the kernels of several instruction sets in one program, chosen at run time. Needs the library zeroi2v::dispatch.
#pragma once

#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <span>

namespace zeroi2v {

/// The instruction sets in this build, lowest first.
[[nodiscard]] std::span<isa const> built_isas() noexcept;

/// Whether processor and operating system can run it.
[[nodiscard]] bool supported(isa level) noexcept;

/// The kernels of one instruction set.
/// Errors  not in this build or not supported here -> device_error isa_unavailable.
[[nodiscard]] kernel_table const& kernels(isa level);

/// The kernels of the highest instruction set that is built and supported.
[[nodiscard]] kernel_table const& best_kernels() noexcept;

/// The kernels that the environment variable ZEROI2V_ISA names; best_kernels() where it is unset or empty.
/// Errors  a name that is none -> usage_error bad_option; not built or supported -> device_error isa_unavailable.
[[nodiscard]] kernel_table const& kernels_from_environment();

} // namespace zeroi2v
