// The model on a CUDA device: the one file of the program that nvcc compiles, with ZEROI2V_CUDA only.
#include "cuda_runner.hpp"

#include "console.hpp"

#include <zeroi2v/cuda/cuda_options.hpp>
#include <zeroi2v/cuda/device.hpp>
#include <zeroi2v/cuda/engine_cuda.cuh>
#include <zeroi2v/cuda/pixel_views.hpp>
#include <zeroi2v/video/crop.hpp>
#include <zeroi2v/video/image.hpp>
#include <zeroi2v/video/normalize.hpp>
#include <zeroi2v/video/resize.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

/// Views are computed together while their activations fit into this: enough rows to fill a large device, little of its memory.
constexpr std::size_t device_activation_bytes = std::size_t{1} << 30U;

/// Decoded frames go to the device in copies of at most this, or of one frame.
constexpr std::size_t upload_bytes = std::size_t{32} << 20U;

/// What preprocess_video does on the CPU, for frames of this size.
pixel_views views_of(image_size frame, input_config const& input, std::size_t side) {
    image_size const resized = resized_to_short_side(frame, input.resize);
    pixel_views result;
    result.height = frame.height;
    result.width = frame.width;
    result.resized_height = resized.height;
    result.resized_width = resized.width;
    for (crop_window const& window : crops_of(resized, side, input.crops)) result.windows.push_back({.top = window.top, .left = window.left});
    channel_statistics const statistics = statistics_of(input.normalize);
    std::copy(statistics.mean.begin(), statistics.mean.end(), result.mean.begin());
    std::copy(statistics.deviation.begin(), statistics.deviation.end(), result.deviation.begin());
    return result;
}

template <class Adapters>
class cuda_runner final : public model_runner {
public:
    explicit cuda_runner(engine_cuda<Adapters> engine)
        : engine_{std::move(engine)}, workspace_{engine_.make_workspace(1)}, bytes_per_clip_{workspace_->bytes()} {}

    [[nodiscard]] device_kind device() const noexcept override { return device_kind::cuda; }
    [[nodiscard]] std::string description() const override { return std::string{to_option(engine_.dtype())} + ", " + engine_.device_name(); }
    [[nodiscard]] std::size_t bytes() const override { return engine_.weight_bytes() + workspace_->bytes(); }

    void forward(view<float const, 5> clips, view<float, 2> logits, progress* shown) override {
        std::size_t const classes = logits.extent(1);
        for_each_part(clips, shown, [&](view<float const, 5> part, std::size_t first) {
            engine_.forward(part, *workspace_, view<float, 2>{logits.data() + first * classes, part.extent(0), classes});
        });
    }

    void features(view<float const, 5> clips, view<float, 3> out, progress* shown) override {
        std::size_t const frames = out.extent(1), width = out.extent(2);
        for_each_part(clips, shown, [&](view<float const, 5> part, std::size_t first) {
            engine_.features(part, *workspace_, view<float, 3>{out.data() + first * frames * width, part.extent(0), frames, width});
        });
    }

    void forward(sampled_video const& video, input_config const& input, view<float, 2> logits) override {
        auto const views = views_of(size_of(view_pixels(video.frames.front())), input, engine_.config().image_size());
        std::size_t const row_bytes = views.width * 3, frame_bytes = views.height * row_bytes;
        std::vector<pixel_frame> frames;
        for (image const& each : video.frames) frames.push_back({.data = each.data(), .row_bytes = row_bytes});
        make_room(logits.extent(0), std::max(frame_bytes, std::min(frames.size() * frame_bytes, upload_bytes)));
        engine_.forward(views, frames, video.shown, *workspace_, logits);
    }

private:
    void make_room(std::size_t views, std::size_t pixel_bytes) {
        std::size_t const clips = std::clamp<std::size_t>(views, 1, std::max<std::size_t>(device_activation_bytes / bytes_per_clip_, 1));
        if (workspace_ && workspace_->clips() >= clips && pixel_bytes_ >= pixel_bytes) return;
        std::size_t const most_clips = workspace_ ? std::max(clips, workspace_->clips()) : clips;
        pixel_bytes_ = std::max(pixel_bytes_, pixel_bytes);
        workspace_.reset(); // before the next one is there
        workspace_.emplace(engine_.make_workspace(most_clips, pixel_bytes_));
    }

    /// compute(clips [first, ...), first) for all clips: the engine copies one batch while it computes another, so each part has several.
    template <class Compute>
    void for_each_part(view<float const, 5> clips, progress* shown, Compute&& compute) {
        make_room(clips.extent(0), 0);
        std::size_t const all = clips.extent(0), step = 8 * workspace_->clips();
        std::size_t const each = clips.extent(1) * clips.extent(2) * clips.extent(3) * clips.extent(4);
        for (std::size_t first = 0; first < all; first += step) {
            std::size_t const count = std::min(step, all - first);
            compute(view<float const, 5>{clips.data() + first * each, count, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)}, first);
            if (shown != nullptr) shown->step(first + count);
        }
    }

    engine_cuda<Adapters> engine_;
    std::optional<cuda_workspace> workspace_;
    std::size_t bytes_per_clip_;
    std::size_t pixel_bytes_ = 0;
};

template <class Adapters, class... Source>
std::unique_ptr<model_runner> runner_on_device(Source&&... source) {
    return std::make_unique<cuda_runner<Adapters>>(engine_cuda<Adapters>{std::forward<Source>(source)...});
}

} // namespace

void require_cuda() { static_cast<void>(require_device()); }

std::unique_ptr<model_runner> cuda_runner_of(vit_config const& config, adapter_layout const& layout, bool has_adapters,
                                             std::function<void(std::string const&, stored_tensor&)> const& read, dtype type) {
    cuda_options const options{.dtype = type};
    if (has_adapters) return runner_on_device<with_adapters>(config, layout, read, options);
    return runner_on_device<no_adapters>(config, layout, read, options);
}

std::unique_ptr<model_runner> cuda_runner_of(vit_weights<with_adapters> const& weights, dtype type) {
    return runner_on_device<with_adapters>(weights, cuda_options{.dtype = type});
}

std::unique_ptr<model_runner> cuda_runner_of(vit_weights<no_adapters> const& weights, dtype type) {
    return runner_on_device<no_adapters>(weights, cuda_options{.dtype = type});
}

} // namespace zeroi2v::program
