// element_matrix: elements of every type by rows, by columns and on their side.
#include <zeroi2v/nn/element_matrix.hpp>

#include <zeroi2v/tensor/tensor.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::detail;

TEST_CASE_TEMPLATE("rows are read as doubles whatever the type and the strides", T, float, double, f16, bf16) {
    constexpr std::size_t rows = 5, columns = 3;
    std::vector<T> memory(40, T{});
    auto const element = [](std::size_t r, std::size_t c) { return static_cast<double>(r * 8 + c) - 3.5; };
    struct { std::size_t row_stride, column_stride; } const layouts[]{{3, 1}, {7, 2}, {1, 5}, {1, 6}};
    for (auto const& [row_stride, column_stride] : layouts) {
        element_matrix_out const m{reinterpret_cast<std::byte*>(memory.data()), dtype_of<T>, rows, columns, row_stride, column_stride};
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < columns; ++c) m.template set<T>(r, c, round_to<T>(element(r, c)));
        std::vector<double> out(rows * columns);
        m.load(0, rows, out.data());
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < columns; ++c) CHECK(out[r * columns + c] == element(r, c));
        m.as_const().load(3, 2, out.data());
        CHECK(out[columns + 2] == element(4, 2));
        auto const side = m.transposed();
        CHECK((side.rows == columns && side.columns == rows && side.row_stride == column_stride && side.column_stride == row_stride));
        side.load(1, 1, out.data());
        for (std::size_t r = 0; r < rows; ++r) CHECK(out[r] == element(r, 1));
        CHECK(to_double(side.template at<T>(2, 4)) == element(4, 2));
    }
}

TEST_CASE("stored and other tensors as matrices, a vector is one row") {
    stored_tensor matrix{dtype::f16, {2, 3}}, vector{dtype::f32, {4}};
    auto const m = elements_of(std::as_const(matrix)), v = elements_of(std::as_const(vector));
    CHECK((m.rows == 2 && m.columns == 3 && m.row_stride == 3 && m.column_stride == 1 && m.type == dtype::f16 && m.data == matrix.bytes().data()));
    CHECK((v.rows == 1 && v.columns == 4 && v.column_stride == 1 && v.type == dtype::f32));
    CHECK(elements_of(matrix).data == matrix.bytes().data());
    dynamic_tensor<double, 2> t{2, 5};
    auto const e = elements_of(t);
    CHECK((e.rows == 2 && e.columns == 5 && e.row_stride == 5 && e.column_stride == 1 && e.type == dtype::f64));
    tensor_view<double const, dims<2>, strided<2>> const columns{t.data(), {5, 2}, {{1, 5}}};
    auto const side = elements_of(columns);
    CHECK((side.rows == 5 && side.columns == 2 && side.row_stride == 1 && side.column_stride == 5));
    tensor_view<double const, dims<1>, strided<1>> const every_second{t.data(), {5}, {{2}}};
    auto const one = elements_of(every_second);
    CHECK((one.rows == 1 && one.columns == 5 && one.column_stride == 2));
}

TEST_CASE("the wider of two types holds the values of both") {
    CHECK(wider(dtype::f16, dtype::f16) == dtype::f16);
    CHECK(wider(dtype::bf16, dtype::bf16) == dtype::bf16);
    CHECK(wider(dtype::f16, dtype::bf16) == dtype::f32);
    CHECK(wider(dtype::f32, dtype::bf16) == dtype::f32);
    CHECK(wider(dtype::f64, dtype::f32) == dtype::f64);
    CHECK(wider(dtype::bf16, dtype::f64) == dtype::f64);
}
