// model_runner: a packed model that computes, on the CPU or on a CUDA device, behind one interface.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>
#include <zeroi2v/video/sampled_video.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace zeroi2v::program {

class progress;

enum class device_kind { cpu, cuda };
[[nodiscard]] constexpr std::string_view to_string(device_kind device) noexcept { return device == device_kind::cuda ? "cuda" : "cpu"; }

/// A number format as `--dtype` spells it.
[[nodiscard]] constexpr std::string_view to_option(dtype type) noexcept {
    return type == dtype::bf16 ? "bf16" : type == dtype::f16 ? "f16" : type == dtype::i8 ? "int8" : "f32";
}

class model_runner {
public:
    model_runner() = default;
    model_runner(model_runner const&) = delete;
    model_runner& operator=(model_runner const&) = delete;
    virtual ~model_runner() = default;

    [[nodiscard]] virtual device_kind device() const noexcept = 0;
    [[nodiscard]] virtual std::string description() const = 0; ///< `f32, 2 threads, avx2`; `bf16, NVIDIA H100 80GB HBM3`
    /// Of weights and activations, where the model computes.
    [[nodiscard]] virtual std::size_t bytes() const = 0;

    /// logits (V,K) of clips (V,T,3,S,S).
    virtual void forward(view<float const, 5> clips, view<float, 2> logits, progress* shown = nullptr) = 0;
    /// features (V,T,C) of clips (V,T,3,S,S).
    virtual void features(view<float const, 5> clips, view<float, 3> out, progress* shown = nullptr) = 0;

    /// Logits (V,K) of the views that `input` asks for of a video's frames: the device resizes, crops and normalises.
    /// On cuda only.
    virtual void forward(sampled_video const& video, input_config const& input, view<float, 2> logits) = 0;
};

} // namespace zeroi2v::program
