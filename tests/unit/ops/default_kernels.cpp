// The calls that name no kernels: what the compiler's own flags give, the same results as the dispatched kernels.
#include <zeroi2v/ops/default_kernels.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/activation.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/layer_norm.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/softmax.hpp>
#include <zeroi2v/simd/arch.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

TEST_CASE("convenience calls run the kernels of default_arch") {
    kernel_table const& mine = default_kernels();
    CHECK(to_string(mine.level) == isa_name());
    kernel_table const& dispatched = kernels(mine.level);
    serial_executor serial;
    std::size_t const m = 20, n = 35, k = 70;
    auto const a = normal_floats(m * k, 1);
    auto const w = normal_floats(n * k, 2);
    for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
        packed_matrix const here{mine, type, matrix_view<float const>{w.data(), n, k}};
        packed_matrix const there{dispatched, type, matrix_view<float const>{w.data(), n, k}};
        std::vector<float> got(m * n), want(m * n);
        aligned_buffer scratch{matmul_scratch_bytes(there, m)};
        matmul(matrix_view<float const>{a.data(), m, k}, here, {}, matrix_view<float>{got.data(), m, n});
        matmul(dispatched, serial, {a.data(), m, k}, there, {}, {want.data(), m, n}, {scratch.data(), scratch.size()});
        CHECK(same_bits(got, want));
    }
    std::vector<float> const ones(k, 1.0F);
    std::vector<float> got(m * k), want(m * k);
    layer_norm(matrix_view<float const>{a.data(), m, k}, ones, ones, matrix_view<float>{got.data(), m, k});
    layer_norm(dispatched, serial, {a.data(), m, k}, ones, ones, {want.data(), m, k});
    CHECK(same_bits(got, want));
    softmax(matrix_view<float const>{a.data(), m, k}, matrix_view<float>{got.data(), m, k});
    softmax(dispatched, serial, {a.data(), m, k}, {want.data(), m, k});
    CHECK(same_bits(got, want));
    for (activation const act : {activation::none, activation::quick_gelu}) {
        activate(act, std::span{a}, std::span{got});
        activate(dispatched, serial, act, a, want);
        CHECK(same_bits(got, want));
    }
    std::fill(got.begin(), got.end(), 0.0F);
    quick_gelu(std::span{a}, std::span{got});
    CHECK(same_bits(got, want));
    attention_shape const shape{2, 10, 10, 7, 10};
    token_rows<float const> const rows{a.data(), 700, 70, 10};
    auto const own = [](std::size_t, std::size_t frame) { return frame; };
    attention(shape, rows, rows, rows, token_rows<float>{got.data(), 700, 70, 10}, own);
    aligned_buffer scratch{attention_scratch_floats(dispatched, shape, 1) * sizeof(float)};
    attention(dispatched, serial, shape, rows, rows, rows, {want.data(), 700, 70, 10}, own, {reinterpret_cast<float*>(scratch.data()), scratch.size() / 4});
    CHECK(same_bits(got, want));
}
