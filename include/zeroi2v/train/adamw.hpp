// adamw: one step of AdamW, in PyTorch's order of operations, all or nothing.
#pragma once

#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace zeroi2v {

struct adamw_options {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-8;
};

/// One tensor's parameters, gradient and moments, `count` of each.
struct adamw_tensor {
    float* parameter{};
    float const* gradient{};
    float* m{};
    float* v{};
    std::size_t count{};
    double lr{};
    double weight_decay{};
};

/// p = p (1 - lr decay);  m += (1 - beta1) (g - m);  v = v beta2 + (1 - beta2) g g;
/// p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps),   t = step, from 1 on
///
/// Numerics  in float, the factors computed in double, as torch.optim.AdamW does on a CPU.
/// Source    Loshchilov, Hutter: Decoupled weight decay regularization; PyTorch's single-tensor implementation.
/// Test      tests/unit/train/parts.cpp
class adamw {
public:
    adamw(adamw_options const& options, std::uint64_t step) noexcept
        : keep1_{static_cast<float>(1 - options.beta1)}, beta2_{static_cast<float>(options.beta2)}, keep2_{static_cast<float>(1 - options.beta2)},
          eps_{static_cast<float>(options.eps)}, correction1_{1 - std::pow(options.beta1, static_cast<double>(step))},
          correction2_{static_cast<float>(std::sqrt(1 - std::pow(options.beta2, static_cast<double>(step))))} {}

    /// Whether the step would leave every parameter and moment finite; changes nothing.
    [[nodiscard]] bool stays_finite(executor& workers, adamw_tensor const& of) const {
        std::atomic<bool> finite{true};
        in_parts(workers, of.count, [&](index_range range) {
            std::uint32_t largest = 0;
            for_each(of, range, [&](std::size_t, float p, float m, float v) {
                for (float const value : {p, m, v}) {
                    std::uint32_t const bits = std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
                    largest = bits > largest ? bits : largest;
                }
            });
            if (largest >= 0x7f800000U) finite.store(false, std::memory_order_relaxed);
        });
        return finite.load();
    }

    void apply(executor& workers, adamw_tensor const& of) const {
        in_parts(workers, of.count, [&](index_range range) {
            for_each(of, range, [&](std::size_t i, float p, float m, float v) {
                of.parameter[i] = p;
                of.m[i] = m;
                of.v[i] = v;
            });
        });
    }

private:
    template <class Work>
    static void in_parts(executor& workers, std::size_t count, Work&& work) {
        auto const parts = static_cast<std::size_t>(workers.concurrency());
        workers.run(static_cast<int>(parts), [&](int part) { work(partition(count, parts, static_cast<std::size_t>(part), 64)); });
    }

    template <class Use>
    void for_each(adamw_tensor const& of, index_range range, Use&& use) const noexcept {
        auto const shrink = static_cast<float>(1 - of.lr * of.weight_decay);
        auto const size = static_cast<float>(-(of.lr / correction1_));
        for (std::size_t i = range.begin; i < range.end; ++i) {
            float const g = of.gradient[i];
            float const p = of.parameter[i] * shrink;
            float const m = of.m[i] + keep1_ * (g - of.m[i]);
            float const v = of.v[i] * beta2_ + keep2_ * g * g;
            float const denominator = std::sqrt(v) / correction2_ + eps_;
            use(i, p + size * m / denominator, m, v);
        }
    }

    float keep1_, beta2_, keep2_, eps_;
    double correction1_;
    float correction2_;
};

} // namespace zeroi2v
