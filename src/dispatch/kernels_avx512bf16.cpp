// The kernels for avx512bf16; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

namespace zeroi2v::detail {

extern kernel_table const kernels_avx512bf16;
kernel_table const kernels_avx512bf16 = make_kernel_table<arch::avx512bf16>();

} // namespace zeroi2v::detail
