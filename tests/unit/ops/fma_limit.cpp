#include <zeroi2v/ops/fma_limit.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <doctest/doctest.h>

using namespace zeroi2v;

TEST_CASE("measure_fma_limit: a rate no processor lacks and none exceeds, on one thread and two") {
    for (int const threads : {1, 2}) {
        thread_team team{threads};
        double const limit = measure_fma_limit(best_kernels(), team, 0.002, 2);
        CHECK(limit > 1e8);
        CHECK(limit < 1e13);
    }
}
