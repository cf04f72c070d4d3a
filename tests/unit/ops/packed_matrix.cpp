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

TEST_CASE("each argument that does not fit is refused with its sentence") {
    std::vector<float> const w(12, 1.0F), bias(3, 1.0F), long_bias(4, 1.0F);
    matrix_view<float const> const matrix{w.data(), 3, 4};
    auto const tensor = stored(dtype::f32, {3, 4}, w), tensor_bias = stored(dtype::f32, {3}, bias), tensor_long_bias = stored(dtype::f32, {4}, long_bias);
    char const* const of_bias = "zeroi2v::packed_matrix: bias must have one value per row";
    char const* const of_stored_bias = "zeroi2v::packed_matrix: bias must be f32, f16 or bf16 and have one value per row";
    char const* const of_side = "zeroi2v::packed_matrix: a transposed matrix has no bias";
    for (kernel_table const* table : tables()) {
        auto const refused = [&](char const* sentence, auto&&... arguments) { CHECK_THROWS_WITH_AS((packed_matrix{*table, arguments...}), sentence, precondition_error); };
        packing const on_its_side{.transposed = true};
        refused(of_bias, dtype::f32, matrix, std::span<float const>{long_bias});
        refused(of_side, dtype::f32, matrix, std::span<float const>{bias}, on_its_side);
        refused(of_side, dtype::bf16, tensor, &tensor_bias, on_its_side);
        refused(of_stored_bias, dtype::f32, tensor, &tensor_long_bias);
        stored_tensor const integers{dtype::i32, {3}};
        refused(of_stored_bias, dtype::f32, tensor, &integers);
        refused("zeroi2v::packed_matrix: weights are packed as f32, bf16 or int8", dtype::f64, matrix);
        refused("zeroi2v::packed_matrix: the first row must be in the matrix", dtype::f32, matrix, std::span<float const>{}, packing{.first_row = 4});
        CHECK((packed_matrix{*table, dtype::f32, matrix, {}, {.first_row = 3}}).outputs() == 0);
        refused("zeroi2v::packed_matrix: int8 has one scale per row and cannot be transposed", dtype::i8, matrix, std::span<float const>{}, on_its_side);
        refused("zeroi2v::packed_matrix: weights must be f32, f16 or bf16, and of rank 1 or more", dtype::f32, integers);
        refused("zeroi2v::packed_matrix: weights must be f32, f16 or bf16, and of rank 1 or more", dtype::f32, stored_tensor{dtype::f32, shape{}});
    }
}

