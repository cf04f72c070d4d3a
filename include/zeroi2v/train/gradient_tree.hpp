// gradient_tree: the sum of one gradient per sample, added in a fixed binary tree over the samples' numbers.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace zeroi2v {

/// sum(first, n) = value[first] where n = 1, else sum(first, k) + sum(first + k, n - k), k the largest power of two below n.
template <class T>
[[nodiscard]] T tree_sum(std::span<T const> values) {
    if (values.empty()) return T{};
    if (values.size() == 1) return values[0];
    std::size_t const k = std::bit_floor(values.size() - 1);
    return tree_sum(values.first(k)) + tree_sum(values.subspan(k));
}

/// A node of the tree: the sum of the gradients of samples [first, last).
struct gradient_node {
    std::size_t first{}, last{};
    float* sum{}; ///< (floats)
};

/// The same sum over whole gradients that come one after the other, holding one per level of the tree.
///
///     tree.begin(n);
///     float* const leaf = tree.leaf(0);   // fill it: sample i
///     tree.push(workers, 0);              // samples must come in order
///     tree.nodes()[0].sum                 // (floats): the sum, when all n are there
///
/// Where only samples [first, last) of n come here, as on one rank of several, what is left are the largest nodes of the
/// tree that lie in that range, in order; tree_joins (train/gradient_exchange.hpp) says how the ranks add them up.
/// Numerics  the same bits for every executor, every number of leaves filled at a time, and every division of the samples
///           into ranges.
/// Cost      memory: buffers(n, leaves).    Test  tests/unit/train/parts.cpp
class gradient_tree {
public:
    gradient_tree(std::size_t floats, std::size_t leaves) : floats_{floats}, leaves_(leaves, empty) {}

    /// Forgets what was pushed, and takes the samples `here` of `samples` next.
    void begin(std::size_t samples, index_range here) {
        for (auto const& each : nodes_) free_.push_back(each.buffer);
        nodes_.clear();
        joining_.clear();
        samples_ = samples;
        next_ = here.begin;
    }
    void begin(std::size_t samples) { begin(samples, {0, samples}); }

    /// Where a sample's gradient goes: `leaves` of them may be filled at a time.
    [[nodiscard]] float* leaf(std::size_t i) {
        if (leaves_[i] == empty) leaves_[i] = take();
        return data(leaves_[i]);
    }

    /// The next sample's gradient is in leaf i.
    void push(executor& workers, std::size_t i) {
        place(i);
        add(workers, 0);
    }

    /// The same in parts: the next sample's gradient will be in leaf i; then, as often as its floats from some number on
    /// are there, add(workers, that number), the last time with 0. No leaf is filled anew before that.
    void place(std::size_t i) {
        ZEROI2V_REQUIRE(next_ < samples_, "zeroi2v::gradient_tree::place: more samples than were begun for");
        nodes_.push_back({next_, next_ + 1, leaves_[i]});
        leaves_[i] = empty;
        ++next_;
        added_ = floats_;
        joining_.clear();
        while (nodes_.size() > 1 && siblings(nodes_[nodes_.size() - 2], nodes_.back())) {
            node const right = nodes_.back();
            nodes_.pop_back();
            joining_.emplace_back(nodes_.back().buffer, right.buffer);
            nodes_.back().last = right.last;
            free_.push_back(right.buffer);
        }
    }
    void add(executor& workers, std::size_t first) {
        if (first >= added_) return;
        auto const parts = static_cast<std::size_t>(workers.concurrency());
        for (auto const& [to, from] : joining_) {
            float* const sum = data(to) + first;
            float const* const other = data(from) + first;
            workers.run(static_cast<int>(parts), [&](int part) {
                index_range const range = partition(added_ - first, parts, static_cast<std::size_t>(part), 64);
                for (std::size_t k = range.begin; k < range.end; ++k) sum[k] += other[k];
            });
        }
        added_ = first;
    }

    /// What was pushed: disjoint nodes in order, one where all samples came. Valid until the next `begin`.
    [[nodiscard]] std::vector<gradient_node> nodes() {
        std::vector<gradient_node> result;
        for (auto const& each : nodes_) result.push_back({each.first, each.last, data(each.buffer)});
        return result;
    }

    /// Gradients that a batch of n samples, 1 or more, with `leaves` filled at a time needs at most.
    [[nodiscard]] static constexpr std::size_t buffers(std::size_t samples, std::size_t leaves) noexcept {
        return leaves + static_cast<std::size_t>(std::bit_width(samples)) - 1;
    }
    /// The same where n samples are a range of more: it may begin and end amidst the tree.
    [[nodiscard]] static constexpr std::size_t buffers_of_range(std::size_t samples, std::size_t leaves) noexcept {
        return leaves + 2 * static_cast<std::size_t>(std::bit_width(samples));
    }

private:
    static constexpr std::size_t empty = static_cast<std::size_t>(-1);

    struct node {
        std::size_t first, last, buffer;
    };

    /// Whether two neighbours are the two sides of one node: a whole one of 2^j samples that begins at a multiple of 2^(j+1),
    /// and what follows, as long or up to the last sample. (The tree cut off at n is that of tree_sum.)
    [[nodiscard]] bool siblings(node const& left, node const& right) const noexcept {
        std::size_t const size = left.last - left.first;
        return std::has_single_bit(size) && left.first % (2 * size) == 0 && right.last == std::min(left.first + 2 * size, samples_);
    }

    [[nodiscard]] float* data(std::size_t buffer) noexcept { return reinterpret_cast<float*>(buffers_[buffer].data()); }

    [[nodiscard]] std::size_t take() {
        if (free_.empty()) {
            buffers_.push_back(aligned_buffer::in_large_pages(floats_ * sizeof(float)));
            free_.reserve(buffers_.size()); // returning one never allocates
            return buffers_.size() - 1;
        }
        std::size_t const buffer = free_.back();
        free_.pop_back();
        return buffer;
    }

    std::size_t floats_, samples_{}, next_{}, added_{};
    std::vector<aligned_buffer> buffers_;
    std::vector<std::size_t> free_, leaves_;
    std::vector<node> nodes_;
    std::vector<std::pair<std::size_t, std::size_t>> joining_; // buffers (to, from) of the sample placed last
};

} // namespace zeroi2v
