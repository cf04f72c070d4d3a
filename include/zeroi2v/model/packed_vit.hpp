// packed_vit: the weights of a whole model made ready to compute.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/packed_layer_norm.hpp>
#include <zeroi2v/nn/packed_linear.hpp>
#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/ops/rotary.hpp>
#include <zeroi2v/stdha/row_bases.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace zeroi2v::detail {

[[nodiscard]] inline std::vector<float> widened(stored_tensor const& tensor) {
    std::vector<float> values(tensor.count());
    tensor.widen(0, values);
    return values;
}

/// An attention-pooling head, in float; the probe's query is computed when it is packed.
struct packed_attention_pool {
    kernel_table const* kernels;
    activation act;
    std::vector<float> query; // (C)
    packed_matrix keys_values, out_proj, c_fc, c_proj; // (2C,C), (C,C), (F,C), (C,F)
    packed_layer_norm ln;

    packed_attention_pool(stored_attention_pool const& weights, kernel_table const& table, activation activation_function, float epsilon)
        : kernels{&table}, act{activation_function}, query(weights.probe.count()), ln{weights.ln, epsilon} {
        std::size_t const width = query.size();
        for (std::size_t o = 0; o < width; ++o) {
            double sum = weights.in_proj.bias.value(o);
            for (std::size_t i = 0; i < width; ++i) sum += weights.in_proj.weight.value(o * width + i) * weights.probe.value(i);
            query[o] = static_cast<float>(sum);
        }
        auto const pack = [&](stored_linear const& layer, packing const& part = {}) { return packed_matrix{table, dtype::f32, layer.weight, &layer.bias, part}; };
        keys_values = pack(weights.in_proj, {.first_row = width, .rows = 2 * width});
        out_proj = pack(weights.out_proj);
        c_fc = pack(weights.c_fc);
        c_proj = pack(weights.c_proj);
    }

    [[nodiscard]] std::size_t bytes() const noexcept { return keys_values.byte_size() + out_proj.byte_size() + c_fc.byte_size() + c_proj.byte_size(); }
};

/// Patch embedding, head, norms and embeddings in float; the blocks' Linears in the type that was asked for.
template <class Adapters>
struct packed_vit {
    vit_config config;
    kernel_table const* kernels;
    dtype type;
    packed_matrix patch; // (C,3pp)
    packed_matrix head;  // (K,C)
    std::vector<float> prefix;               // class token and registers as they enter, positions added: (prefix_tokens,C)
    std::vector<float> positional, temporal; // (P,C) of the patches, or none; (T,C)
    std::optional<packed_layer_norm> ln_pre;
    packed_layer_norm ln_post;
    std::optional<rotary_angles> rotary;
    std::optional<packed_attention_pool> pool;
    std::vector<packed_vit_block<Adapters>> blocks;
    std::vector<std::size_t> sources; // (T,H)

    /// fill(part) is called before block `part` is read, fill(number of blocks) before all that stands around them; release(weight)
    /// once a block's weight is packed.
    /// Errors  as vit_engine.
    template <vit_weights_type Weights, class Release, class Fill>
    packed_vit(Weights& weights, dtype linears, kernel_table const& table, Release&& release, Fill&& fill) : config{weights.config}, kernels{&table}, type{linears} {
        if (table.matmul(type) == nullptr)
            throw device_error{error_code::unsupported_dtype, "dtype: " + std::string{dtype_name(type)} + " found; the processor's kernels have F32, BF16 and I8"};
        if constexpr (Adapters::present)
            if (!config.adapter_scale())
                throw model_error{error_code::bad_config, "adapter_scale: not stated, needed while adapters are present"};
        fill(weights.blocks.size());
        vit_form const& form = config.form();
        float const epsilon = config.norm_epsilon();
        patch = packed_matrix{table, dtype::f32, weights.conv1.weight, form.patch_bias ? &weights.conv1.bias : nullptr};
        head = packed_matrix{table, dtype::f32, weights.fc_cls.weight, &weights.fc_cls.bias};
        if (form.positions()) positional = widened(weights.positional_embedding);
        if (form.class_token) {
            prefix = widened(weights.class_embedding);
            if (form.positions()) { // its position stands first
                for (std::size_t c = 0; c < config.width(); ++c) prefix[c] += positional[c];
                positional.erase(positional.begin(), positional.begin() + static_cast<std::ptrdiff_t>(config.width()));
            }
        }
        if (form.registers > 0) {
            auto const tokens = widened(weights.register_tokens);
            prefix.insert(prefix.end(), tokens.begin(), tokens.end());
        }
        temporal = widened(weights.temporal_embedding);
        if (form.pre_norm) ln_pre.emplace(weights.ln_pre, epsilon);
        ln_post = packed_layer_norm{weights.ln_post, epsilon};
        if (form.rope_theta) rotary.emplace(config.grid(), config.head_dim(), *form.rope_theta);
        if (form.pooling == frame_pooling::attention) pool.emplace(weights.attnpool, table, form.act, epsilon);
        packing_options const packing{&table, type, config.adapter_scale(), form.act, epsilon};
        bool const class_only = form.pooling == frame_pooling::class_token;
        blocks.reserve(weights.blocks.size());
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
            fill(i);
            bool const q_apart = class_only && i + 1 == weights.blocks.size();
            if constexpr (Adapters::present) blocks.emplace_back(weights.blocks[i], weights.adapters.blocks[i], q_apart, packing, release);
            else blocks.emplace_back(weights.blocks[i], weights.adapters, q_apart, packing, release);
        }
        sources = row_bases(config.map(), config.frames());
    }

    /// Bytes of packed weights.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = patch.byte_size() + head.byte_size();
        for (auto const& block : blocks) total += block.bytes();
        return pool ? total + pool->bytes() : total;
    }

};

} // namespace zeroi2v::detail
