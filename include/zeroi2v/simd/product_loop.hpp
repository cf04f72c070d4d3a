// product_loop: the innermost loops of products, instruction by instruction, for the register tiles that do nearly all the work.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/simd/dot.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <cstddef>

namespace zeroi2v::detail {

/// What a written loop is given.
struct product_block {
    void const* a;         ///< rows
    std::size_t row_bytes; ///< from one row to the next
    void const* panel;     ///< a vector per vector of the tile and group
    std::size_t groups;    ///< at least 1
    void* sums;            ///< [row][channel] of the tile, aligned to a register
    bool begins;           ///< the sums: else the products are added to them, after they have been added to each other from zero
    char const* next;      ///< fetched beside the products, `step` bytes per group
    std::size_t step;
};

/// The loop for a tile of Rows rows and Vectors vectors; what has none of its own is left to the compiler.
///
/// The same operations in the same order as `accumulate`: one multiply-add per row, vector and group, from zero. What is gained is what stands beside
/// them: of four turns g++ 12 makes 154 instructions for 8x3 of floats, clang 14 189 with 25 accesses to the stack; here it is 149 from both.
/// A row's float is read once per turn: as an operand in memory of each of its multiply-adds it would save an instruction and cost two loads, and
/// loads lower the clock that a core keeps beside multiply-adds of 512 bits (docs/performance.md).
template <class Product, std::size_t Rows, std::size_t Vectors>
struct product_loop {
    static constexpr bool written = false;
};

#if !ZEROI2V_MEMORY_WATCHED // else the compiler's loops, whose loads are seen

// One turn is written for the group at byte `A` of the rows and `W` of the panel. Rows 0, 3, 6, 9 begin at %[a0], %[a3], ...; the two after each lie row_bytes and twice row_bytes behind it.
// {this|that} is `this` for an assembler of AT&T's dialect and `that` for Intel's (-masm=intel), which has the result first.

#define ZEROI2V_AT(A, base) "{" #A "(%[" #base "])|[%[" #base "]+" #A "]}"
#define ZEROI2V_AT_ROW(A, base, row_of_base) "{" #A "(%[" #base "],%[row]," #row_of_base ")|[%[" #base "]+%[row]*" #row_of_base "+" #A "]}"
/// to = from
#define ZEROI2V_LOAD(operation, size, from, to) operation " {|" to ", " size " ptr }" from "{, %%" to "|}\n\t"
/// sum += x * w
#define ZEROI2V_MULTIPLY_ADD(operation, x, w, sum) operation " {%%" x ", %%" w ", %%" sum "|" sum ", " w ", " x "}\n\t"
#define ZEROI2V_ADVANCE(bytes, pointer) "add{q $" #bytes ", %[" #pointer "]| %[" #pointer "], " #bytes "}\n\t"

#define ZEROI2V_Z_WEIGHTS_2(W) \
    ZEROI2V_LOAD("vmovaps", "zmmword", ZEROI2V_AT(W+0, w), "zmm24") \
    ZEROI2V_LOAD("vmovaps", "zmmword", ZEROI2V_AT(W+64, w), "zmm25")
#define ZEROI2V_Z_WEIGHTS_3(W) \
    ZEROI2V_Z_WEIGHTS_2(W) \
    ZEROI2V_LOAD("vmovaps", "zmmword", ZEROI2V_AT(W+128, w), "zmm26")
#define ZEROI2V_Z_ROW_3(from, x, c0, c1, c2) \
    ZEROI2V_LOAD("vbroadcastss", "dword", from, "zmm" #x) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "zmm" #x, "zmm24", "zmm" #c0) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "zmm" #x, "zmm25", "zmm" #c1) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "zmm" #x, "zmm26", "zmm" #c2)
#define ZEROI2V_V_ROW_3(from, x, c0, c1, c2) \
    ZEROI2V_LOAD("vpbroadcastd", "dword", from, "zmm" #x) \
    ZEROI2V_MULTIPLY_ADD("vpdpbusd", "zmm24", "zmm" #x, "zmm" #c0) \
    ZEROI2V_MULTIPLY_ADD("vpdpbusd", "zmm25", "zmm" #x, "zmm" #c1) \
    ZEROI2V_MULTIPLY_ADD("vpdpbusd", "zmm26", "zmm" #x, "zmm" #c2)
#define ZEROI2V_TURN_8X3(row, A, W) \
    ZEROI2V_Z_WEIGHTS_3(W) \
    row(ZEROI2V_AT(A, a0), 27, 0, 1, 2) \
    row(ZEROI2V_AT_ROW(A, a0, 1), 28, 3, 4, 5) \
    row(ZEROI2V_AT_ROW(A, a0, 2), 29, 6, 7, 8) \
    row(ZEROI2V_AT(A, a3), 30, 9, 10, 11) \
    row(ZEROI2V_AT_ROW(A, a3, 1), 31, 12, 13, 14) \
    row(ZEROI2V_AT_ROW(A, a3, 2), 27, 15, 16, 17) \
    row(ZEROI2V_AT(A, a6), 28, 18, 19, 20) \
    row(ZEROI2V_AT_ROW(A, a6, 1), 29, 21, 22, 23)
#define ZEROI2V_Z_TURN_8X3(A, W) ZEROI2V_TURN_8X3(ZEROI2V_Z_ROW_3, A, W)
#define ZEROI2V_V_TURN_8X3(A, W) ZEROI2V_TURN_8X3(ZEROI2V_V_ROW_3, A, W)

#define ZEROI2V_Z_ROW_2(from, x, c0, c1) \
    ZEROI2V_LOAD("vbroadcastss", "dword", from, "zmm" #x) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "zmm" #x, "zmm24", "zmm" #c0) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "zmm" #x, "zmm25", "zmm" #c1)
#define ZEROI2V_Z_TURN_12X2(A, W) \
    ZEROI2V_Z_WEIGHTS_2(W) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT(A, a0), 26, 0, 1) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a0, 1), 27, 2, 3) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a0, 2), 28, 4, 5) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT(A, a3), 29, 6, 7) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a3, 1), 30, 8, 9) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a3, 2), 31, 10, 11) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT(A, a6), 26, 12, 13) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a6, 1), 27, 14, 15) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a6, 2), 28, 16, 17) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT(A, a9), 29, 18, 19) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a9, 1), 30, 20, 21) \
    ZEROI2V_Z_ROW_2(ZEROI2V_AT_ROW(A, a9, 2), 31, 22, 23)

