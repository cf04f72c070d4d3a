// The library's own arch tags. Each names an instruction set in every symbol that is made for it, so that objects built
// with different flags never share one.
#pragma once

#include <zeroi2v/simd/isa.hpp>

#include <string_view>
#include <xsimd/xsimd.hpp>

namespace zeroi2v::arch {

/// SSE2.
struct sse2 : xsimd::sse2 { static constexpr isa level = isa::sse2; };
/// AVX2 with FMA3.
struct avx2 : xsimd::fma3<xsimd::avx2> { static constexpr isa level = isa::avx2; };
/// AVX-512 F, CD, DQ, BW.
struct avx512 : xsimd::avx512bw { static constexpr isa level = isa::avx512; };
/// AVX-512 with VL and VNNI.
struct avx512vnni : xsimd::avx512bw { static constexpr isa level = isa::avx512vnni; };
/// AVX-512 with VL, VNNI and BF16.
struct avx512bf16 : xsimd::avx512bw { static constexpr isa level = isa::avx512bf16; };

} // namespace zeroi2v::arch

// xsimd finds a register type by the tag itself, so each tag has its own.
namespace xsimd::types {
#if XSIMD_WITH_SSE2
XSIMD_DECLARE_SIMD_REGISTER(float, zeroi2v::arch::sse2, __m128);
#endif
#if XSIMD_WITH_FMA3_AVX2
XSIMD_DECLARE_SIMD_REGISTER(float, zeroi2v::arch::avx2, __m256);
#endif
#if XSIMD_WITH_AVX512BW
XSIMD_DECLARE_SIMD_REGISTER(float, zeroi2v::arch::avx512, __m512);
XSIMD_DECLARE_SIMD_REGISTER(float, zeroi2v::arch::avx512vnni, __m512);
XSIMD_DECLARE_SIMD_REGISTER(float, zeroi2v::arch::avx512bf16, __m512);
template <class T> struct get_bool_simd_register<T, zeroi2v::arch::avx512> : get_bool_simd_register<T, avx512bw> {};
template <class T> struct get_bool_simd_register<T, zeroi2v::arch::avx512vnni> : get_bool_simd_register<T, avx512bw> {};
template <class T> struct get_bool_simd_register<T, zeroi2v::arch::avx512bf16> : get_bool_simd_register<T, avx512bw> {};
#endif
} // namespace xsimd::types

namespace zeroi2v {

/// The instruction set of this translation unit's own compiler flags.
#if XSIMD_WITH_AVX512BW && defined(__AVX512VL__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)
using default_arch = arch::avx512bf16;
#elif XSIMD_WITH_AVX512BW && defined(__AVX512VL__) && defined(__AVX512VNNI__)
using default_arch = arch::avx512vnni;
#elif XSIMD_WITH_AVX512BW
using default_arch = arch::avx512;
#elif XSIMD_WITH_FMA3_AVX2
using default_arch = arch::avx2;
#elif XSIMD_WITH_SSE2
using default_arch = arch::sse2;
#else
#error "zeroi2v needs an x86-64 processor (SSE2 at least)"
#endif

/// The name of default_arch.
[[nodiscard]] constexpr std::string_view isa_name() noexcept { return to_string(default_arch::level); }

} // namespace zeroi2v
