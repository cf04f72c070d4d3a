// The library's own arch tags. Each names an instruction set in every symbol that is made for it, so that objects built
// with different flags never share one.
#pragma once

#include <zeroi2v/simd/default_arch.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <string_view>

// g++ 12's own AVX-512 header leaves registers undefined on purpose, and then warns of it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

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
/// AVX-512 with VL, VNNI, BF16 and AMX TILE, BF16, INT8.
struct amx : xsimd::avx512bw { static constexpr isa level = isa::amx; };

} // namespace zeroi2v::arch

// xsimd finds a register type by the tag itself, so each tag has its own; like the base's, but no symbol of it is the base's.
namespace xsimd::types {
#define ZEROI2V_REGISTERS(Tag, Base)                                              \
    template <class T>                                                            \
    struct simd_register<T, zeroi2v::arch::Tag> {                                 \
        using register_type = typename simd_register<T, Base>::register_type;     \
        register_type data;                                                       \
        operator register_type() const noexcept { return data; }                  \
    };                                                                            \
    template <class T>                                                            \
    struct has_simd_register<T, zeroi2v::arch::Tag> : has_simd_register<T, Base> {}; \
    template <class T>                                                            \
    struct get_bool_simd_register<T, zeroi2v::arch::Tag> {                        \
        using type = typename get_bool_simd_register<T, Base>::type;              \
    }
#if XSIMD_WITH_SSE2
ZEROI2V_REGISTERS(sse2, xsimd::sse2);
#endif
#if XSIMD_WITH_FMA3_AVX2
ZEROI2V_REGISTERS(avx2, xsimd::fma3<xsimd::avx2>);
#endif
#if XSIMD_WITH_AVX512BW
ZEROI2V_REGISTERS(avx512, xsimd::avx512bw);
ZEROI2V_REGISTERS(avx512vnni, xsimd::avx512bw);
ZEROI2V_REGISTERS(avx512bf16, xsimd::avx512bw);
ZEROI2V_REGISTERS(amx, xsimd::avx512bw);
#endif
#undef ZEROI2V_REGISTERS
} // namespace xsimd::types

namespace zeroi2v {

static_assert(requires { typename xsimd::types::simd_register<float, default_arch>::register_type; },
              "zeroi2v::default_arch: xsimd must have the registers of the instruction set that the compiler's flags allow");

/// The name of default_arch.
[[nodiscard]] constexpr std::string_view isa_name() noexcept { return to_string(default_arch::level); }

} // namespace zeroi2v
