// cross_entropy: the loss of one clip, with label smoothing, over one set of classes or several side by side.
#pragma once

#include <zeroi2v/core/assert.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace zeroi2v {

/// loss = sum over the groups g of -sum over k of target[k] log softmax(logits of g)[k],
///   target = (1 - smoothing) [k = label of g] + smoothing / classes of g
///
/// and its gradient softmax(logits) - target, times `weight`.
/// Shapes    logits, gradient (K); labels (G), label g within group g; groups (G), sizes that add up to K; none: one group.
/// Numerics  in double; the gradient is rounded once. A non-finite logit makes the loss non-finite.
/// Errors    sizes that do not fit, a label outside its group -> ZEROI2V_REQUIRE.
/// Test      tests/unit/train/parts.cpp
[[nodiscard]] inline double cross_entropy(std::span<float const> logits, std::span<std::int64_t const> labels, std::span<std::size_t const> groups,
                                          double smoothing, double weight, std::span<float> gradient) {
    std::size_t const whole[1]{logits.size()};
    if (groups.empty()) groups = whole;
    ZEROI2V_REQUIRE(labels.size() == groups.size() && gradient.size() == logits.size()
                        && std::accumulate(groups.begin(), groups.end(), std::size_t{0}) == logits.size(),
                    "zeroi2v::cross_entropy: one label per group, groups that make up the classes");
    double loss = 0;
    std::size_t first = 0;
    for (std::size_t g = 0; g < groups.size(); first += groups[g], ++g) {
        std::size_t const classes = groups[g];
        ZEROI2V_REQUIRE(labels[g] >= 0 && static_cast<std::size_t>(labels[g]) < classes, "zeroi2v::cross_entropy: label outside its group");
        auto const label = static_cast<std::size_t>(labels[g]);
        double top = static_cast<double>(logits[first]);
        for (std::size_t k = 1; k < classes; ++k) {
            auto const value = static_cast<double>(logits[first + k]);
            top = value > top || value != value ? value : top;
        }
        double sum = 0;
        for (std::size_t k = 0; k < classes; ++k) sum += std::exp(static_cast<double>(logits[first + k]) - top);
        double const log_sum = top + std::log(sum);
        double const share = smoothing / static_cast<double>(classes);
        for (std::size_t k = 0; k < classes; ++k) {
            double const log_p = static_cast<double>(logits[first + k]) - log_sum;
            double const target = share + (k == label ? 1 - smoothing : 0);
            if (target != 0) loss -= target * log_p;
            gradient[first + k] = static_cast<float>(weight * (std::exp(log_p) - target));
        }
    }
    return loss;
}

/// Whether the label is among the `top` largest logits of its group; of equal ones the lower index counts as larger.
[[nodiscard]] inline bool label_in_top(std::span<float const> logits, std::int64_t label, std::size_t top) noexcept {
    if (label < 0 || static_cast<std::size_t>(label) >= logits.size()) return false;
    auto const at = static_cast<std::size_t>(label);
    std::size_t ahead = 0;
    for (std::size_t k = 0; k < logits.size(); ++k) ahead += logits[k] > logits[at] || (logits[k] == logits[at] && k < at) ? 1U : 0U;
    return ahead < top;
}

} // namespace zeroi2v
