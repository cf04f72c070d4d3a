// The kernels for avx512; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

namespace zeroi2v::detail {

extern kernel_table const kernels_avx512;
kernel_table const kernels_avx512 = make_kernel_table<arch::avx512>();

} // namespace zeroi2v::detail
