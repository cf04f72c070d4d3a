// The queue that has training clips ready in order, and the count of those that could not be read.
#pragma once

#include "train_source.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace zeroi2v::program {

/// A video that could not be read, and why.
struct bad_video {
    std::size_t sample{};
    std::string code, words;
};

/// Videos that could not be read, each said once on stderr.
class bad_videos {
public:
    explicit bad_videos(std::size_t limit) noexcept : limit_{limit} {}

    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    /// Errors  one too many -> video_error limit_exceeded.
    void add(bad_video const& found);
    /// Counts one that another rank has named. Errors  as add.
    void add_known(std::size_t sample);
    /// Those added since the last call.
    [[nodiscard]] std::vector<std::size_t> news();
    [[nodiscard]] std::size_t count() const;

private:
    void require_few() const;

    std::size_t limit_;
    mutable std::mutex guard_;
    std::set<std::size_t> samples_;
    std::vector<std::size_t> news_;
};

/// Clips in a given order, read ahead by threads of its own into a bounded number of places. A sample that cannot be read
/// is replaced by the next of the source that can: the same one in every run. It counts as bad when its clip is taken, not
/// when it is read: which clip ends a run that has too many depends on no thread.
class clip_queue {
public:
    struct wanted {
        std::size_t sample;
        std::uint64_t draw;
    };
    struct ready {
        std::vector<float> values;
        std::vector<std::int64_t> labels;
    };

    /// `order(n)` is the n-th clip wanted; called in order, from one thread at a time. threads 0: read when it is asked for,
    /// and so where the system gives no thread.
    clip_queue(train_source const& source, std::size_t clip_values, std::function<wanted(std::uint64_t)> order, std::size_t threads, std::size_t places, bad_videos& bad);
    ~clip_queue();

    /// Those that the system gave.
    [[nodiscard]] std::size_t threads() const noexcept { return threads_.size(); }

    /// The next clip; rethrows what stopped its reading.
    [[nodiscard]] ready next();

private:
    struct place {
        ready clip;
        std::vector<bad_video> bad; ///< tried before it
        std::exception_ptr fault;
        bool full = false;
    };

    void work();
    /// `bad`: those tried in vain, in order. Errors  more than the limit, or all of the source -> the last one's.
    void read(wanted what, ready& into, std::vector<bad_video>& bad) const;

    train_source const& source_;
    std::size_t clip_values_;
    std::function<wanted(std::uint64_t)> order_;
    bad_videos& bad_;
    std::mutex guard_;
    std::condition_variable changed_;
    std::vector<place> places_;
    std::uint64_t taken_ = 0, started_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

} // namespace zeroi2v::program
