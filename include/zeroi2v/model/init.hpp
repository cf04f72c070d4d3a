// Fresh weights: the starting point of training, and honest material for tests and benchmarks where none are trained.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace zeroi2v {

/// How adapters begin. `zero`: D_fc1.weight N(0,0.02), the rest 0, so that the adapted model answers exactly as its image
/// model. `random`: all four tensors N(0,0.02), so that a merge has something to do.
enum class adapter_init { zero, random };

struct init_options {
    std::uint64_t seed = 0;
    adapter_init adapters = adapter_init::zero;
};

namespace detail {

// FNV-1a: a tensor's numbers depend on its name and the seed, not on which other tensors there are.
[[nodiscard]] constexpr std::uint64_t name_hash(std::string_view name) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (char const c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
}

inline void draw_normal(std::span<float> out, float deviation, std::uint64_t seed, std::uint64_t stream) noexcept {
    counter_rng const rng{seed, stream};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = deviation * rng.normal(i);
}

} // namespace detail

/// Draws each tensor that has no elements yet, as f32; tensors that have some are left alone.
///
/// Linear, patch and embedding weights N(0,0.02), their biases 0; LayerNorm 1 and 0; temporal embedding 0; head N(0,0.01)
/// and 0; adapters as `options.adapters` says. So a model with nothing loaded becomes a random one, and one that was
/// filled from an image checkpoint gets what an image model lacks.
///
/// Numerics  the same bits on every machine: integer arithmetic and one rounding (core/random.hpp).
/// Source    ZeroI2V's training recipe; its head and adapters. Truncation of the normal at 100 deviations is left out.
/// Test      tests/unit/model/vit_weights.cpp
template <class Adapters>
void draw_missing(vit_weights<Adapters>& weights, init_options options) {
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const& sizes, parameter_role role) {
        if (!tensor.empty()) return;
        tensor = stored_tensor::zeros(dtype::f32, sizes);
        auto const values = tensor.as<float>();
        bool const random_adapters = options.adapters == adapter_init::random;
        float deviation = 0;
        switch (role) {
        case parameter_role::norm_weight: std::fill(values.begin(), values.end(), 1.0F); return;
        case parameter_role::norm_bias: case parameter_role::bias: case parameter_role::head_bias: return;
        case parameter_role::embedding: deviation = name.ends_with("temporal_embedding") ? 0.0F : 0.02F; break;
        case parameter_role::weight: case parameter_role::adapter_in_weight: deviation = 0.02F; break;
        case parameter_role::adapter_out_weight: case parameter_role::adapter_in_bias: case parameter_role::adapter_out_bias:
            deviation = random_adapters ? 0.02F : 0.0F; break;
        case parameter_role::head_weight: deviation = 0.01F; break;
        }
        if (deviation != 0.0F) detail::draw_normal(values, deviation, options.seed, detail::name_hash(name));
    });
}

/// A model of random weights; its answers mean nothing.
template <class Adapters>
[[nodiscard]] vit_weights<Adapters> random_weights(vit_config config, adapter_layout layout, init_options options) {
    vit_weights<Adapters> weights{std::move(config), layout};
    draw_missing(weights, options);
    return weights;
}

/// A clip of standard normal values, (T,3,S,S): what merged and adapted models are compared on.
[[nodiscard]] inline dynamic_tensor<float, 4> random_clip(vit_config const& config, std::uint64_t seed) {
    dynamic_tensor<float, 4> clip{config.frames(), std::size_t{3}, config.image_size(), config.image_size()};
    detail::draw_normal({clip.data(), clip.size()}, 1.0F, seed, detail::name_hash("clip"));
    return clip;
}

} // namespace zeroi2v
