// merge_proof: what was measured when a model was merged, for people, programs, and the merged file.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/nn/merge_report.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace zeroi2v {

/// Significant bits of a weight type.
[[nodiscard]] constexpr int precision_of(dtype type) noexcept { return type == dtype::bf16 ? 8 : type == dtype::f16 ? 11 : 24; }

/// How far merged logits may be from adapted ones: |difference|_2 / |adapted|_2, and, for float, each logit.
struct equivalence_tolerance {
    double relative_l2{};
    double max_abs{}; ///< times the largest |logit|
};

/// The tolerance where the coarsest merged tensor has this type: one rounding of the weights is all that may differ.
[[nodiscard]] constexpr equivalence_tolerance merge_tolerance(dtype coarsest) noexcept {
    switch (coarsest) {
    case dtype::bf16: return {1e-2, 2e-2};
    case dtype::f16: return {2e-3, 4e-3};
    default: return {5e-6, 2e-5};
    }
}

/// One merged Linear: what it is called, what went into it, and the distance of its stored weights from the product.
struct layer_proof {
    std::string linear;  ///< `resblocks.3.attn.in_proj`
    std::string adapter; ///< `T_Adapter_in`
    dtype type{};        ///< of the stored result
    merge_report report;
};

/// One random clip through both models.
struct probe_proof {
    std::uint64_t seed{};
    double max_abs{};       ///< largest |merged - adapted| logit
    double relative_l2{};   ///< |merged - adapted|_2 / |adapted|_2
    double largest_logit{}; ///< of the adapted model, in absolute value
    equivalence_tolerance tolerance{};
    std::vector<float> logits{}; ///< of the merged model: what a file can be tested against later

    /// Whether both distances are within the tolerance; false where one is not finite.
    [[nodiscard]] bool holds() const noexcept {
        return is_finite(relative_l2) && is_finite(max_abs) && relative_l2 <= tolerance.relative_l2 && max_abs <= tolerance.max_abs * largest_logit;
    }
};

namespace detail {
template <class... Numbers>
[[nodiscard]] std::string formatted(char const* format, Numbers... numbers) {
    std::array<char, 192> text{};
    std::snprintf(text.data(), text.size(), format, numbers...);
    return text.data();
}

[[nodiscard]] inline probe_proof compare_logits(std::span<float const> adapted, std::span<float const> merged, std::uint64_t seed, zeroi2v::dtype coarsest) {
    probe_proof probe{.seed = seed};
    double difference = 0, norm = 0;
    for (std::size_t k = 0; k < adapted.size(); ++k) {
        double const a = static_cast<double>(adapted[k]), d = static_cast<double>(merged[k]) - a;
        bool const finite = is_finite(adapted[k]) && is_finite(merged[k]); // else d may be folded to 0, or lost in a maximum
        probe.max_abs = worse(probe.max_abs, finite ? std::abs(d) : std::numeric_limits<double>::infinity());
        probe.largest_logit = std::max(probe.largest_logit, std::abs(a));
        difference += d * d;
        norm += a * a;
    }
    probe.relative_l2 = difference == 0 ? 0 : std::sqrt(difference / norm);
    probe.tolerance = merge_tolerance(coarsest);
    return probe;
}
} // namespace detail

[[nodiscard]] inline std::string to_string(probe_proof const& probe) {
    return detail::formatted("logits differ by %.3g (relative L2, at most %.3g) and %.3g (largest, at most %.3g)", probe.relative_l2,
                             probe.tolerance.relative_l2, probe.max_abs, probe.tolerance.max_abs * probe.largest_logit);
}

/// All of it.
struct merge_proof {
    std::vector<layer_proof> layers;
    probe_proof probe;
    std::size_t threads = 1; ///< that the system gave to the merge

    /// The largest distance of a stored weight from its product, in ulp of its type.
    [[nodiscard]] double max_ulp() const noexcept {
        double result = 0;
        for (layer_proof const& layer : layers) result = std::max(result, layer.report.max_ulp);
        return result;
    }
};

/// A table, one line per merged Linear, and the probe below.
[[nodiscard]] inline std::string to_text(merge_proof const& proof) {
    std::string text = "linear                          adapter                  dtype  max ulp  unchanged\n";
    for (layer_proof const& layer : proof.layers)
        text += detail::formatted("%-31s %-24s %-5.*s  %7.4f  %8.4f%%\n", layer.linear.c_str(), layer.adapter.c_str(),
                                  static_cast<int>(dtype_name(layer.type).size()), dtype_name(layer.type).data(), layer.report.max_ulp,
                                  100 * layer.report.share_unchanged);
    return text + "probe clip (seed " + std::to_string(proof.probe.seed) + "): " + to_string(proof.probe) + "\n";
}

} // namespace zeroi2v
