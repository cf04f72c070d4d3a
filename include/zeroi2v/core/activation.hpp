// activation: the function between the two Linears of an MLP, by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace zeroi2v {

///   none          x
///   quick_gelu    x * sigmoid(1.702 x): OpenAI's CLIP
///   gelu          x * (1 + erf(x / sqrt(2))) / 2: OpenCLIP, ViT, DINOv2, DINOv3
///   gelu_tanh     x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: SigLIP
enum class activation : std::uint8_t { none, quick_gelu, gelu, gelu_tanh };

/// The name as configurations spell it.
[[nodiscard]] constexpr std::string_view to_string(activation which) noexcept {
    switch (which) {
    case activation::none: return "none";
    case activation::quick_gelu: return "quick_gelu";
    case activation::gelu: return "gelu";
    case activation::gelu_tanh: return "gelu_tanh";
    }
    return "?";
}

/// Activations are numbered from 0 on.
inline constexpr std::size_t activation_count = [] {
    std::size_t count = 0;
    while (to_string(static_cast<activation>(count)) != "?") ++count;
    return count;
}();

/// The activation with this name, if there is one.
[[nodiscard]] constexpr std::optional<activation> activation_from_name(std::string_view name) noexcept {
    for (std::size_t i = 0; i < activation_count; ++i)
        if (to_string(static_cast<activation>(i)) == name) return static_cast<activation>(i);
    return std::nullopt;
}

} // namespace zeroi2v
