// sampled_video: the frames that the views of one video show, as they were decoded. Needs no FFmpeg.
#pragma once

#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/video_options.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Frames for whoever resizes, crops and normalises elsewhere: clip c, frame t shows `frames[shown[c*T + t]]`.
struct sampled_video {
    std::vector<image> frames;      ///< each once, ascending; they may differ in size
    std::vector<std::size_t> shown; ///< (clips,T)
    frame_indices indices;          ///< (clips,T), numbers of the decoded frames
    video_info info;
    decode_report report;
    double decode_seconds = 0;
};

/// Copies the wanted frames, in whatever order they arrive.
///
/// Use     as view_builder: for each index of wanted() call put() once, ascending; take frames(), shown() and indices().
/// Test    tests/unit/video/sampled_video.cpp
class frame_collector {
public:
    explicit frame_collector(frame_indices indices) : indices_{std::move(indices)} {
        for (auto const index : indices_) wanted_.push_back(static_cast<std::size_t>(index));
        std::vector<std::size_t> const all = wanted_;
        std::sort(wanted_.begin(), wanted_.end());
        wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
        for (std::size_t const index : all)
            shown_.push_back(static_cast<std::size_t>(std::lower_bound(wanted_.begin(), wanted_.end(), index) - wanted_.begin()));
        frames_.reserve(wanted_.size());
    }

    /// Each index that the views use, once, ascending.
    [[nodiscard]] std::vector<std::size_t> const& wanted() const noexcept { return wanted_; }

    void put(image_view frame) {
        image copy{frame.extent(0), frame.extent(1), std::size_t{3}};
        for (std::size_t y = 0; y < frame.extent(0); ++y)
            std::copy_n(frame.data() + y * frame.stride(0), frame.extent(1) * 3, &copy(y, std::size_t{0}, std::size_t{0}));
        frames_.push_back(std::move(copy));
    }

    [[nodiscard]] std::vector<image> frames() && { return std::move(frames_); }
    [[nodiscard]] std::vector<std::size_t> shown() && { return std::move(shown_); }
    [[nodiscard]] frame_indices indices() && { return std::move(indices_); }

private:
    frame_indices indices_; // (clips,T)
    std::vector<std::size_t> wanted_, shown_;
    std::vector<image> frames_;
};

} // namespace zeroi2v
