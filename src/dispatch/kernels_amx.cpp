// The kernels for amx; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

template zeroi2v::kernel_table const& zeroi2v::kernels_of<zeroi2v::arch::amx>() noexcept;
