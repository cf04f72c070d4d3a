# The instruction sets of zeroi2v::dispatch and the compiler's flags for each kernels_<isa>.cpp.
#
# -march=x86-64 first: what the surrounding build asks for (-march=native, say) must not enter a file for older processors.
# Only what dispatch.cpp tests for is enabled; xsimd 8.1 knows AVX-512 by F, CD, DQ and BW. The kernels throw nothing, and
# without exceptions no symbol stands for that. No contraction: every fused operation is written as one.

set(ZEROI2V_DISPATCH_ISAS sse2 avx2 avx512 avx512vnni avx512bf16 amx)

set(zeroi2v_kernel_flags -march=x86-64 -fno-exceptions -ffp-contract=off)
set(ZEROI2V_DISPATCH_FLAGS_sse2 ${zeroi2v_kernel_flags})
set(ZEROI2V_DISPATCH_FLAGS_avx2 ${zeroi2v_kernel_flags} -mavx2 -mfma)
set(ZEROI2V_DISPATCH_FLAGS_avx512 ${ZEROI2V_DISPATCH_FLAGS_avx2} -mavx512f -mavx512cd -mavx512dq -mavx512bw)
set(ZEROI2V_DISPATCH_FLAGS_avx512vnni ${ZEROI2V_DISPATCH_FLAGS_avx512} -mavx512vl -mavx512vnni)
set(ZEROI2V_DISPATCH_FLAGS_avx512bf16 ${ZEROI2V_DISPATCH_FLAGS_avx512vnni} -mavx512bf16)
set(ZEROI2V_DISPATCH_FLAGS_amx ${ZEROI2V_DISPATCH_FLAGS_avx512bf16} -mamx-tile -mamx-bf16 -mamx-int8)
