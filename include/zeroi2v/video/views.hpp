// view_builder: puts frames, in whatever order they arrive, into the views that a model classifies.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>
#include <zeroi2v/video/crop.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/normalize.hpp>
#include <zeroi2v/video/resize.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Views of one video: `clip` (V,T,3,S,S), V = crops * clips, crop-major: view = crop * clips + clip.
using clip_tensor = dynamic_tensor<float, 5>;

/// Resizes, crops and normalises frames into `clip`, and holds no frame: memory is the result and one crop.
///
/// Use       build it with the sampled indices; for each index of wanted() call put() once; take clip() and indices().
/// Sizes     frames may differ in size; each is resized by its own.
/// Shapes    indices (clips,T); clip (V,T,3,S,S); the repeated indices (V,T).
/// Errors    resize smaller than the image, a crop count other than 1 or 3 -> model_error bad_config;
///           taking the result too early, one index twice -> ZEROI2V_REQUIRE.
/// Test      tests/unit/video/views.cpp
class view_builder {
public:
    view_builder(input_config const& config, std::size_t image_size, frame_indices const& indices)
        : config_{checked(config, image_size)},
          side_{image_size},
          clips_{indices.extent(0)},
          frames_{indices.extent(1)},
          normalize_{config.normalize},
          clip_{config.crops * clips_, frames_, std::size_t{3}, side_, side_},
          indices_{config.crops * clips_, frames_},
          cropped_{side_, side_, std::size_t{3}} {
        for (std::size_t crop = 0; crop < config.crops; ++crop)
            std::copy(indices.begin(), indices.end(), &indices_(crop * clips_, 0));
        slots_.reserve(indices.size());
        for (std::size_t at = 0; at < indices.size(); ++at) slots_.emplace_back(indices.data()[at], at);
        std::sort(slots_.begin(), slots_.end());
        for (auto const& [frame, at] : slots_)
            if (wanted_.empty() || wanted_.back() != static_cast<std::size_t>(frame))
                wanted_.push_back(static_cast<std::size_t>(frame));
        put_.resize(wanted_.size());
    }

    /// What a constructor would refuse, without frames: throws bad_config.
    static input_config const& checked(input_config const& config, std::size_t image_size) {
        if (config.crops != 1 && config.crops != 3)
            throw model_error{error_code::bad_config,
                              "crops: " + std::to_string(config.crops) + " found, 1 or 3 expected"};
        if (image_size == 0 || config.resize < image_size)
            throw model_error{error_code::bad_config, "resize: " + std::to_string(config.resize)
                                                          + " found, at least the model's image size "
                                                          + std::to_string(image_size) + " expected"};
        return config;
    }

    /// Each index that the views use, once, ascending.
    [[nodiscard]] std::vector<std::size_t> const& wanted() const noexcept { return wanted_; }

    /// Takes frame `index`, which must not have been put before; one that no view uses is ignored.
    void put(std::size_t index, image_view frame) {
        auto const [first, last] =
            std::equal_range(slots_.begin(), slots_.end(), std::pair{static_cast<std::int64_t>(index), std::size_t{0}},
                             [](auto const& a, auto const& b) { return a.first < b.first; });
        if (first == last) return;
        auto const which = std::lower_bound(wanted_.begin(), wanted_.end(), index) - wanted_.begin();
        auto put_before = put_.begin() + which;
        ZEROI2V_REQUIRE(!*put_before, "zeroi2v::view_builder: a frame may be put once");
        prepare(size_of(frame));
        for (std::size_t crop = 0; crop < resizers_.size(); ++crop) {
            resizers_[crop](frame, cropped_);
            float* const done = place(crop, first->second);
            normalize_(view_pixels(cropped_), view<float, 3>{done, std::size_t{3}, side_, side_});
            for (auto other = first + 1; other != last; ++other)
                std::copy_n(done, 3 * side_ * side_, place(crop, other->second));
        }
        *put_before = true;
        taken_ += 1;
    }

    [[nodiscard]] bool complete() const noexcept { return taken_ == wanted_.size(); }

    [[nodiscard]] clip_tensor clip() && {
        ZEROI2V_REQUIRE(complete(), "zeroi2v::view_builder: every wanted frame must be put before the clip is taken");
        return std::move(clip_);
    }
    [[nodiscard]] frame_indices indices() && { return std::move(indices_); }

private:
    void prepare(image_size size) {
        if (!resizers_.empty() && size == frame_size_) return;
        resizers_.clear();
        image_size const target = resized_to_short_side(size, config_.resize);
        for (crop_window const& window : crops_of(target, side_, config_.crops))
            resizers_.emplace_back(size, target, window);
        frame_size_ = size;
    }

    [[nodiscard]] float* place(std::size_t crop, std::size_t slot) noexcept {
        return clip_.data() + (crop * clips_ * frames_ + slot) * 3 * side_ * side_;
    }

    input_config config_;
    std::size_t side_;
    std::size_t clips_;
    std::size_t frames_;
    normalizer normalize_;
    clip_tensor clip_;                                        // (V,T,3,S,S)
    frame_indices indices_;                                   // (V,T)
    image cropped_;                                           // (S,S,3)
    std::vector<std::pair<std::int64_t, std::size_t>> slots_; // frame, clip * T + t; sorted
    std::vector<std::size_t> wanted_;
    std::vector<bool> put_;                  // which of them
    std::vector<bilinear_resizer> resizers_; // one per crop, for frames of the last size
    image_size frame_size_{};
    std::size_t taken_ = 0;
};

} // namespace zeroi2v
