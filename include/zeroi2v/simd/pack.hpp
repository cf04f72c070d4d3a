// pack<T, Arch>: one vector register of float or int32, and what the kernels do with it.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/arch.hpp>

#include <cstddef>
#include <cstdint>
#include <immintrin.h>
#include <xsimd/xsimd.hpp>

/// ZEROI2V_UNROLL unrolls the next loop completely; its count is a constant of at most 16. ZEROI2V_FOUR_TURNS makes four
/// turns of it one.
#if defined(__clang__)
#define ZEROI2V_UNROLL _Pragma("clang loop unroll(full)")
#define ZEROI2V_FOUR_TURNS _Pragma("clang loop unroll_count(4)")
#else
#define ZEROI2V_UNROLL _Pragma("GCC unroll 16")
#define ZEROI2V_FOUR_TURNS _Pragma("GCC unroll 4")
#endif

namespace zeroi2v {

namespace detail {

// What xsimd 8.1 does not offer (fma among it: for AVX-512 it multiplies, then adds), by register width. All of it is inlined in every build: no symbol stands for it.
template <std::size_t Lanes> struct lanes {};
template <std::size_t Lanes> struct int_register;

template <> struct int_register<4> { using type = __m128i; };

ZEROI2V_ALWAYS_INLINE __m128 load_partial(float const* from, std::size_t count, lanes<4>) noexcept {
    switch (count) {
    case 0: return _mm_setzero_ps();
    case 1: return _mm_load_ss(from);
    case 2: return _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(from)));
    case 3:
        return _mm_movelh_ps(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(from))), _mm_load_ss(from + 2));
    default: return _mm_loadu_ps(from);
    }
}
ZEROI2V_ALWAYS_INLINE void store_partial(float* to, std::size_t count, __m128 value, lanes<4>) noexcept {
    switch (count) {
    case 0: break;
    case 1: _mm_store_ss(to, value); break;
    case 2: _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_castps_si128(value)); break;
    case 3:
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_castps_si128(value));
        _mm_store_ss(to + 2, _mm_movehl_ps(value, value));
        break;
    default: _mm_storeu_ps(to, value);
    }
}
ZEROI2V_ALWAYS_INLINE __m128 fused(__m128 a, __m128 b, __m128 c) noexcept { return _mm_add_ps(_mm_mul_ps(a, b), c); }
ZEROI2V_ALWAYS_INLINE __m128 fused_negative(__m128 a, __m128 b, __m128 c) noexcept { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }
ZEROI2V_ALWAYS_INLINE __m128 first_or(__m128 value, std::size_t count, __m128 other, lanes<4>) noexcept {
    __m128 const mask = _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(count)), _mm_setr_epi32(0, 1, 2, 3)));
    return _mm_or_ps(_mm_and_ps(mask, value), _mm_andnot_ps(mask, other));
}
ZEROI2V_ALWAYS_INLINE __m128 where_less(__m128 a, __m128 b, __m128 then, __m128 otherwise) noexcept {
    __m128 const mask = _mm_cmplt_ps(a, b);
    return _mm_or_ps(_mm_and_ps(mask, then), _mm_andnot_ps(mask, otherwise));
}
ZEROI2V_ALWAYS_INLINE __m128 barrier(__m128 value) noexcept {
    __asm__("" : "+x"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m128i barrier(__m128i value) noexcept {
    __asm__("" : "+x"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m128i int_zero(lanes<4>) noexcept { return _mm_setzero_si128(); }
ZEROI2V_ALWAYS_INLINE __m128i int_load(std::int32_t const* from, lanes<4>) noexcept {
    return _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
}
ZEROI2V_ALWAYS_INLINE __m128i int_load_partial(std::int32_t const* from, std::size_t count, lanes<4>) noexcept {
    alignas(16) std::int32_t lane[4] = {};
    for (std::size_t i = 0; i < count && i < 4; ++i) lane[i] = from[i];
    return _mm_load_si128(reinterpret_cast<__m128i const*>(lane));
}
ZEROI2V_ALWAYS_INLINE void int_store(std::int32_t* to, __m128i value) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
}
ZEROI2V_ALWAYS_INLINE __m128i int_add(__m128i a, __m128i b) noexcept { return _mm_add_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m128i int_shift_left(__m128i a, int bits) noexcept {
    return _mm_sll_epi32(a, _mm_cvtsi32_si128(bits));
}
ZEROI2V_ALWAYS_INLINE __m128i int_subtract(__m128i a, __m128i b) noexcept { return _mm_sub_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m128 int_to_float(__m128i a) noexcept { return _mm_cvtepi32_ps(a); }
ZEROI2V_ALWAYS_INLINE __m128i nearest_int(__m128 a) noexcept { return _mm_cvtps_epi32(a); }
ZEROI2V_ALWAYS_INLINE __m128 power_of_two(__m128i n) noexcept {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(n, _mm_set1_epi32(127)), 23));
}
ZEROI2V_ALWAYS_INLINE __m128 times_power_of_two(__m128 a, __m128i n) noexcept { // two factors: the result may be subnormal
    __m128i const half = _mm_srai_epi32(n, 1);
    return _mm_mul_ps(_mm_mul_ps(a, power_of_two(half)), power_of_two(_mm_sub_epi32(n, half)));
}

#if XSIMD_WITH_FMA3_AVX2
template <> struct int_register<8> { using type = __m256i; };

ZEROI2V_ALWAYS_INLINE __m256i first_lanes(std::size_t count) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ZEROI2V_ALWAYS_INLINE __m256 load_partial(float const* from, std::size_t count, lanes<8>) noexcept {
    return _mm256_maskload_ps(from, first_lanes(count));
}
ZEROI2V_ALWAYS_INLINE void store_partial(float* to, std::size_t count, __m256 value, lanes<8>) noexcept {
    _mm256_maskstore_ps(to, first_lanes(count), value);
}
ZEROI2V_ALWAYS_INLINE __m256 fused(__m256 a, __m256 b, __m256 c) noexcept { return _mm256_fmadd_ps(a, b, c); }
ZEROI2V_ALWAYS_INLINE __m256 fused_negative(__m256 a, __m256 b, __m256 c) noexcept { return _mm256_fnmadd_ps(a, b, c); }
ZEROI2V_ALWAYS_INLINE __m256 first_or(__m256 value, std::size_t count, __m256 other, lanes<8>) noexcept {
    return _mm256_blendv_ps(other, value, _mm256_castsi256_ps(first_lanes(count)));
}
ZEROI2V_ALWAYS_INLINE __m256 where_less(__m256 a, __m256 b, __m256 then, __m256 otherwise) noexcept {
    return _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
ZEROI2V_ALWAYS_INLINE __m256 barrier(__m256 value) noexcept {
    __asm__("" : "+x"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m256i barrier(__m256i value) noexcept {
    __asm__("" : "+x"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m256i int_zero(lanes<8>) noexcept { return _mm256_setzero_si256(); }
ZEROI2V_ALWAYS_INLINE __m256i int_load(std::int32_t const* from, lanes<8>) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from));
}
ZEROI2V_ALWAYS_INLINE __m256i int_load_partial(std::int32_t const* from, std::size_t count, lanes<8>) noexcept {
    return _mm256_maskload_epi32(from, first_lanes(count));
}
ZEROI2V_ALWAYS_INLINE void int_store(std::int32_t* to, __m256i value) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}
ZEROI2V_ALWAYS_INLINE __m256i int_add(__m256i a, __m256i b) noexcept { return _mm256_add_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m256i int_shift_left(__m256i a, int bits) noexcept {
    return _mm256_sll_epi32(a, _mm_cvtsi32_si128(bits));
}
ZEROI2V_ALWAYS_INLINE __m256i int_subtract(__m256i a, __m256i b) noexcept { return _mm256_sub_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m256 int_to_float(__m256i a) noexcept { return _mm256_cvtepi32_ps(a); }
ZEROI2V_ALWAYS_INLINE __m256i nearest_int(__m256 a) noexcept { return _mm256_cvtps_epi32(a); }
ZEROI2V_ALWAYS_INLINE __m256 power_of_two(__m256i n) noexcept {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
ZEROI2V_ALWAYS_INLINE __m256 times_power_of_two(__m256 a, __m256i n) noexcept {
    __m256i const half = _mm256_srai_epi32(n, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(n, half)));
}
#endif

#if XSIMD_WITH_AVX512BW
template <> struct int_register<16> { using type = __m512i; };

ZEROI2V_ALWAYS_INLINE __mmask16 first_lanes_mask(std::size_t count) noexcept {
    return static_cast<__mmask16>((1U << (count < 16 ? count : 16)) - 1U);
}
ZEROI2V_ALWAYS_INLINE __m512 load_partial(float const* from, std::size_t count, lanes<16>) noexcept {
    return _mm512_maskz_loadu_ps(first_lanes_mask(count), from);
}
ZEROI2V_ALWAYS_INLINE void store_partial(float* to, std::size_t count, __m512 value, lanes<16>) noexcept {
    _mm512_mask_storeu_ps(to, first_lanes_mask(count), value);
}
ZEROI2V_ALWAYS_INLINE __m512 fused(__m512 a, __m512 b, __m512 c) noexcept { return _mm512_fmadd_ps(a, b, c); }
ZEROI2V_ALWAYS_INLINE __m512 fused_negative(__m512 a, __m512 b, __m512 c) noexcept { return _mm512_fnmadd_ps(a, b, c); }
ZEROI2V_ALWAYS_INLINE __m512 first_or(__m512 value, std::size_t count, __m512 other, lanes<16>) noexcept {
    return _mm512_mask_mov_ps(other, first_lanes_mask(count), value);
}
ZEROI2V_ALWAYS_INLINE __m512 where_less(__m512 a, __m512 b, __m512 then, __m512 otherwise) noexcept {
    return _mm512_mask_mov_ps(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), then);
}
ZEROI2V_ALWAYS_INLINE __m512 barrier(__m512 value) noexcept {
    __asm__("" : "+v"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m512i barrier(__m512i value) noexcept {
    __asm__("" : "+v"(value));
    return value;
}
ZEROI2V_ALWAYS_INLINE __m512i int_zero(lanes<16>) noexcept { return _mm512_setzero_si512(); }
ZEROI2V_ALWAYS_INLINE __m512i int_load(std::int32_t const* from, lanes<16>) noexcept { return _mm512_loadu_si512(from); }
ZEROI2V_ALWAYS_INLINE __m512i int_load_partial(std::int32_t const* from, std::size_t count, lanes<16>) noexcept {
    return _mm512_maskz_loadu_epi32(first_lanes_mask(count), from);
}
ZEROI2V_ALWAYS_INLINE void int_store(std::int32_t* to, __m512i value) noexcept { _mm512_storeu_si512(to, value); }
ZEROI2V_ALWAYS_INLINE __m512i int_add(__m512i a, __m512i b) noexcept { return _mm512_add_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m512i int_shift_left(__m512i a, int bits) noexcept {
    return _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits));
}
ZEROI2V_ALWAYS_INLINE __m512i int_subtract(__m512i a, __m512i b) noexcept { return _mm512_sub_epi32(a, b); }
ZEROI2V_ALWAYS_INLINE __m512 int_to_float(__m512i a) noexcept { return _mm512_cvtepi32_ps(a); }
ZEROI2V_ALWAYS_INLINE __m512i nearest_int(__m512 a) noexcept { return _mm512_cvtps_epi32(a); }
ZEROI2V_ALWAYS_INLINE __m512 times_power_of_two(__m512 a, __m512i n) noexcept {
    return _mm512_scalef_ps(a, _mm512_cvtepi32_ps(n));
}
#endif

} // namespace detail

template <class T, class Arch>
struct pack;

/// A register of floats. All functions are inlined in every build; none reads or writes memory outside the lanes named.
///
/// Numerics  fma rounds once where the instruction set has FMA, twice on sse2. min and max give their second argument where
///           one is a NaN. Sums over lanes are taken in a fixed order.
/// Test      tests/unit/simd/pack.cpp
template <class Arch>
struct pack<float, Arch> {
    using batch = xsimd::batch<float, Arch>;
    using register_type = typename batch::register_type;
    static constexpr std::size_t size = sizeof(register_type) / sizeof(float);
    using lanes = detail::lanes<size>;

    register_type value;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack zero() noexcept { return {batch::broadcast(0.0F)}; }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack broadcast(float x) noexcept { return {batch::broadcast(x)}; }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack load(float const* from) noexcept { return {batch::load_unaligned(from)}; }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack load_aligned(float const* from) noexcept {
        return {batch::load_aligned(from)};
    }
    /// The first `count` lanes; the others are 0.
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack load_partial(float const* from, std::size_t count) noexcept {
        return {detail::load_partial(from, count, lanes{})};
    }
    ZEROI2V_ALWAYS_INLINE void store(float* to) const noexcept { batch{value}.store_unaligned(to); }
    ZEROI2V_ALWAYS_INLINE void store_aligned(float* to) const noexcept { batch{value}.store_aligned(to); }
    /// The first `count` lanes.
    ZEROI2V_ALWAYS_INLINE void store_partial(float* to, std::size_t count) const noexcept {
        detail::store_partial(to, count, value, lanes{});
    }

    friend ZEROI2V_ALWAYS_INLINE pack operator+(pack a, pack b) noexcept { return {batch{a.value} + batch{b.value}}; }
    friend ZEROI2V_ALWAYS_INLINE pack operator-(pack a, pack b) noexcept { return {batch{a.value} - batch{b.value}}; }
    friend ZEROI2V_ALWAYS_INLINE pack operator*(pack a, pack b) noexcept { return {batch{a.value} * batch{b.value}}; }
    friend ZEROI2V_ALWAYS_INLINE pack operator/(pack a, pack b) noexcept { return {batch{a.value} / batch{b.value}}; }
    friend ZEROI2V_ALWAYS_INLINE pack min(pack a, pack b) noexcept { return {xsimd::min(batch{a.value}, batch{b.value})}; }
    friend ZEROI2V_ALWAYS_INLINE pack max(pack a, pack b) noexcept { return {xsimd::max(batch{a.value}, batch{b.value})}; }
    friend ZEROI2V_ALWAYS_INLINE pack abs(pack a) noexcept {
        constexpr float all_but_sign = __builtin_bit_cast(float, 0x7fffffffU);
        return {batch{a.value} & batch::broadcast(all_but_sign)};
    }
    friend ZEROI2V_ALWAYS_INLINE pack sqrt(pack a) noexcept { return {xsimd::sqrt(batch{a.value})}; }
    /// a * b + c
    friend ZEROI2V_ALWAYS_INLINE pack fma(pack a, pack b, pack c) noexcept {
        return {detail::fused(a.value, b.value, c.value)};
    }
    /// c - a * b
    friend ZEROI2V_ALWAYS_INLINE pack fnma(pack a, pack b, pack c) noexcept {
        return {detail::fused_negative(a.value, b.value, c.value)};
    }
    /// The first `count` lanes of a, the other lanes of b.
    friend ZEROI2V_ALWAYS_INLINE pack first_or(pack a, std::size_t count, pack b) noexcept {
        return {detail::first_or(a.value, count, b.value, lanes{})};
    }
    /// Lane by lane `then` where a < b, and `otherwise` where not, or where one is a NaN.
    friend ZEROI2V_ALWAYS_INLINE pack where_less(pack a, pack b, pack then, pack otherwise) noexcept {
        return {detail::where_less(a.value, b.value, then.value, otherwise.value)};
    }
    /// The same value, which no compiler option may merge with what was computed before.
    friend ZEROI2V_ALWAYS_INLINE pack barrier(pack a) noexcept { return {detail::barrier(a.value)}; }

    /// The sum of all lanes, as a tree of halves.
    friend ZEROI2V_ALWAYS_INLINE float reduce_add(pack a) noexcept {
        alignas(64) float lane[size];
        a.store_aligned(lane);
        ZEROI2V_UNROLL
        for (std::size_t half = size / 2; half > 0; half /= 2)
            for (std::size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
        return lane[0];
    }
    /// The largest lane; where a lane is a NaN, any lane or the NaN.
    friend ZEROI2V_ALWAYS_INLINE float reduce_max(pack a) noexcept {
        alignas(64) float lane[size];
        a.store_aligned(lane);
        ZEROI2V_UNROLL
        for (std::size_t half = size / 2; half > 0; half /= 2)
            for (std::size_t i = 0; i < half; ++i) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
        return lane[0];
    }
};

/// A register of 32-bit integers.
template <class Arch>
struct pack<std::int32_t, Arch> {
    static constexpr std::size_t size = pack<float, Arch>::size;
    using lanes = detail::lanes<size>;
    using register_type = typename detail::int_register<size>::type;

    register_type value;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack zero() noexcept { return {detail::int_zero(lanes{})}; }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack load(std::int32_t const* from) noexcept {
        return {detail::int_load(from, lanes{})};
    }
    /// The first `count` lanes; the others are 0.
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack load_partial(std::int32_t const* from, std::size_t count) noexcept {
        return {detail::int_load_partial(from, count, lanes{})};
    }
    ZEROI2V_ALWAYS_INLINE void store(std::int32_t* to) const noexcept { detail::int_store(to, value); }
    friend ZEROI2V_ALWAYS_INLINE pack operator-(pack a, pack b) noexcept { return {detail::int_subtract(a.value, b.value)}; }
    friend ZEROI2V_ALWAYS_INLINE pack operator<<(pack a, int bits) noexcept { return {detail::int_shift_left(a.value, bits)}; }
    friend ZEROI2V_ALWAYS_INLINE pack operator+(pack a, pack b) noexcept { return {detail::int_add(a.value, b.value)}; }

    /// Each lane rounded to float.
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> to_float() const noexcept { return {detail::int_to_float(value)}; }
    /// Each lane of `a` to the nearest integer, ties to even; beyond int32 and for a NaN the lowest integer.
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pack nearest(pack<float, Arch> a) noexcept {
        return {detail::nearest_int(a.value)};
    }
};

/// Four rows of four floats, `stride` apart, written as four columns, `to_stride` apart; to is aligned to 16.
ZEROI2V_ALWAYS_INLINE void transpose_4x4(float const* from, std::size_t stride, float* to, std::size_t to_stride) noexcept {
    __m128 const a = _mm_loadu_ps(from);
    __m128 const b = _mm_loadu_ps(from + stride);
    __m128 const c = _mm_loadu_ps(from + 2 * stride);
    __m128 const d = _mm_loadu_ps(from + 3 * stride);
    __m128 const ab_low = _mm_unpacklo_ps(a, b);
    __m128 const ab_high = _mm_unpackhi_ps(a, b);
    __m128 const cd_low = _mm_unpacklo_ps(c, d);
    __m128 const cd_high = _mm_unpackhi_ps(c, d);
    _mm_store_ps(to, _mm_movelh_ps(ab_low, cd_low));
    _mm_store_ps(to + to_stride, _mm_movehl_ps(cd_low, ab_low));
    _mm_store_ps(to + 2 * to_stride, _mm_movelh_ps(ab_high, cd_high));
    _mm_store_ps(to + 3 * to_stride, _mm_movehl_ps(cd_high, ab_high));
}

/// a * 2^n, rounded once, for |n| <= 252.
template <class Arch>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE pack<float, Arch> scale_by_power(pack<float, Arch> a, pack<std::int32_t, Arch> n) noexcept {
    return {detail::times_power_of_two(a.value, n.value)};
}

} // namespace zeroi2v
