#include <zeroi2v/tensor/extents.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>

using namespace zeroi2v;

TEST_CASE("static and dynamic sizes mix, and each is found at its place") {
    extents<2, dynamic, 5, dynamic> const e{2, 3, 5, 7};
    CHECK(e.rank() == 4);
    CHECK(e.rank_dynamic() == 2);
    CHECK(e.to_array() == std::array<std::size_t, 4>{2, 3, 5, 7});
    CHECK(e.size() == 210);
    CHECK(e.static_extent(2) == 5);
    CHECK(e.static_extent(1) == dynamic);
}

TEST_CASE("a zero size makes no elements; no dimension makes one") {
    CHECK(dims<3>{4, 0, 5}.size() == 0);
    CHECK(extents<>{}.size() == 1);
    CHECK(dims<2>{}.size() == 0);
}

TEST_CASE("equality compares the sizes, static or not, and the rank") {
    CHECK(extents<2, 3>{} == dims<2>{2, 3});
    CHECK(extents<2, dynamic>{2, 3} == extents<dynamic, 3>{2, 3});
    CHECK_FALSE(extents<2, 3>{} == dims<2>{3, 2});
    CHECK_FALSE(extents<2, 3>{} == dims<3>{2, 3, 1});
}

TEST_CASE("extents without a value are the static sizes, and zero where a size is dynamic") {
    extents<2, dynamic, 5> const e;
    CHECK((e.extent(0) == 2 && e.extent(1) == 0 && e.extent(2) == 5 && e.size() == 0));
    CHECK(extents<2, 3>{2, 3}.size() == 6);
    CHECK(extents{4, 5}.rank_dynamic() == 2);
    CHECK_FALSE(dims<2>{2, 3} == dims<2>{2, 4});
}
