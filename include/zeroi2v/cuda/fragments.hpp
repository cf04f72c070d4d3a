// fragments: which lane holds which element of mma.m16n8k16 and ldmatrix, and where a tile's chunks lie in shared memory.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>

namespace zeroi2v::cuda_kernels {

inline constexpr int warp_lanes = 32;

/// A place in a matrix.
struct place {
    int row{};
    int column{};
    friend constexpr bool operator==(place const&, place const&) noexcept = default;
};

/// The operands of one mma.sync.aligned.m16n8k16.row.col: D (16,8) = A (16,16) B (16,8) + C (16,8).
///
/// Register r of A and B holds two elements of 16 bits, half 0 in its lower bits; register r of C and D one float.
/// Source  PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type".     Test  tests/unit/cuda/fragments.cpp
struct mma_fragment {
    static constexpr int rows = 16, columns = 8, depth = 16;
    static constexpr int a_registers = 4, b_registers = 2, c_registers = 4;

    /// Row and depth of element `half` of A's register.
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr place a(int lane, int reg, int half) noexcept {
        return {lane / 4 + reg % 2 * 8, lane % 4 * 2 + reg / 2 * 8 + half};
    }
    /// Depth and column of element `half` of B's register.
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr place b(int lane, int reg, int half) noexcept {
        return {lane % 4 * 2 + reg * 8 + half, lane / 4};
    }
    /// Row and column of C's and D's register.
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr place c(int lane, int reg) noexcept {
        return {lane / 4 + reg / 2 * 8, lane % 4 * 2 + reg % 2};
    }
};

/// ldmatrix.x4: four matrices of 8 rows of 8 elements of 16 bits. Lane l gives the address of row l % 8 of matrix l / 8; register m
/// of lane l then holds two elements of matrix m.
/// Source  PTX ISA, ldmatrix.     Test  tests/unit/cuda/fragments.cpp
struct ldmatrix_fragment {
    static constexpr int side = 8, matrices = 4;

    /// Which element of its matrix half `half` is; transposed: .trans.
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr place element(int lane, int half, bool transposed) noexcept {
        place const straight{lane / 4, lane % 4 * 2 + half};
        return transposed ? place{straight.column, straight.row} : straight;
    }
};

/// The row and the chunk of 8 columns whose address a lane gives to ldmatrix.x4 for a tile of (16,16).
///
/// `down_first`: matrices 0 and 1 lie below each other, as A of mma wants them of (rows, depth), and B of .trans of (depth, columns).
/// Otherwise they lie side by side, as B wants them of (columns, depth): registers 0 and 1 are columns 0..7, registers 2 and 3 the rest.
[[nodiscard]] ZEROI2V_ON_BOTH constexpr place ldmatrix_address(int lane, bool down_first) noexcept {
    int const matrix = lane / 8;
    int const down = down_first ? matrix % 2 : matrix / 2;
    int const across = down_first ? matrix / 2 : matrix % 2;
    return {lane % 8 + down * 8, across};
}

/// A tile of rows of D elements of 16 bits in shared memory, in chunks of 16 bytes, permuted within each row so that the 8 rows which
/// one ldmatrix phase reads at the same chunk lie in 8 different groups of 4 banks.
///
///   chunk of (row, c) = row D/8 + (c xor (row >> shift mod 2^(3-shift))),  2^(3-shift) = the largest power of two up to 8 that divides D/8
///
/// Test  tests/unit/cuda/fragments.cpp: no two chunks in one place, no two of 8 rows in one group, for every D.
template <int D>
struct swizzled_tile {
    static_assert(D % 16 == 0 && D > 0, "zeroi2v::swizzled_tile: D must be a multiple of 16");
    static constexpr int chunk_bytes = 16, chunk_elements = 8;
    static constexpr int chunks = D / chunk_elements; ///< per row
    static constexpr int phase = chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2;
    static constexpr int shift = phase == 8 ? 0 : phase == 4 ? 1 : 2;

    /// Elements from the tile's beginning to this chunk.
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr int offset(int row, int chunk) noexcept {
        return (row * chunks + (chunk ^ (row >> shift & (phase - 1)))) * chunk_elements;
    }
};

} // namespace zeroi2v::cuda_kernels
