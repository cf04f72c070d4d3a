// vit_config: what the model is. Validated once, at construction; whoever holds one holds a sound one.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v {

/// The sizes of a video ViT. One image per frame, square, cut into square patches.
struct vit_sizes {
    std::size_t image_size = 224; ///< S, pixels
    std::size_t patch_size = 16;  ///< p, pixels
    std::size_t frames = 8;       ///< T
    std::size_t width = 768;      ///< C
    std::size_t layers = 12;
    std::size_t heads = 12;       ///< H
    std::size_t mlp_width = 3072; ///< F
    std::size_t classes = 400;    ///< K

    friend constexpr bool operator==(vit_sizes const&, vit_sizes const&) = default;
};

/// Sizes, frame map, adapter scale and form of one model: everything that the forward pass needs to know beside the weights.
///
/// The scale may be absent: a model without adapters has none, and none is ever guessed.
///
/// Errors  at construction -> model_error bad_config: a size of 0; width not a multiple of heads; image_size not a multiple
///         of patch_size; a map of another number of heads; a scale that is not finite; activations whose byte count
///         overflows; a form that cannot be: no activation, an epsilon that is no positive float, class pooling without a class
///         token, a rotary embedding of heads whose dimension is no multiple of 4.
/// Test    tests/unit/model/vit_config.cpp
class vit_config {
public:
    vit_config(vit_sizes sizes, frame_map<> map, std::optional<double> adapter_scale = std::nullopt, vit_form const& form = {})
        : sizes_{sizes}, map_{std::move(map)}, adapter_scale_{adapter_scale}, form_{form} {
        validate();
    }

    [[nodiscard]] std::size_t image_size() const noexcept { return sizes_.image_size; }
    [[nodiscard]] std::size_t patch_size() const noexcept { return sizes_.patch_size; }
    [[nodiscard]] std::size_t frames() const noexcept { return sizes_.frames; }
    [[nodiscard]] std::size_t width() const noexcept { return sizes_.width; }
    [[nodiscard]] std::size_t layers() const noexcept { return sizes_.layers; }
    [[nodiscard]] std::size_t heads() const noexcept { return sizes_.heads; }
    [[nodiscard]] std::size_t mlp_width() const noexcept { return sizes_.mlp_width; }
    [[nodiscard]] std::size_t classes() const noexcept { return sizes_.classes; }
    [[nodiscard]] std::size_t head_dim() const noexcept { return sizes_.width / sizes_.heads; }          ///< D
    [[nodiscard]] std::size_t grid() const noexcept { return sizes_.image_size / sizes_.patch_size; }    ///< patches per side
    [[nodiscard]] std::size_t patches() const noexcept { return grid() * grid(); }                       ///< P
    [[nodiscard]] std::size_t tokens() const noexcept { return form_.prefix_tokens() + patches(); } ///< N: class token, registers, patches
    [[nodiscard]] std::size_t patch_values() const noexcept { return 3 * sizes_.patch_size * sizes_.patch_size; }
    [[nodiscard]] std::size_t clip_values() const noexcept { return frames() * 3 * image_size() * image_size(); }
    [[nodiscard]] vit_sizes const& sizes() const noexcept { return sizes_; }
    [[nodiscard]] frame_map<> const& map() const noexcept { return map_; }
    [[nodiscard]] std::optional<double> adapter_scale() const noexcept { return adapter_scale_; }
    [[nodiscard]] vit_form const& form() const noexcept { return form_; }
    [[nodiscard]] float norm_epsilon() const noexcept { return static_cast<float>(form_.norm_epsilon); }
    /// Rows of the positional embedding: class token and patches; 0 without one.
    [[nodiscard]] std::size_t positions() const noexcept { return form_.positions() ? (form_.class_token ? 1U : 0U) + patches() : 0; }

    /// The same model with its adapters merged away: it has no scale.
    [[nodiscard]] vit_config without_adapter_scale() const { return {sizes_, map_, std::nullopt, form_}; }

