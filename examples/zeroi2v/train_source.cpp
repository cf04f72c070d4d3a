#include "train_source.hpp"

#include "clips.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/config_json.hpp>
#include <zeroi2v/io/crc32.hpp>
#include <zeroi2v/io/printable.hpp>

#include <algorithm>
#include <utility>

namespace zeroi2v::program {
namespace {

class clip_source final : public train_source {
public:
    clip_source(std::filesystem::path const& path, vit_config const& config) : clips_{path, config}, config_{config} {}

    std::size_t size() const noexcept override { return clips_.size(); }
    std::vector<std::size_t> const& groups() const noexcept override { return clips_.groups(); }
    std::span<std::int64_t const> labels(std::size_t i) const noexcept override { return clips_.labels(i); }
    std::vector<std::int64_t> read(std::size_t i, std::uint64_t, std::span<float> out) const override {
        clips_.read(i, out);
        auto const own = clips_.labels(i);
        return {own.begin(), own.end()};
    }
    dynamic_tensor<float, 5> views(std::size_t i) const override {
        dynamic_tensor<float, 5> clip{std::size_t{1}, config_.frames(), std::size_t{3}, config_.image_size(), config_.image_size()};
        clips_.read(i, {clip.data(), clip.size()});
        return clip;
    }
    nlohmann::ordered_json fingerprint() const override { return {{"clips", size()}, {"crc32", clips_.checksum()}}; }
    bool decodes() const noexcept override { return false; }

private:
    labelled_clips clips_;
    vit_config config_;
};

class video_source final : public train_source {
public:
    video_source(std::filesystem::path const& list, vit_config const& config, video_reading reading, console const& out)
        : videos_{read_video_list(list)}, config_{config}, reading_{std::move(reading)}, out_{out}, groups_{config.classes()} {
        require_classes(videos_, list, config.classes());
        view_builder::checked(reading_.input, config.image_size());
        for (auto const& each : videos_) labels_.push_back(static_cast<std::int64_t>(each.label));
        auto const text = read_text_file(list);
        checksum_ = crc32::of(std::as_bytes(std::span{text.data(), text.size()}));
    }

    std::size_t size() const noexcept override { return videos_.size(); }
    std::vector<std::size_t> const& groups() const noexcept override { return groups_; }
    std::span<std::int64_t const> labels(std::size_t i) const noexcept override { return std::span{labels_}.subspan(i, 1); }
    std::vector<std::int64_t> read(std::size_t i, std::uint64_t draw, std::span<float> out) const override {
        auto input = reading_.input;
        if (reading_.augment != augmentation::none) {
            video_options options;
            options.lenient = reading_.lenient;
            options.threads = 1;
            bool const flipped = read_augmented_clip(videos_[i].path, input, reading_.augment, config_.frames(), config_.image_size(), reading_.seed, draw, out, options);
            return {flipped ? flipped_label(reading_.augment, labels_[i]) : labels_[i]};
        }
        input.clips = 1;
        input.crops = 1;
        auto const video = read_video(videos_[i].path, input, config_.frames(), config_.image_size(), reading_.lenient, 1, out_);
        std::copy_n(video.clip.data(), out.size(), out.data());
        return {labels_[i]};
    }
    dynamic_tensor<float, 5> views(std::size_t i) const override {
        return read_video(videos_[i].path, reading_.input, config_.frames(), config_.image_size(), reading_.lenient, 1, out_).clip;
    }
    nlohmann::ordered_json fingerprint() const override { return {{"videos", size()}, {"crc32", checksum_}, {"input", to_json(stated_by(reading_.input))}}; }
    bool decodes() const noexcept override { return true; }

private:
    std::vector<listed_video> videos_;
    vit_config config_;
    video_reading reading_;
    console out_;
    std::vector<std::size_t> groups_;
    std::vector<std::int64_t> labels_;
    std::uint32_t checksum_{};
};

} // namespace

std::unique_ptr<train_source> open_train_source(std::filesystem::path const& path, vit_config const& config, std::function<video_reading()> const& reading,
                                                console const& out) {
    if (is_clips_file(path)) return std::make_unique<clip_source>(path, config);
    return std::make_unique<video_source>(path, config, reading(), out);
}

void bad_videos::add(std::size_t sample, std::exception const& fault) {
    std::lock_guard const lock{guard_};
    if (!samples_.insert(sample).second) return;
    news_.push_back(sample);
    if (auto const* const known = dynamic_cast<error const*>(&fault)) report_error(known->code_name(), known->what());
    require_few();
}

void bad_videos::add_known(std::size_t sample) {
    std::lock_guard const lock{guard_};
    if (samples_.insert(sample).second) require_few();
}

std::vector<std::size_t> bad_videos::news() {
    std::lock_guard const lock{guard_};
    return std::exchange(news_, {});
}

void bad_videos::require_few() const {
    if (samples_.size() > limit_)
        throw video_error{error_code::limit_exceeded, "--bad-videos: " + std::to_string(samples_.size()) + " videos could not be read, at most "
                                                          + std::to_string(limit_) + " expected"};
}

std::size_t bad_videos::count() const {
    std::lock_guard const lock{guard_};
    return samples_.size();
}

clip_queue::clip_queue(train_source const& source, std::size_t clip_values, std::function<wanted(std::uint64_t)> order, std::size_t threads, std::size_t places,
                       bad_videos& bad)
    : source_{source}, clip_values_{clip_values}, order_{std::move(order)}, bad_{bad}, places_(std::max<std::size_t>(places, 1)) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

clip_queue::~clip_queue() {
    {
        std::lock_guard const lock{guard_};
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
}

void clip_queue::read(wanted what, ready& into) const {
    into.values.resize(clip_values_);
    for (std::size_t tried = 0;; ++tried) {
        std::size_t const sample = (what.sample + tried) % source_.size();
        try {
            into.labels = source_.read(sample, what.draw, into.values);
            return;
        } catch (video_error const& fault) {
            bad_.add(sample, fault);
            if (tried + 1 == source_.size()) throw;
        }
    }
}

void clip_queue::work() {
    for (;;) {
        std::uint64_t mine = 0;
        wanted what{};
        {
            std::unique_lock lock{guard_};
            changed_.wait(lock, [this] { return stopping_ || started_ < taken_ + places_.size(); });
            if (stopping_) return;
            mine = started_++;
            what = order_(mine);
        }
        place& here = places_[mine % places_.size()];
        ready clip;
        std::exception_ptr fault;
        try {
            read(what, clip);
        } catch (...) {
            fault = std::current_exception();
        }
        {
            std::lock_guard const lock{guard_};
            here.clip = std::move(clip);
            here.fault = fault;
            here.full = true;
        }
        changed_.notify_all();
    }
}

clip_queue::ready clip_queue::next() {
    if (threads_.empty()) {
        ready clip;
        read(order_(taken_++), clip);
        return clip;
    }
    std::unique_lock lock{guard_};
    place& here = places_[taken_ % places_.size()];
    changed_.wait(lock, [&here] { return here.full; });
    here.full = false;
    auto const fault = std::exchange(here.fault, nullptr);
    ready clip = std::move(here.clip);
    ++taken_;
    lock.unlock();
    changed_.notify_all();
    if (fault) std::rethrow_exception(fault);
    return clip;
}

} // namespace zeroi2v::program
