#include <zeroi2v/sample/sample.hpp>

#include <doctest/doctest.h>

using namespace zeroi2v;

TEST_CASE("sample: a name, with a comma and a \\") {
    CHECK(twice(5) == 10);
    CHECK(between("abc", "abc") == 0);
}
TEST_CASE("sample: holder") {
    holder<int> h{10};
    CHECK(h.is_large());
    CHECK_FALSE(holder<int>{9}.is_large());
    CHECK(h.larger(12) == 12);
    CHECK(h.larger(3) == 11);
    CHECK_THROWS_AS(h.put(7), std::logic_error);
    CHECK_THROWS_AS(h.put(-1), std::out_of_range);
    h.put(0);
    CHECK_FALSE(h.is_large());
}
TEST_CASE("sample: count_of") {
    CHECK(count_of({1, 2, 1}, 1) == 2);
    CHECK(smaller(1, 2) == 1);
    CHECK(smaller(2, 1) == 1);
    CHECK(steps(3, false) == 3);
    CHECK(steps(3, true) == 7);
}
