// attention_f32: attention in single precision with fused multiply-adds, keys and values read where the frame map says.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/cuda/fragments.hpp>
#include <zeroi2v/cuda/kernels/attention.hpp>

#include <cmath>
#include <cstddef>

namespace zeroi2v::cuda_kernels {

/// y[t,n,h,:] = softmax(q[t,n,h,:] . k[s,:,h,:]^T scale) v[s,:,h,:],  s = source(h, t) of the same clip, all in fp32 without TF32.
///
/// A block has 64 queries in shared memory and passes over the keys 32 at a time. 8 threads share a row of scores, 16 threads a
/// column: each has 4 rows, 4 keys, and D / 8 columns of the result. Rows in shared memory are one float longer than D, so that
/// neighbouring rows lie in neighbouring banks.
///
/// Shapes    D: head_dim rounded up to 32, 64, 96 or 128; missing columns are zeros. Any T, N, H.
/// Aliasing  y may be q, never k or v.
/// Numerics  fp32 throughout, online softmax. A row of -inf gives zeros; +inf or NaN in a row gives NaN in that row. The same bits in
///           every run.
/// Test      tests/unit/cuda/attention.cpp, on the host; not yet run on a device
template <int D, offset_source Source>
struct attention_f32 {
    static_assert(D % 32 == 0, "zeroi2v::attention_f32: D must be a multiple of 32");
    using arguments = attention_arguments<float, Source>;

    static constexpr char const* name = "attention_f32";
    static constexpr unsigned max_threads = 128;
    static constexpr int query_tile = 64, key_tile = 32;
    static constexpr int columns = 8;                       ///< threads that share a row
    static constexpr int lines = 16;                        ///< threads that share a column
    static constexpr int rows_each = query_tile / lines, keys_each = key_tile / columns, dims_each = D / columns;
    static constexpr int pitch = D + 1, score_pitch = key_tile + 1;
    static constexpr std::size_t shared_bytes =
        sizeof(float) * static_cast<std::size_t>((query_tile + 2 * key_tile) * pitch + query_tile * score_pitch);

    [[nodiscard]] static constexpr unsigned threads(int) noexcept { return columns * lines; }
    [[nodiscard]] static constexpr std::size_t blocks(int frames, int heads, int queries) noexcept {
        return static_cast<std::size_t>((queries + query_tile - 1) / query_tile) * static_cast<std::size_t>(heads) * static_cast<std::size_t>(frames);
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        attention_unit const unit = attention_unit_of(block.index(), query_tile, a);
        int const column = static_cast<int>(block.thread()) % columns, line = static_cast<int>(block.thread()) / columns;
        float* const q = reinterpret_cast<float*>(block.memory());
        float* const k = q + query_tile * pitch;
        float* const v = k + key_tile * pitch;
        float* const p = v + key_tile * pitch;
        float y[rows_each][dims_each]{};
        float largest[rows_each], sum[rows_each]{};
        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < rows_each; ++i) largest[i] = -INFINITY;

        load(block, a.q.at(unit.frame, unit.head) + static_cast<std::size_t>(unit.first_query) * a.q.token_stride, a.q.token_stride,
             query_tile, a.queries - unit.first_query, a.dim, q);
        for (int first = 0; first < a.keys; first += key_tile) {
            auto const from = static_cast<std::size_t>(first);
            load(block, a.k.at(unit.source, unit.head) + from * a.k.token_stride, a.k.token_stride, key_tile, a.keys - first, a.dim, k);
            load(block, a.v.at(unit.source, unit.head) + from * a.v.token_stride, a.v.token_stride, key_tile, a.keys - first, a.dim, v);
            block.barrier();
            scores(block, a, q + line * pitch, k + column * pitch, a.keys - first, column, p + line * score_pitch + column, y, largest, sum);
            block.barrier();
            ZEROI2V_CUDA_UNROLL
            for (int key = 0; key < key_tile; ++key) {
                float value[dims_each];
                ZEROI2V_CUDA_UNROLL
                for (int d = 0; d < dims_each; ++d) value[d] = v[key * pitch + d * columns + column];
                ZEROI2V_CUDA_UNROLL
                for (int i = 0; i < rows_each; ++i) {
                    float const share = p[(line + i * lines) * score_pitch + key];
                    ZEROI2V_CUDA_UNROLL
                    for (int d = 0; d < dims_each; ++d) y[i][d] = ::fmaf(share, value[d], y[i][d]);
                }
            }
            block.barrier(); // before the next keys and values take the place of these
        }

        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < rows_each; ++i) {
            float const share = sum[i] == 0.0F ? 0.0F : 1.0F / sum[i];
            int const row = unit.first_query + line + i * lines;
            if (row >= a.queries) continue;
            float* const to = a.y.at(unit.frame, unit.head) + static_cast<std::size_t>(row) * a.y.token_stride;
            ZEROI2V_CUDA_UNROLL
            for (int d = 0; d < dims_each; ++d)
                if (d * columns + column < a.dim) to[d * columns + column] = y[i][d] * share;
        }
    }

