// Products of weights and activations: for each type of weights, how a panel is read and what one multiply-add is.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <immintrin.h>
#include <type_traits>

namespace zeroi2v {

// A product names
//   weight, activation    the elements in memory           sum        the register that accumulates
//   group                 consecutive k of one channel that lie together in a panel
//   steps                 multiply-adds that one group takes
//   padded                rows of activations are padded to whole groups; otherwise step s is element s of the group
//   weights(p, s)         the register of pack size channels whose first group lies at p, for step s
//   broadcast(a, s)       the activations of one row for step s of the group at a, in every lane
//   multiply_add(w, x, c) c + w * x, per channel

/// Float weights, float activations.
template <class Arch>
struct f32_product {
    using arch = Arch;
    using weight = float;
    using activation = float;
    using sum = pack<float, Arch>;
    static constexpr std::size_t group = 1;
    static constexpr std::size_t steps = 1;
    static constexpr bool padded = false;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum weights(weight const* p, std::size_t) noexcept { return sum::load_aligned(p); }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum broadcast(activation const* a, std::size_t) noexcept {
        return sum::broadcast(*a);
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum multiply_add(sum w, sum x, sum c) noexcept { return fma(w, x, c); }
};

namespace detail {

// 32-bit words of two bf16: the lower one and the upper one as floats.
ZEROI2V_ALWAYS_INLINE __m128 bf16_of_pair(void const* p, std::size_t upper, lanes<4>) noexcept {
    __m128i const pair = _mm_load_si128(static_cast<__m128i const*>(p));
    return _mm_castsi128_ps(upper != 0 ? _mm_and_si128(pair, _mm_set1_epi32(static_cast<int>(0xffff0000U))) : _mm_slli_epi32(pair, 16));
}
// 16-bit pairs times 16-bit pairs, summed to 32 bits. No saturation: |a|, |b| <= 128.
// The addition is written out: with the intrinsic g++ 12 computes all products of a tile first and spills them, and with a
// barrier behind the intrinsic it copies every sum (48 instructions for 12 products; so it is 36).
ZEROI2V_ALWAYS_INLINE __m128i dot_s16(__m128i a, __m128i b, __m128i c) noexcept {
    __asm__("paddd {%1, %0|%0, %1}" : "+x"(c) : "x"(_mm_madd_epi16(a, b)));
    return c;
}
ZEROI2V_ALWAYS_INLINE __m128i widen_s8(void const* p, lanes<4>) noexcept {
    __m128i const bytes = _mm_loadl_epi64(static_cast<__m128i const*>(p));
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
ZEROI2V_ALWAYS_INLINE __m128i broadcast_word(std::int32_t word, lanes<4>) noexcept { return _mm_set1_epi32(word); }
// Lanes, each of a value that fits, to consecutive shorter integers.
ZEROI2V_ALWAYS_INLINE void narrow(__m128i values, std::int16_t* to) noexcept {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(values, values));
}

#if XSIMD_WITH_FMA3_AVX2
ZEROI2V_ALWAYS_INLINE __m256 bf16_of_pair(void const* p, std::size_t upper, lanes<8>) noexcept {
    __m256i const pair = _mm256_load_si256(static_cast<__m256i const*>(p));
    return _mm256_castsi256_ps(upper != 0 ? _mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xffff0000U)))
                                          : _mm256_slli_epi32(pair, 16));
}
ZEROI2V_ALWAYS_INLINE __m256i dot_s16(__m256i a, __m256i b, __m256i c) noexcept {
    __asm__("vpaddd {%1, %0, %0|%0, %0, %1}" : "+x"(c) : "x"(_mm256_madd_epi16(a, b)));
    return c;
}
ZEROI2V_ALWAYS_INLINE __m256i widen_s8(void const* p, lanes<8>) noexcept {
    return _mm256_cvtepi8_epi16(_mm_load_si128(static_cast<__m128i const*>(p)));
}
ZEROI2V_ALWAYS_INLINE __m256i broadcast_word(std::int32_t word, lanes<8>) noexcept { return _mm256_set1_epi32(word); }
ZEROI2V_ALWAYS_INLINE void narrow(__m256i values, std::int16_t* to) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1)));
}
#endif

