// Where a function runs: on the device under nvcc, and as plain C++ everywhere else, where tests run the kernels' bodies.
#pragma once

/// A part of a kernel. nvcc compiles it for the device only; other compilers for the host, in whose emulated blocks it runs.
#ifdef __CUDACC__
#define ZEROI2V_ON_DEVICE __device__ __forceinline__
#else
#define ZEROI2V_ON_DEVICE inline
#endif

/// Arithmetic that host and device share: layouts, strides, indices.
#ifdef __CUDACC__
#define ZEROI2V_ON_BOTH __host__ __device__
#else
#define ZEROI2V_ON_BOTH
#endif

/// Unrolls the loop that follows, so that arrays indexed in it are registers. Only nvcc needs it.
#ifdef __CUDACC__
#define ZEROI2V_CUDA_UNROLL _Pragma("unroll")
#else
#define ZEROI2V_CUDA_UNROLL
#endif
