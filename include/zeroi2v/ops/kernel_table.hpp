// kernel_table: what differs between instruction sets, as a table of functions on plain pointers.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <cstddef>
#include <cstdint>

namespace zeroi2v {

/// C = act(A W^T + bias) + residual, for rows [0, m) of A and the channels of whole panels.
///
///   a          (m, k)  float, or what prepare_rows made where the kernel prepares its rows; row stride `lda` elements
///   row_scales (m)     of prepare_rows, where the kernel has them
///   panels             packed weights (packed_matrix); channels [0, n) from the first panel on
///   scales     (n)     of the weights, where the kernel has them      sums (n)  of the weights' rows, likewise
///   bias       (n)     or null        residual (m, n) or null; it may be c itself
///   c          (m, n)  row stride ldc
///   partial    m times the channels of whole panels, aligned to 64, or null: room for the sums of long k, to take it in slabs; the same bits
/// Only elements inside these shapes are read or written.
struct matmul_args {
    void const* a;
    std::size_t lda;
    float const* row_scales;
    void const* panels;
    float const* scales;
    std::int32_t const* sums;
    float const* bias;
    float const* residual;
    std::size_t ld_residual;
    float* c;
    std::size_t ldc;
    std::size_t m, n, k;
    activation act;
    float* partial;
};

/// Float rows (rows, k) made into what a matmul kernel reads: rows of `prepared_stride(k)` elements, padded with zeros.
struct prepare_rows_args {
    float const* a;
    std::size_t lda;
    std::size_t rows, k;
    void* prepared;
    float* row_scales; ///< (rows): the value of one step; a row with a NaN or an infinity has the scale NaN
};

/// One matmul kernel and the layout of its operands.
struct matmul_kernel {
    void (*run)(matmul_args const&) noexcept;
    void (*prepare_rows)(prepare_rows_args const&) noexcept; ///< null: the kernel reads float rows as they are
    std::size_t row_tile;         ///< rows of one register tile
    std::size_t row_block;        ///< rows that pass all panels before the next rows do
    std::size_t k_slab;           ///< the products of a longer k are taken in slabs where there is room; 0: never
    std::size_t panel_width;      ///< channels of one panel
    std::size_t group;            ///< consecutive k of one channel that lie together in a panel
    std::size_t k_multiple;       ///< panels and prepared rows are padded with zeros to a multiple of it, itself one of group
    std::size_t weight_bytes;     ///< of one element of a panel
    std::size_t activation_bytes; ///< of one prepared element
    std::size_t max_k;            ///< the longest sum that cannot overflow
    bool weight_sums;             ///< reads matmul_args::sums
    /// Nothing but its dot products on registers; returns the operations done, two per multiply-add. Null: it multiplies by FMAs.
    std::size_t (*dot_loop)(std::size_t iterations) noexcept;

