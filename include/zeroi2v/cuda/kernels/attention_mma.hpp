// attention_mma: attention of bf16 and f16 with tensor core products, keys and values read where the frame map says.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/cuda/fragments.hpp>
#include <zeroi2v/cuda/kernels/attention.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace zeroi2v::cuda_kernels {

/// y[t,n,h,:] = softmax(q[t,n,h,:] . k[s,:,h,:]^T scale) v[s,:,h,:],  s = source(h, t) of the same clip.
///
/// A warp has 16 queries in registers; keys and values pass through shared memory in tiles of 64, the next one on its way while one is
/// computed (cp.async, two stages). Scores stay in the registers of their mma, which are the registers that the second product takes.
///
/// Shapes    D: head_dim rounded up to 32, 64, 80, 96 or 128; missing columns are zeros. Any T, N, H.
/// Aliasing  y may be q, never k or v.
/// Numerics  scores, online softmax (base 2) and sums in fp32; probabilities rounded to E for the second product, as tensor cores need
///           them. A row of -inf gives zeros; +inf or NaN in a row gives NaN in that row. The same bits in every run.
/// Cost      4 keys queries D operations per head and frame, rounded up to 16 keys and 16 queries; shared_bytes of shared memory.
/// Source    Dao, FlashAttention-2 (the online softmax); ZeroI2V, section STDHA.
/// Test      tests/unit/cuda/attention.cpp, on the host; not yet run on a device
template <half_element E, int D, offset_source Source>
struct attention_mma {
    using arguments = attention_arguments<E, Source>;
    using tile = swizzled_tile<D>;

    static constexpr char const* name = "attention_mma";
    static constexpr unsigned max_threads = 256;
    static constexpr int key_tile = 64;  ///< so that a stage of D = 128 is 32 KiB, and scores are 32 registers
    static constexpr int query_tile = 16; ///< of a warp
    static constexpr int stages = 2;
    static constexpr std::size_t stage_elements = 2 * static_cast<std::size_t>(key_tile) * D; ///< keys, then values
    static constexpr std::size_t shared_bytes = stages * stage_elements * sizeof(E);

    [[nodiscard]] static constexpr unsigned threads(int queries) noexcept { return static_cast<unsigned>(attention_warps(queries)) * warp_lanes; }
    [[nodiscard]] static constexpr std::size_t blocks(int frames, int heads, int queries) noexcept {
        int const rows = attention_warps(queries) * query_tile;
        return static_cast<std::size_t>((queries + rows - 1) / rows) * static_cast<std::size_t>(heads) * static_cast<std::size_t>(frames);
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        int const warps = static_cast<int>(block.threads()) / warp_lanes;
        attention_unit const unit = attention_unit_of(block.index(), warps * query_tile, a);
        int const first = unit.first_query + block.warp() * query_tile;
        bool const active = first < a.queries;
        E const* const keys = a.k.at(unit.source, unit.head);
        E const* const values = a.v.at(unit.source, unit.head);
        E* const shared = reinterpret_cast<E*>(block.memory());

        registers r;
        if (active) load_queries(block, a, a.q.at(unit.frame, unit.head), first, r);
        int const tiles = (a.keys + key_tile - 1) / key_tile;
        auto const fetch = [&](int at) {
            E* const stage = shared + static_cast<std::size_t>(at % stages) * stage_elements;
            load_tile(block, keys, a.k.token_stride, at * key_tile, a, stage);
            load_tile(block, values, a.v.token_stride, at * key_tile, a, stage + key_tile * D);
        };
        if (tiles > 0) fetch(0);
        block.commit();
        for (int at = 0; at < tiles; ++at) {
            if (at + 1 < tiles) fetch(at + 1);
            block.commit();
            block.template wait<1>(); // all but the newest group: this tile is here
            block.barrier();
            E const* const stage = shared + static_cast<std::size_t>(at % stages) * stage_elements;
            if (active) compute(block, a, stage, a.keys - at * key_tile, r);
            block.barrier(); // before the tile after next takes this one's place
        }
        if (active) store(block, a, a.y.at(unit.frame, unit.head), first, r);
    }

private:
    /// A warp's part of the work: lane / 4 and lane / 4 + 8 are this lane's rows.
    struct registers {
        std::uint32_t q[D / 16][4];
        float y[D / 8][4]{};
        float largest[2]{-INFINITY, -INFINITY}; ///< of the scores, times log2(e)
        float sum[2]{};                         ///< of this lane's columns
    };

