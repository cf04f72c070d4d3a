// clip_pass: one clip through a whole model, forward to its logits and loss, and back to a flat gradient.
#pragma once

#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/patch_embed.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/function_ref.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>
#include <zeroi2v/train/activations.hpp>
#include <zeroi2v/train/block_backward.hpp>
#include <zeroi2v/train/block_forward.hpp>
#include <zeroi2v/train/dropout.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/loss.hpp>
#include <zeroi2v/train/pooling_pass.hpp>
#include <zeroi2v/train/training_model.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zeroi2v {

/// How a clip is taken in training.
struct clip_options {
    double adapter_dropout{}, head_dropout{}, label_smoothing{};
    std::span<std::size_t const> label_groups{};
    std::uint64_t seed{}, step{}, sample{}; ///< what the dropped values depend on
    double weight = 1;                      ///< of the loss in the gradient
};

/// The activations of one clip, and the passes that fill and read them. Used by one caller at a time.
///
/// Activations are kept for all blocks, or (`recompute`) only what enters each block, which is then run forward again
/// before it is run backward: the same bits, a third more work, a fraction of the memory.
/// Numerics  the same bits for every executor.
class clip_pass {
public:
    clip_pass(training_model const& model, executor& workers, bool recompute)
        : model_{&model}, workers_{&workers}, recompute_{recompute}, memory_{aligned_buffer::in_large_pages(bytes(model, workers.concurrency(), recompute))} {
        arena from{memory_.data()};
        carve(from, model, workers.concurrency(), recompute);
    }

    /// Bytes of activations that a clip takes.
    [[nodiscard]] static std::size_t bytes(training_model const& model, int concurrency, bool recompute) {
        clip_pass plan;
        arena from;
        plan.carve(from, model, concurrency, recompute);
        return from.used();
    }

    /// logits (K) of a clip (T,3,S,S), nothing dropped.
    void logits(view<float const, 4> clip, std::span<float> out) {
        forward(clip, {});
        std::copy_n(logits_, out.size(), out.data());
    }

    /// The clip's loss, and its gradient times options.weight: every element of `gradient` is written.
    /// `written(i)`: those of block i and all behind it are; i is the number of blocks first, for ln_post and head.
    [[nodiscard]] double loss_and_gradient(view<float const, 4> clip, std::span<std::int64_t const> labels, clip_options const& options, float* gradient,
                                           function_ref<void(std::size_t)> written = [](std::size_t) {}) {
        forward(clip, options);
        std::size_t const classes = model_->config().classes();
        double const loss = cross_entropy({logits_, classes}, labels, options.label_groups, options.label_smoothing, options.weight, {dlogits_, classes});
        backward(options, gradient, written);
        return loss;
    }

private:
    clip_pass() = default;

    void carve(arena& from, training_model const& model, int concurrency, bool recompute) {
        auto const rows = model.rows();
        auto const& config = model.config();
        std::size_t const m = rows.all(), width = config.width();
        patches_ = from.floats(m * config.patch_values());
        embedded_ = from.floats(config.form().pre_norm ? m * width : 0);
        kept_.assign(model.blocks.size(), {});
        std::size_t first = 0; // of those with a backward pass
        while (first < kept_.size() && !model.blocks[first].anything()) ++first;
        float* const spare[2]{first > 0 ? from.floats(m * width) : nullptr, first > 1 ? from.floats(m * width) : nullptr};
        for (std::size_t i = 0; i < kept_.size(); ++i) kept_[i].x = i < first ? spare[i % 2] : from.floats(m * width);
        // One set for all blocks that are not run backward, or run forward twice. The last block's is smaller.
        block_activations shared;
        if (recompute || first > 0) {
            std::size_t const largest = kept_.size() > 1 ? 0 : kept_.size() - 1;
            shared.carve(from, model.blocks[largest], rows);
        }
        for (std::size_t i = 0; i < kept_.size(); ++i) {
            float* const x = kept_[i].x;
            if (recompute || i < first) kept_[i] = shared;
            else kept_[i].carve(from, model.blocks[i], rows);
            kept_[i].x = x;
        }
        pooling_.carve(from, model, concurrency);
        dlast_ = from.floats(rows.frames * width);
        mean_ = from.floats(width);
        dmean_ = from.floats(width);
        logits_ = from.floats(config.classes());
        dlogits_ = from.floats(config.classes());
        dx_ = from.floats(model.passes_ln_post() ? m * width : 0);
        std::size_t others = weight_gradient_scratch(model.kernels(), 1, config.classes(), width, concurrency);
        if (model.patch.trains()) others = std::max(others, weight_gradient_scratch(model.kernels(), m, width, config.patch_values(), concurrency));
        others = std::max(others, detail::pooling_pass::weight_floats(model, concurrency));
        scratch_.carve(from, model.blocks, rows, model.kernels(), concurrency, others);
    }