    /// Floating point operations of one forward of one clip, adapters not counted: 2 per multiply-add.
    [[nodiscard]] double flops() const noexcept {
        auto const t = static_cast<double>(frames()), n = static_cast<double>(tokens()), c = static_cast<double>(width());
        auto const f = static_cast<double>(mlp_width()), p = static_cast<double>(patches());
        double const block = n * (4 * c * c + 2 * c * f) + 2 * n * n * c;
        double const pool = form_.pooling == frame_pooling::attention ? 2 * n * c * c + 2 * n * c + c * c + 2 * c * f : 0; // keys, values; one query
        double const macs = t * (p * static_cast<double>(patch_values()) * c + static_cast<double>(layers()) * block + pool)
                            + c * static_cast<double>(classes());
        return 2 * macs;
    }

    friend bool operator==(vit_config const&, vit_config const&) = default;

private:
    void validate() const {
        struct named { char const* name; std::size_t value; };
        std::array<named, 8> const all{{{"image_size", sizes_.image_size}, {"patch_size", sizes_.patch_size},
                                        {"frames", sizes_.frames}, {"width", sizes_.width}, {"layers", sizes_.layers},
                                        {"heads", sizes_.heads}, {"mlp_width", sizes_.mlp_width}, {"classes", sizes_.classes}}};
        for (auto const& [name, value] : all)
            if (value == 0 || value > max_size)
                refuse(std::string{name} + ": " + std::to_string(value) + " found, 1 to " + std::to_string(max_size) + " expected");
        if (sizes_.layers > max_layers)
            refuse("layers: " + std::to_string(sizes_.layers) + " found, at most " + std::to_string(max_layers) + " expected");
        if (sizes_.width % sizes_.heads != 0)
            refuse("width: " + std::to_string(sizes_.width) + " found, a multiple of the " + std::to_string(sizes_.heads) + " heads expected");
        if (sizes_.image_size % sizes_.patch_size != 0)
            refuse("image_size: " + std::to_string(sizes_.image_size) + " found, a multiple of patch_size " + std::to_string(sizes_.patch_size) + " expected");
        if (map_.heads() != sizes_.heads)
            refuse("head_offsets: " + std::to_string(map_.heads()) + " found, one per head (" + std::to_string(sizes_.heads) + ") expected");
        if (adapter_scale_ && !is_finite(*adapter_scale_)) refuse("adapter_scale: a finite number expected");
        validate_form();
        std::array<std::size_t, 4> const activations{sizes_.frames, tokens(), 2 * sizes_.width + std::max(3 * sizes_.width, sizes_.mlp_width), sizeof(float) * 2};
        auto const bytes = checked_product(std::span<std::size_t const>{activations});
        if (!bytes || *bytes > max_activation_bytes)
            refuse("frames " + std::to_string(sizes_.frames) + ", tokens " + std::to_string(tokens()) + ", width " + std::to_string(sizes_.width)
                   + ": the activations of one clip would not fit in 2^46 bytes");
    }

    void validate_form() const {
        if (form_.act == activation::none) refuse("activation: none found, quick_gelu, gelu or gelu_tanh expected");
        if (!is_finite(form_.norm_epsilon) || !(static_cast<float>(form_.norm_epsilon) > 0) || form_.norm_epsilon > 1)
            refuse("norm_epsilon: a number above 0 and at most 1 expected");
        if (form_.registers > max_registers)
            refuse("registers: " + std::to_string(form_.registers) + " found, at most " + std::to_string(max_registers) + " expected");
        if (form_.pooling == frame_pooling::class_token && !form_.class_token) refuse("pooling: class found, mean or attention expected of a model without class token");
        if (form_.pool_norm == pool_norm_place::after_mean && form_.pooling != frame_pooling::mean)
            refuse("pool_norm: after found with pooling " + std::string{to_string(form_.pooling)} + ", mean expected");
        if (form_.rope_theta && (!is_finite(*form_.rope_theta) || *form_.rope_theta <= 0)) refuse("rope_theta: a number above 0 expected");
        if (form_.rope_theta && head_dim() % 4 != 0)
            refuse("rope_theta: heads of " + std::to_string(head_dim()) + " channels found, a multiple of 4 expected");
    }

    [[noreturn]] static void refuse(std::string const& what) { throw model_error{error_code::bad_config, "config: " + what}; }

    static constexpr std::size_t max_size = std::size_t{1} << 20;
    static constexpr std::size_t max_layers = 4096;
    static constexpr std::size_t max_registers = 1024;
    static constexpr std::size_t max_activation_bytes = std::size_t{1} << 46;

    vit_sizes sizes_;
    frame_map<> map_;
    std::optional<double> adapter_scale_;
    vit_form form_;
};

} // namespace zeroi2v
