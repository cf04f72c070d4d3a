#include <zeroi2v/interop/eigen.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <Eigen/Core>
#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

using namespace zeroi2v;

TEST_CASE("a tensor becomes a map on the same elements, static sizes staying static") {
    dynamic_tensor<float, 2> t{2, 3};
    std::iota(t.begin(), t.end(), 0.F);
    auto m = as_eigen(t);
    CHECK(m.rows() == 2);
    CHECK(m.cols() == 3);
    for (Eigen::Index i = 0; i < 2; ++i)
        for (Eigen::Index j = 0; j < 3; ++j) CHECK(m(i, j) == static_cast<float>(3 * i + j));
    m(1, 2) = 9;
    CHECK(t(1, 2) == 9.F);

    static_tensor<double, 2, 3> s{{1, 2, 3, 4, 5, 6}};
    auto const fixed = as_eigen(s);
    static_assert(decltype(fixed)::RowsAtCompileTime == 2 && decltype(fixed)::ColsAtCompileTime == 3);
    CHECK(fixed.sum() == 21.);
    static_tensor<double, 3, 1> column{{1, 2, 3}};
    CHECK(as_eigen(column)(2, 0) == 3.);
}

TEST_CASE("strides of both dimensions are followed, const stays const") {
    std::vector<int> elements(12);
    std::iota(elements.begin(), elements.end(), 0);
    tensor_view<int const, dims<2>, strided<2>> const transposed{elements.data(), {4, 3}, {{1, 4}}};
    auto const m = as_eigen(transposed);
    for (Eigen::Index i = 0; i < 4; ++i)
        for (Eigen::Index j = 0; j < 3; ++j) CHECK(m(i, j) == static_cast<int>(4 * j + i));
    static_assert(std::is_const_v<std::remove_pointer_t<decltype(as_eigen(transposed).data())>>);
}

TEST_CASE("vectors become columns") {
    dynamic_tensor<double, 1> v{4};
    std::iota(v.begin(), v.end(), 1.0);
    CHECK(as_eigen(v).squaredNorm() == 30.);
    tensor_view<double, dims<1>, strided<1>> const every_other{v.data(), {2}, {{2}}};
    CHECK(as_eigen(every_other).sum() == 4.);
}

TEST_CASE("Eigen's matrices, maps and blocks become views, whatever their storage order") {
    Eigen::MatrixXf columns(2, 3);
    columns << 0, 1, 2, 3, 4, 5;
    auto const v = as_view(columns);
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) CHECK(v(i, j) == static_cast<float>(3 * i + j));
    v(0, 2) = 7;
    CHECK(columns(0, 2) == 7.F);

    Eigen::Matrix<float, 4, 4, Eigen::RowMajor> const rows = Eigen::Matrix<float, 4, 4>::Identity();
    auto const block = as_view(rows.block(1, 1, 2, 3));
    CHECK(block.extent(0) == 2);
    CHECK(block.extent(1) == 3);
    CHECK(block(0, 0) == 1.F);
    CHECK(block(1, 0) == 0.F);
    CHECK(block(1, 1) == 1.F);
}

TEST_CASE("a stride of zero repeats elements, a negative one is refused, whichever it is, const or not") {
    using stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    struct steps : stride { // Eigen's own constructor takes none below zero
        steps(Eigen::Index outer, Eigen::Index inner) : stride{0, 0} {
            m_outer.setValue(outer);
            m_inner.setValue(inner);
        }
    };
    std::vector<float> elements{0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (auto const& [outer, inner] : {std::pair{0, 1}, {1, 0}, {0, 0}, {3, 2}, {-1, 1}, {1, -1}, {-2, -1}}) {
        Eigen::Map<Eigen::MatrixXf, Eigen::Unaligned, stride> map{elements.data() + 4, 2, 2, steps{outer, inner}};
        Eigen::Map<Eigen::MatrixXf const, Eigen::Unaligned, stride> const fixed{elements.data() + 4, 2, 2, steps{outer, inner}};
        if (outer < 0 || inner < 0) {
            CHECK_THROWS_WITH_AS((void)as_view(map), "zeroi2v::as_view: strides must not be negative", precondition_error);
            CHECK_THROWS_WITH_AS((void)as_view(fixed), "zeroi2v::as_view: strides must not be negative", precondition_error);
            continue;
        }
        auto const v = as_view(map);
        auto const w = as_view(fixed);
        for (std::size_t i = 0; i < 2; ++i)
            for (std::size_t j = 0; j < 2; ++j) {
                CHECK(v(i, j) == map(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)));
                CHECK(w(i, j) == v(i, j));
            }
    }
    CHECK(detail::eigen_size(3) == 3);
    CHECK(detail::eigen_size(dynamic) == Eigen::Dynamic);
}

TEST_CASE("there and back is the same window") {
    dynamic_tensor<float, 2> t{3, 5};
    std::iota(t.begin(), t.end(), 0.F);
    auto map = as_eigen(t);
    auto const v = as_view(map);
    CHECK(v.data() == t.data());
    CHECK(v(2, 3) == t(2, 3));
    auto const again = as_eigen(v);
    CHECK(again == map);
}
