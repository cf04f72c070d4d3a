// input_config: how frames of a video become the views a model was made for. Plain data; the work is done in video/.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace zeroi2v {

/// Which frames of a video make a clip: `dense` steps by a fixed interval (mmaction2 SampleFrames), `uniform` spreads the
/// clip over the whole video (UniformSample).
enum class sampling_method { dense, uniform };

/// Per-channel mean and deviation, in units of 0..255: ZeroI2V's own constants, or CLIP's.
enum class normalization { zeroi2v, clip };

/// How the answers of several views become one: the mean of the probabilities, or of the logits.
enum class view_average { prob, score };

/// The most that options and files may ask for.
namespace input_limits {
inline constexpr std::size_t clips = 1024, resize = 8192;
} // namespace input_limits

/// From a video to views (V = clips * crops, crop-major), each (T,3,S,S).
struct input_config {
    sampling_method sampling = sampling_method::dense;
    std::size_t interval = 1;  ///< frames between two sampled ones; `dense` only
    std::size_t clips = 1;     ///< clips per video
    std::size_t crops = 1;     ///< 1: centre; 3: left, right, middle (or top, bottom, middle)
    std::size_t resize = 224;  ///< short side in pixels before cropping
    normalization normalize = normalization::zeroi2v;
    view_average average = view_average::prob;

    friend constexpr bool operator==(input_config const&, input_config const&) = default;
};

[[nodiscard]] constexpr std::string_view to_string(sampling_method m) noexcept { return m == sampling_method::dense ? "dense" : "uniform"; }
[[nodiscard]] constexpr std::string_view to_string(normalization n) noexcept { return n == normalization::zeroi2v ? "zeroi2v" : "clip"; }
[[nodiscard]] constexpr std::string_view to_string(view_average a) noexcept { return a == view_average::prob ? "prob" : "score"; }

namespace detail {
template <class Enum>
[[nodiscard]] constexpr std::optional<Enum> one_of(std::string_view name, std::array<Enum, 2> values) noexcept {
    for (Enum const value : values)
        if (to_string(value) == name) return value;
    return std::nullopt;
}
} // namespace detail

[[nodiscard]] constexpr std::optional<sampling_method> sampling_from_name(std::string_view name) noexcept {
    return detail::one_of(name, std::array{sampling_method::dense, sampling_method::uniform});
}
[[nodiscard]] constexpr std::optional<normalization> normalization_from_name(std::string_view name) noexcept {
    return detail::one_of(name, std::array{normalization::zeroi2v, normalization::clip});
}
[[nodiscard]] constexpr std::optional<view_average> average_from_name(std::string_view name) noexcept {
    return detail::one_of(name, std::array{view_average::prob, view_average::score});
}

} // namespace zeroi2v
