// The released ZeroI2V models: their sizes, frame maps, adapter scales and the input they were tested with.
#pragma once

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace zeroi2v {

/// What a released model's weights do not say: to be chosen by name, never guessed.
struct preset {
    static constexpr std::size_t max_heads = 16;

    std::string_view name;                       ///< `clip-b16-k400-8f`
    vit_sizes sizes;
    std::array<int, max_heads> head_offsets{};   ///< the first sizes.heads of them count
    double adapter_scale = 0.5;
    double adapter_dropout = 0.1;                ///< in training
    input_config input;
    std::string_view labels;                     ///< the data set whose class names these are
    vit_form form{};

    [[nodiscard]] constexpr std::span<int const> offsets() const noexcept { return std::span{head_offsets}.first(sizes.heads); }

    /// The whole configuration, adapters present.
    [[nodiscard]] vit_config config() const { return {sizes, frame_map<>{offsets()}, adapter_scale, form}; }
};

/// The released models, by name. Source: the configurations published with ZeroI2V.
namespace presets {
namespace detail {
inline constexpr vit_sizes b16{.image_size = 224, .patch_size = 16, .width = 768, .layers = 12, .heads = 12, .mlp_width = 3072};
inline constexpr vit_sizes l14{.image_size = 224, .patch_size = 14, .width = 1024, .layers = 24, .heads = 16, .mlp_width = 4096};

[[nodiscard]] constexpr vit_sizes with(vit_sizes sizes, std::size_t frames, std::size_t classes) noexcept {
    sizes.frames = frames;
    sizes.classes = classes;
    return sizes;
}
[[nodiscard]] constexpr input_config dense(std::size_t interval, std::size_t clips, std::size_t crops) noexcept {
    return {.sampling = sampling_method::dense, .interval = interval, .clips = clips, .crops = crops};
}
[[nodiscard]] constexpr input_config uniform(std::size_t clips, std::size_t crops) noexcept {
    return {.sampling = sampling_method::uniform, .clips = clips, .crops = crops};
}
using offsets = std::array<int, preset::max_heads>;
inline constexpr offsets one_each{-1, 1};
inline constexpr offsets one_and_two{-1, 1, -2, 2};
inline constexpr offsets two_each{-1, -1, 1, 1};
inline constexpr offsets two_each_and_past{-1, -1, 1, 1, -2, -2};
inline constexpr offsets long_range{-1, -1, 1, 1, -2, 2, -3};
} // namespace detail

inline constexpr preset clip_b16_k400_8f{"clip-b16-k400-8f", detail::with(detail::b16, 8, 400), detail::one_each, 0.5, 0.1, detail::dense(16, 3, 1), "kinetics400"};
inline constexpr preset clip_b16_ssv2_16f{"clip-b16-ssv2-16f", detail::with(detail::b16, 16, 174), detail::one_and_two, 1.0, 0.0, detail::uniform(1, 3), "ssv2"};
inline constexpr preset clip_b16_hmdb51_8f{"clip-b16-hmdb51-8f", detail::with(detail::b16, 8, 51), detail::one_each, 0.5, 0.1, detail::uniform(1, 3), "hmdb51"};
inline constexpr preset clip_b16_hmdb51_32f{"clip-b16-hmdb51-32f", detail::with(detail::b16, 32, 51), detail::one_and_two, 0.5, 0.1, detail::uniform(2, 3), "hmdb51"};
inline constexpr preset clip_b16_ucf101_8f{"clip-b16-ucf101-8f", detail::with(detail::b16, 8, 101), detail::one_each, 0.5, 0.1, detail::uniform(1, 3), "ucf101"};
inline constexpr preset clip_b16_ucf101_32f{"clip-b16-ucf101-32f", detail::with(detail::b16, 32, 101), detail::one_and_two, 0.5, 0.1, detail::uniform(1, 3), "ucf101"};
inline constexpr preset clip_l14_k400_8f{"clip-l14-k400-8f", detail::with(detail::l14, 8, 400), detail::two_each, 0.5, 0.1, detail::dense(16, 3, 1), "kinetics400"};
inline constexpr preset clip_l14_k400_32f{"clip-l14-k400-32f", detail::with(detail::l14, 32, 400), detail::two_each_and_past, 0.5, 0.1, detail::dense(4, 3, 1), "kinetics400"};
inline constexpr preset clip_l14_ssv2_32f{"clip-l14-ssv2-32f", detail::with(detail::l14, 32, 174), detail::long_range, 1.0, 0.1, detail::uniform(1, 3), "ssv2"};

/// All of them, in the order of the table in docs/stdha.md.
inline constexpr std::array all{clip_b16_k400_8f, clip_b16_ssv2_16f, clip_b16_hmdb51_8f, clip_b16_hmdb51_32f, clip_b16_ucf101_8f,
                                clip_b16_ucf101_32f, clip_l14_k400_8f, clip_l14_k400_32f, clip_l14_ssv2_32f};

/// The preset with this name, if there is one.
[[nodiscard]] constexpr std::optional<preset> find(std::string_view name) noexcept {
    for (preset const& candidate : all)
        if (candidate.name == name) return candidate;
    return std::nullopt;
}
} // namespace presets

} // namespace zeroi2v
