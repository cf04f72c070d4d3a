#include "dataset.hpp"

#include "encode.hpp"
#include "render.hpp"

#include <zeroi2v/core/float16.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace moving_shapes {
namespace {

namespace fs = std::filesystem;
using zeroi2v::stored_tensor;

// Streams of one seed that no two sets share.
constexpr std::uint64_t first_still = std::uint64_t{1} << 40U, first_test = std::uint64_t{2} << 40U;

/// Disappears with the object.
class temporary_file {
public:
    temporary_file() {
        std::string path = (fs::temp_directory_path() / "moving_shapes_XXXXXX").native();
        int const descriptor = ::mkstemp(path.data());
        if (descriptor < 0) throw std::runtime_error{path + ": cannot be made"};
        ::close(descriptor);
        path_ = path;
    }
    temporary_file(temporary_file const&) = delete;
    temporary_file& operator=(temporary_file const&) = delete;
    ~temporary_file() {
        std::error_code ignored;
        fs::remove(path_, ignored);
    }
    [[nodiscard]] fs::path const& path() const noexcept { return path_; }

private:
    fs::path path_;
};

std::size_t bin(double value, double least, double most, std::size_t bins) {
    auto const place = static_cast<std::size_t>(std::max(0.0, (value - least) / (most - least) * static_cast<double>(bins)));
    return std::min(place, bins - 1);
}

/// Classes in turn, in pairs: a video and its reverse.
std::size_t label_of_pair(std::size_t pair) { return 2 * (pair % (classes / 2)); }

void append(std::vector<zeroi2v::image>& to, std::vector<zeroi2v::image> pictures) { std::move(pictures.begin(), pictures.end(), std::back_inserter(to)); }

/// Pictures gathered, encoded and decoded many at a time, and kept as F16.
class pixel_store {
public:
    pixel_store(std::size_t clips, std::size_t frames) : values_{stored_tensor::zeros(zeroi2v::dtype::f16, zeroi2v::shape{clips, frames, std::size_t{3}, clip_side, clip_side})} {}

    void add(std::vector<zeroi2v::image> pictures) {
        append(waiting_, std::move(pictures));
        if (waiting_.size() >= 512) flush();
    }
    void flush() {
        if (waiting_.empty()) return;
        auto const frames = through_a_file(waiting_);
        auto const out = values_.as<zeroi2v::f16>().subspan(next_, frames.size());
        for (std::size_t i = 0; i < frames.size(); ++i) out[i] = zeroi2v::f16{frames.data()[i]};
        next_ += frames.size();
        waiting_.clear();
    }
    [[nodiscard]] stored_tensor& values() noexcept { return values_; }

private:
    stored_tensor values_;
    std::size_t next_ = 0;
    std::vector<zeroi2v::image> waiting_{};
};

stored_tensor integers(std::span<std::int64_t const> values, zeroi2v::shape const& sizes) {
    auto tensor = stored_tensor::zeros(zeroi2v::dtype::i64, sizes);
    std::copy(values.begin(), values.end(), tensor.as<std::int64_t>().begin());
    return tensor;
}

void write_lines(fs::path const& path, std::vector<std::string> const& lines) {
    std::ofstream file{path};
    for (auto const& line : lines) file << line << '\n';
    file.close();
    if (!file) throw std::runtime_error{path.string() + ": cannot be written"};
}

std::string file_name(std::size_t number, char const* kind) {
    auto text = std::to_string(number);
    return std::string(4 - std::min<std::size_t>(text.size(), 4), '0') + text + kind + ".mp4";
}

/// Files, and what is written about them.
class video_folder {
public:
    explicit video_folder(fs::path folder) : folder_{std::move(folder)} {}

