// mpi_exchange, run by every rank of an MPI job: sums with the bits of the tree, texts, bytes, the common end.
#include <zeroi2v/mpi/mpi_exchange.hpp>

#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/train/gradient_tree.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace zeroi2v;

namespace {

/// MPI begins once in a process, and ends with it.
mpi_exchange& ranks() {
    static mpi_exchange all;
    return all;
}

std::vector<float> gradient(std::size_t sample, std::size_t floats) {
    std::vector<float> values(floats);
    detail::draw_normal(values, 1, sample, 77);
    return values;
}

} // namespace

TEST_CASE("sums of batches that do not divide, of several pieces, announced late and unevenly: the bits of the tree on every rank") {
    auto& all = ranks();
    REQUIRE(all.ranks() >= 2);
    serial_executor serial;
    std::size_t const floats = 600001; // two pieces and a third
    for (std::size_t const samples : {1U, 2U, 7U, 8U}) {
        gradient_tree tree{floats, 1}, whole{floats, 1};
        auto const share = partition(samples, all.ranks(), all.rank());
        tree.begin(samples, share);
        whole.begin(samples);
        for (std::size_t s = 0; s < samples; ++s) {
            auto const values = gradient(s, floats);
            std::copy_n(values.data(), floats, whole.leaf(0));
            whole.push(serial, 0);
            if (s < share.begin || s >= share.end) continue;
            std::copy_n(values.data(), floats, tree.leaf(0));
            if (s + 1 < share.end) tree.push(serial, 0);
        }
        bool const empty = share.empty();
        float* const unused = empty ? tree.leaf(0) : nullptr;
        if (!empty) tree.place(0);
        auto const nodes = tree.nodes();
        float* const sum = empty ? unused : nodes.front().sum;
        all.begin(tree_joins(samples, all.ranks(), all.rank(), nodes), {sum, floats});
        for (std::size_t const first : {std::size_t{550000}, std::size_t{549999}, 3 + 1000 * all.rank(), std::size_t{0}}) {
            std::this_thread::sleep_for(std::chrono::milliseconds{10 * all.rank()});
            if (!empty) tree.add(serial, first);
            all.ready(first);
        }
        all.wait();
        CHECK(std::memcmp(sum, whole.nodes()[0].sum, floats * sizeof(float)) == 0);
    }
}

TEST_CASE("texts of every rank for every rank, rank 0's bytes for all, and whoever differs by name") {
    auto& all = ranks();
    std::string const mine(all.rank() * 1000000, static_cast<char>('a' + all.rank()));
    auto const texts = all.gather(mine);
    REQUIRE(texts.size() == all.ranks());
    for (std::size_t r = 0; r < texts.size(); ++r) CHECK(texts[r] == std::string(r * 1000000, static_cast<char>('a' + r)));

    std::vector<std::byte> bytes((std::size_t{1} << 24U) + 3, static_cast<std::byte>(all.rank() + 1));
    all.broadcast(bytes);
    CHECK(bytes == std::vector<std::byte>(bytes.size(), std::byte{1}));
    all.broadcast({});

    CHECK(all.name(1).find("rank 1 (") == 0);
    CHECK(all.name(all.rank()).find(", process " + std::to_string(::getpid())) != std::string::npos);
    require_same(all, "number", "7");
    try {
        require_same(all, "number", all.rank() == 1 ? "8" : "7");
        FAIL("nothing thrown");
    } catch (training_error const& error) {
        CHECK(error.code() == error_code::ranks_differ);
        CHECK(std::string{error.what()} == "number: 8 on " + all.name(1) + ", 7 on " + all.name(0) + ", the same expected");
    }
}

TEST_CASE("a sum that is given up touches its buffers no more; then there is only the common end") {
    auto& all = ranks();
    {
        std::vector<float> floats(1000, 1.0F);
        gradient_node const node{all.rank(), all.rank() + 1, floats.data()};
        all.begin(tree_joins(all.ranks(), all.ranks(), all.rank(), std::span{&node, 1}), floats);
        if (all.rank() == 0) all.ready(0); // it waits for the others, who announce nothing
        all.cancel();
        CHECK(floats == std::vector<float>(1000, 1.0F));
    }
    CHECK_THROWS_AS(static_cast<void>(all.gather("")), training_error);
    CHECK(all.all_end());
}
