// The measures of error themselves: each must fail on what it is there to find.
#include "tables.hpp"

using namespace zeroi2v::test;

TEST_CASE("the measures accept what is equal and fail on each kind of difference") {
    std::vector<double> const want{1, -2, 3, -4, 5, 0};
    std::vector<float> const equal{1, -2, 3, -4, 5, 0};
    auto const unit = [](std::size_t) { return 1e-6; };
    CHECK(max_error(equal, want, unit) == 0);
    CHECK(relative_l2(equal, want) == 0);
    CHECK(same_bits(equal, equal));
    float const nan = std::numeric_limits<float>::quiet_NaN();
    float const infinity = std::numeric_limits<float>::infinity();
    for (std::vector<float> const& wrong : std::vector<std::vector<float>>{
             {1, -2, 3, -4, 6, 0}, {1, 2, 3, -4, 5, 0}, {-1, 2, 3, -4, 5, 0}, {1, -2, nan, -4, 5, 0}, {1, -2, infinity, -4, 5, 0},
             {-2, 1, 3, -4, 5, 0}, {1, -2, 3, -4, 5}, {}, {1, -2, 3, -4, 5, 0, 0}}) {
        CHECK(max_error(wrong, want, unit) > 1);
        CHECK(relative_l2(wrong, want) > 1e-6);
        CHECK_FALSE(same_bits(wrong, equal));
    }
    CHECK(max_error({}, {}, unit) == failed);
    CHECK(relative_l2({}, {}) == failed);
    CHECK_FALSE(same_bits({}, {}));
    std::vector<double> const zeros(20);
    CHECK(max_error(std::vector<float>(20), zeros, unit) == failed);
    CHECK(max_error(std::vector<float>{infinity}, std::vector<double>{-failed}, unit) == failed);
    CHECK(max_error(std::vector<float>{infinity}, std::vector<double>{failed}, unit) == 0);
}

TEST_CASE("some kernels run here") {
    REQUIRE_FALSE(tables().empty());
    CHECK(tables().front()->level == zeroi2v::isa::sse2);
}
