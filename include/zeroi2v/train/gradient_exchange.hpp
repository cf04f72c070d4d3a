// gradient_exchange: the seam between a trainer and the other ranks of its run; and how the ranks divide a batch.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/train/gradient_tree.hpp>

#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v {

/// What one rank does where the tree of a batch's gradients goes over the borders of the ranks. Done in order by every
/// rank, each act waits for none that comes later.
struct tree_join {
    enum class act {
        add,    ///< sum += other
        send,   ///< sum goes to `peer`
        receive ///< sum += what comes from `peer`
    };
    act what{};
    float* sum{};         ///< (floats)
    float const* other{}; ///< (floats), of `add`
    std::size_t peer{};

    friend bool operator==(tree_join const&, tree_join const&) = default;
};

namespace detail {

/// The rank whose share a sample is in.
[[nodiscard]] constexpr std::size_t rank_of_sample(std::size_t samples, std::size_t ranks, std::size_t sample) noexcept {
    std::size_t const each = samples / ranks, longer = samples % ranks, in_longer = longer * (each + 1);
    return sample < in_longer ? sample / (each + 1) : longer + (sample - in_longer) / each;
}

struct tree_walk {
    std::size_t samples, ranks, rank;
    std::span<gradient_node const> nodes;
    std::vector<tree_join>& joins;

    /// The buffer in which this rank has the sum of [first, last) when its joins up to here are done; null: another has it.
    float* visit(std::size_t first, std::size_t last) {
        index_range const share = partition(samples, ranks, rank);
        if (last <= share.begin || first >= share.end) return nullptr;
        if (share.begin <= first && last <= share.end) {
            for (auto const& each : nodes)
                if (each.first == first && each.last == last) return each.sum;
            return nullptr;
        }
        std::size_t const middle = first + std::bit_floor(last - first - 1);
        float* const left = visit(first, middle);
        float* const right = visit(middle, last);
        std::size_t const to = rank_of_sample(samples, ranks, first), from = rank_of_sample(samples, ranks, middle);
        if (to == from && to == rank) joins.push_back({tree_join::act::add, left, right, rank});
        else if (to == rank) joins.push_back({tree_join::act::receive, left, nullptr, from});
        else if (from == rank) joins.push_back({tree_join::act::send, right, nullptr, to});
        return to == rank ? left : nullptr;
    }
};

} // namespace detail

/// How the ranks add up the nodes of their shares: rank r has the samples partition(samples, ranks, r), and a node of the
/// tree is added up where its first sample is.
///
/// Post-condition  when all ranks have done their joins, the first node of rank 0 holds tree_sum over all samples: the same
///                 bits for every number of ranks and samples.
/// Cost            a rank sends, and receives, at most 2 log2(samples) gradients; one where both numbers are powers of two.
/// Test            tests/unit/train/exchange.cpp
[[nodiscard]] inline std::vector<tree_join> tree_joins(std::size_t samples, std::size_t ranks, std::size_t rank, std::span<gradient_node const> nodes) {
    std::vector<tree_join> joins;
    detail::tree_walk{samples, ranks, rank, nodes, joins}.visit(0, samples);
    return joins;
}

/// The other ranks of a run: processes that train the same model, each on its share of every batch.
///
/// A trainer without one is alone. Every rank calls the same members in the same order; `begin` to `wait` may lie over
/// one another's computation: floats that are announced by `ready` travel while those before them are still being made.
/// Errors  training_error rank_lost from every member that waits, where another rank no longer answers.
/// Test    tests/unit/train/exchange.cpp (ranks that are threads), tests/mpi (zeroi2v::mpi's)
class gradient_exchange {
public:
    gradient_exchange() = default;
    gradient_exchange(gradient_exchange const&) = delete;
    gradient_exchange& operator=(gradient_exchange const&) = delete;
    virtual ~gradient_exchange() = default;

    [[nodiscard]] virtual std::size_t rank() const noexcept = 0;
    [[nodiscard]] virtual std::size_t ranks() const noexcept = 0;
    /// How messages call a rank: `rank 2 (host, process 1234)`.
    [[nodiscard]] virtual std::string name(std::size_t rank) const = 0;

    /// Begins a sum. What the joins leave in rank 0's `sum` is in that of every rank after `wait`; on the others it may be a
    /// buffer of a join. Buffers stay where they are until then.
    virtual void begin(std::vector<tree_join> joins, std::span<float> sum) = 0;
    /// The floats from `first` on are there in every buffer that is sent or added to; at last with 0.
    virtual void ready(std::size_t first) = 0;
    virtual void wait() = 0;
    /// Gives up a sum that was begun: its buffers are no longer read or written. Nothing, where none was.
    virtual void cancel() noexcept = 0;

    /// What every rank gives, by rank.
    [[nodiscard]] virtual std::vector<std::string> gather(std::string_view mine) = 0;
    /// Rank 0's bytes for all; as many on each rank.
    virtual void broadcast(std::span<std::byte> data) = 0;
};

/// Demands that all ranks have the same text.
/// Errors  training_error ranks_differ, on every rank alike: `what: "b" on rank 2 (...), "a" on rank 0 (...)`.
/// Test    tests/unit/train/exchange.cpp
inline void require_same(gradient_exchange& ranks, std::string_view what, std::string_view mine) {
    auto const all = ranks.gather(mine);
    for (std::size_t r = 1; r < all.size(); ++r)
        if (all[r] != all[0])
            throw training_error{error_code::ranks_differ, std::string{what} + ": " + all[r] + " on " + ranks.name(r) + ", " + all[0] + " on " + ranks.name(0) + ", the same expected"};
}

} // namespace zeroi2v
