// The kernels for sse2; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

namespace zeroi2v::detail {

extern kernel_table const kernels_sse2;
kernel_table const kernels_sse2 = make_kernel_table<arch::sse2>();

} // namespace zeroi2v::detail
