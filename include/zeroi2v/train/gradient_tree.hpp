// gradient_tree: the sum of one gradient per sample, added in a fixed binary tree over the samples' numbers.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <bit>
#include <cstddef>
#include <span>
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

/// The same sum over whole gradients that come one after the other, holding one per level of the tree.
///
///     float* const leaf = tree.leaf(0);   // fill it: sample i
///     tree.push(workers, 0);              // samples must come in order
///     tree.finish(workers)                // (floats): the sum
///
/// Numerics  the same bits for every executor, every number of leaves filled at a time, and every division of the samples
///           into subtrees of a power of two.
/// Cost      memory: leaves + floor(log2 n) gradients at most.    Test  tests/unit/train/parts.cpp
class gradient_tree {
public:
    gradient_tree(std::size_t floats, std::size_t leaves) : floats_{floats}, leaves_(leaves, empty) {}

    /// Where a sample's gradient goes: `leaves` of them may be filled at a time.
    [[nodiscard]] float* leaf(std::size_t i) {
        if (leaves_[i] == empty) leaves_[i] = take();
        return data(leaves_[i]);
    }

    /// The next sample's gradient is in leaf i.
    void push(executor& workers, std::size_t i) {
        std::size_t level = 0;
        std::size_t sum = leaves_[i];
        for (; level < levels_.size() && levels_[level] != empty; ++level) {
            add(workers, levels_[level], sum);
            free_.push_back(sum);
            sum = levels_[level];
            levels_[level] = empty;
        }
        if (level == levels_.size()) levels_.push_back(empty);
        levels_[level] = sum;
        leaves_[i] = empty;
    }

    /// The sum of all that was pushed, valid until the next push. At least one sample was.
    [[nodiscard]] std::span<float> finish(executor& workers) {
        std::size_t sum = empty;
        for (std::size_t level = 0; level < levels_.size(); ++level) {
            if (levels_[level] == empty) continue;
            if (sum != empty) {
                add(workers, levels_[level], sum);
                free_.push_back(sum);
            }
            sum = levels_[level];
            levels_[level] = empty;
        }
        ZEROI2V_REQUIRE(sum != empty, "zeroi2v::gradient_tree::finish: nothing was pushed");
        free_.push_back(sum);
        return {data(sum), floats_};
    }

    /// Forgets what was pushed.
    void clear() noexcept {
        for (std::size_t& level : levels_) {
            if (level != empty) free_.push_back(level);
            level = empty;
        }
    }

    /// Gradients that a batch of n samples, 1 or more, with `leaves` filled at a time needs at most.
    [[nodiscard]] static constexpr std::size_t buffers(std::size_t samples, std::size_t leaves) noexcept {
        return leaves + static_cast<std::size_t>(std::bit_width(samples)) - 1;
    }

private:
    static constexpr std::size_t empty = static_cast<std::size_t>(-1);

    [[nodiscard]] float* data(std::size_t buffer) noexcept { return reinterpret_cast<float*>(buffers_[buffer].data()); }

    [[nodiscard]] std::size_t take() {
        if (free_.empty()) {
            buffers_.emplace_back(floats_ * sizeof(float));
            free_.reserve(buffers_.size()); // returning one never allocates
            return buffers_.size() - 1;
        }
        std::size_t const buffer = free_.back();
        free_.pop_back();
        return buffer;
    }

    void add(executor& workers, std::size_t to, std::size_t from) {
        auto const parts = static_cast<std::size_t>(workers.concurrency());
        float* const sum = data(to);
        float const* const other = data(from);
        workers.run(static_cast<int>(parts), [&](int part) {
            index_range const range = partition(floats_, parts, static_cast<std::size_t>(part), 64);
            for (std::size_t i = range.begin; i < range.end; ++i) sum[i] += other[i];
        });
    }

    std::size_t floats_;
    std::vector<aligned_buffer> buffers_;
    std::vector<std::size_t> free_, leaves_, levels_;
};

} // namespace zeroi2v
