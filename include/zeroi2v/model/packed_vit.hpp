// packed_vit: the weights of a whole model made ready to compute.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/packed_layer_norm.hpp>
#include <zeroi2v/nn/packed_linear.hpp>
#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/stdha/row_bases.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace zeroi2v::detail {

/// Patch embedding, head, norms and embeddings in float; the blocks' Linears in the type that was asked for.
template <class Adapters>
struct packed_vit {
    vit_config config;
    kernel_table const* kernels;
    dtype type;
    packed_matrix patch; // (C,3pp)
    packed_matrix head;  // (K,C)
    std::vector<float> class_embedding, positional, temporal; // (C), (N,C), (T,C)
    packed_layer_norm ln_pre, ln_post;
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
        patch = packed_matrix{table, dtype::f32, weights.conv1};
        head = packed_matrix{table, dtype::f32, weights.fc_cls.weight, &weights.fc_cls.bias};
        class_embedding = widened(weights.class_embedding);
        positional = widened(weights.positional_embedding);
        temporal = widened(weights.temporal_embedding);
        ln_pre = packed_layer_norm{weights.ln_pre};
        ln_post = packed_layer_norm{weights.ln_post};
        packing_options const packing{&table, type, config.adapter_scale()};
        blocks.reserve(weights.blocks.size());
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
            fill(i);
            bool const last = i + 1 == weights.blocks.size();
            if constexpr (Adapters::present) blocks.emplace_back(weights.blocks[i], weights.adapters.blocks[i], last, packing, release);
            else blocks.emplace_back(weights.blocks[i], weights.adapters, last, packing, release);
        }
        sources = row_bases(config.map(), config.frames());
    }

    /// Bytes of packed weights.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = patch.byte_size() + head.byte_size();
        for (auto const& block : blocks) total += block.bytes();
        return total;
    }

private:
    [[nodiscard]] static std::vector<float> widened(stored_tensor const& tensor) {
        std::vector<float> values(tensor.count());
        tensor.widen(0, values);
        return values;
    }
};

} // namespace zeroi2v::detail
