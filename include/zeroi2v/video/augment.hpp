// Training clips: one random crop, flip and change of pixels per clip, the same for all its frames.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/random.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/video/crop.hpp>
#include <zeroi2v/video/ffmpeg.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/normalize.hpp>
#include <zeroi2v/video/preprocess.hpp>
#include <zeroi2v/video/rand_augment.hpp>
#include <zeroi2v/video/resize.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The recipes of ZeroI2V's configurations.
///
///   k400   short side 256; RandAugment, 4 layers, magnitude 7; random resized crop; flip with probability 1/2
///   ssv2   random resized crop; flip with probability 1/2, which exchanges the classes of left and right;
///          RandAugment; with probability 1/4 a rectangle of noise
enum class augmentation { none, k400, ssv2 };

/// The class of a clip that was flipped: Something-Something v2 has pairs that differ by left and right only.
[[nodiscard]] constexpr std::int64_t flipped_label(augmentation kind, std::int64_t label) noexcept {
    constexpr std::array<std::pair<std::int64_t, std::int64_t>, 3> pairs{{{86, 87}, {93, 94}, {166, 167}}};
    if (kind != augmentation::ssv2) return label;
    for (auto const& [left, right] : pairs) {
        if (label == left) return right;
        if (label == right) return left;
    }
    return label;
}

