// thread_team and serial_executor: every part once, exceptions reach the caller, and the team lives on.
#include <zeroi2v/parallel/thread_team.hpp>

#include <zeroi2v/parallel/executor.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// A sanitizer's own threads and memory do not survive a fork or a limit.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ZEROI2V_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define ZEROI2V_TEST_SANITIZED 1
#endif
#endif
#ifndef ZEROI2V_TEST_SANITIZED
#define ZEROI2V_TEST_SANITIZED 0
#endif

using namespace zeroi2v;

namespace {

/// Runs `parts` parts and tells whether each ran exactly once.
bool each_once(executor& workers, int parts) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(parts));
    workers.run(parts, [&](int part) { ++runs[static_cast<std::size_t>(part)]; });
    for (auto const& count : runs)
        if (count != 1) return false;
    return true;
}

} // namespace

TEST_CASE("every part runs once, for 1 to 64 threads, fewer and more parts than threads, again and again") {
    serial_executor serial;
    CHECK(serial.concurrency() == 1);
    CHECK(each_once(serial, 5));
    for (int threads = 1; threads <= 64; threads += threads < 10 ? 1 : 9) {
        thread_team team{threads};
        CHECK(team.concurrency() == threads);
        CHECK(team.requested() == threads);
        for (int const parts : {0, 1, 2, 3, 63, 64, 65, 200}) CHECK(each_once(team, parts));
        team.run(-1, [](int) { FAIL("no part was asked for"); });
    }
    thread_team nonsense{-3};
    CHECK(nonsense.concurrency() == 1);
    CHECK(each_once(nonsense, 4));
    thread_team busy{3};
    for (int i = 0; i < 3000; ++i)
        if (!each_once(busy, 1 + i % 7)) FAIL("run " << i);
}

TEST_CASE("a sleeping team wakes up") {
    thread_team team{4};
    for (int i = 0; i < 5; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
        CHECK(each_once(team, 9));
    }
}

TEST_CASE("the exception of the lowest part reaches the caller, all parts ran, the team is usable") {
    serial_executor serial;
    for (int const threads : {1, 2, 5, 16}) {
        thread_team team{threads};
        for (int round = 0; round < 20; ++round) {
            std::atomic<int> ran{0};
            try {
                team.run(20, [&](int part) {
                    ++ran;
                    if (part % 7 == 3) throw std::runtime_error{std::to_string(part)};
                });
                FAIL("nothing was thrown");
            } catch (std::runtime_error const& failure) {
                CHECK(std::string{failure.what()} == "3");
            }
            CHECK(ran == 20);
            CHECK(each_once(team, 20));
        }
    }
}

TEST_CASE("a run inside a run is executed inline") {
    thread_team team{3};
    std::atomic<int> inner{0};
    team.run(6, [&](int) {
        auto const here = std::this_thread::get_id();
        team.run(4, [&](int) {
            if (std::this_thread::get_id() == here) ++inner;
        });
    });
    CHECK(inner == 24);
    CHECK(each_once(team, 8));
    CHECK_THROWS_AS(team.run(3, [&](int) { team.run(2, [](int) { throw std::logic_error{"inner"}; }); }), std::logic_error);
    CHECK(each_once(team, 8));
}

TEST_CASE("many threads share one team") {
    thread_team team{3};
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 16; ++i)
        callers.emplace_back([&] {
            for (int round = 0; round < 100; ++round)
                if (!each_once(team, 5)) ++wrong;
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0);
}

TEST_CASE("teams come and go, used or not") {
    for (int i = 0; i < 50; ++i) {
        thread_team unused{4};
        thread_team used{2};
        CHECK(each_once(used, 3));
    }
}

#if !ZEROI2V_TEST_SANITIZED
TEST_CASE("after a fork the child runs its parts alone") {
    thread_team team{3};
    CHECK(each_once(team, 6));
    pid_t const child = ::fork();
    if (child == 0) {
        ::alarm(20);
        bool sound = each_once(team, 6);
        thread_team own{2};
        sound = sound && each_once(own, 4);
        ::_exit(sound ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(each_once(team, 6));
}

TEST_CASE("after a fork the child ends its copy of a team without waiting for threads that it does not have") {
    std::optional<thread_team> team{std::in_place, 3};
    CHECK(each_once(*team, 6));
    pid_t const child = ::fork();
    if (child == 0) {
        ::alarm(5); // who waits, waits for ever
        team.reset();
        ::_exit(0);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(each_once(*team, 6));
}

TEST_CASE("a system that refuses threads leaves a smaller team, and says so") {
    pid_t const child = ::fork(); // the limit holds for the whole process
    if (child == 0) {
        ::alarm(20);
        rlimit const memory{std::size_t{1} << 28, std::size_t{1} << 28}; // room for a few stacks only
        if (::setrlimit(RLIMIT_AS, &memory) != 0) ::_exit(2);
        thread_team team{500};
        bool const fewer = team.concurrency() < 500 && team.requested() == 500 && team.concurrency() >= 1;
        ::_exit(fewer && each_once(team, 40) ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}
#endif

TEST_CASE("parts of one run are in work at the same time") {
    thread_team team{3};
    for (bool const throws : {false, true, false}) { // the first run and those after it, one that failed too
        std::atomic<int> begun{0};
        std::atomic<bool> together{true};
        auto const run = [&] {
            team.run(3, [&](int) {
                ++begun;
                auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
                while (begun < 3 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
                if (begun < 3) together = false;
                if (throws) throw std::runtime_error{"a part"};
            });
        };
        if (throws) CHECK_THROWS_AS(run(), std::runtime_error);
        else run();
        CHECK(together);
    }
}

TEST_CASE("a team that sleeps ends as one that works") {
    for (bool const used : {false, true}) {
        thread_team team{3};
        if (used) CHECK(each_once(team, 5));
        std::this_thread::sleep_for(std::chrono::milliseconds{30});
    }
}