    [[nodiscard]] pass_context context(clip_options const& options) const noexcept {
        return {model_->kernels(), *workers_, model_->config().map(), model_->rows(), options.adapter_dropout, options.seed, options.step, options.sample};
    }

    void forward(view<float const, 4> clip, clip_options const& options) {
        auto const on = context(options);
        auto const& config = model_->config();
        embed(clip);
        std::size_t const count = model_->blocks.size();
        for (std::size_t i = 0; i < count; ++i)
            block_forward(on, model_->blocks[i], kept_[i], scratch_, i + 1 < count ? kept_[i + 1].x : pooling_.input());
        std::size_t const frames = config.frames(), width = config.width();
        pooling_.forward(on);
        for (std::size_t c = 0; c < width; ++c) {
            double sum = 0;
            for (std::size_t t = 0; t < frames; ++t) sum += static_cast<double>(pooling_.features()[t * width + c]);
            mean_[c] = static_cast<float>(sum / static_cast<double>(frames));
        }
        head_dropout(options).apply(mean_, width, 0, 1);
        detail::linear_forward(on, model_->head, {mean_, 1, width}, {logits_, 1, config.classes()});
    }

    [[nodiscard]] static dropout head_dropout(clip_options const& options) noexcept {
        return {options.head_dropout, options.seed, options.step, dropout::head_place, options.sample, 1};
    }

    /// Patches with a row of zeros for each token before them; embedded = their product + position + time; x of the first block.
    void embed(view<float const, 4> clip) {
        auto const& config = model_->config();
        std::size_t const width = config.width(), tokens = config.tokens(), values = config.patch_values(), size = config.image_size();
        auto const& temporal = model_->temporal_embedding.values;
        std::size_t const prefix = config.form().prefix_tokens(), m = model_->rows().all();
        float* const embedded = config.form().pre_norm ? embedded_ : kept_.front().x;
        // Positions of the patches, which stand after the class token's.
        float const* const position = model_->positional_embedding ? model_->positional_embedding->values.data() + (config.form().class_token ? width : 0) : nullptr;
        detail::for_rows(*workers_, config.frames(), [&](std::size_t first, std::size_t last) {
            serial_executor here;
            for (std::size_t t = first; t < last; ++t) {
                float* const patches = patches_ + t * tokens * values;
                float* const out = embedded + t * tokens * width;
                std::fill_n(patches, prefix * values, 0.0F);
                gather_patches(here, view<float const, 4>{clip.data() + t * 3 * size * size, 1, 3, size, size}, config.patch_size(),
                               {patches + prefix * values, config.patches(), values});
                matmul(model_->kernels(), here, {patches + prefix * values, config.patches(), values}, model_->patch.forward,
                       {activation::none, {position, config.patches(), width}}, {out + prefix * width, config.patches(), width});
                if (config.form().class_token)
                    for (std::size_t c = 0; c < width; ++c)
                        out[c] = model_->class_embedding->values[c] + (position == nullptr ? 0.0F : model_->positional_embedding->values[c]);
                if (model_->register_tokens) std::copy(model_->register_tokens->values.begin(), model_->register_tokens->values.end(), out + (config.form().class_token ? width : 0));
                for (std::size_t n = 0; n < tokens; ++n)
                    for (std::size_t c = 0; c < width; ++c) out[n * width + c] += temporal[t * width + c];
            }
        });
        if (config.form().pre_norm) detail::norm_forward(context({}), model_->ln_pre, {embedded_, m, width}, {kept_.front().x, m, width});
    }

