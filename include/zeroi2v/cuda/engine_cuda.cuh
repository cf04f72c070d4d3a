// engine_cuda: a video ViT on a CUDA device. THE API ONLY: the bodies follow.
#pragma once

#include <zeroi2v/cuda/cuda_options.hpp>
#include <zeroi2v/cuda/device.hpp>
#include <zeroi2v/cuda/pixel_views.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace zeroi2v {

class cuda_workspace { // moves
public:
    [[nodiscard]] std::size_t clips() const noexcept;
    [[nodiscard]] std::size_t bytes() const noexcept;        ///< on the device
    [[nodiscard]] std::size_t pinned_bytes() const noexcept; ///< on the host
    [[nodiscard]] std::size_t in_flight() const noexcept;    ///< batches submitted and not collected, at most 2
};

template <class Adapters>
class engine_cuda {
public:
    explicit engine_cuda(vit_weights<Adapters> const& weights, cuda_options options = {});
    template <class Read>
    engine_cuda(vit_config config, adapter_layout const& layout, Read&& read, cuda_options options = {});

    [[nodiscard]] vit_config const& config() const noexcept;
    [[nodiscard]] zeroi2v::dtype dtype() const noexcept;
    [[nodiscard]] device_info const& device() const noexcept;
    [[nodiscard]] std::string device_name() const; ///< "NVIDIA H100 80GB HBM3"
    [[nodiscard]] std::size_t weight_bytes() const noexcept;

    /// pixel_bytes: room for decoded frames per upload; H*W*3 at least where frames are given as u8, several frames for fewer, larger copies.
    [[nodiscard]] cuda_workspace make_workspace(std::size_t clips = 1, std::size_t pixel_bytes = 0) const;

    void forward(view<float const, 4> clip, cuda_workspace& workspace, std::span<float> logits) const;
    void forward(view<float const, 5> clips, cuda_workspace& workspace, view<float, 2> logits) const;
    void features(view<float const, 4> clip, cuda_workspace& workspace, view<float, 2> out) const;
    void features(view<float const, 5> clips, cuda_workspace& workspace, view<float, 3> out) const;
    [[nodiscard]] dynamic_tensor<float, 1> operator()(view<float const, 4> clip) const;

    /// Decoded frames instead of clips: clip c, frame t shows frames[indices[c*T + t]]; logits (crops*clips,K), crop-major.
    void forward(pixel_views const& views, std::span<pixel_frame const> frames, std::span<std::size_t const> indices, cuda_workspace& workspace,
                 view<float, 2> logits) const;

    /// The same in two halves: submit returns once the input is copied to pinned memory (the caller's may be reused), up to two
    /// batches of at most workspace.clips() views in flight; collect waits for the oldest.
    void submit(view<float const, 5> clips, cuda_workspace& workspace) const;
    void submit(pixel_views const& views, std::span<pixel_frame const> frames, std::span<std::size_t const> indices, cuda_workspace& workspace) const;
    void collect(cuda_workspace& workspace, view<float, 2> logits) const;
};

} // namespace zeroi2v
