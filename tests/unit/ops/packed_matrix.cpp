// packed_matrix: what is packed, from which type, which rows, scaled by what; and what is refused.
#include <zeroi2v/ops/packed_matrix.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/matmul.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

/// The weights that a packed matrix stands for, read back by multiplying with the identity.
std::vector<float> unpacked(kernel_table const& table, packed_matrix const& packed) {
    serial_executor serial;
    std::size_t const k = packed.inputs(), n = packed.outputs();
    std::vector<float> identity(k * k), c(k * n), w(n * k);
    for (std::size_t i = 0; i < k; ++i) identity[i * k + i] = 1;
    aligned_buffer scratch{matmul_scratch_bytes(packed, k)};
    matmul(table, serial, {identity.data(), k, k}, packed, {}, {c.data(), k, n}, {scratch.data(), scratch.size()});
    for (std::size_t i = 0; i < n * k; ++i) w[i] = c[i % k * n + i / k];
    return w;
}

stored_tensor stored(dtype type, shape const& sizes, std::span<float const> values) {
    stored_tensor result{type, sizes};
    for (std::size_t i = 0; i < values.size(); ++i)
        switch (type) {
        case dtype::bf16: result.as<bf16>()[i] = bf16{values[i]}; break;
        case dtype::f16: result.as<f16>()[i] = f16{values[i]}; break;
        default: result.as<float>()[i] = values[i];
        }
    return result;
}

} // namespace

TEST_CASE("float weights are packed as they are, from every type, any rows, times a scale rounded once") {
    std::size_t const rows = 37, k = 21;
    auto const w = normal_floats(rows * k, 1);
    for (kernel_table const* table : tables()) {
        CHECK(unpacked(*table, packed_matrix{*table, dtype::f32, matrix_view<float const>{w.data(), rows, k}}) == w);
        for (dtype const type : {dtype::f32, dtype::f16, dtype::bf16}) {
            auto const tensor = stored(type, {rows, 3, 7}, w); // all dimensions but the first are inputs
            std::vector<float> exact(w.size());
            tensor.widen(0, exact);
            CHECK(unpacked(*table, packed_matrix{*table, dtype::f32, tensor}) == exact);
            packed_matrix const part{*table, dtype::f32, tensor, nullptr, {.first_row = 5, .rows = 18, .scale = 0.3}};
            auto const got = unpacked(*table, part);
            REQUIRE(got.size() == 18 * k);
            for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<float>(0.3 * static_cast<double>(exact[5 * k + i])));
            CHECK(packed_matrix{*table, dtype::f32, tensor, nullptr, {.first_row = 30}}.outputs() == 7);
            CHECK(packed_matrix{*table, dtype::f32, tensor, nullptr, {.first_row = rows}}.outputs() == 0);
        }
    }
}

TEST_CASE("bf16 weights are rounded to nearest even, int8 weights at most half a step off") {
    std::size_t const rows = 33, k = 50;
    auto w = normal_floats(rows * k, 2);
    std::fill_n(w.begin() + 4 * k, k, 0.0F); // a row of zeros has the step 0
    for (std::size_t i = 0; i < k; ++i) w[7 * k + i] *= 1e-30F;
    for (kernel_table const* table : tables()) {
        auto const narrow = unpacked(*table, packed_matrix{*table, dtype::bf16, matrix_view<float const>{w.data(), rows, k}});
        for (std::size_t i = 0; i < w.size(); ++i) CHECK(narrow[i] == static_cast<float>(bf16{w[i]}));
        packed_matrix const bytes{*table, dtype::i8, matrix_view<float const>{w.data(), rows, k}};
        auto const back = unpacked(*table, bytes);
        for (std::size_t i = 0; i < w.size(); ++i)
            CHECK(std::fabs(static_cast<double>(back[i]) - static_cast<double>(w[i])) <= 0.5001 * static_cast<double>(bytes.scales()[i / k]));
        CHECK(bytes.byte_size() < packed_matrix{*table, dtype::f32, matrix_view<float const>{w.data(), rows, k}}.byte_size() / 2);
    }
}

TEST_CASE("the bias follows the rows and the scale") {
    std::size_t const rows = 9, k = 3;
    std::vector<float> const w(rows * k, 1.0F);
    std::vector<float> const bias{1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (kernel_table const* table : tables()) {
        packed_matrix const packed{*table, dtype::f32, matrix_view<float const>{w.data(), rows, k}, bias, {.first_row = 3, .rows = 4, .scale = 0.5}};
        REQUIRE(packed.has_bias());
        CHECK(std::vector<float>(packed.bias(), packed.bias() + 4) == std::vector<float>{2, 2.5F, 3, 3.5F});
        auto const tensor_bias = stored(dtype::f16, {rows}, bias);
        packed_matrix const from_file{*table, dtype::bf16, stored(dtype::bf16, {rows, k}, w), &tensor_bias, {.first_row = 8}};
        CHECK(from_file.bias()[0] == 9);
        CHECK_FALSE((packed_matrix{*table, dtype::f32, matrix_view<float const>{w.data(), rows, k}}).has_bias());
    }
}

TEST_CASE("what cannot be packed is refused by name") {
    kernel_table const& table = *tables().front();
    std::vector<float> w(12, 1.0F);
    std::vector<float> const short_bias(2);
    matrix_view<float const> const matrix{w.data(), 3, 4};
    CHECK_THROWS_AS((packed_matrix{table, dtype::f16, matrix}), precondition_error);
    CHECK_THROWS_AS((packed_matrix{table, dtype::f32, matrix, short_bias}), precondition_error);
    CHECK_THROWS_AS((packed_matrix{table, dtype::f32, matrix, {}, {.first_row = 4}}), precondition_error);
    CHECK_THROWS_AS((packed_matrix{table, dtype::f32, stored_tensor{dtype::i32, {3, 4}}}), precondition_error);
    CHECK_THROWS_AS((packed_matrix{table, dtype::f32, stored_tensor{dtype::f32, shape{}}}), precondition_error);
    for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        w[5] = bad;
        packed_matrix const allowed{table, dtype::f32, matrix};
        CHECK(allowed.outputs() == 3);
        try {
            packed_matrix const refused{table, dtype::i8, matrix};
            FAIL("int8 has no such value");
        } catch (checkpoint_error const& failure) {
            CHECK(failure.code() == error_code::nonfinite_weight);
            CHECK(std::string{failure.what()}.find("row 1, column 1") != std::string::npos);
        }
    }
}
