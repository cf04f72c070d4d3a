// vit_weights: all tensors of a video ViT, plain (out,in), and the ONE visitor that lists them.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The weights of a whole model, each tensor in the dtype of its file, names as in official checkpoints.
///
///   x      = ln_pre([class_embedding ; conv1(frame)] + positional_embedding + temporal_embedding[t])
///   x      = blocks(x)
///   logits = fc_cls(mean over T of ln_post(x[CLS]))
///
/// `adapted_vit` has adapters in its blocks; `merged_vit` is another type, which has none: what `merge` returns, what a
/// plain image model is, and what the engine calls without a branch.
/// Test  tests/unit/model/vit_weights.cpp
template <class Adapters>
struct vit_weights {
    using adapters_t = Adapters;

    vit_config config;
    adapter_layout layout;

    stored_tensor conv1;                // (C,3,p,p)
    stored_tensor class_embedding;      // (C)
    stored_tensor positional_embedding; // (N,C)
    stored_tensor temporal_embedding;   // (1,T,C)
    stored_layer_norm ln_pre;           // (C)
    std::vector<vit_block<Adapters>> blocks;
    stored_layer_norm ln_post;          // (C)
    stored_linear fc_cls;               // (K,C), (K)

    /// Weights without elements, adapters present as the layout says: to be filled by a visitor.
    vit_weights(vit_config model, adapter_layout adapters) : config{std::move(model)}, layout{adapters}, blocks(config.layers()) {
        if constexpr (Adapters::present) {
            using input = adapter_layout::input;
            for (auto& block : blocks) {
                if (layout.attention_input == input::shared) block.adapters.T_Adapter_in.emplace();
                if (layout.attention_input == input::separate) {
                    block.adapters.T_Adapter_in_q.emplace();
                    block.adapters.T_Adapter_in_k.emplace();
                    block.adapters.T_Adapter_in_v.emplace();
                }
                if (layout.attention_output) block.adapters.S_Adapter.emplace();
                if (layout.mlp_input) block.adapters.MLP_Adapter.emplace();
                if (layout.mlp_output) block.adapters.MLP_Adapter_out.emplace();
            }
        } else {
            layout = adapter_layout::none();
        }
    }
};

using adapted_vit = vit_weights<with_adapters>;
using merged_vit = vit_weights<no_adapters>;

namespace detail {
template <class T> inline constexpr bool is_vit_weights = false;
template <class Adapters> inline constexpr bool is_vit_weights<vit_weights<Adapters>> = true;
} // namespace detail

/// vit_weights of any kind, const or not.
template <class T>
concept vit_weights_type = detail::is_vit_weights<std::remove_cv_t<T>>;

/// The part of for_each_tensor's list that block i is.
template <vit_weights_type Weights, class Visit>
void for_each_tensor_of_block(Weights& weights, std::size_t i, Visit&& visit) {
    for_each_tensor(weights.blocks[i], "backbone.transformer.resblocks." + std::to_string(i) + ".", weights.config.width(),
                    weights.config.mlp_width(), weights.layout.rank, visit);
}

namespace detail {

/// The part of for_each_tensor's list that stands around the blocks.
template <vit_weights_type Weights, class Visit, class Between>
void for_each_tensor_around_blocks(Weights& weights, Visit&& visit, Between&& between) {
    using role = parameter_role;
    vit_config const& c = weights.config;
    std::string const backbone = "backbone.";
    visit(backbone + "class_embedding", weights.class_embedding, shape{c.width()}, role::embedding);
    visit(backbone + "positional_embedding", weights.positional_embedding, shape{c.tokens(), c.width()}, role::embedding);
    visit(backbone + "temporal_embedding", weights.temporal_embedding, shape{1, c.frames(), c.width()}, role::embedding);
    visit(backbone + "conv1.weight", weights.conv1, shape{c.width(), 3, c.patch_size(), c.patch_size()}, role::weight);
    visit(backbone + "ln_pre.weight", weights.ln_pre.weight, shape{c.width()}, role::norm_weight);
    visit(backbone + "ln_pre.bias", weights.ln_pre.bias, shape{c.width()}, role::norm_bias);
    between();
    visit(backbone + "ln_post.weight", weights.ln_post.weight, shape{c.width()}, role::norm_weight);
    visit(backbone + "ln_post.bias", weights.ln_post.bias, shape{c.width()}, role::norm_bias);
    visit(std::string{"cls_head.fc_cls.weight"}, weights.fc_cls.weight, shape{c.classes(), c.width()}, role::head_weight);
    visit(std::string{"cls_head.fc_cls.bias"}, weights.fc_cls.bias, shape{c.classes()}, role::head_bias);
}

} // namespace detail

/// Of for_each_tensor's list what block `part` is, or, with the number of blocks, what stands around them.
template <vit_weights_type Weights, class Visit>
void for_each_tensor_of_part(Weights& weights, std::size_t part, Visit&& visit) {
    if (part < weights.blocks.size()) for_each_tensor_of_block(weights, part, visit);
    else detail::for_each_tensor_around_blocks(weights, visit, [] {});
}

/// The one list of a model's tensors: visit(name, tensor, expected shape, role) for each, in a fixed order.
///
/// Loading, saving, counting, drawing, and choosing what trains all walk this list, so none of them can forget a tensor. What
/// computes takes tensors by name, since each has a place of its own: the merge, the engines' packing, the trainer's blocks.
template <vit_weights_type Weights, class Visit>
void for_each_tensor(Weights& weights, Visit&& visit) {
    detail::for_each_tensor_around_blocks(weights, visit, [&] {
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) for_each_tensor_of_block(weights, i, visit);
    });
}

/// The number of parameters, adapters included.
template <vit_weights_type Weights>
[[nodiscard]] std::size_t parameter_count(Weights const& weights) {
    std::size_t total = 0;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const&, shape const& expected, parameter_role) { total += expected.count(); });
    return total;
}

} // namespace zeroi2v