    /// Elements `column` and `column` + 1 of a row in one register, zeros beyond `dim`.
    ZEROI2V_ON_DEVICE static std::uint32_t pair_at(E const* row, int column, int dim) noexcept {
        if (column + 1 < dim && dim % 2 == 0) return *reinterpret_cast<std::uint32_t const*>(row + column);
        std::uint32_t const low = column < dim ? row[column].bits : 0U;
        std::uint32_t const high = column + 1 < dim ? row[column + 1].bits : 0U;
        return low | high << 16;
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void load_queries(Block& block, arguments const& a, E const* q, int first, registers& r) noexcept {
        ZEROI2V_CUDA_UNROLL
        for (int step = 0; step < D / 16; ++step)
            ZEROI2V_CUDA_UNROLL
            for (int reg = 0; reg < 4; ++reg) {
                place const at = mma_fragment::a(block.lane(), reg, 0);
                int const row = first + at.row;
                r.q[step][reg] = row < a.queries ? pair_at(q + static_cast<std::size_t>(row) * a.q.token_stride, step * 16 + at.column, a.dim) : 0U;
            }
    }

    /// Rows [first, first + key_tile) of keys or values to shared memory; zeros beyond the last token and the last column.
    template <class Block>
    ZEROI2V_ON_DEVICE static void load_tile(Block& block, E const* from, std::size_t stride, int first, arguments const& a, E* to) noexcept {
        for (int i = static_cast<int>(block.thread()); i < key_tile * tile::chunks; i += static_cast<int>(block.threads())) {
            int const row = i / tile::chunks, chunk = i % tile::chunks;
            int const column = chunk * tile::chunk_elements;
            E* const target = to + tile::offset(row, chunk);
            bool const inside = first + row < a.keys && column < a.dim;
            E const* const source = from + (inside ? static_cast<std::size_t>(first + row) * stride + static_cast<std::size_t>(column) : 0);
            if (a.dim % tile::chunk_elements == 0) {
                block.copy_16(target, source, inside);
            } else { // rows not aligned to 16 bytes
                for (int e = 0; e < tile::chunk_elements; ++e) {
                    if (inside && column + e < a.dim) target[e].bits = source[e].bits;
                    else target[e].bits = 0;
                }
            }
        }
    }

    /// One tile of keys and values, of which `left` or all are there.
    template <class Block>
    ZEROI2V_ON_DEVICE static void compute(Block& block, arguments const& a, E const* stage, int left, registers& r) noexcept {
        constexpr float log2_e = 1.4426950408889634F;
        E const* const keys = stage;
        E const* const values = stage + key_tile * D;
        float s[key_tile / 8][4]{};
        place const across = ldmatrix_address(block.lane(), false);
        ZEROI2V_CUDA_UNROLL
        for (int group = 0; group < key_tile / 16; ++group) {
            if (group * 16 >= left) continue; // the same for all lanes
            ZEROI2V_CUDA_UNROLL
            for (int step = 0; step < D / 16; ++step) {
                std::uint32_t k[4];
                block.load_matrix(k, keys + tile::offset(group * 16 + across.row, step * 2 + across.column));
                std::uint32_t const low[2]{k[0], k[1]}, high[2]{k[2], k[3]};
                block.template multiply<E>(s[group * 2], r.q[step], low);
                block.template multiply<E>(s[group * 2 + 1], r.q[step], high);
            }
        }

        float const scale = a.scale * log2_e;
        float largest[2]{-INFINITY, -INFINITY};
        ZEROI2V_CUDA_UNROLL
        for (int j = 0; j < key_tile / 8; ++j)
            ZEROI2V_CUDA_UNROLL
            for (int c = 0; c < 4; ++c) {
                int const key = j * 8 + mma_fragment::c(block.lane(), c).column;
                s[j][c] = key < left ? s[j][c] * scale : -INFINITY;
                largest[c / 2] = ::fmaxf(largest[c / 2], s[j][c]);
            }
        float base[2];
        ZEROI2V_CUDA_UNROLL
        for (int half = 0; half < 2; ++half) {
            largest[half] = ::fmaxf(largest[half], block.shuffle_xor(largest[half], 1));
            largest[half] = ::fmaxf(largest[half], block.shuffle_xor(largest[half], 2));
            largest[half] = ::fmaxf(largest[half], r.largest[half]);
            base[half] = largest[half] == -INFINITY ? 0.0F : largest[half];
            float const shrink = block.exp2(r.largest[half] - base[half]);
            r.largest[half] = largest[half];
            r.sum[half] *= shrink;
            ZEROI2V_CUDA_UNROLL
            for (int j = 0; j < D / 8; ++j) {
                r.y[j][half * 2] *= shrink;
                r.y[j][half * 2 + 1] *= shrink;
            }
        }
        ZEROI2V_CUDA_UNROLL
        for (int j = 0; j < key_tile / 8; ++j)
            ZEROI2V_CUDA_UNROLL
            for (int c = 0; c < 4; ++c) {
                s[j][c] = block.exp2(s[j][c] - base[c / 2]);
                r.sum[c / 2] += s[j][c];
            }

        place const down = ldmatrix_address(block.lane(), true);
        ZEROI2V_CUDA_UNROLL
        for (int group = 0; group < key_tile / 16; ++group) {
            if (group * 16 >= left) continue;
            auto const& near = s[group * 2];
            auto const& far = s[group * 2 + 1];
            std::uint32_t const p[4]{pack_pair<E>(near[0], near[1]), pack_pair<E>(near[2], near[3]), pack_pair<E>(far[0], far[1]), pack_pair<E>(far[2], far[3])};
            ZEROI2V_CUDA_UNROLL
            for (int step = 0; step < D / 16; ++step) {
                std::uint32_t v[4];
                block.load_matrix_transposed(v, values + tile::offset(group * 16 + down.row, step * 2 + down.column));
                std::uint32_t const low[2]{v[0], v[1]}, high[2]{v[2], v[3]};
                block.template multiply<E>(r.y[step * 2], p, low);
                block.template multiply<E>(r.y[step * 2 + 1], p, high);
            }
        }
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void store(Block& block, arguments const& a, E* y, int first, registers& r) noexcept {
        ZEROI2V_CUDA_UNROLL
        for (int half = 0; half < 2; ++half) {
            float sum = r.sum[half];
            sum += block.shuffle_xor(sum, 1);
            sum += block.shuffle_xor(sum, 2);
            float const share = sum == 0.0F ? 0.0F : 1.0F / sum;
            int const row = first + block.lane() / 4 + half * 8;
            if (row >= a.queries) continue; // all four lanes of the row
            E* const to = y + static_cast<std::size_t>(row) * a.y.token_stride;
            ZEROI2V_CUDA_UNROLL
            for (int j = 0; j < D / 8; ++j) {
                int const column = j * 8 + block.lane() % 4 * 2;
                float const left = r.y[j][half * 2] * share, right = r.y[j][half * 2 + 1] * share;
                if (column + 1 < a.dim && a.dim % 2 == 0) {
                    *reinterpret_cast<std::uint32_t*>(to + column) = pack_pair<E>(left, right);
                } else {
                    if (column < a.dim) to[column] = from_float<E>(left);
                    if (column + 1 < a.dim) to[column + 1] = from_float<E>(right);
                }
            }
        }
    }
};

} // namespace zeroi2v::cuda_kernels
