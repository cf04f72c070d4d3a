#include <zeroi2v/tensor/tensor_view.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <vector>

using namespace zeroi2v;

TEST_CASE("a row-major view numbers its elements in the order of memory") {
    std::vector<int> elements(2 * 3 * 5);
    std::iota(elements.begin(), elements.end(), 0);
    tensor_view const v{elements.data(), 2, 3, 5};
    int expected = 0;
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < 5; ++k) CHECK(v(i, j, k) == expected++);
    CHECK(v.stride(0) == 15);
    CHECK(v.stride(1) == 5);
    CHECK(v.stride(2) == 1);
    CHECK(v.end() - v.begin() == 30);
}

TEST_CASE("a strided view walks where its strides say") {
    std::vector<int> elements(12);
    std::iota(elements.begin(), elements.end(), 0);
    // the transpose of a (3,4) matrix
    tensor_view<int const, dims<2>, strided<2>> const t{elements.data(), {4, 3}, {{1, 4}}};
    for (std::size_t i = 0; i < 4; ++i)
        for (std::size_t j = 0; j < 3; ++j) CHECK(t(i, j) == static_cast<int>(j * 4 + i));
    CHECK(t.size() == 12);
}

TEST_CASE("a view writes through, and turns into a view of const and of dynamic sizes") {
    int elements[6] = {};
    tensor_view<int, extents<2, 3>> const fixed{elements, {}};
    fixed(1, 2) = 7;
    view<int const, 2> const loose = fixed;
    CHECK(loose(1, 2) == 7);
    CHECK(loose.extent(0) == 2);
    CHECK(loose.extent(1) == 3);
    CHECK(loose.data() == elements);
}

TEST_CASE("empty views are empty") {
    CHECK(view<float, 3>{}.empty());
    float one = 1;
    CHECK(tensor_view{&one, 0, 3}.empty());
    CHECK_FALSE(tensor_view{&one, 1, 1}.empty());
}

TEST_CASE("strides, layouts and ends of views") {
    int elements[24] = {};
    tensor_view<int, dims<3>, strided<3>> const v{elements, {2, 3, 4}, {{12, 4, 1}}};
    CHECK((v.stride(0) == 12 && v.stride(1) == 4 && v.stride(2) == 1 && v.size() == 24 && v.layout() == strided<3>{{12, 4, 1}}));
    CHECK_FALSE(v.layout() == strided<3>{{12, 1, 4}});
    tensor_view<int const, dims<3>, strided<3>> const read = v;
    CHECK((&read(1, 2, 3) == elements + 23 && read.extent(2) == 4));
    tensor_view<int, extents<4, 6>> const fixed{elements, {}};
    CHECK((fixed.end() == elements + 24 && fixed.stride(0) == 6 && fixed.rank() == 2 && fixed.extents() == dims<2>{4, 6}));
    CHECK((row_major{} == row_major{} && fixed.layout() == row_major{}));
    CHECK(view<int, 2>{}.data() == nullptr);
}