#if XSIMD_WITH_AVX512BW
ZEROI2V_ALWAYS_INLINE __m512 bf16_of_pair(void const* p, std::size_t upper, lanes<16>) noexcept {
    __m512i const pair = _mm512_load_si512(p);
    return _mm512_castsi512_ps(upper != 0 ? _mm512_and_si512(pair, _mm512_set1_epi32(static_cast<int>(0xffff0000U)))
                                          : _mm512_slli_epi32(pair, 16));
}
ZEROI2V_ALWAYS_INLINE __m512i dot_s16(__m512i a, __m512i b, __m512i c) noexcept {
    __asm__("vpaddd {%1, %0, %0|%0, %0, %1}" : "+v"(c) : "v"(_mm512_madd_epi16(a, b)));
    return c;
}
ZEROI2V_ALWAYS_INLINE __m512i widen_s8(void const* p, lanes<16>) noexcept {
    return _mm512_cvtepi8_epi16(_mm256_load_si256(static_cast<__m256i const*>(p)));
}
ZEROI2V_ALWAYS_INLINE __m512i broadcast_word(std::int32_t word, lanes<16>) noexcept { return _mm512_set1_epi32(word); }
ZEROI2V_ALWAYS_INLINE void narrow(__m512i values, std::int16_t* to) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(values));
}
ZEROI2V_ALWAYS_INLINE void narrow(__m512i values, std::uint8_t* to) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(values));
}
ZEROI2V_ALWAYS_INLINE void narrow(__m512i values, std::int8_t* to) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(values));
}
// The nearest bf16, ties to even; a NaN stays one. The instruction for it makes zeros of the smallest.
ZEROI2V_ALWAYS_INLINE void round_to_bf16(__m512 values, std::uint16_t* to) noexcept {
    __m512i const words = _mm512_castps_si512(values);
    __m512i const odd = _mm512_and_si512(_mm512_srli_epi32(words, 16), _mm512_set1_epi32(1));
    __m512i const rounded = _mm512_add_epi32(_mm512_add_epi32(words, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 const nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    __m512i const bits = _mm512_mask_or_epi32(rounded, nan, words, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}
#endif

#if defined(__AVX512VNNI__) && XSIMD_WITH_AVX512BW
ZEROI2V_ALWAYS_INLINE __m512i dot_u8_s8(__m512i unsigned_a, __m512i signed_b, __m512i c) noexcept {
    __m512i sum = _mm512_dpbusd_epi32(c, unsigned_a, signed_b);
    __asm__("" : "+v"(sum));
    return sum;
}
ZEROI2V_ALWAYS_INLINE __m512i load_words(void const* p, lanes<16>) noexcept { return _mm512_load_si512(p); }
#endif

#if defined(__AVX512BF16__) && XSIMD_WITH_AVX512BW
ZEROI2V_ALWAYS_INLINE __m512 dot_bf16(__m512i a, __m512i b, __m512 c) noexcept {
    __m512bh first;
    __m512bh second;
    std::memcpy(&first, &a, sizeof first);
    std::memcpy(&second, &b, sizeof second);
    return _mm512_dpbf16_ps(c, first, second);
}
#endif

template <class Bits, class T>
[[nodiscard]] ZEROI2V_ALWAYS_INLINE std::int32_t word_at(T const* a) noexcept {
    Bits word;
    std::memcpy(&word, a, sizeof word);
    return word;
}

} // namespace detail

/// bf16 weights widened in registers (exact), float activations and arithmetic.
template <class Arch>
struct bf16_product {
    using arch = Arch;
    using weight = std::uint16_t;
    using activation = float;
    using sum = pack<float, Arch>;
    static constexpr std::size_t group = 2;
    static constexpr std::size_t steps = 2;
    static constexpr bool padded = false;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum weights(weight const* p, std::size_t step) noexcept {
        return {detail::bf16_of_pair(p, step, typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum broadcast(activation const* a, std::size_t step) noexcept {
        return sum::broadcast(a[step]);
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum multiply_add(sum w, sum x, sum c) noexcept { return fma(w, x, c); }
};

/// int8 weights widened to 16 bits, activations of at most 8 bits kept in 16; 32-bit sums, exact up to k = 131071.
template <class Arch>
struct s16_product {
    using arch = Arch;
    using weight = std::int8_t;
    using activation = std::int16_t;
    using sum = pack<std::int32_t, Arch>;
    static constexpr std::size_t group = 2;
    static constexpr std::size_t steps = 1;
    static constexpr bool padded = true;
    static constexpr std::size_t max_k = 131071;
    static constexpr int offset_bits = 0; ///< activations are stored as they are

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum weights(weight const* p, std::size_t) noexcept {
        return {detail::widen_s8(p, typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum broadcast(activation const* a, std::size_t) noexcept {
        return {detail::broadcast_word(detail::word_at<std::int32_t>(a), typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum multiply_add(sum w, sum x, sum c) noexcept {
        return {detail::dot_s16(w.value, x.value, c.value)};
    }
};

#if defined(__AVX512VNNI__) && XSIMD_WITH_AVX512BW
/// int8 weights, activations + 128 in unsigned bytes; four products per step, exact up to k = 65793. What the 128 adds is
/// 128 times the sum of the channel's weights.
template <class Arch>
struct vnni_product {
    using arch = Arch;
    using weight = std::int8_t;
    using activation = std::uint8_t;
    using sum = pack<std::int32_t, Arch>;
    static constexpr std::size_t group = 4;
    static constexpr std::size_t steps = 1;
    static constexpr bool padded = true;
    static constexpr std::size_t max_k = 65793;
    static constexpr int offset_bits = 7; ///< 2^7 is added to every activation

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum weights(weight const* p, std::size_t) noexcept {
        return {detail::load_words(p, typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum broadcast(activation const* a, std::size_t) noexcept {
        return {detail::broadcast_word(detail::word_at<std::int32_t>(a), typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum multiply_add(sum w, sum x, sum c) noexcept {
        return {detail::dot_u8_s8(x.value, w.value, c.value)};
    }
};
#endif

#if defined(__AVX512BF16__) && XSIMD_WITH_AVX512BW
/// bf16 weights and bf16 activations; two products per step, summed in float.
template <class Arch>
struct bf16_dot_product {
    struct pairs { __m512i value; };
    using arch = Arch;
    using weight = std::uint16_t;
    using activation = std::uint16_t;
    using sum = pack<float, Arch>;
    static constexpr std::size_t group = 2;
    static constexpr std::size_t steps = 1;
    static constexpr bool padded = true;

    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pairs weights(weight const* p, std::size_t) noexcept {
        return {detail::load_words(p, typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static pairs broadcast(activation const* a, std::size_t) noexcept {
        return {detail::broadcast_word(detail::word_at<std::int32_t>(a), typename sum::lanes{})};
    }
    [[nodiscard]] ZEROI2V_ALWAYS_INLINE static sum multiply_add(pairs w, pairs x, sum c) noexcept {
        return {detail::dot_bf16(w.value, x.value, c.value)};
    }
};
#endif

} // namespace zeroi2v