    [[nodiscard]] constexpr std::size_t padded_k(std::size_t k) const noexcept { return (k + k_multiple - 1) / k_multiple * k_multiple; }
    [[nodiscard]] constexpr std::size_t panel_bytes(std::size_t k) const noexcept {
        return padded_k(k) * panel_width * weight_bytes;
    }
    /// Elements between two prepared rows: whole cache lines.
    [[nodiscard]] constexpr std::size_t prepared_stride(std::size_t k) const noexcept {
        std::size_t const per_line = activation_bytes == 0 ? 1 : 64 / activation_bytes;
        return (padded_k(k) + per_line - 1) / per_line * per_line;
    }
};

/// y = (x - mean) / sqrt(variance + eps) * weight + bias over each row; y may be x.
struct layer_norm_args {
    float const* x;
    std::size_t ldx;
    float const* weight;
    float const* bias;
    float* y;
    std::size_t ldy;
    std::size_t rows, width;
    float eps;
};

/// y = softmax(x) over each row; y may be x.
struct softmax_args {
    float const* x;
    std::size_t ldx;
    float* y;
    std::size_t ldy;
    std::size_t rows, width;
};

/// y = softmax(scale q k^T) v for one head of one frame. y may be q.
///
///   q, y (queries, dim)     k, v (keys, dim); the strides are between rows (tokens), in elements
struct attention_args {
    float const* q;
    std::size_t q_stride;
    float const* k;
    std::size_t k_stride;
    float const* v;
    std::size_t v_stride;
    float* y;
    std::size_t y_stride;
    std::size_t queries, keys, dim;
    float scale;
    float* scratch; ///< aligned to 64 bytes, kernel_table::attention_scratch floats
    float const *next_q{}, *next_k{}, *next_v{}; ///< of the call that follows, to be fetched beside this one, or null
};

/// The gradient of layer_norm's input: with g = dy * weight, n = (x - mean) / s and s = sqrt(variance + eps),
///   dx = residual + (g - mean(g) - n mean(g n)) / s
///
/// residual may be null; it, or dy, may be dx itself.
struct layer_norm_backward_args {
    float const* x;
    std::size_t ldx;
    float const* weight;
    float const* dy;
    std::size_t lddy;
    float const* residual;
    std::size_t ld_residual;
    float* dx;
    std::size_t lddx;
    std::size_t rows, width;
    float eps;
};

/// The gradient of softmax's input, given its result p: dx = p (dp - sum(p dp)) over each row; dx may be dp.
struct softmax_backward_args {
    float const* p;
    std::size_t ldp;
    float const* dp;
    std::size_t lddp;
    float* dx;
    std::size_t lddx;
    std::size_t rows, width;
};

/// One activation over arrays. No length is too short.
struct activation_kernel {
    void (*forward)(float const* x, float* y, std::size_t count) noexcept;                     ///< y = act(x); y may be x
    void (*backward)(float const* x, float const* dy, float* dx, std::size_t count) noexcept; ///< dx = dy act'(x); dx may be dy
};

/// The kernels of one instruction set. Every function may run on any number of threads at once, on disjoint results.
///
/// Numerics  One element of a result comes from the same operations in the same order wherever its row stands in the call,
///           whatever the other rows and the addresses are.
struct kernel_table {
    isa level;
    matmul_kernel f32;
    matmul_kernel attention_product; ///< float, with the tile of attention: of what is 64 wide it leaves less empty
    matmul_kernel bf16; ///< bf16 weights; float activations, or bf16 ones where the processor multiplies them
    matmul_kernel i8;   ///< int8 weights, one scale per channel; activations in int8, one scale per row; sums exact
    void (*layer_norm)(layer_norm_args const&) noexcept;
    void (*softmax)(softmax_args const&) noexcept;
    activation_kernel const* activations; ///< activation_count of them, see `of`
    void (*exp)(float const* x, float* y, std::size_t count) noexcept; ///< y may be x
    void (*attention)(attention_args const&) noexcept;
    std::size_t (*attention_scratch)(std::size_t keys, std::size_t dim) noexcept; ///< floats
    void (*layer_norm_backward)(layer_norm_backward_args const&) noexcept;
    void (*softmax_backward)(softmax_backward_args const&) noexcept;
    std::size_t (*fma_loop)(std::size_t iterations) noexcept; ///< nothing but FMAs on registers; returns the flops done

    [[nodiscard]] constexpr activation_kernel const& of(activation act) const noexcept { return activations[static_cast<std::size_t>(act)]; }

    /// The matmul kernel for weights of a type: f32, bf16 or i8.
    [[nodiscard]] constexpr matmul_kernel const* matmul(dtype weights) const noexcept {
        switch (weights) {
        case dtype::f32: return &f32;
        case dtype::bf16: return &bf16;
        case dtype::i8: return &i8;
        default: return nullptr;
        }
    }
};

/// The kernels of Arch, which this translation unit's flags must allow. Defined in <zeroi2v/ops/kernels.hpp>.
template <class Arch>
[[nodiscard]] kernel_table const& kernels_of() noexcept;

} // namespace zeroi2v