private:
    /// `rows` rows of `dim` floats, of which `left` or all are there, to rows of `pitch` floats; zeros elsewhere.
    template <class Block>
    ZEROI2V_ON_DEVICE static void load(Block& block, float const* from, std::size_t stride, int rows, int left, int dim, float* to) noexcept {
        for (int i = static_cast<int>(block.thread()); i < rows * D; i += columns * lines) {
            int const row = i / D, d = i % D;
            to[row * pitch + d] = row < left && d < dim ? from[static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(d)] : 0.0F;
        }
    }

    /// This thread's scores of the tile become probabilities in `p`; `y` and `sum` shrink where a larger score came.
    template <class Block>
    ZEROI2V_ON_DEVICE static void scores(Block& block, arguments const& a, float const* q, float const* k, int left, int column, float* p,
                                         float (&y)[rows_each][dims_each], float (&largest)[rows_each], float (&sum)[rows_each]) noexcept {
        float s[rows_each][keys_each]{};
        ZEROI2V_CUDA_UNROLL
        for (int d = 0; d < D; ++d) {
            float key[keys_each];
            ZEROI2V_CUDA_UNROLL
            for (int j = 0; j < keys_each; ++j) key[j] = k[j * columns * pitch + d];
            ZEROI2V_CUDA_UNROLL
            for (int i = 0; i < rows_each; ++i) {
                float const query = q[i * lines * pitch + d];
                ZEROI2V_CUDA_UNROLL
                for (int j = 0; j < keys_each; ++j) s[i][j] = ::fmaf(query, key[j], s[i][j]);
            }
        }
        ZEROI2V_CUDA_UNROLL
        for (int i = 0; i < rows_each; ++i) {
            float top = -INFINITY;
            ZEROI2V_CUDA_UNROLL
            for (int j = 0; j < keys_each; ++j) {
                s[i][j] = column + j * columns < left ? s[i][j] * a.scale : -INFINITY;
                top = ::fmaxf(top, s[i][j]);
            }
            ZEROI2V_CUDA_UNROLL
            for (unsigned mask = 1; mask < columns; mask *= 2) top = ::fmaxf(top, block.shuffle_xor(top, mask));
            top = ::fmaxf(top, largest[i]);
            float const base = top == -INFINITY ? 0.0F : top;
            float const shrink = ::expf(largest[i] - base);
            largest[i] = top;
            float added = 0;
            ZEROI2V_CUDA_UNROLL
            for (int j = 0; j < keys_each; ++j) {
                s[i][j] = ::expf(s[i][j] - base);
                added += s[i][j];
                p[i * lines * score_pitch + j * columns] = s[i][j];
            }
            ZEROI2V_CUDA_UNROLL
            for (unsigned mask = 1; mask < columns; mask *= 2) added += block.shuffle_xor(added, mask);
            sum[i] = sum[i] * shrink + added;
            ZEROI2V_CUDA_UNROLL
            for (int d = 0; d < dims_each; ++d) y[i][d] *= shrink;
        }
    }
};

} // namespace zeroi2v::cuda_kernels
