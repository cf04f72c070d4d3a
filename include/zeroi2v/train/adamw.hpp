// adamw: one step of AdamW, in PyTorch's order of operations, all or nothing.
#pragma once

#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/pack.hpp>

#include <algorithm>
#include <atomic>
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
            auto const nothing = barrier(floats::zero()); // no compiler option makes 0 of its products
            auto poison = floats::zero();                 // 0 * x: a NaN where x is not finite
            for_each(of, range, [&](std::size_t, std::size_t count, floats p, floats m, floats v) {
                for (floats const value : {p, m, v}) poison = poison + first_or(value * nothing, count, floats::zero());
            });
            if (!is_finite(reduce_add(poison))) finite.store(false, std::memory_order_relaxed);
        });
        return finite.load();
    }

    void apply(executor& workers, adamw_tensor const& of) const {
        in_parts(workers, of.count, [&](index_range range) {
            for_each(of, range, [&](std::size_t i, std::size_t count, floats p, floats m, floats v) {
                p.store_partial(of.parameter + i, count);
                m.store_partial(of.m + i, count);
                v.store_partial(of.v + i, count);
            });
        });
    }

private:
    template <class Work>
    static void in_parts(executor& workers, std::size_t count, Work&& work) {
        auto const parts = static_cast<std::size_t>(workers.concurrency());
        workers.run(static_cast<int>(parts), [&](int part) { work(partition(count, parts, static_cast<std::size_t>(part), 64)); });
    }

    using floats = pack<float, arch::sse2>; // which every processor has; a plain loop over std::sqrt, which may set errno, would take the roots one by one

    /// use(i, count, p, m, v) for `count` elements from i on at a time.
    template <class Use>
    void for_each(adamw_tensor const& of, index_range range, Use&& use) const noexcept {
        auto const shrink = floats::broadcast(static_cast<float>(1 - of.lr * of.weight_decay));
        auto const size = floats::broadcast(static_cast<float>(-(of.lr / correction1_)));
        auto const keep1 = floats::broadcast(keep1_), beta2 = floats::broadcast(beta2_), keep2 = floats::broadcast(keep2_);
        auto const correction2 = floats::broadcast(correction2_), eps = floats::broadcast(eps_);
        for (std::size_t i = range.begin; i < range.end; i += floats::size) {
            std::size_t const count = std::min(floats::size, range.end - i);
            auto const load = [i, count](float const* from) { return floats::load_partial(from + i, count); };
            auto const g = load(of.gradient), m_so_far = load(of.m);
            auto const m = m_so_far + keep1 * (g - m_so_far);
            auto const v = load(of.v) * beta2 + keep2 * g * g;
            auto const denominator = sqrt(v) / correction2 + eps;
            use(i, count, load(of.parameter) * shrink + size * m / denominator, m, v);
        }
    }

    float keep1_, beta2_, keep2_, eps_;
    double correction1_;
    float correction2_;
};

} // namespace zeroi2v
