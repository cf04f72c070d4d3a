// default_arch: the arch tag of this translation unit's own compiler flags, named without xsimd.
#pragma once

namespace zeroi2v::arch {

struct sse2; // all in <zeroi2v/simd/arch.hpp>
struct avx2;
struct avx512;
struct avx512vnni;
struct avx512bf16;
struct amx;

} // namespace zeroi2v::arch

namespace zeroi2v {

/// Never amx: a process must ask the operating system for it, which zeroi2v::dispatch does.
#if defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)
using default_arch = arch::avx512bf16;
#elif defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
using default_arch = arch::avx512vnni;
#elif defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
using default_arch = arch::avx512;
#elif defined(__AVX2__) && defined(__FMA__)
using default_arch = arch::avx2;
#elif defined(__SSE2__)
using default_arch = arch::sse2;
#else
#error "zeroi2v needs an x86-64 processor (SSE2 at least)"
#endif

} // namespace zeroi2v
