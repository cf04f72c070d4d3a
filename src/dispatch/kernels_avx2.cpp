// The kernels for avx2; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

namespace zeroi2v::detail {

extern kernel_table const kernels_avx2;
kernel_table const kernels_avx2 = make_kernel_table<arch::avx2>();

} // namespace zeroi2v::detail
