// dealt_blocks: blocks of a range, dealt to parts beforehand; who has done its own takes over what others have not begun.
#pragma once

#include <zeroi2v/parallel/partition.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

namespace zeroi2v {

/// [0, count) in blocks of at most `most`, cut at multiples of `multiple`. Each part has a home range, as `partition` deals them, in even
/// blocks, of which the last two come in halves, and takes them in order: its rows stay in its own caches. A part that finds its home empty
/// takes the first blocks left in the next homes, so that a core slowed by its neighbours keeps nobody waiting for more than half a block.
///
/// Which part takes a block is a race; what a block is, is not: work whose results depend on the block's rows alone gives the same
/// bits. More than 64 parts share homes; one part alone needs no halves.
///
/// Post-condition  all blocks together cover [0, count), each index once, whichever parts take them in whatever order.
/// Cost            one atomic exchange per block; 4 KB, no allocation.     Test  tests/unit/parallel/dealt_blocks.cpp
class dealt_blocks {
public:
    dealt_blocks(std::size_t count, std::size_t parts, std::size_t most, std::size_t multiple = 1) noexcept : homes_{std::clamp<std::size_t>(parts, 1, most_homes)} {
        for (std::size_t h = 0; h < homes_; ++h) {
            index_range const range = partition(count, homes_, h, multiple);
            home_[h].range = range;
            home_[h].block = even_block(range.size(), most, multiple);
            home_[h].half = homes_ > 1 && home_[h].block >= 2 * multiple ? (home_[h].block / 2 + multiple - 1) / multiple * multiple : home_[h].block;
            home_[h].next.store(range.begin, std::memory_order_relaxed);
        }
    }

    /// The next block for `part`; empty when all are taken.
    [[nodiscard]] index_range take(std::size_t part) noexcept {
        for (std::size_t i = 0; i < homes_; ++i) {
            home& from = home_[(part + i) % homes_];
            std::size_t begin = from.next.load(std::memory_order_relaxed); // relaxed: who reads a block's results waits for the executor
            while (begin < from.range.end) {
                std::size_t const left = from.range.end - begin;
                std::size_t const end = begin + std::min(left, left > 2 * from.block ? from.block : from.half);
                if (from.next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) return {begin, end};
            }
        }
        return {};
    }

private:
    static constexpr std::size_t most_homes = 64;
    struct alignas(64) home {
        std::atomic<std::size_t> next;
        index_range range;
        std::size_t block, half;
    };

    std::size_t homes_;
    std::array<home, most_homes> home_;
};

} // namespace zeroi2v
