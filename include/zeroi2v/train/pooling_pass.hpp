// pooling_pass: from the tokens of the last block to a feature per frame, and the gradient back.
#pragma once

#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/ops/activation.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/train/activations.hpp>
#include <zeroi2v/train/attention_backward.hpp>
#include <zeroi2v/train/block_backward.hpp>
#include <zeroi2v/train/block_forward.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/training_model.hpp>
#include <zeroi2v/train/training_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>

namespace zeroi2v::detail {

/// The pooling of one clip: M tokens of T frames, or of class pooling only the T class tokens, Q rows in all.
///
///   class      feature = ln_post(x[class])
///   mean       feature = mean over patches of ln_post(x), or ln_post of that mean
///   attention  feature = z + c_proj(act(c_fc(ln(z)))), z = out_proj(attention of the probe over ln_post(x))
/// Test  tests/unit/train/forms.cpp: every tensor against central differences in double
class pooling_pass {
public:
    void carve(arena& from, training_model const& model, int concurrency) {
        model_ = &model;
        map_.emplace(model.config().heads());
        std::size_t const m = model.rows().all(), t = model.rows().frames, width = model.config().width(), hidden = model.config().mlp_width();
        x_ = from.floats((pooling() == frame_pooling::class_token ? t : m) * width);
        features_ = from.floats(t * width);
        if (pooling() == frame_pooling::class_token) return;
        normed_ = from.floats((after_mean() ? t : m) * width);
        if (pooling() == frame_pooling::mean) return;
        query_ = from.floats(width);
        dquery_ = from.floats(width);
        qkv_ = from.floats(m * 3 * width);
        dqkv_ = from.floats(m * 3 * width);
        for (float** each : {&attended_, &z_, &dz_, &narrow_}) *each = from.floats(t * width);
        for (float** each : {&hidden_, &activated_, &dhidden_}) *each = from.floats(t * hidden);
        auto const shape = attention_of_probe();
        std::size_t const floats = std::max(attention_scratch_floats(model.kernels(), shape, concurrency), attention_backward_scratch_floats(model.kernels(), shape, concurrency));
        scratch_ = {from.floats(floats), floats};
    }

    /// Floats of scratch that weight_gradient takes here.
    [[nodiscard]] static std::size_t weight_floats(training_model const& model, int concurrency) noexcept {
        if (!model.pool) return 0;
        std::size_t const m = model.rows().all(), width = model.config().width(), hidden = model.config().mlp_width();
        return std::max({weight_gradient_scratch(model.kernels(), m, 2 * width, width, concurrency), weight_gradient_scratch(model.kernels(), m, width, width, concurrency),
                         weight_gradient_scratch(model.kernels(), m, hidden, width, concurrency), weight_gradient_scratch(model.kernels(), m, width, hidden, concurrency)});
    }

    /// Where the last block writes, (Q,C).
    [[nodiscard]] float* input() noexcept { return x_; }
    [[nodiscard]] float const* features() const noexcept { return features_; } // (T,C)

    void forward(pass_context const& on) {
        matrix_view<float> const out{features_, on.rows.frames, width()};
        switch (pooling()) {
        case frame_pooling::class_token: return norm_forward(on, model_->ln_post, tokens(), out);
        case frame_pooling::mean:
            if (after_mean()) {
                mean_of_patches(on, x_, {normed_, on.rows.frames, width()});
                return norm_forward(on, model_->ln_post, matrix_view<float const>{normed_, on.rows.frames, width()}, out);
            }
            norm_forward(on, model_->ln_post, tokens(), normed());
            return mean_of_patches(on, normed_, out);
        case frame_pooling::attention:
            norm_forward(on, model_->ln_post, tokens(), normed());
            return attention_forward(on, *model_->pool, out);
        }
    }

