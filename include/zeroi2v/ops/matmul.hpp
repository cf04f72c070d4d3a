// matmul: C = act(A W^T + bias) + residual with packed weights, the linear layer of every model here.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace zeroi2v {

/// What follows the product, beside it.
struct epilogue {
    activation act = activation::none;
    matrix_view<float const> residual = {}; ///< (M,N), or none; it may be C itself
};

namespace detail {

/// Bytes for rows that the kernel wants in another form.
[[nodiscard]] inline std::size_t prepared_bytes(packed_matrix const& weights, std::size_t rows) noexcept {
    matmul_kernel const& kernel = weights.kernel();
    if (kernel.prepare_rows == nullptr) return 0;
    std::size_t const scales = (rows * sizeof(float) + 63) / 64 * 64;
    return scales + rows * kernel.prepared_stride(weights.inputs()) * kernel.activation_bytes;
}

/// Bytes for the partial sums of long k.
[[nodiscard]] inline std::size_t partial_bytes(matmul_kernel const& kernel, std::size_t rows, std::size_t outputs, std::size_t inputs) noexcept {
    if (kernel.k_slab == 0 || inputs <= kernel.k_slab) return 0;
    return rows * ((outputs + kernel.panel_width - 1) / kernel.panel_width * kernel.panel_width) * sizeof(float);
}
[[nodiscard]] inline std::size_t partial_bytes(packed_matrix const& weights, std::size_t rows) noexcept {
    return partial_bytes(weights.kernel(), rows, weights.outputs(), weights.inputs());
}

} // namespace detail

/// Bytes of scratch for `rows` rows. A kernel that reads float rows as they are does without it, but is slower at long k on
/// instruction sets that take it in slabs; a kernel that prepares its rows needs it.
[[nodiscard]] inline std::size_t matmul_scratch_bytes(packed_matrix const& weights, std::size_t rows) noexcept {
    return std::max(detail::prepared_bytes(weights, rows), detail::partial_bytes(weights, rows));
}

namespace detail {

struct matmul_call {
    matrix_view<float const> a;
    packed_matrix const& weights;
    epilogue const& after;
    matrix_view<float> c;
    std::byte* scratch;
    bool in_slabs;

    [[nodiscard]] float* row_scales() const noexcept { return reinterpret_cast<float*>(scratch); }
    [[nodiscard]] std::byte* prepared(std::size_t row) const noexcept {
        matmul_kernel const& kernel = weights.kernel();
        return scratch + (a.rows * sizeof(float) + 63) / 64 * 64
               + row * kernel.prepared_stride(a.columns) * kernel.activation_bytes;
    }

    void prepare(index_range rows) const noexcept {
        if (rows.empty()) return;
        weights.kernel().prepare_rows({.a = a.row(rows.begin), .lda = a.stride, .rows = rows.size(), .k = a.columns,
                                       .prepared = prepared(rows.begin), .row_scales = row_scales() + rows.begin});
    }

    void multiply(index_range rows, index_range panels) const noexcept {
        matmul_kernel const& kernel = weights.kernel();
        std::size_t const first = panels.begin * kernel.panel_width;
        std::size_t const last = panels.end * kernel.panel_width;
        if (rows.empty() || panels.empty()) return;
        bool const as_they_are = kernel.prepare_rows == nullptr;
        auto const from = [first](auto const* all) { return all == nullptr ? nullptr : all + first; };
        kernel.run({.a = as_they_are ? static_cast<void const*>(a.row(rows.begin)) : prepared(rows.begin),
                    .lda = as_they_are ? a.stride : kernel.prepared_stride(a.columns),
                    .row_scales = as_they_are ? nullptr : row_scales() + rows.begin,
                    .panels = weights.panel(panels.begin),
                    .scales = from(weights.scales()),
                    .sums = from(weights.sums()),
                    .bias = from(weights.bias()),
                    .residual = after.residual.data == nullptr ? nullptr : after.residual.row(rows.begin) + first,
                    .ld_residual = after.residual.stride,
                    .c = c.row(rows.begin) + first,
                    .ldc = c.stride,
                    .m = rows.size(),
                    .n = (last < weights.outputs() ? last : weights.outputs()) - first,
                    .k = a.columns,
                    .act = after.act,
                    .partial = in_slabs ? reinterpret_cast<float*>(scratch) + rows.begin * weights.panel_count() * kernel.panel_width + rows.size() * first
                                        : nullptr});
    }
};

} // namespace detail

