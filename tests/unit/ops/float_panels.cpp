// Products of two activations, and matrices on their side: whole numbers exactly, at sizes around the tiles.
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include "tables.hpp"
#include <type_traits>

using namespace zeroi2v;
using namespace zeroi2v::test;

TEST_CASE("matmul of two activations is exact on whole numbers, for every number of threads") {
    for (kernel_table const* table : tables())
        for (std::size_t const m : {1U, 5U, 13U, 33U})
            for (std::size_t const n : {1U, 7U, 16U, 49U})
                for (std::size_t const k : {1U, 3U, 64U, 257U}) {
                    auto const a = integers(m * k, m, 9), b = integers(k * n, n, 9);
                    std::vector<float> first;
                    for (int const threads : {1, 3}) {
                        thread_team team{threads};
                        aligned_buffer panels{float_panel_floats(table->f32, n, k) * sizeof(float)};
                        guarded<float> c{m * n, guarded<float>::end::back};
                        matmul(*table, team, {a.data(), m, k}, {b.data(), k, n}, {c.data(), m, n}, reinterpret_cast<float*>(panels.data()));
                        bool exact = true;
                        for (std::size_t r = 0; r < m; ++r)
                            for (std::size_t col = 0; col < n; ++col) {
                                float sum = 0;
                                for (std::size_t i = 0; i < k; ++i) sum += a[r * k + i] * b[i * n + col];
                                exact = exact && c[r * n + col] == sum;
                            }
                        CHECK_MESSAGE(exact, name_of(*table) << " " << m << "x" << n << "x" << k);
                    }
                }
}

TEST_CASE("transpose copies every element of matrices of every size to 40") {
    serial_executor serial;
    thread_team team{3};
    for (std::size_t rows = 1; rows <= 40; ++rows)
        for (std::size_t const columns : {1U, 3U, 4U, 31U, 33U, 65U}) {
            auto const from = normal_floats(rows * columns, rows + columns);
            std::size_t const stride = (rows + 3) / 4 * 4;
            for (executor* workers : {static_cast<executor*>(&serial), static_cast<executor*>(&team)}) {
                aligned_buffer memory{columns * stride * sizeof(float)};
                auto* const to = reinterpret_cast<float*>(memory.data());
                transpose(*workers, {from.data(), rows, columns}, {to, columns, rows, stride});
                bool same = true;
                for (std::size_t r = 0; r < rows; ++r)
                    for (std::size_t c = 0; c < columns; ++c) same = same && to[c * stride + r] == from[r * columns + c];
                CHECK_MESSAGE(same, rows << "x" << columns);
            }
        }
}

TEST_CASE("a matrix packed on its side multiplies as its transpose, whole or a part of its rows") {
    serial_executor serial;
    for (kernel_table const* table : tables())
        for (dtype const type : {dtype::f32, dtype::bf16})
            for (std::size_t const out : {1U, 16U, 37U})
                for (std::size_t const in : {1U, 15U, 50U})
                    for (std::size_t const first : {std::size_t{0}, out / 2}) {
                        auto const w = integers(out * in, out + in, 7);
                        std::size_t const rows = out - first;
                        packed_matrix const side{*table, type, matrix_view<float const>{w.data(), out, in}, {}, {.first_row = first, .scale = 2, .transposed = true}};
                        CHECK(side.outputs() == in);
                        CHECK(side.inputs() == rows);
                        auto const x = integers(3 * rows, 5, 7);
                        std::vector<float> y(3 * in);
                        aligned_buffer scratch{matmul_scratch_bytes(side, 3)};
                        matmul(*table, serial, {x.data(), 3, rows}, side, {}, {y.data(), 3, in}, {scratch.data(), scratch.size()});
                        bool exact = true;
                        for (std::size_t r = 0; r < 3; ++r)
                            for (std::size_t i = 0; i < in; ++i) {
                                float sum = 0;
                                for (std::size_t o = 0; o < rows; ++o) sum += x[r * rows + o] * 2 * w[(first + o) * in + i];
                                exact = exact && y[r * in + i] == sum;
                            }
                        CHECK_MESSAGE(exact, name_of(*table) << " " << out << "x" << in);
                    }
    std::vector<float> const w(4, 1.0F);
    CHECK_THROWS_AS((packed_matrix{*tables().front(), dtype::i8, matrix_view<float const>{w.data(), 2, 2}, {}, {.transposed = true}}), precondition_error);
}

