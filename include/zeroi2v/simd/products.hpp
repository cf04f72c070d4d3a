// products: which dot products an instruction set has for weights of two bytes and of one.
#pragma once

#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/dot.hpp>
#include <zeroi2v/simd/tiles.hpp>

namespace zeroi2v {

/// The products on which bf16 and int8 weights are multiplied; the special cases exist where the compiler's flags allow
/// their instructions.
///
/// Test  tests/unit/ops/matmul.cpp
template <class Arch>
struct products {
    using bf16 = bf16_product<Arch>;
    using i8 = s16_product<Arch>;
};
#if defined(__AVX512VNNI__) && XSIMD_WITH_AVX512BW
template <>
struct products<arch::avx512vnni> {
    using bf16 = bf16_product<arch::avx512vnni>;
    using i8 = vnni_product<arch::avx512vnni>;
};
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__) && XSIMD_WITH_AVX512BW
template <>
struct products<arch::avx512bf16> {
    using bf16 = bf16_dot_product<arch::avx512bf16>;
    using i8 = vnni_product<arch::avx512bf16>;
};
#endif
#if ZEROI2V_HAS_TILES
template <>
struct products<arch::amx> {
    using bf16 = bf16_tile_product<arch::amx>;
    using i8 = s8_tile_product<arch::amx>;
};
#endif

} // namespace zeroi2v
