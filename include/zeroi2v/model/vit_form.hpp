// vit_form: what distinguishes one plain vision transformer from another, apart from its sizes.
#pragma once

#include <zeroi2v/core/activation.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace zeroi2v {

/// What a frame's feature is: the class token, the mean of the patch tokens, or what an attention-pooling head makes of all tokens.
enum class frame_pooling : std::uint8_t { class_token, mean, attention };

[[nodiscard]] constexpr std::string_view to_string(frame_pooling pooling) noexcept {
    switch (pooling) {
    case frame_pooling::class_token: return "class";
    case frame_pooling::mean: return "mean";
    case frame_pooling::attention: return "attention";
    }
    return "?";
}
[[nodiscard]] constexpr std::optional<frame_pooling> pooling_from_name(std::string_view name) noexcept {
    for (auto const each : {frame_pooling::class_token, frame_pooling::mean, frame_pooling::attention})
        if (to_string(each) == name) return each;
    return std::nullopt;
}

/// Whether ln_post stands before the mean of tokens or after it (timm's fc_norm).
enum class pool_norm_place : std::uint8_t { before_mean, after_mean };

[[nodiscard]] constexpr std::string_view to_string(pool_norm_place place) noexcept { return place == pool_norm_place::before_mean ? "before" : "after"; }
[[nodiscard]] constexpr std::optional<pool_norm_place> pool_norm_from_name(std::string_view name) noexcept {
    for (auto const each : {pool_norm_place::before_mean, pool_norm_place::after_mean})
        if (to_string(each) == name) return each;
    return std::nullopt;
}

/// The form of a transformer; the defaults are CLIP's.
///
/// Source  docs/backbones.md has the form of each model that can be read.
struct vit_form {
    activation act = activation::quick_gelu; ///< of the MLP, and of the attention-pooling head's
    double norm_epsilon = 1e-5;              ///< of every layer norm
    bool pre_norm = true;                    ///< ln_pre, before the first block
    bool class_token = true;
    std::size_t registers = 0;               ///< tokens after the class token, without positions
    frame_pooling pooling = frame_pooling::class_token;
    pool_norm_place pool_norm = pool_norm_place::before_mean; ///< with mean
    std::optional<double> rope_theta{};      ///< rotary embedding of the patch tokens' queries and keys, in place of positions
    bool patch_bias = false;                 ///< conv1 has a bias; seen among the tensors, never stated

    /// Whether there is a positional embedding.
    [[nodiscard]] constexpr bool positions() const noexcept { return !rope_theta; }
    /// Tokens before the patches: class token and registers.
    [[nodiscard]] constexpr std::size_t prefix_tokens() const noexcept { return (class_token ? 1U : 0U) + registers; }

    friend constexpr bool operator==(vit_form const&, vit_form const&) = default;
};

} // namespace zeroi2v