TEST_CASE("products and transposes of activations refuse what does not fit, and take what is strided or empty") {
    serial_executor serial;
    kernel_table const& table = *tables().front();
    CHECK(float_panel_floats(table.f32, 1, 7) == table.f32.panel_width * 7);
    CHECK(float_panel_floats(table.f32, table.f32.panel_width + 1, 7) == 2 * table.f32.panel_width * 7);
    CHECK(float_panel_floats(table.f32, table.f32.panel_width, 7) == table.f32.panel_width * 7);
    auto const a = integers(12, 1, 5), b = integers(12, 2, 5);
    std::vector<float> c(9, -1.0F);
    aligned_buffer panels{float_panel_floats(table.f32, 4, 4) * sizeof(float)};
    auto* const room = reinterpret_cast<float*>(panels.data());
    char const* const sentence = "zeroi2v::matmul: a (M,K), b (K,N), c (M,N)";
    CHECK_THROWS_WITH_AS(matmul(table, serial, {a.data(), 3, 3}, {b.data(), 4, 3}, {c.data(), 3, 3}, room), sentence, precondition_error);
    CHECK_THROWS_WITH_AS(matmul(table, serial, {a.data(), 3, 4}, {b.data(), 4, 3}, {c.data(), 2, 3}, room), sentence, precondition_error);
    CHECK_THROWS_WITH_AS(matmul(table, serial, {a.data(), 3, 4}, {b.data(), 4, 3}, {c.data(), 3, 2}, room), sentence, precondition_error);
    CHECK_NOTHROW(matmul(table, serial, {a.data(), 0, 4}, {b.data(), 4, 3}, {c.data(), 0, 3}, room));
    CHECK(c == std::vector<float>(9, -1.0F));
    for (kernel_table const* each : tables()) { // rows apart from each other
        aligned_buffer more{float_panel_floats(each->f32, 2, 3) * sizeof(float)};
        std::vector<float> out(3 * 4, -1.0F);
        matmul(*each, serial, {a.data(), 3, 3, 4}, {b.data(), 3, 2, 4}, {out.data(), 3, 2, 4}, reinterpret_cast<float*>(more.data()));
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t n = 0; n < 4; ++n) {
                float want = n < 2 ? 0.0F : -1.0F;
                if (n < 2)
                    for (std::size_t k = 0; k < 3; ++k) want += a[r * 4 + k] * b[k * 4 + n];
                CHECK(out[r * 4 + n] == want);
            }
    }
    aligned_buffer memory{64 * sizeof(float)};
    auto* const to = reinterpret_cast<float*>(memory.data());
    char const* const of_shape = "zeroi2v::transpose: to must be columns by rows of from";
    char const* const of_alignment = "zeroi2v::transpose: to must be aligned to 16 bytes, its stride a multiple of 4";
    CHECK_THROWS_WITH_AS(transpose(serial, {a.data(), 3, 4}, {to, 3, 4}), of_shape, precondition_error);
    CHECK_THROWS_WITH_AS(transpose(serial, {a.data(), 3, 4}, {to, 4, 2, 4}), of_shape, precondition_error);
    CHECK_THROWS_WITH_AS(transpose(serial, {a.data(), 3, 4}, {to, 4, 3, 3}), of_alignment, precondition_error);
    CHECK_THROWS_WITH_AS(transpose(serial, {a.data(), 3, 4}, {to + 1, 4, 3, 4}), of_alignment, precondition_error);
    CHECK_NOTHROW(transpose(serial, {a.data(), 3, 4}, {to + 4, 4, 3, 4}));
    CHECK(to[4 + 3 * 4 + 2] == a[11]);
}

TEST_CASE_TEMPLATE("panels of a product's second operand, by columns and by rows, scaled or not", Scale, std::true_type, std::false_type) {
    float const scale = Scale::value ? 3.0F : 1.0F;
    for (kernel_table const* table : tables()) {
        matmul_kernel const& kernel = table->attention_product;
        std::size_t const width = kernel.panel_width;
        for (std::size_t const channels : {std::size_t{1}, width - 1, width, 2 * width + 3})
            for (std::size_t const k : {1U, 4U, 7U}) {
                auto const values = integers(channels * k, channels + k, 9);
                std::size_t const floats = float_panel_floats(kernel, channels, k), panels = (channels + width - 1) / width;
                aligned_buffer memory{floats * sizeof(float)};
                auto* const packed = reinterpret_cast<float*>(memory.data());
                auto const sound = [&](auto const& element) {
                    for (std::size_t panel = 0; panel < panels; ++panel)
                        for (std::size_t i = 0; i < k; ++i)
                            for (std::size_t c = 0; c < width; ++c) {
                                std::size_t const channel = panel * width + c;
                                if (packed[(panel * k + i) * width + c] != (channel < channels ? element(channel, i) * scale : 0.0F)) return false;
                            }
                    return true;
                };
                std::fill_n(packed, floats, -1.0F);
                detail::pack_columns(kernel, {values.data(), k, channels}, scale, packed, {0, panels});
                CHECK(sound([&](std::size_t channel, std::size_t i) { return values[i * channels + channel]; }));
                std::fill_n(packed, floats, -1.0F);
                detail::pack_rows(kernel, {values.data(), channels, k}, scale, packed);
                CHECK(sound([&](std::size_t channel, std::size_t i) { return values[channel * k + i]; }));
            }
    }
}