#define ZEROI2V_Y_ROW(from, x, c0, c1) \
    ZEROI2V_LOAD("vbroadcastss", "dword", from, "ymm" #x) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "ymm" #x, "ymm12", "ymm" #c0) \
    ZEROI2V_MULTIPLY_ADD("vfmadd231ps", "ymm" #x, "ymm13", "ymm" #c1)
#define ZEROI2V_Y_TURN_6X2(A, W) \
    ZEROI2V_LOAD("vmovaps", "ymmword", ZEROI2V_AT(W+0, w), "ymm12") \
    ZEROI2V_LOAD("vmovaps", "ymmword", ZEROI2V_AT(W+32, w), "ymm13") \
    ZEROI2V_Y_ROW(ZEROI2V_AT(A, a0), 14, 0, 1) \
    ZEROI2V_Y_ROW(ZEROI2V_AT_ROW(A, a0, 1), 15, 2, 3) \
    ZEROI2V_Y_ROW(ZEROI2V_AT_ROW(A, a0, 2), 14, 4, 5) \
    ZEROI2V_Y_ROW(ZEROI2V_AT(A, a3), 15, 6, 7) \
    ZEROI2V_Y_ROW(ZEROI2V_AT_ROW(A, a3, 1), 14, 8, 9) \
    ZEROI2V_Y_ROW(ZEROI2V_AT_ROW(A, a3, 2), 15, 10, 11)

#define ZEROI2V_CLEAR(r) "vpxor {%%xmm" #r ", %%xmm" #r ", %%xmm" #r "|xmm" #r ", xmm" #r ", xmm" #r "}\n\t"
#define ZEROI2V_CLEAR_HIGH(r) "vpxord {%%zmm" #r ", %%zmm" #r ", %%zmm" #r "|zmm" #r ", zmm" #r ", zmm" #r "}\n\t"
#define ZEROI2V_ADD_OF(operation, reg, bytes, r) operation " {|" reg #r ", " reg #r ", " reg "word ptr }" ZEROI2V_AT(bytes, sums) "{, %%" reg #r ", %%" reg #r "|}\n\t"
#define ZEROI2V_ADD(reg, bytes, r) ZEROI2V_ADD_OF("vaddps", reg, bytes, r)
#define ZEROI2V_ADD_WHOLE(reg, bytes, r) ZEROI2V_ADD_OF("vpaddd", reg, bytes, r)
#define ZEROI2V_STORE(reg, bytes, r) "vmovaps {%%" reg #r ", |" reg "word ptr }" ZEROI2V_AT(bytes, sums) "{|, " reg #r "}\n\t"
#define ZEROI2V_OF_12(F, reg, b) \
    F(reg, 0 * b, 0) F(reg, 1 * b, 1) F(reg, 2 * b, 2) F(reg, 3 * b, 3) F(reg, 4 * b, 4) F(reg, 5 * b, 5) \
    F(reg, 6 * b, 6) F(reg, 7 * b, 7) F(reg, 8 * b, 8) F(reg, 9 * b, 9) F(reg, 10 * b, 10) F(reg, 11 * b, 11)
#define ZEROI2V_OF_24(F, reg, b) \
    ZEROI2V_OF_12(F, reg, b) \
    F(reg, 12 * b, 12) F(reg, 13 * b, 13) F(reg, 14 * b, 14) F(reg, 15 * b, 15) F(reg, 16 * b, 16) F(reg, 17 * b, 17) \
    F(reg, 18 * b, 18) F(reg, 19 * b, 19) F(reg, 20 * b, 20) F(reg, 21 * b, 21) F(reg, 22 * b, 22) F(reg, 23 * b, 23)
#define ZEROI2V_CLEAR_12 \
    ZEROI2V_CLEAR(0) ZEROI2V_CLEAR(1) ZEROI2V_CLEAR(2) ZEROI2V_CLEAR(3) ZEROI2V_CLEAR(4) ZEROI2V_CLEAR(5) \
    ZEROI2V_CLEAR(6) ZEROI2V_CLEAR(7) ZEROI2V_CLEAR(8) ZEROI2V_CLEAR(9) ZEROI2V_CLEAR(10) ZEROI2V_CLEAR(11)
#define ZEROI2V_CLEAR_24 \
    ZEROI2V_CLEAR_12 ZEROI2V_CLEAR(12) ZEROI2V_CLEAR(13) ZEROI2V_CLEAR(14) ZEROI2V_CLEAR(15) \
    ZEROI2V_CLEAR_HIGH(16) ZEROI2V_CLEAR_HIGH(17) ZEROI2V_CLEAR_HIGH(18) ZEROI2V_CLEAR_HIGH(19) \
    ZEROI2V_CLEAR_HIGH(20) ZEROI2V_CLEAR_HIGH(21) ZEROI2V_CLEAR_HIGH(22) ZEROI2V_CLEAR_HIGH(23)

/// Four turns at a time with two lines fetched beside them, then single ones; then the sums.
#define ZEROI2V_LOOP(clear, turn, bytes, on_all, of_all, add, reg, b) \
    clear \
    "sub{q $4, %[groups]| %[groups], 4}\n\t" \
    "jb 3f\n\t" \
    ".p2align 5\n" \
    "2:\n\t" \
    "prefetcht1 {(%[next])|byte ptr [%[next]]}\n\t" \
    turn(0, 0) \
    turn(4, bytes) \
    "prefetcht1 {(%[next],%[step],2)|byte ptr [%[next]+%[step]*2]}\n\t" \
    turn(8, 2 * bytes) \
    "lea{q (%[next],%[step],4), %[next]| %[next], [%[next]+%[step]*4]}\n\t" \
    turn(12, 3 * bytes) \
    ZEROI2V_ADVANCE(4 * bytes, w) \
    on_all(16) \
    "sub{q $4, %[groups]| %[groups], 4}\n\t" \
    "jae 2b\n" \
    "3:\n\t" \
    "add{q $4, %[groups]| %[groups], 4}\n\t" \
    "je 5f\n" \
    "4:\n\t" \
    turn(0, 0) \
    ZEROI2V_ADVANCE(bytes, w) \
    on_all(4) \
    "sub{q $1, %[groups]| %[groups], 1}\n\t" \
    "jne 4b\n" \
    "5:\n\t" \
    "test{b|} %b[begins], %b[begins]\n\t" \
    "jne 6f\n\t" \
    of_all(add, reg, b) \
    "6:\n\t" \
    of_all(ZEROI2V_STORE, reg, b)
#define ZEROI2V_ROWS_6(bytes) ZEROI2V_ADVANCE(bytes, a0) ZEROI2V_ADVANCE(bytes, a3)
#define ZEROI2V_ROWS_8(bytes) ZEROI2V_ROWS_6(bytes) ZEROI2V_ADVANCE(bytes, a6)
#define ZEROI2V_ROWS_12(bytes) ZEROI2V_ROWS_8(bytes) ZEROI2V_ADVANCE(bytes, a9)
#define ZEROI2V_LOW_REGISTERS \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory"
#define ZEROI2V_ALL_REGISTERS \
    "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", \
        ZEROI2V_LOW_REGISTERS

struct f32_loop_16_8x3 {
    static constexpr bool written = true;
    ZEROI2V_ALWAYS_INLINE static void run(product_block const& on) noexcept {
        char const *a0 = static_cast<char const*>(on.a), *a3 = a0 + 3 * on.row_bytes, *a6 = a3 + 3 * on.row_bytes, *w = static_cast<char const*>(on.panel), *next = on.next;
        std::size_t groups = on.groups;
        asm volatile(ZEROI2V_LOOP(ZEROI2V_CLEAR_24, ZEROI2V_Z_TURN_8X3, 192, ZEROI2V_ROWS_8, ZEROI2V_OF_24, ZEROI2V_ADD, "zmm", 64)
                     : [a0] "+r"(a0), [a3] "+r"(a3), [a6] "+r"(a6), [w] "+r"(w), [next] "+r"(next), [groups] "+r"(groups)
                     : [row] "r"(on.row_bytes), [step] "r"(on.step), [sums] "r"(on.sums), [begins] "q"(on.begins)
                     : ZEROI2V_ALL_REGISTERS);
    }
};
struct f32_loop_16_12x2 {
    static constexpr bool written = true;
    ZEROI2V_ALWAYS_INLINE static void run(product_block const& on) noexcept {
        char const *a0 = static_cast<char const*>(on.a), *a3 = a0 + 3 * on.row_bytes, *a6 = a3 + 3 * on.row_bytes, *a9 = a6 + 3 * on.row_bytes, *w = static_cast<char const*>(on.panel), *next = on.next;
        std::size_t groups = on.groups;
        asm volatile(ZEROI2V_LOOP(ZEROI2V_CLEAR_24, ZEROI2V_Z_TURN_12X2, 128, ZEROI2V_ROWS_12, ZEROI2V_OF_24, ZEROI2V_ADD, "zmm", 64)
                     : [a0] "+r"(a0), [a3] "+r"(a3), [a6] "+r"(a6), [a9] "+r"(a9), [w] "+r"(w), [next] "+r"(next), [groups] "+r"(groups)
                     : [row] "r"(on.row_bytes), [step] "r"(on.step), [sums] "r"(on.sums), [begins] "q"(on.begins)
                     : ZEROI2V_ALL_REGISTERS);
    }
};
struct f32_loop_8_6x2 {
    static constexpr bool written = true;
    ZEROI2V_ALWAYS_INLINE static void run(product_block const& on) noexcept {
        char const *a0 = static_cast<char const*>(on.a), *a3 = a0 + 3 * on.row_bytes, *w = static_cast<char const*>(on.panel), *next = on.next;
        std::size_t groups = on.groups;
        asm volatile(ZEROI2V_LOOP(ZEROI2V_CLEAR_12, ZEROI2V_Y_TURN_6X2, 64, ZEROI2V_ROWS_6, ZEROI2V_OF_12, ZEROI2V_ADD, "ymm", 32)
                     : [a0] "+r"(a0), [a3] "+r"(a3), [w] "+r"(w), [next] "+r"(next), [groups] "+r"(groups)
                     : [row] "r"(on.row_bytes), [step] "r"(on.step), [sums] "r"(on.sums), [begins] "q"(on.begins)
                     : ZEROI2V_LOW_REGISTERS);
    }
};

template <class Arch>
    requires(pack<float, Arch>::size == 16)
struct product_loop<f32_product<Arch>, 8, 3> : f32_loop_16_8x3 {};

template <class Arch>
    requires(pack<float, Arch>::size == 16)
struct product_loop<f32_product<Arch>, 12, 2> : f32_loop_16_12x2 {};

template <class Arch>
    requires(pack<float, Arch>::size == 8)
struct product_loop<f32_product<Arch>, 6, 2> : f32_loop_8_6x2 {};

#if defined(__AVX512VNNI__) && XSIMD_WITH_AVX512BW
struct vnni_loop_16_8x3 {
    static constexpr bool written = true;
    ZEROI2V_ALWAYS_INLINE static void run(product_block const& on) noexcept {
        char const *a0 = static_cast<char const*>(on.a), *a3 = a0 + 3 * on.row_bytes, *a6 = a3 + 3 * on.row_bytes, *w = static_cast<char const*>(on.panel), *next = on.next;
        std::size_t groups = on.groups;
        asm volatile(ZEROI2V_LOOP(ZEROI2V_CLEAR_24, ZEROI2V_V_TURN_8X3, 192, ZEROI2V_ROWS_8, ZEROI2V_OF_24, ZEROI2V_ADD_WHOLE, "zmm", 64)
                     : [a0] "+r"(a0), [a3] "+r"(a3), [a6] "+r"(a6), [w] "+r"(w), [next] "+r"(next), [groups] "+r"(groups)
                     : [row] "r"(on.row_bytes), [step] "r"(on.step), [sums] "r"(on.sums), [begins] "q"(on.begins)
                     : ZEROI2V_ALL_REGISTERS);
    }
};

template <class Arch>
struct product_loop<vnni_product<Arch>, 8, 3> : vnni_loop_16_8x3 {};
#endif

#undef ZEROI2V_AT
#undef ZEROI2V_AT_ROW
#undef ZEROI2V_LOAD
#undef ZEROI2V_MULTIPLY_ADD
#undef ZEROI2V_ADVANCE
#undef ZEROI2V_Z_WEIGHTS_2
#undef ZEROI2V_Z_WEIGHTS_3
#undef ZEROI2V_Z_ROW_3
#undef ZEROI2V_V_ROW_3
#undef ZEROI2V_TURN_8X3
#undef ZEROI2V_Z_TURN_8X3
#undef ZEROI2V_V_TURN_8X3
#undef ZEROI2V_Z_ROW_2
#undef ZEROI2V_Z_TURN_12X2
#undef ZEROI2V_Y_ROW
#undef ZEROI2V_Y_TURN_6X2
#undef ZEROI2V_CLEAR
#undef ZEROI2V_CLEAR_HIGH
#undef ZEROI2V_ADD_OF
#undef ZEROI2V_ADD
#undef ZEROI2V_ADD_WHOLE
#undef ZEROI2V_STORE
#undef ZEROI2V_OF_12
#undef ZEROI2V_OF_24
#undef ZEROI2V_CLEAR_12
#undef ZEROI2V_CLEAR_24
#undef ZEROI2V_LOOP
#undef ZEROI2V_ROWS_6
#undef ZEROI2V_ROWS_8
#undef ZEROI2V_ROWS_12
#undef ZEROI2V_LOW_REGISTERS
#undef ZEROI2V_ALL_REGISTERS

#endif // !ZEROI2V_MEMORY_WATCHED

} // namespace zeroi2v::detail
