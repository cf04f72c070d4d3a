#include <zeroi2v/tensor/static_tensor.hpp>

#include <doctest/doctest.h>

#include <cstddef>

using namespace zeroi2v;

TEST_CASE("a static tensor is read and written through indices, views and ranges alike") {
    static_tensor<int, 2, 3> t{};
    int next = 0;
    for (int& x : t) x = next++;
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) {
            CHECK(t(i, j) == static_cast<int>(3 * i + j));
            CHECK(t.view()(i, j) == t(i, j));
        }
    tensor_view<int, extents<2, 3>> const v = t;
    v(0, 0) = 9;
    CHECK(t(0, 0) == 9);
    auto const copy = t;
    t(0, 0) = 1;
    CHECK(copy(0, 0) == 9);
    CHECK_FALSE(copy == t);
}

TEST_CASE("a static tensor knows its sizes and ends") {
    static_tensor<float, 2, 3, 4> t{};
    auto const& read = t;
    CHECK((t.size() == 24 && t.rank() == 3 && t.extent(0) == 2 && t.extent(1) == 3 && t.extent(2) == 4 && t.extents().size() == 24));
    CHECK((t.end() - t.begin() == 24 && read.end() - read.begin() == 24 && read.data() == t.data()));
    t(1, 2, 3) = 5;
    CHECK(read.elements[23] == 5.F);
    CHECK(read(1, 2, 3) == 5.F);
    tensor_view<float const, extents<2, 3, 4>> const v = read;
    CHECK(v(1, 2, 3) == 5.F);
    CHECK(read.view().data() == t.data());
    CHECK(static_tensor<float>{}.size() == 1);
}
