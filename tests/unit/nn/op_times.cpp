// op_times: names, sums, and a timer that adds to all of its places or to none.
#include <zeroi2v/nn/op_times.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <set>
#include <string>
#include <thread>

using namespace zeroi2v;

TEST_CASE("every group has a name and a number of its own") {
    std::string names;
    per_op_group times;
    double next = 1;
    for (op_group const group : all_op_groups) {
        names.append(to_string(group)).append(" ");
        times[group] = next;
        next *= 2;
    }
    CHECK(names == "patches norms qkv attention proj mlp adapters head ");
    CHECK(times.total() == next - 1);
    per_op_group twice = times;
    twice += times;
    auto const& read = twice;
    for (op_group const group : all_op_groups) CHECK(read[group] == 2 * times[group]);
}

TEST_CASE("a timer adds its seconds to one group of every place it was given") {
    std::array<op_times, 2> times{};
    for (int i = 0; i < 2; ++i) {
        op_timer const timer{times, op_group::mlp};
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
    for (op_times const& each : times) {
        CHECK(each[op_group::mlp] >= 0.004);
        CHECK(each[op_group::mlp] < 60);
        CHECK(each.total() == each[op_group::mlp]);
    }
    {
        op_timer const nowhere{{}, op_group::head};
    }
    CHECK(times[0][op_group::head] == 0);
}
