// matrix_view: made from owners and views of every kind.
#include <zeroi2v/ops/matrix_view.hpp>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

using namespace zeroi2v;

static_assert(std::is_convertible_v<dynamic_tensor<float, 3>&, matrix_view<float>>);
static_assert(std::is_convertible_v<dynamic_tensor<float, 2> const&, matrix_view<float const>>);
static_assert(!std::is_convertible_v<dynamic_tensor<float, 2> const&, matrix_view<float>>);
static_assert(!std::is_convertible_v<view<double, 2>, matrix_view<float>>);
static_assert(std::is_convertible_v<matrix_view<float>, matrix_view<float const>>);
static_assert(!std::is_convertible_v<matrix_view<float const>, matrix_view<float>>);
static_assert(std::is_trivially_copyable_v<matrix_view<float>>);

TEST_CASE("rows and columns of tensors, views and pointers") {
    dynamic_tensor<float, 3> clip{2, 3, 4};
    matrix_view<float> const all = clip;
    CHECK((all.data == clip.data() && all.rows == 6 && all.columns == 4 && all.stride == 4));
    CHECK(all.row(5) == clip.data() + 20);
    static_tensor<float, 2, 5> fixed{};
    matrix_view<float const> const small = fixed;
    CHECK((small.rows == 2 && small.columns == 5));
    tensor_view<float, dims<2>, strided<2>> const first_tokens{clip.data(), {2, 4}, {{12, 1}}};
    matrix_view<float const> const rows = first_tokens;
    CHECK((rows.rows == 2 && rows.columns == 4 && rows.stride == 12 && rows.row(1) == clip.data() + 12));
    tensor_view<float, dims<1>> const vector{clip.data(), 7};
    matrix_view<float> const row = vector;
    CHECK((row.rows == 1 && row.columns == 7));
    matrix_view<float> const nothing;
    CHECK((nothing.empty() && nothing.data == nullptr));
}

TEST_CASE("elements of a row that are not contiguous are refused") {
    std::vector<float> values(12);
    tensor_view<float, dims<2>, strided<2>> const transposed{values.data(), {3, 4}, {{1, 3}}};
    CHECK_THROWS_AS((matrix_view<float>{transposed}), precondition_error);
    tensor_view<float, dims<2>, strided<2>> const column{values.data(), {3, 1}, {{4, 9}}};
    CHECK(matrix_view<float>{column}.stride == 4);
}

TEST_CASE("empty and equal shapes, and conversions that keep the stride") {
    float values[12] = {};
    matrix_view<float> const m{values, 2, 3, 5};
    CHECK((m.same_shape(2, 3) && !m.same_shape(3, 3) && !m.same_shape(2, 2) && !m.empty()));
    CHECK((matrix_view<float>{values, 0, 3}.empty() && matrix_view<float>{values, 3, 0}.empty()));
    matrix_view<float const> const read = m;
    CHECK((read.data == values && read.rows == 2 && read.columns == 3 && read.stride == 5 && read.row(1) == values + 5));
    CHECK((matrix_view<float>{values, 4, 3}.stride == 3));
    tensor_view<float, dims<2>, strided<2>> const gaps{values, {2, 3}, {{6, 2}}};
    CHECK_THROWS_WITH_AS((matrix_view<float>{gaps}), "zeroi2v::matrix_view: elements of a row must be contiguous", precondition_error);
}