    /// From dfeatures (T,C), which is overwritten, to the gradients of what trains here, and to dx (Q,C) where the model passes it on.
    void backward(pass_context const& on, float* dfeatures, float* dx, float* gradient, block_scratchpad const& scratch) {
        bool const passes = model_->passes_ln_post();
        matrix_view<float> const df{dfeatures, on.rows.frames, width()};
        if (pooling() == frame_pooling::class_token) return norm_back(on, tokens(), df, dx, passes, gradient, scratch);
        if (after_mean()) {
            norm_back(on, {normed_, on.rows.frames, width()}, df, dfeatures, passes, gradient, scratch);
            if (passes) mean_backward(on, df, {dx, on.rows.all(), width()});
            return;
        }
        if (pooling() == frame_pooling::attention) attention_back(on, *model_->pool, df, gradient, scratch);
        if (!passes && !model_->ln_post.trains()) return;
        matrix_view<float> const dnormed{scratch.a, on.rows.all(), width()};
        if (pooling() == frame_pooling::mean) mean_backward(on, df, dnormed);
        else linear_backward(on, model_->pool->keys_values, columns(dqkv_, 1, 2), dnormed);
        norm_back(on, tokens(), dnormed, dx, passes, gradient, scratch);
    }

private:
    [[nodiscard]] frame_pooling pooling() const noexcept { return model_->config().form().pooling; }
    [[nodiscard]] bool after_mean() const noexcept { return model_->config().form().pool_norm == pool_norm_place::after_mean; }
    [[nodiscard]] std::size_t width() const noexcept { return model_->config().width(); }
    [[nodiscard]] matrix_view<float const> tokens() const noexcept {
        return {x_, pooling() == frame_pooling::class_token ? model_->rows().frames : model_->rows().all(), width()};
    }
    [[nodiscard]] matrix_view<float> normed() const noexcept { return {normed_, model_->rows().all(), width()}; }
    [[nodiscard]] attention_shape attention_of_probe() const noexcept {
        auto const rows = model_->rows();
        return {rows.frames, 1, rows.tokens, rows.heads, rows.head_dim};
    }
    /// `count` widths of columns of (M,3C), from the `first` on.
    [[nodiscard]] matrix_view<float> columns(float* qkv, std::size_t first, std::size_t count) const noexcept {
        return {qkv + first * width(), model_->rows().all(), count * width(), 3 * width()};
    }

    /// ln_post's gradients from dy, and dx where it is wanted.
    void norm_back(pass_context const& on, matrix_view<float const> x, matrix_view<float> dy, float* dx, bool passes, float* gradient, block_scratchpad const& scratch) const {
        norm_gradient(on, model_->ln_post, x, dy, gradient, scratch);
        if (passes) norm_backward(on, model_->ln_post, x, dy, {}, {dx, dy.rows, width()});
    }