/// A window of 8 % to all of the picture's area with sides as 3:4 to 4:3; after ten tries in vain the square in the middle.
/// Source  mmaction2 RandomResizedCrop.     Post-condition  the window lies in the picture.
[[nodiscard]] inline crop_window draw_resized_crop(image_size picture, random_sequence& random) {
    double const area = static_cast<double>(picture.height) * static_cast<double>(picture.width);
    std::optional<crop_window> found;
    for (int attempt = 0; attempt < 10; ++attempt) { // every try draws the same number of values
        double const ratio = std::exp(random.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
        double const target = area * random.uniform(0.08, 1);
        auto const width = static_cast<std::size_t>(round_half_even(std::sqrt(target * ratio)));
        auto const height = static_cast<std::size_t>(round_half_even(std::sqrt(target / ratio)));
        double const x = random.uniform(), y = random.uniform();
        if (found || width == 0 || height == 0 || width > picture.width || height > picture.height) continue;
        auto const place = [](double share, std::size_t room) { return std::min(static_cast<std::size_t>(share * static_cast<double>(room + 1)), room); };
        found = crop_window{place(y, picture.height - height), place(x, picture.width - width), height, width};
    }
    return found ? *found : centre_crop(picture, std::min(picture.height, picture.width));
}

/// The window that covers the same part of a picture of another size.
/// Post-condition  a pixel at least, in the picture; the window itself where the sizes are equal.
[[nodiscard]] inline crop_window in_proportion(crop_window window, image_size from, image_size to) {
    auto const scaled = [](std::size_t place, std::size_t old_side, std::size_t side) { return (place * side + old_side / 2) / old_side; };
    auto const range = [&](std::size_t begin, std::size_t length, std::size_t old_side, std::size_t side) {
        std::size_t const first = std::min(scaled(begin, old_side, side), side - 1);
        return std::pair{first, std::max(std::min(scaled(begin + length, old_side, side), side), first + 1) - first};
    };
    auto const [top, height] = range(window.top, window.height, from.height, to.height);
    auto const [left, width] = range(window.left, window.width, from.width, to.width);
    return {top, left, height, width};
}

/// Everything random about one clip, drawn at its first frame, and how its frames are treated.
///
/// Test  tests/unit/video/augment.cpp
class clip_augmenter {
public:
    clip_augmenter(augmentation kind, std::size_t side, normalization normalize, random_sequence random)
        : kind_{kind}, side_{side}, normalize_{normalize}, random_{random}, done_{side, side, std::size_t{3}} {
        ZEROI2V_REQUIRE(kind != augmentation::none && side > 0, "zeroi2v::clip_augmenter: a recipe, and a picture of 1 pixel at least");
        flips_ = random_.uniform() < 0.5;
        changes_ = draw_changes(4, 7, random_);
        erases_ = kind == augmentation::ssv2 && random_.uniform() < 0.25;
        if (erases_) erased_ = draw_erased();
    }

    [[nodiscard]] bool flips() const noexcept { return flips_; }

    /// out (3,S,S) of one frame. The crop is drawn in the first frame's size; frames of another size get it in proportion.
    void operator()(image_view frame, view<float, 3> out) {
        prepare(size_of(frame));
        if (kind_ == augmentation::k400) {
            image whole = resize(frame, inner_);
            for (auto const& change : changes_) apply(change, whole);
            crop(view_pixels(whole));
        } else {
            crop(frame);
        }
        if (flips_) flip();
        if (kind_ == augmentation::ssv2) {
            for (auto const& change : changes_) apply(change, done_);
            if (erases_) erase();
        }
        normalize_(view_pixels(done_), out);
    }

private:
    void prepare(image_size size) {
        if (resizer_ && size == size_) return;
        size_ = size;
        inner_ = kind_ == augmentation::k400 ? resized_to_short_side(size, 256) : size;
        if (!drawn_) {
            drawn_in_ = inner_;
            drawn_ = draw_resized_crop(inner_, random_);
        }
        window_ = in_proportion(*drawn_, drawn_in_, inner_);
        resizer_.emplace(image_size{window_.height, window_.width}, image_size{side_, side_}, crop_window{0, 0, side_, side_});
    }

    void crop(image_view from) {
        std::size_t const row = from.stride(0);
        (*resizer_)(view_pixels(from.data() + window_.top * row + window_.left * 3, {window_.height, window_.width}, row), done_);
    }

    void flip() {
        for (std::size_t y = 0; y < side_; ++y)
            for (std::size_t x = 0; x < side_ / 2; ++x)
                for (std::size_t c = 0; c < 3; ++c) std::swap(done_(y, x, c), done_(y, side_ - 1 - x, c));
    }

    /// A rectangle of 2 % to a third of the picture, sides as 3:10 to 10:3. Source  mmaction2 RandomErasing.
    [[nodiscard]] crop_window draw_erased() {
        double const area = static_cast<double>(side_) * static_cast<double>(side_);
        std::optional<crop_window> found;
        for (int attempt = 0; attempt < 10; ++attempt) {
            double const target = area * random_.uniform(0.02, 1.0 / 3), ratio = std::exp(random_.uniform(std::log(0.3), std::log(1 / 0.3)));
            auto const height = static_cast<std::size_t>(std::sqrt(target * ratio)), width = static_cast<std::size_t>(std::sqrt(target / ratio));
            double const x = random_.uniform(), y = random_.uniform();
            if (found || height == 0 || width == 0 || height >= side_ || width >= side_) continue;
            found = crop_window{static_cast<std::size_t>(y * static_cast<double>(side_ - height)), static_cast<std::size_t>(x * static_cast<double>(side_ - width)), height, width};
        }
        return found.value_or(crop_window{});
    }

    void erase() {
        random_sequence noise = random_; // the same for every frame
        for (std::size_t y = 0; y < erased_.height; ++y)
            for (std::size_t x = 0; x < erased_.width; ++x)
                for (std::size_t c = 0; c < 3; ++c) done_(erased_.top + y, erased_.left + x, c) = static_cast<std::uint8_t>(noise.below(256));
    }

    augmentation kind_;
    std::size_t side_;
    normalizer normalize_;
    random_sequence random_;
    image done_; // (S,S,3)
    bool flips_{}, erases_{};
    std::vector<drawn_change> changes_;
    crop_window erased_, window_;
    std::optional<crop_window> drawn_; // in a picture of the first frame's size, drawn_in_
    image_size size_, inner_, drawn_in_;
    std::optional<bilinear_resizer> resizer_;
};

/// The frames of one clip (T,3,S,S), augmented into `out` as they arrive, whichever positions show them.
class augmented_clip {
public:
    augmented_clip(frame_indices indices, clip_augmenter augment, std::size_t side, std::span<float> out)
        : indices_{std::move(indices)}, augment_{std::move(augment)}, side_{side}, out_{out} {
        for (auto const index : indices_) wanted_.push_back(static_cast<std::size_t>(index));
        std::sort(wanted_.begin(), wanted_.end());
        wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
    }

    /// Each index that the clip shows, once, ascending.
    [[nodiscard]] std::vector<std::size_t> const& wanted() const noexcept { return wanted_; }
    [[nodiscard]] bool flips() const noexcept { return augment_.flips(); }

    void put(std::size_t index, image_view pixels) {
        std::size_t const values = 3 * side_ * side_;
        float const* made = nullptr;
        for (std::size_t t = 0; t < indices_.size(); ++t) {
            if (static_cast<std::size_t>(indices_.data()[t]) != index) continue;
            float* const to = out_.data() + t * values;
            if (made != nullptr) std::copy_n(made, values, to);
            else augment_(pixels, view<float, 3>{to, std::size_t{3}, side_, side_});
            made = to;
        }
    }

private:
    frame_indices indices_; // (1,T)
    clip_augmenter augment_;
    std::size_t side_;
    std::span<float> out_; // (T,3,S,S)
    std::vector<std::size_t> wanted_;
};

/// A clip (T,3,S,S) of a video for one step of training: frames drawn as mmaction2 draws them, then augmented.
/// Returns whether it was flipped.
///
/// Numerics  the same for the same seed and stream.
/// Errors    as video_reader and frame_sampler; no frame decodes -> video_error no_frames.
[[nodiscard]] inline bool read_augmented_clip(std::filesystem::path const& path, input_config const& config, augmentation kind, std::size_t frames,
                                              std::size_t side, std::uint64_t seed, std::uint64_t stream, std::span<float> out,
                                              video_options const& options = {}) {
    ZEROI2V_REQUIRE(out.size() == frames * 3 * side * side, "zeroi2v::read_augmented_clip: out must be (T,3,S,S)");
    frame_sampler const sampler{config.sampling, frames, config.interval, 1};
    video_reader reader{path, options};
    auto const [clip, report] = detail::decode_sampled(
        reader,
        [&](std::size_t n) {
            return augmented_clip{sampler.draw(n, counter_rng{seed, ~stream}), clip_augmenter{kind, side, config.normalize, {seed, stream}}, side, out};
        },
        [](augmented_clip& sink, std::size_t index, image_view pixels) { sink.put(index, pixels); });
    return clip.flips();
}

} // namespace zeroi2v