/// C = act(A W^T + bias) + residual.
///
/// Shapes    a (M,K), weights (N,K) packed, bias (N) if packed with one, residual and c (M,N); rows at any stride.
/// Aliasing  residual may be c; c shares nothing with a.
/// Numerics  f32 and bf16 weights: each element is a sum of blocks of 256 products, each block accumulated in order of k in
///           float, then bias, activation, residual. bf16 weights on avx512bf16 and amx: a is rounded to bf16 first; on amx in blocks of 3072. int8: a is
///           rounded to 8 bits with one scale per row, the sum is exact. The same bits for every executor.
///           K = 0 gives act(bias) + residual; M = 0 does nothing.
/// Errors    extents mismatch, weights packed for other kernels, scratch too small -> ZEROI2V_REQUIRE.
/// Cost      2 M N K flops, no allocation. `scratch`: matmul_scratch_bytes(weights, M) bytes, aligned to 64.
/// Test      tests/unit/ops/matmul.cpp
inline void matmul(kernel_table const& kernels, executor& workers, matrix_view<float const> a, packed_matrix const& weights,
                   epilogue const& fused, matrix_view<float> c, std::span<std::byte> scratch = {}) {
    ZEROI2V_REQUIRE(!weights.empty() && weights.level() == kernels.level, "zeroi2v::matmul: weights must be packed for these kernels");
    ZEROI2V_REQUIRE(a.columns == weights.inputs(), "zeroi2v::matmul: a must have as many columns as the weights have inputs");
    ZEROI2V_REQUIRE(c.same_shape(a.rows, weights.outputs()), "zeroi2v::matmul: c must be rows of a by outputs of the weights");
    ZEROI2V_REQUIRE(fused.residual.data == nullptr || fused.residual.same_shape(c.rows, c.columns),
                    "zeroi2v::matmul: residual must have the shape of c");
    ZEROI2V_REQUIRE(scratch.size() >= detail::prepared_bytes(weights, a.rows), "zeroi2v::matmul: scratch is too small");
    ZEROI2V_REQUIRE(reinterpret_cast<std::uintptr_t>(scratch.data()) % 64 == 0, "zeroi2v::matmul: scratch must be aligned to 64");
    if (c.empty()) return;

    matmul_kernel const& kernel = weights.kernel();
    std::size_t const partial = detail::partial_bytes(weights, a.rows);
    detail::matmul_call const call{a, weights, fused, c, scratch.data(), partial != 0 && scratch.size() >= partial};
    bool const prepares = kernel.prepare_rows != nullptr;
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    std::size_t const row_tiles = (a.rows + kernel.row_tile - 1) / kernel.row_tile;
    std::size_t const panels = weights.panel_count();
    auto const part_rows = [&](int part) { return partition(a.rows, parts, static_cast<std::size_t>(part), kernel.row_tile); };

    if (row_tiles >= 4 * parts || row_tiles >= panels) { // enough rows for everyone
        workers.run(static_cast<int>(parts), [&](int part) {
            if (prepares) call.prepare(part_rows(part));
            call.multiply(part_rows(part), {0, panels});
        });
    } else { // few rows: the panels are shared out
        if (prepares) workers.run(static_cast<int>(parts), [&](int part) { call.prepare(part_rows(part)); });
        workers.run(static_cast<int>(parts), [&](int part) {
            call.multiply({0, a.rows}, partition(panels, parts, static_cast<std::size_t>(part)));
        });
    }
}

/// The same with the kernels of the compiler's flags, on the calling thread; allocates scratch where it is needed.
template <class Arch = default_arch>
void matmul(matrix_view<float const> a, packed_matrix const& weights, epilogue const& fused, matrix_view<float> c) {
    serial_executor workers;
    ZEROI2V_REQUIRE(!weights.empty(), "zeroi2v::matmul: weights must be packed");
    aligned_buffer scratch{matmul_scratch_bytes(weights, a.rows)};
    matmul(default_kernels<Arch>(), workers, a, weights, fused, c, {scratch.data(), scratch.size()});
}

} // namespace zeroi2v
