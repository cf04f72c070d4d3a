// tiles: the matrix registers of AMX, eight of at most 16 rows of 64 bytes, and the products of two of them.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>

/// Whether this translation unit's flags allow tiles; clang 14 spells its macros in its own way.
#if XSIMD_WITH_AVX512BW && defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__)
#define ZEROI2V_HAS_TILES 1
#elif XSIMD_WITH_AVX512BW && defined(__AMXTILE__) && defined(__AMXBF16__) && defined(__AMXINT8__)
#define ZEROI2V_HAS_TILES 1
#else
#define ZEROI2V_HAS_TILES 0
#endif

#if ZEROI2V_HAS_TILES
namespace zeroi2v {

/// The tiles of a block of C = A W^T, two by two: C is tiles 0, 1 (upper rows) and 2, 3 (lower rows), A 4 (upper) and 5 (lower), W 6 and 7.
///
/// Written as instructions, since the intrinsics of g++ 12 do not tell the compiler that they touch memory. A thread may use tiles where
/// the process has asked for them (src/dispatch/dispatch.cpp); configure() comes first, release() last.
/// Test  tests/unit/ops/matmul.cpp
template <class Arch>
struct tiles {
    static constexpr std::size_t rows = 16;
    static constexpr std::size_t row_bytes = 64;

    /// Rows of the upper tiles and of the lower ones, at least 1; every tile is then zero.
    ZEROI2V_ALWAYS_INLINE static void configure(std::size_t upper, std::size_t lower) noexcept {
        alignas(64) std::uint8_t shape[64] = {1}; // the palette; 2 bytes of row length from 16 on, a byte of rows from 48 on
        for (std::size_t tile = 0; tile < 8; ++tile) shape[16 + 2 * tile] = row_bytes;
        shape[48] = shape[49] = shape[52] = static_cast<std::uint8_t>(upper); // no loop over a list: it would be a symbol without an arch
        shape[50] = shape[51] = shape[53] = static_cast<std::uint8_t>(lower);
        shape[54] = shape[55] = static_cast<std::uint8_t>(rows);
        __asm__ volatile("ldtilecfg %0" : : "m"(shape) : "memory");
    }
    ZEROI2V_ALWAYS_INLINE static void release() noexcept { __asm__ volatile("tilerelease" : : : "memory"); }

    template <int Tile>
    ZEROI2V_ALWAYS_INLINE static void zero() noexcept {
        __asm__ volatile("{tilezero %%tmm%c0|tilezero tmm%c0}" : : "i"(Tile));
    }
    /// Rows `stride` bytes apart.
    template <int Tile>
    ZEROI2V_ALWAYS_INLINE static void load(void const* from, std::size_t stride) noexcept {
        __asm__ volatile("{tileloadd (%0,%1,1), %%tmm%c2|tileloadd tmm%c2, [%0+%1*1]}" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
    }
    template <int Tile>
    ZEROI2V_ALWAYS_INLINE static void store(void* to, std::size_t stride) noexcept {
        __asm__ volatile("{tilestored %%tmm%c2, (%0,%1,1)|tilestored [%0+%1*1], tmm%c2}" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
    }
};

/// bf16 weights and bf16 activations, 32 products of a row and a channel per instruction, summed in float.
template <class Arch>
struct bf16_tile_product {
    using arch = Arch;
    using weight = std::uint16_t;
    using activation = std::uint16_t;
    using sum = pack<float, Arch>;
    static constexpr std::size_t group = 2;
    static constexpr std::size_t tile_k = 32; ///< k of one tile; panels and rows are padded to it
    static constexpr bool padded = true;

    /// C += A W of these tiles.
    template <int C, int A, int W>
    ZEROI2V_ALWAYS_INLINE static void multiply_add() noexcept {
        __asm__ volatile("{tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0|tdpbf16ps tmm%c0, tmm%c1, tmm%c2}" : : "i"(C), "i"(A), "i"(W));
    }
};

/// int8 weights and activations, 64 products of a row and a channel per instruction; 32-bit sums, exact up to k = 131071.
template <class Arch>
struct s8_tile_product {
    using arch = Arch;
    using weight = std::int8_t;
    using activation = std::int8_t;
    using sum = pack<std::int32_t, Arch>;
    static constexpr std::size_t group = 4;
    static constexpr std::size_t tile_k = 64;
    static constexpr bool padded = true;
    static constexpr std::size_t max_k = 131071;
    static constexpr int offset_bits = 0;

    template <int C, int A, int W>
    ZEROI2V_ALWAYS_INLINE static void multiply_add() noexcept {
        __asm__ volatile("{tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0|tdpbssd tmm%c0, tmm%c1, tmm%c2}" : : "i"(C), "i"(A), "i"(W));
    }
};

} // namespace zeroi2v
#endif
