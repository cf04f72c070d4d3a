#include "train_source.hpp"

#include "clips.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>

#include <algorithm>
#include <utility>

namespace zeroi2v::program {
namespace {

class clip_source final : public train_source {
public:
    clip_source(std::filesystem::path const& path, vit_config const& config) : clips_{path, config}, config_{config} {}

    std::size_t size() const noexcept override { return clips_.size(); }
    std::vector<std::size_t> const& groups() const noexcept override { return clips_.groups(); }
    std::int64_t label(std::size_t i, std::size_t group) const noexcept override { return clips_.labels(i)[group]; }
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
    json_value fingerprint() const override { return json_value::object({{"clips", size()}, {"crc32", clips_.checksum()}}); }
    bool decodes() const noexcept override { return false; }

private:
    labelled_clips clips_;
    vit_config config_;
};

class video_source final : public train_source {
public:
    video_source(std::shared_ptr<video_list const> videos, vit_config const& config, video_reading reading, console const& out)
        : videos_{std::move(videos)}, config_{config}, reading_{std::move(reading)}, out_{out}, groups_{config.classes()} {
        videos_->require_classes(config.classes());
        view_builder::checked(reading_.input, config.image_size());
    }

    std::size_t size() const noexcept override { return videos_->size(); }
    std::vector<std::size_t> const& groups() const noexcept override { return groups_; }
    std::int64_t label(std::size_t i, std::size_t) const noexcept override { return static_cast<std::int64_t>(videos_->label(i)); }
    std::vector<std::int64_t> read(std::size_t i, std::uint64_t draw, std::span<float> out) const override {
        auto input = reading_.input;
        if (reading_.augment != augmentation::none) {
            bool const flipped = read_augmented_clip(videos_->path(i), input, reading_.augment, config_.frames(), config_.image_size(), reading_.seed, draw, out, reading_.decoding);
            return {flipped ? flipped_label(reading_.augment, label(i, 0)) : label(i, 0)};
        }
        input.clips = 1;
        input.crops = 1;
        auto const video = read_video(videos_->path(i), input, config_.frames(), config_.image_size(), reading_.decoding, 1, out_);
        std::copy_n(video.clip.data(), out.size(), out.data());
        return {label(i, 0)};
    }
    dynamic_tensor<float, 5> views(std::size_t i) const override {
        return read_video(videos_->path(i), reading_.input, config_.frames(), config_.image_size(), reading_.decoding, 1, out_).clip;
    }
    json_value fingerprint() const override {
        return json_value::object({{"videos", size()}, {"crc32", videos_->checksum()}, {"input", to_json(stated_by(reading_.input))}});
    }
    bool decodes() const noexcept override { return true; }

private:
    std::shared_ptr<video_list const> videos_;
    vit_config config_;
    video_reading reading_;
    console out_;
    std::vector<std::size_t> groups_;
};

} // namespace

train_data::train_data(std::filesystem::path data) : path{std::move(data)} {
    if (!is_clips_file(path)) videos = std::make_shared<video_list const>(path);
}

void train_data::require_output(replaced_file const& output) const {
    output.require_not(path);
    if (videos) videos->require_output(output);
}

void train_data::require_other_name(replaced_file const& output) const {
    if (videos) videos->require_other_name(output);
}

std::unique_ptr<train_source> open_train_source(train_data const& data, vit_config const& config, std::function<video_reading()> const& reading, console const& out) {
    if (!data.videos) return std::make_unique<clip_source>(data.path, config);
    return std::make_unique<video_source>(data.videos, config, reading(), out);
}

} // namespace zeroi2v::program