TEST_CASE("another weight of the same shape takes the place of a packed one, and no other does") {
    std::size_t const rows = 9, k = 5;
    auto const first = normal_floats(rows * k, 1), second = normal_floats(rows * k, 2), bias = normal_floats(rows, 3), other_bias = normal_floats(rows, 4);
    auto const one = stored(dtype::f32, {rows, k}, first), two = stored(dtype::f16, {rows, k}, second);
    auto const one_bias = stored(dtype::f32, {rows}, bias), two_bias = stored(dtype::f32, {rows}, other_bias);
    char const* const refusal = "zeroi2v::packed_matrix: a weight of the same shape is packed in the place of another";
    auto const same = [](packed_matrix const& a, packed_matrix const& b) {
        bool equal = a.byte_size() == b.byte_size() && a.outputs() == b.outputs() && a.inputs() == b.inputs() && a.has_bias() == b.has_bias();
        equal = equal && std::memcmp(a.panel(0), b.panel(0), a.panel_count() * a.kernel().panel_bytes(a.inputs())) == 0;
        auto const values = [&](auto const* x, auto const* y) { return (x == nullptr) == (y == nullptr) && (x == nullptr || std::memcmp(x, y, a.outputs() * sizeof *x) == 0); };
        return equal && values(a.bias(), b.bias()) && values(a.scales(), b.scales()) && values(a.sums(), b.sums());
    };
    for (kernel_table const* table : tables())
        for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8})
            for (packing const& options : {packing{}, packing{.first_row = 2, .rows = 4, .scale = 0.5}, packing{.first_row = 1, .transposed = true}}) {
                if (options.transposed && type == dtype::i8) continue;
                stored_tensor const* const b1 = options.transposed ? nullptr : &one_bias;
                stored_tensor const* const b2 = options.transposed ? nullptr : &two_bias;
                packed_matrix packed{*table, type, one, b1, options};
                packed_matrix const before{*table, type, one, b1, options}, wanted{*table, type, two, b2, options};
                CHECK_FALSE(same(packed, wanted));
                packed.repack(two, b2, options);
                CHECK(same(packed, wanted));
                auto const refused = [&](stored_tensor const& weight, stored_tensor const* with, packing const& how) {
                    CHECK_THROWS_WITH_AS(packed.repack(weight, with, how), refusal, precondition_error);
                };
                refused(one, b1 == nullptr ? &one_bias : nullptr, options); // with a bias as before, or without
                refused(stored(dtype::f32, {rows, k + 1}, normal_floats(rows * (k + 1), 5)), b1, options);
                packing fewer = options;
                fewer.rows = 3;
                refused(one, b1, fewer);
                packing turned = options;
                turned.transposed = !turned.transposed;
                refused(one, b1, turned);
                CHECK_THROWS_WITH_AS(packed.repack(one, b1, {.first_row = rows + 1}), "zeroi2v::packed_matrix: the first row must be in the matrix", precondition_error);
                CHECK(same(packed, wanted)); // refused before anything was written
            }
    packed_matrix nothing;
    CHECK_THROWS_AS(nothing.repack(one, nullptr, {}), precondition_error);
    CHECK(nothing.empty());
}

TEST_CASE("the bytes of a packed matrix are those of its panels, bias, scales and sums") {
    std::size_t const rows = 37, k = 50;
    auto const w = normal_floats(rows * k, 1), bias = normal_floats(rows, 2);
    for (kernel_table const* table : tables())
        for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8})
            for (bool const with_bias : {false, true}) {
                packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), rows, k}, with_bias ? std::span<float const>{bias} : std::span<float const>{}};
                matmul_kernel const& kernel = packed.kernel();
                std::size_t const panels = (rows + kernel.panel_width - 1) / kernel.panel_width;
                std::size_t const padded = (k + kernel.k_multiple - 1) / kernel.k_multiple * kernel.k_multiple;
                CHECK(kernel.padded_k(k) == padded);
                CHECK(packed.panel_count() == panels);
                std::size_t bytes = panels * kernel.panel_width * padded * kernel.weight_bytes + (with_bias ? rows * 4 : 0);
                if (type == dtype::i8) bytes += rows * 4 * (kernel.weight_sums ? 2 : 1);
                CHECK(packed.byte_size() == bytes);
                CHECK(packed.has_bias() == with_bias);
                CHECK((packed.level() == table->level && packed.type() == type && packed.outputs() == rows && packed.inputs() == k && !packed.empty()));
                CHECK(kernel.weight_bytes == size_of(type));
                if (kernel.weight_sums) { // of each row's bytes
                    for (std::size_t row = 0; row < rows; ++row) {
                        double sum = 0;
                        for (std::size_t i = 0; i < k; ++i) sum += std::nearbyint(static_cast<double>(w[row * k + i]) / static_cast<double>(packed.scales()[row]));
                        CHECK(std::fabs(sum - packed.sums()[row]) <= 1);
                    }
                }
            }
    std::vector<float> zeros(3 * k, 0.0F);
    for (kernel_table const* table : tables()) {
        packed_matrix const packed{*table, dtype::i8, matrix_view<float const>{zeros.data(), 3, k}};
        for (std::size_t row = 0; row < 3; ++row) CHECK(packed.scales()[row] == 0.0F);
        CHECK_THROWS_AS((packed_matrix{*table, dtype::i8, matrix_view<float const>{zeros.data(), 0, packed.kernel().max_k + 1}}), model_error);
        CHECK_NOTHROW((packed_matrix{*table, dtype::i8, matrix_view<float const>{zeros.data(), 0, packed.kernel().max_k}}));
    }
}
