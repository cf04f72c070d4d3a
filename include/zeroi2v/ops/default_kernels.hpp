// The kernels of this translation unit's own compiler flags, for calls that name none.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/default_arch.hpp>

#if !ZEROI2V_DISPATCH // else zeroi2v::dispatch is linked and has this table already
#include <zeroi2v/ops/kernels.hpp>
#endif

namespace zeroi2v {

#if ZEROI2V_DISPATCH
extern template kernel_table const& kernels_of<default_arch>() noexcept;
#endif

/// kernels_of<default_arch>(); instantiated only where it is called.
template <class Arch = default_arch>
[[nodiscard]] kernel_table const& default_kernels() noexcept {
    return kernels_of<Arch>();
}

} // namespace zeroi2v
