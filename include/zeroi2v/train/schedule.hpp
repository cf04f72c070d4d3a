// lr_schedule: by what the learning rate is multiplied at each step.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace zeroi2v {

/// A linear warm-up times a constant or a cosine.
///
///   factor(i) = warm(i) decay(i)
///   warm(i)   = 0.1 + 0.9 i / (W - 1) for i < W, else 1;                 W = floor(warmup_epochs steps_per_epoch)
///   decay(i)  = (1 + cos(pi floor(i / steps_per_epoch) / epochs)) / 2, the cosine stepped per epoch;
///               (1 + cos(pi i / total_steps)) / 2 where `per_step` is set; 1 where `cosine` is not
///
/// Source  ZeroI2V's configurations as mmengine's LinearLR and CosineAnnealingLR compute them.   Test  tests/unit/train/parts.cpp
struct lr_schedule {
    bool cosine = true;
    bool per_step = false;
    double warmup_epochs = 2.5;
    std::uint64_t steps_per_epoch = 1;
    std::uint64_t total_steps = 1;

    [[nodiscard]] double factor(std::uint64_t step) const noexcept {
        auto const per_epoch = static_cast<double>(std::max<std::uint64_t>(steps_per_epoch, 1));
        double const at = static_cast<double>(step);
        double const warm_steps = std::floor(warmup_epochs * per_epoch);
        double result = at < warm_steps ? 0.1 + 0.9 * at / std::max(warm_steps - 1, 1.0) : 1.0;
        if (cosine) {
            double const total = static_cast<double>(std::max<std::uint64_t>(total_steps, 1));
            double const progress = per_step ? at / total : std::floor(at / per_epoch) / std::ceil(total / per_epoch);
            result *= (1 + std::cos(std::numbers::pi * std::min(progress, 1.0))) / 2;
        }
        return result;
    }
};

} // namespace zeroi2v
