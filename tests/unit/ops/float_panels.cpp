// Products of two activations, and matrices on their side: whole numbers exactly, at sizes around the tiles.
#include <zeroi2v/ops/float_panels.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/ops/transpose.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include "tables.hpp"

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
