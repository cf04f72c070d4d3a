// row_schedule: every row once for every step, the steps of a row in order, and nobody starts before the rows it waits for.
#include <zeroi2v/parallel/row_schedule.hpp>

#include <zeroi2v/parallel/thread_team.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <vector>

using namespace zeroi2v;

namespace {

/// What was done to each row, a decimal digit a step.
struct history {
    std::vector<std::atomic<unsigned>> of;
    explicit history(std::size_t rows) : of(rows) {}
    void note(index_range some, unsigned digit) {
        for (std::size_t r = some.begin; r < some.end; ++r) of[r] = of[r] * 10 + digit;
    }
    bool all(unsigned expected) const {
        for (auto const& each : of)
            if (each != expected) return false;
        return true;
    }
};

} // namespace

TEST_CASE("row_schedule: steps of the same rows are done in order, row block by row block") {
    thread_team team{3};
    for (std::size_t const rows : {1U, 5U, 64U, 1000U}) {
        history done{rows};
        std::atomic<std::size_t> largest = 0;
        row_schedule steps{team, 16, 4};
        for (unsigned const digit : {1U, 2U, 3U})
            steps.add(rows, [&done, &largest, digit](index_range some, std::size_t) {
                done.note(some, digit);
                for (std::size_t seen = largest; seen < some.size() && !largest.compare_exchange_weak(seen, some.size());) {}
            });
        CHECK(done.all(0)); // nothing is done before it has to be
        steps.finish();
        CHECK(done.all(123));
        CHECK(largest <= 16);
        steps.finish();
        CHECK(done.all(123)); // and nothing twice
    }
}

TEST_CASE("row_schedule: another number of rows, or a fifth step, comes after all that wait") {
    serial_executor here;
    history done{8}, other{3};
    row_schedule steps{here, 4, 1};
    steps.add(8, [&](index_range some, std::size_t) { done.note(some, 1); });
    steps.add(3, [&](index_range some, std::size_t part) {
        CHECK(part == 0);
        CHECK(done.all(1)); // all eight, though three would do
        other.note(some, 2);
    });
    CHECK(done.all(1));
    CHECK(other.all(0));
    steps.finish();
    CHECK(other.all(2));

    history many{8};
    for (unsigned digit = 1; digit <= 5; ++digit) steps.add(8, [&many, digit](index_range some, std::size_t) { many.note(some, digit); });
    CHECK(many.all(1234));
    steps.finish();
    CHECK(many.all(12345));
}

TEST_CASE("row_schedule: no rows, no calls") {
    serial_executor here;
    row_schedule steps{here, 4, 1};
    std::size_t calls = 0;
    steps.add(0, [&](index_range, std::size_t) { ++calls; });
    steps.finish();
    CHECK(calls == 0);
}