    void add(std::string const& name, std::size_t label, std::span<zeroi2v::image const> pictures) {
        encode(folder_ / name, pictures);
        auto const video = zeroi2v::preprocess_video(folder_ / name, input, clip_frames, clip_side);
        pixels_.insert(pixels_.end(), video.clip.data(), video.clip.data() + video.clip.size());
        labels_.push_back(static_cast<std::int64_t>(label));
        list_.push_back(name + " " + std::to_string(label));
    }
    void finish() const {
        std::vector<std::string> names;
        for (std::size_t label = 0; label < classes; ++label) names.push_back(class_name(label));
        write_lines(folder_ / "list.txt", list_);
        write_lines(folder_ / "labels.txt", names);
        zeroi2v::view<float const, 5> const clip{pixels_.data(), labels_.size(), clip_frames, std::size_t{3}, clip_side, clip_side};
        zeroi2v::write_safetensors(folder_ / "clips.safetensors", {{"clip", clip}, {"labels", integers(labels_, zeroi2v::shape{labels_.size()})}});
    }

private:
    fs::path folder_;
    std::vector<float> pixels_{};
    std::vector<std::int64_t> labels_{};
    std::vector<std::string> list_{};
};

} // namespace

std::array<std::int64_t, 4> still_labels(scene const& still) {
    moment const& now = still.moments.front();
    std::size_t const place = bin(now.y, least_place, most_place, 5) * 5 + bin(now.x, least_place, most_place, 5);
    return {static_cast<std::int64_t>(place), static_cast<std::int64_t>(bin(now.radius, least_radius, most_radius, still_groups[1])),
            static_cast<std::int64_t>(bin(now.hue, 0, 1, still_groups[2])), static_cast<std::int64_t>(still.shape)};
}

zeroi2v::dynamic_tensor<float, 4> through_a_file(std::span<zeroi2v::image const> pictures) {
    temporary_file const file;
    encode(file.path(), pictures);
    auto const video = zeroi2v::preprocess_video(file.path(), input, pictures.size(), clip_side);
    zeroi2v::dynamic_tensor<float, 4> frames{pictures.size(), std::size_t{3}, clip_side, clip_side};
    std::copy_n(video.clip.data(), frames.size(), frames.data());
    return frames;
}

void write_stills(fs::path const& target, std::uint64_t seed, std::size_t count) {
    pixel_store pixels{count, 1};
    std::vector<std::int64_t> labels;
    for (std::size_t i = 0; i < count; ++i) {
        scene const still = draw_still(seed, first_still + i);
        auto const own = still_labels(still);
        labels.insert(labels.end(), own.begin(), own.end());
        pixels.add(render(still));
    }
    pixels.flush();
    std::vector<std::int64_t> const groups(still_groups.begin(), still_groups.end());
    zeroi2v::write_safetensors(target, {{"clips", pixels.values()},
                                        {"labels", integers(labels, zeroi2v::shape{count, still_groups.size()})},
                                        {"label_groups", integers(groups, zeroi2v::shape{still_groups.size()})}});
}

void write_clips(fs::path const& target, std::uint64_t seed, std::size_t count) {
    pixel_store pixels{count, clip_frames};
    std::vector<std::int64_t> labels;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t const label = i % 2 == 0 ? label_of_pair(i / 2) : reversed(label_of_pair(i / 2));
        labels.push_back(static_cast<std::int64_t>(label));
        pixels.add(render(draw_scene(seed, i, label, clip_frames)));
    }
    pixels.flush();
    zeroi2v::write_safetensors(target, {{"clips", pixels.values()}, {"labels", integers(labels, zeroi2v::shape{count})}});
}

void write_videos(fs::path const& folder, std::uint64_t seed, std::size_t count) {
    fs::create_directories(folder);
    video_folder videos{folder};
    for (std::size_t pair = 0; pair < (count + 1) / 2; ++pair) {
        std::size_t const label = label_of_pair(pair);
        auto pictures = render(draw_scene(seed, first_test + pair, label, clip_frames));
        videos.add(file_name(pair, ""), label, pictures);
        std::reverse(pictures.begin(), pictures.end());
        videos.add(file_name(pair, "_reversed"), reversed(label), pictures);
    }
    videos.finish();
}

} // namespace moving_shapes