    void mean_of_patches(pass_context const& on, float const* from, matrix_view<float> to) const {
        std::size_t const n = on.rows.tokens, first = on.rows.prefix, c = width();
        for_rows(on.workers, on.rows.frames, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t)
                for (std::size_t i = 0; i < c; ++i) {
                    double sum = 0;
                    for (std::size_t token = first; token < n; ++token) sum += static_cast<double>(from[(t * n + token) * c + i]);
                    to.row(t)[i] = static_cast<float>(sum / static_cast<double>(n - first));
                }
        });
    }
    void mean_backward(pass_context const& on, matrix_view<float const> df, matrix_view<float> dx) const {
        std::size_t const n = on.rows.tokens, first = on.rows.prefix;
        auto const share = static_cast<float>(1.0 / static_cast<double>(n - first));
        for_rows(on.workers, dx.rows, [&](std::size_t begin, std::size_t end) {
            for (std::size_t row = begin; row < end; ++row) {
                bool const patch = row % n >= first;
                for (std::size_t i = 0; i < dx.columns; ++i) dx.row(row)[i] = patch ? share * df.row(row / n)[i] : 0.0F;
            }
        });
    }

    void attention_forward(pass_context const& on, training_pool const& pool, matrix_view<float> out) {
        std::size_t const t = on.rows.frames, n = on.rows.tokens, c = width();
        linear_forward(on, pool.keys_values, normed(), columns(qkv_, 1, 2));
        linear_forward(on, pool.query, {pool.probe.values.data(), 1, c}, {query_, 1, c});
        for (std::size_t frame = 0; frame < t; ++frame) std::copy_n(query_, c, qkv_ + frame * n * 3 * c);
        attention(on.kernels, on.workers, attention_of_probe(), heads(qkv_, 0), heads(qkv_, 1), heads(qkv_, 2), {attended_, c, c, on.rows.head_dim},
                  [](std::size_t, std::size_t frame) { return frame; }, scratch_);
        matrix_view<float> const z{z_, t, c}, narrow{narrow_, t, c}, hidden{hidden_, t, model_->config().mlp_width()};
        linear_forward(on, pool.out_proj, {attended_, t, c}, z);
        norm_forward(on, pool.ln, z, narrow);
        linear_forward(on, pool.c_fc, narrow, hidden);
        activate(on.kernels, on.workers, model_->config().form().act, {hidden_, hidden.rows * hidden.columns}, {activated_, hidden.rows * hidden.columns});
        linear_forward(on, pool.c_proj, {activated_, t, hidden.columns}, out, z);
    }

    /// Gradients of the head, and of q, k, v in dqkv_.
    void attention_back(pass_context const& on, training_pool const& pool, matrix_view<float const> df, float* gradient, block_scratchpad const& scratch) {
        std::size_t const t = on.rows.frames, n = on.rows.tokens, c = width(), f = model_->config().mlp_width();
        matrix_view<float> const dhidden{dhidden_, t, f}, dz{dz_, t, c}, narrow{narrow_, t, c};
        linear_gradient(on, pool.c_proj, df, {activated_, t, f}, 1.0F, gradient, scratch);
        linear_backward(on, pool.c_proj, df, dhidden);
        on.kernels.of(model_->config().form().act).backward(hidden_, dhidden_, dhidden_, t * f);
        linear_gradient(on, pool.c_fc, dhidden, narrow, 1.0F, gradient, scratch);
        linear_backward(on, pool.c_fc, dhidden, dz);
        matrix_view<float const> const z{z_, t, c};
        norm_gradient(on, pool.ln, z, dz, gradient, scratch);
        norm_backward(on, pool.ln, z, dz, df, dz);
        linear_gradient(on, pool.out_proj, dz, {attended_, t, c}, 1.0F, gradient, scratch);
        linear_backward(on, pool.out_proj, dz, narrow);
        attention_backward(on.kernels, on.workers, attention_of_probe(), *map_, heads(qkv_, 0), heads(qkv_, 1), heads(qkv_, 2), {narrow_, c, c, on.rows.head_dim},
                           heads<float>(dqkv_, 0), heads<float>(dqkv_, 1), heads<float>(dqkv_, 2), scratch_);
        linear_gradient(on, pool.keys_values, columns(dqkv_, 1, 2), normed(), 1.0F, gradient, scratch);
        if (!pool.trains()) return;
        bias_gradient(on.workers, {dqkv_, t, c, n * 3 * c}, 1.0F, dquery_);
        linear_gradient(on, pool.query, matrix_view<float const>{dquery_, 1, c}, {pool.probe.values.data(), 1, c}, 1.0F, gradient, scratch);
        linear_backward(on, pool.query, matrix_view<float const>{dquery_, 1, c}, {gradient + pool.probe.first, 1, c});
    }

    template <class T = float const>
    [[nodiscard]] token_rows<T> heads(float* qkv, std::size_t which) const noexcept {
        std::size_t const stride = 3 * width();
        return {qkv + which * width(), model_->rows().tokens * stride, stride, model_->rows().head_dim};
    }

    training_model const* model_{};
    std::optional<frame_map<>> map_; ///< of the probe: every head reads its own frame
    float *x_{}, *features_{};       // (Q,C), (T,C)
    float* normed_{};                // (M,C) after ln_post, or (T,C) before it
    float *query_{}, *dquery_{};     // (C)
    float *qkv_{}, *dqkv_{};         // (M,3C); q in the rows of each frame's first token
    float *attended_{}, *z_{}, *dz_{}, *narrow_{};        // (T,C)
    float *hidden_{}, *activated_{}, *dhidden_{};         // (T,F)
    std::span<float> scratch_;
};

} // namespace zeroi2v::detail
