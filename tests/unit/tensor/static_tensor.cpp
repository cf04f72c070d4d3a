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
