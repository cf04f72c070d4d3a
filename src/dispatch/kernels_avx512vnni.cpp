// The kernels for avx512vnni; nothing else may be in this translation unit (see flags.cmake).
#include <zeroi2v/ops/kernels.hpp>

namespace zeroi2v::detail {

extern kernel_table const kernels_avx512vnni;
kernel_table const kernels_avx512vnni = make_kernel_table<arch::avx512vnni>();

} // namespace zeroi2v::detail