    void backward(clip_options const& options, float* gradient, function_ref<void(std::size_t)> written) {
        auto const on = context(options);
        auto const& config = model_->config();
        std::size_t const frames = config.frames(), width = config.width();
        matrix_view<float const> const dlogits{dlogits_, 1, config.classes()};
        detail::linear_gradient(on, model_->head, dlogits, {mean_, 1, width}, 1.0F, gradient, scratch_);
        if (!model_->head.passes_gradient()) return;
        detail::linear_backward(on, model_->head, dlogits, {dmean_, 1, width});
        head_dropout(options).apply(dmean_, width, 0, 1);
        for (std::size_t t = 0; t < frames; ++t)
            for (std::size_t c = 0; c < width; ++c) dlast_[t * width + c] = dmean_[c] / static_cast<float>(frames);
        bool const class_pooling = config.form().pooling == frame_pooling::class_token;
        pooling_.backward(on, dlast_, class_pooling ? dlast_ : dx_, gradient, scratch_);
        written(model_->blocks.size());
        if (!model_->passes_ln_post()) return;

        for (std::size_t i = model_->blocks.size(); i-- > 0;) {
            auto const& block = model_->blocks[i];
            if (!block.anything()) return;
            if (recompute_) block_forward(on, block, kept_[i], scratch_, scratch_.c);
            block_backward(on, block, kept_[i], scratch_, block.class_only ? dlast_ : dx_, dx_, gradient);
            written(i);
        }
        if (model_->embeds()) embedding_backward(on, gradient);
    }

    void embedding_backward(pass_context const& on, float* gradient) {
        auto const& config = model_->config();
        std::size_t const m = on.rows.all(), width = config.width(), tokens = config.tokens(), frames = config.frames();
        matrix_view<float const> const dx{dx_, m, width};
        vit_form const& form = config.form();
        if (form.pre_norm) {
            matrix_view<float const> const embedded{embedded_, m, width};
            detail::norm_gradient(on, model_->ln_pre, embedded, dx, gradient, scratch_);
            detail::norm_backward(on, model_->ln_pre, embedded, dx, {}, {dx_, m, width});
        }
        /// The sum over the frames of token n's gradient.
        auto const sum_of_token = [&](std::size_t n, float* to) { bias_gradient(on.workers, {dx_ + n * width, frames, width, tokens * width}, 1.0F, to); };
        std::size_t const class_tokens = form.class_token ? 1 : 0, prefix = form.prefix_tokens();
        if (auto const& temporal = model_->temporal_embedding; temporal.trains())
            for (std::size_t t = 0; t < frames; ++t)
                bias_gradient(on.workers, {dx_ + t * tokens * width, tokens, width}, 1.0F, gradient + temporal.first + t * width);
        if (auto const& position = model_->positional_embedding; position && position->trains())
            for (std::size_t n = 0; n < config.positions(); ++n) sum_of_token(n < class_tokens ? n : n - class_tokens + prefix, gradient + position->first + n * width);
        if (model_->class_embedding && model_->class_embedding->trains()) sum_of_token(0, gradient + model_->class_embedding->first);
        if (auto const& registers = model_->register_tokens; registers && registers->trains())
            for (std::size_t r = 0; r < form.registers; ++r) sum_of_token(class_tokens + r, gradient + registers->first + r * width);
        if (!model_->patch.trains()) return;
        weight_gradient(on.kernels, on.workers, dx, {patches_, m, config.patch_values()}, 1.0F, gradient + model_->patch.weight_first, nullptr, scratch_.weights.data());
        if (model_->patch.bias_first == trained_tensors::none) return;
        for (std::size_t c = 0; c < width; ++c) {
            double sum = 0;
            for (std::size_t row = 0; row < m; ++row) sum += row % tokens < prefix ? 0.0 : static_cast<double>(dx.row(row)[c]);
            gradient[model_->patch.bias_first + c] = static_cast<float>(sum);
        }
    }

    training_model const* model_{};
    executor* workers_{};
    bool recompute_{};
    aligned_buffer memory_;
    float *patches_{}, *embedded_{};   // (M,3pp), (M,C)
    std::vector<block_activations> kept_;
    detail::pooling_pass pooling_;
    float *dlast_{}, *dx_{};           // (T,C) of the features, and of class pooling of what the last block gives; (M,C)
    float *mean_{}, *dmean_{};         // (C)
    float *logits_{}, *dlogits_{};     // (K)
    block_scratchpad scratch_;
};

} // namespace zeroi2v
