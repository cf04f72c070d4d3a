// row_schedule: several steps over the same rows, done row block by row block while the rows are in a thread's cache.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <array>
#include <cstddef>
#include <new>
#include <type_traits>

namespace zeroi2v {

/// Steps wait until `finish`, or until a step over another number of rows comes; then each thread takes some rows after the
/// other and does all waiting steps on them in order.
///
///     row_schedule steps{workers, 128, 6};
///     steps.add(rows, [=](index_range some, std::size_t part) { ... });   // part: the thread's number
///     steps.add(rows, [=](index_range some, std::size_t part) { ... });   // reads what the step before made of the same rows
///     steps.finish();
///
/// A step may read rows that are not its own only where `finish` was called after the step that makes them.
/// Cost    no allocation: at most 4 steps wait, each a callable of at most 64 bytes without a destructor.
/// Test    tests/unit/parallel/row_schedule.cpp
class row_schedule {
public:
    /// Blocks of at most `most_rows` rows, cut at multiples of `row_multiple`.
    row_schedule(executor& workers, std::size_t most_rows, std::size_t row_multiple) noexcept
        : workers_{&workers}, most_rows_{most_rows}, row_multiple_{row_multiple} {}
    row_schedule(row_schedule const&) = delete;
    row_schedule& operator=(row_schedule const&) = delete;

    /// Later: step(some of `rows` rows, part) until all are done.
    template <class Step>
        requires std::is_invocable_v<Step const&, index_range, std::size_t>
    void add(std::size_t rows, Step const& step) {
        static_assert(sizeof(Step) <= sizeof(waiting::storage) && std::is_trivially_copyable_v<Step> && std::is_trivially_destructible_v<Step>,
                      "zeroi2v::row_schedule: a step must capture at most 64 bytes, by value or reference");
        if (count_ == steps_.size() || (count_ > 0 && rows != rows_)) finish();
        rows_ = rows;
        waiting& next = steps_[count_++];
        ::new (static_cast<void*>(next.storage)) Step{step};
        next.run = [](void const* storage, index_range some, std::size_t part) { (*std::launder(static_cast<Step const*>(storage)))(some, part); };
    }

    /// Does what waits.
    void finish() {
        if (count_ == 0) return;
        auto const parts = static_cast<std::size_t>(workers_->concurrency());
        dealt_blocks blocks{rows_, parts, most_rows_, row_multiple_};
        workers_->run(static_cast<int>(parts), [&](int number) {
            auto const part = static_cast<std::size_t>(number);
            for (index_range some = blocks.take(part); !some.empty(); some = blocks.take(part))
                for (std::size_t i = 0; i < count_; ++i) steps_[i].run(steps_[i].storage, some, part);
        });
        count_ = 0;
    }

private:
    struct waiting {
        alignas(alignof(void*)) std::byte storage[64];
        void (*run)(void const*, index_range, std::size_t);
    };

    executor* workers_;
    std::size_t most_rows_, row_multiple_;
    std::size_t rows_{}, count_{};
    std::array<waiting, 4> steps_;
};

} // namespace zeroi2v
