// Where training takes its clips from: a file of clips or a list of videos; and the queue that has them ready in order.
#pragma once

#include "console.hpp"
#include "video_list.hpp"

#include <zeroi2v/io/train_clips.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/augment.hpp>

#include <nlohmann/json.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace zeroi2v::program {

/// Labelled clips by number. Const members may run concurrently.
class train_source {
public:
    train_source() = default;
    train_source(train_source const&) = delete;
    train_source& operator=(train_source const&) = delete;
    virtual ~train_source() = default;

    [[nodiscard]] virtual std::size_t size() const noexcept = 0;
    [[nodiscard]] virtual std::vector<std::size_t> const& groups() const noexcept = 0;        ///< classes of each label set
    [[nodiscard]] virtual std::span<std::int64_t const> labels(std::size_t i) const noexcept = 0;
    /// Clip i (T,3,S,S) for training; `draw` is what its random choices depend on, beside the seed.
    /// Gives the labels as they then are: a flip may exchange them.
    /// Errors  a video that cannot be read -> video_error.
    [[nodiscard]] virtual std::vector<std::int64_t> read(std::size_t i, std::uint64_t draw, std::span<float> out) const = 0;
    /// All views (V,T,3,S,S) of sample i, without random choices.
    [[nodiscard]] virtual dynamic_tensor<float, 5> views(std::size_t i) const = 0;
    /// What the samples are known by when a run is taken up again.
    [[nodiscard]] virtual nlohmann::ordered_json fingerprint() const = 0;
    [[nodiscard]] virtual bool decodes() const noexcept = 0;                                  ///< reading takes long and may fail
};

/// How videos become clips.
struct video_reading {
    input_config input;
    bool lenient = false;
    augmentation augment = augmentation::none;
    std::uint64_t seed = 0;
};

/// Errors  as labelled_clips and read_video_list; label sets or classes that are not the model's -> model_error bad_labels.
[[nodiscard]] std::unique_ptr<train_source> open_train_source(std::filesystem::path const& path, vit_config const& config,
                                                              std::function<video_reading()> const& reading, console const& out);

/// Videos that could not be read, each said once on stderr.
class bad_videos {
public:
    explicit bad_videos(std::size_t limit) noexcept : limit_{limit} {}

    /// Errors  one too many -> video_error limit_exceeded.
    void add(std::size_t sample, std::exception const& fault);
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
/// is replaced by the next of the source that can: the same one in every run.
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

    /// `order(n)` is the n-th clip wanted; called in order, from one thread at a time. threads 0: read when it is asked for.
    clip_queue(train_source const& source, std::size_t clip_values, std::function<wanted(std::uint64_t)> order, std::size_t threads, std::size_t places, bad_videos& bad);
    ~clip_queue();

    /// The next clip; rethrows what stopped its reading.
    [[nodiscard]] ready next();

private:
    struct place {
        ready clip;
        std::exception_ptr fault;
        bool full = false;
    };

    void work();
    void read(wanted what, ready& into) const;

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
