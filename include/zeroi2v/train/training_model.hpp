// training_model: a whole video ViT made ready for both directions.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/rotary.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/train/activations.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/train/training_block.hpp>
#include <zeroi2v/train/training_linear.hpp>
#include <zeroi2v/train/training_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zeroi2v {

/// The weights of a model for both directions; nothing before what trains first has a backward form.
///
/// The weights must outlive it and stay where they are. The constructor plans, `pack` packs.
/// Errors  adapters without a scale -> model_error bad_config.     Test  tests/unit/train/training_model.cpp
class training_model {
public:
    std::optional<training_embedding> class_embedding, register_tokens, positional_embedding; ///< where the form has them
    training_embedding temporal_embedding;
    training_linear patch;        // (C,3pp)
    training_norm ln_pre, ln_post;
    std::vector<training_block> blocks;
    std::optional<training_pool> pool;
    training_linear head;         // (K,C)

    training_model(adapted_vit const& weights, trained_tensors const& trained, kernel_table const& kernels)
        : temporal_embedding{weights.temporal_embedding, trained},
          patch{kernels, weights.conv1.weight, weights.config.form().patch_bias ? &weights.conv1.bias : nullptr, trained, false},
          ln_post{weights.ln_post, trained, weights.config.norm_epsilon()}, config_{weights.config}, kernels_{&kernels} {
        if (weights.layout.any() && !config_.adapter_scale())
            throw model_error{error_code::bad_config, "adapter_scale: not stated, needed while adapters are present"};
        vit_form const& form = config_.form();
        if (form.class_token) class_embedding.emplace(weights.class_embedding, trained);
        if (form.registers > 0) register_tokens.emplace(weights.register_tokens, trained);
        if (form.positions()) positional_embedding.emplace(weights.positional_embedding, trained);
        if (form.pre_norm) ln_pre = training_norm{weights.ln_pre, trained, config_.norm_epsilon()};
        if (form.rope_theta) rotary_.emplace(config_.grid(), config_.head_dim(), *form.rope_theta);
        bool passes = embeds();
        blocks.reserve(weights.blocks.size());
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
            bool const class_only = form.pooling == frame_pooling::class_token && i + 1 == weights.blocks.size();
            blocks.emplace_back(weights.blocks[i], weights.adapters.blocks[i], trained,
                                training_block_options{.kernels = &kernels, .adapter_scale = config_.adapter_scale().value_or(0), .number = i, .class_only = class_only,
                                                       .passes_gradient = passes, .act = form.act, .norm_epsilon = config_.norm_epsilon()});
            passes = passes || blocks.back().anything();
        }
        if (form.pooling == frame_pooling::attention) pool.emplace(weights.attnpool, trained, kernels, config_.norm_epsilon());
        head = training_linear{kernels, weights.fc_cls.weight, &weights.fc_cls.bias, trained, passes || ln_post.trains() || (pool && pool->trains())};
        passes_ln_post_ = passes;

        std::size_t const count = blocks.size();
        first_floats_.assign(count + 1, trained.floats());
        bool after_blocks = false;
        auto const see = [&](std::string const&, stored_tensor const& tensor, shape const&, parameter_role) {
            if (after_blocks) first_floats_[count] = std::min(first_floats_[count], trained.first_of(tensor)); // `none` is the largest number
        };
        detail::visit_around_blocks(see, [&] { after_blocks = true; }, weights);
        for (std::size_t i = count; i-- > 0;) {
            first_floats_[i] = first_floats_[i + 1];
            for_each_tensor_of_block(weights, i, [&](std::string const&, stored_tensor const& tensor, shape const&, parameter_role) {
                first_floats_[i] = std::min(first_floats_[i], trained.first_of(tensor));
            });
        }
    }

    [[nodiscard]] vit_config const& config() const noexcept { return config_; }
    [[nodiscard]] kernel_table const& kernels() const noexcept { return *kernels_; }
    [[nodiscard]] clip_rows rows() const noexcept { 
        return {config_.frames(), config_.tokens(), config_.heads(), config_.head_dim(), config_.form().prefix_tokens(), rotary_ ? &*rotary_ : nullptr};
    }
    /// Whether something before the first block trains.
    [[nodiscard]] bool embeds() const noexcept {
        auto const trains = [](std::optional<training_embedding> const& each) { return each && each->trains(); };
        return trains(class_embedding) || trains(register_tokens) || trains(positional_embedding) || temporal_embedding.trains() || patch.trains() || ln_pre.trains();
    }
    /// Whether the gradient goes from ln_post into the blocks.
    [[nodiscard]] bool passes_ln_post() const noexcept { return passes_ln_post_; }

    /// By block, and at last for ln_post and head: the first float in a flat gradient of it and all behind it.
    [[nodiscard]] std::span<std::size_t const> first_floats() const noexcept { return first_floats_; }

    /// Bytes of what `pack` makes.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = patch.bytes() + head.bytes() + (pool ? pool->bytes() : 0);
        for (auto const& block : blocks) total += block.bytes();
        return total;
    }

    void pack() {
        patch.pack();
        head.pack();
        if (pool) pool->pack();
        for (auto& block : blocks) block.pack();
    }
    /// Packs again what trains, after each step.
    void refresh(executor& workers) {
        for (auto* embedding : {&class_embedding, &register_tokens, &positional_embedding})
            if (*embedding) (*embedding)->refresh();
        temporal_embedding.refresh();
        if (pool) pool->refresh();
        ln_pre.refresh();
        ln_post.refresh();
        patch.refresh();
        head.refresh();
        auto const parts = static_cast<std::size_t>(workers.concurrency());
        workers.run(static_cast<int>(parts), [&](int part) {
            index_range const mine = partition(blocks.size(), parts, static_cast<std::size_t>(part));
            for (std::size_t i = mine.begin; i < mine.end; ++i) blocks[i].refresh();
        });
    }

private:
    vit_config config_;
    kernel_table const* kernels_;
    std::optional<rotary_angles> rotary_;
    bool passes_ln_post_{};
    std::vector<std::size_t> first_floats_;
};

} // namespace zeroi2v
