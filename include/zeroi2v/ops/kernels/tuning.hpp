// The sizes of register tiles and blocks, per width of a register, each with its reason.
#pragma once

#include <cstddef>

namespace zeroi2v {

/// A register tile: rows of A times vectors of channels, and the blocks around it.
template <std::size_t Lanes>
struct tuning;

/// 16 registers of 4 floats, no FMA: 12 sums, a broadcast, two products. More vectors than rows, because a broadcast takes
/// two instructions and a vector of weights none (3x4 0.60 of the limit on Zen 3, 4x2 0.52).
template <>
struct tuning<4> {
    static constexpr std::size_t rows = 3;
    static constexpr std::size_t vectors = 4;
    static constexpr std::size_t attention_rows = 3;
    static constexpr std::size_t attention_vectors = 4;
    static constexpr std::size_t attention_queries = 24;
    static constexpr std::size_t row_block = 240;
    static constexpr std::size_t k_slab = 0; ///< 0: a panel is taken in one pass, whatever k
};

/// 16 registers of 8 floats: 12 sums, 2 vectors of weights, a broadcast. On Zen 3 4x3 and 3x4 spill (55 % of the limit).
/// The rows of a block stay in the L2 cache while all panels pass: 192 to 396 make no difference on Zen 3, no blocks at all
/// cost a fifth at k = 3072.
template <>
struct tuning<8> {
    static constexpr std::size_t rows = 6;
    static constexpr std::size_t vectors = 2;
    static constexpr std::size_t attention_rows = 6;
    static constexpr std::size_t attention_vectors = 2;
    static constexpr std::size_t attention_queries = 24;
    static constexpr std::size_t row_block = 240;
    static constexpr std::size_t k_slab = 0;
};

/// 32 registers of 16 floats: 24 sums, 3 vectors of weights, a broadcast. Attention's matrices are 64 wide and about 200
/// long: panels of 32 waste least of them; scores of 36 queries and a panel fill 48 kB of L1 (24: 3 % slower products, 72: 2 %). A core of twice the speed waits twice as long for its caches: 192 rows of 768 stay in 2 MB of
/// L2 beside a panel, and of a longer k than 1024 a slab of all panels passes at a time (at most 768 made two slabs of ViT-L's 1024: 4 to 8 % of a forward). With 96 rows and slabs of 1536 as much stays there, but the
/// weights pass twice as often: 2 % of a forward where the next cache is quick, 12 % of the median where others use it as well.
template <>
struct tuning<16> {
    static constexpr std::size_t rows = 8;
    static constexpr std::size_t vectors = 3;
    static constexpr std::size_t attention_rows = 12;
    static constexpr std::size_t attention_vectors = 2;
    static constexpr std::size_t attention_queries = 36;
    static constexpr std::size_t row_block = 192;
    static constexpr std::size_t k_slab = 1024;
};

/// Products that one accumulator takes before it is added to the total. Bounds the rounding error of long sums (3072 equal
/// signs: 0.6 instead of 9 units of eps * sum |a b|); measured cost below 1 %.
inline constexpr std::size_t k_block = 256;

/// The same for sums in matrix registers, which add 32 products at a time to an accumulator.
inline constexpr std::size_t tile_k_block = 3072;

/// Rows that pass all panels of a matmul on matrix registers before the next rows do. 256 are as fast, within the noise, and take 4 MB more of
/// a classify with two threads.
inline constexpr std::size_t tile_row_block = 128;

} // namespace zeroi2v
