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
    json_value fingerprint() const override { return json_value::object({{"clips", size()}, {"crc32", clips_.checksum()}}); }
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
            bool const flipped = read_augmented_clip(videos_[i].path, input, reading_.augment, config_.frames(), config_.image_size(), reading_.seed, draw, out, reading_.decoding);
            return {flipped ? flipped_label(reading_.augment, labels_[i]) : labels_[i]};
        }
        input.clips = 1;
        input.crops = 1;
        auto const video = read_video(videos_[i].path, input, config_.frames(), config_.image_size(), reading_.decoding, 1, out_);
        std::copy_n(video.clip.data(), out.size(), out.data());
        return {labels_[i]};
    }
    dynamic_tensor<float, 5> views(std::size_t i) const override {
        return read_video(videos_[i].path, reading_.input, config_.frames(), config_.image_size(), reading_.decoding, 1, out_).clip;
    }
    json_value fingerprint() const override {
        return json_value::object({{"videos", size()}, {"crc32", checksum_}, {"input", to_json(stated_by(reading_.input))}});
    }
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

} // namespace zeroi2v::program
