// vit_weights: all tensors of a video ViT, plain (out,in), and the ONE visitor that lists them.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace zeroi2v {

/// An attention-pooling head: one learned query, the probe, over all tokens of a frame, then an MLP.
///
///   z = out_proj(softmax(q k^T / sqrt(D)) v), q of the probe, k and v of the tokens;   feature = z + c_proj(act(c_fc(ln(z))))
/// Source  SigLIP.
struct stored_attention_pool {
    stored_tensor probe;   // (C)
    stored_linear in_proj; // (3C,C), rows q, k, v
    stored_linear out_proj; // (C,C)
    stored_layer_norm ln;  // (C)
    stored_linear c_fc;    // (F,C)
    stored_linear c_proj;  // (C,F)
};

/// The weights that merged and adapted models have alike, each tensor in the dtype of its file, names as in official
/// checkpoints.
///
///   x      = ln_pre([class_embedding ; register_tokens ; conv1(frame)] + positional_embedding + temporal_embedding[t])
///   x      = blocks(x)
///   logits = fc_cls(mean over T of the frames' features)      feature: vit_form::pooling
///
/// What a form does not have is empty.
struct vit_backbone {
    stored_linear conv1;                // (C,3,p,p); bias (C) of some
    stored_tensor class_embedding;      // (C)
    stored_tensor register_tokens;      // (registers,C)
    stored_tensor positional_embedding; // (N,C): class token and patches
    stored_tensor temporal_embedding;   // (1,T,C)
    stored_layer_norm ln_pre;           // (C)
    std::vector<vit_block> blocks;
    stored_layer_norm ln_post;          // (C)
    stored_attention_pool attnpool;
    stored_linear fc_cls;               // (K,C), (K)
};

/// The adapters of a model that has been merged, or never had any: nothing, not even a byte.
struct no_adapters {
    static constexpr bool present = false;
};

/// The adapters of a model, by block.
struct with_adapters {
    static constexpr bool present = true;
    std::vector<block_adapters> blocks;
};

/// The weights of a whole model: a backbone, and adapters beside it or, as another type, none.
///
/// `merged_vit` is what `merge` returns, what a plain image model is, and what the engine calls without a branch.
/// Test  tests/unit/model/vit_weights.cpp
template <class Adapters>
struct vit_weights : vit_backbone {
    using adapters_t = Adapters;

    vit_config config;
    adapter_layout layout;
    ZEROI2V_NO_UNIQUE_ADDRESS Adapters adapters;

    /// Weights without elements, adapters present as the layout says: to be filled by a visitor.
    vit_weights(vit_config model, adapter_layout const& wanted) : config{std::move(model)}, layout{wanted} {
        blocks.resize(config.layers());
        if constexpr (Adapters::present) {
            adapters.blocks.resize(config.layers());
            for (auto& block : adapters.blocks)
                for (adapter_site_info const& info : adapter_sites)
                    if (layout.has(info.site)) block[info.site].emplace();
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

namespace detail {

/// The list's part that block i is, of one model or of several side by side; adapters where all have them.
template <class Visit, class First, class... Others>
void visit_block(std::size_t i, Visit&& visit, First& first, Others&... others) {
    std::string const prefix = "backbone.transformer.resblocks." + std::to_string(i) + ".";
    block_sizes const sizes{first.config.width(), first.config.mlp_width(), first.layout.rank};
    for_each_tensor(prefix, sizes, visit, first.blocks[i], others.blocks[i]...);
    if constexpr ((First::adapters_t::present && ... && Others::adapters_t::present))
        for_each_adapter_tensor(prefix, sizes, visit, first.adapters.blocks[i], others.adapters.blocks[i]...);
}

/// The list's part that stands around the blocks.
template <class Visit, class Between, class First, class... Others>
void visit_around_blocks(Visit&& visit, Between&& between, First& first, Others&... others) {
    using role = parameter_role;
    vit_config const& c = first.config;
    std::string const backbone = "backbone.";
    vit_form const& form = c.form();
    std::size_t const width = c.width();
    auto const norm = [&](std::string const& name, auto&... layer) {
        visit(backbone + name + ".weight", layer.weight..., shape{width}, role::norm_weight);
        visit(backbone + name + ".bias", layer.bias..., shape{width}, role::norm_bias);
    };
    auto const dense = [&](std::string const& weight, std::string const& bias, std::size_t out, std::size_t in, auto&... layer) {
        visit(backbone + weight, layer.weight..., shape{out, in}, role::weight);
        visit(backbone + bias, layer.bias..., shape{out}, role::bias);
    };
    if (form.class_token) visit(backbone + "class_embedding", first.class_embedding, others.class_embedding..., shape{width}, role::embedding);
    if (form.registers > 0) visit(backbone + "register_tokens", first.register_tokens, others.register_tokens..., shape{form.registers, width}, role::embedding);
    if (form.positions()) visit(backbone + "positional_embedding", first.positional_embedding, others.positional_embedding..., shape{c.positions(), width}, role::embedding);
    visit(backbone + "temporal_embedding", first.temporal_embedding, others.temporal_embedding..., shape{1, c.frames(), width}, role::embedding);
    visit(backbone + "conv1.weight", first.conv1.weight, others.conv1.weight..., shape{width, 3, c.patch_size(), c.patch_size()}, role::weight);
    if (form.patch_bias) visit(backbone + "conv1.bias", first.conv1.bias, others.conv1.bias..., shape{width}, role::bias);
    if (form.pre_norm) norm("ln_pre", first.ln_pre, others.ln_pre...);
    between();
    norm("ln_post", first.ln_post, others.ln_post...);
    if (form.pooling == frame_pooling::attention) {
        visit(backbone + "attnpool.probe", first.attnpool.probe, others.attnpool.probe..., shape{width}, role::embedding);
        dense("attnpool.in_proj_weight", "attnpool.in_proj_bias", 3 * width, width, first.attnpool.in_proj, others.attnpool.in_proj...);
        dense("attnpool.out_proj.weight", "attnpool.out_proj.bias", width, width, first.attnpool.out_proj, others.attnpool.out_proj...);
        norm("attnpool.ln", first.attnpool.ln, others.attnpool.ln...);
        dense("attnpool.mlp.c_fc.weight", "attnpool.mlp.c_fc.bias", c.mlp_width(), width, first.attnpool.c_fc, others.attnpool.c_fc...);
        dense("attnpool.mlp.c_proj.weight", "attnpool.mlp.c_proj.bias", width, c.mlp_width(), first.attnpool.c_proj, others.attnpool.c_proj...);
    }
    visit(std::string{"cls_head.fc_cls.weight"}, first.fc_cls.weight, others.fc_cls.weight..., shape{c.classes(), c.width()}, role::head_weight);
    visit(std::string{"cls_head.fc_cls.bias"}, first.fc_cls.bias, others.fc_cls.bias..., shape{c.classes()}, role::head_bias);
}

} // namespace detail

/// The part of for_each_tensor's list that block i is.
template <vit_weights_type Weights, class Visit>
void for_each_tensor_of_block(Weights& weights, std::size_t i, Visit&& visit) {
    detail::visit_block(i, visit, weights);
}

/// Of for_each_tensor's list what block `part` is, or, with the number of blocks, what stands around them.
template <vit_weights_type Weights, class Visit>
void for_each_tensor_of_part(Weights& weights, std::size_t part, Visit&& visit) {
    if (part < weights.blocks.size()) detail::visit_block(part, visit, weights);
    else detail::visit_around_blocks(visit, [] {}, weights);
}

/// The one list of a model's tensors: visit(name, tensor, expected shape, role) for each, in a fixed order.
///
/// Loading, saving, counting, copying, drawing, and choosing what trains all walk this list, so none of them can forget a
/// tensor. What computes takes tensors by name, since each has a place of its own: the engines' packing, the trainer's blocks.
template <vit_weights_type Weights, class Visit>
void for_each_tensor(Weights& weights, Visit&& visit) {
    detail::visit_around_blocks(visit, [&] {
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) detail::visit_block(i, visit, weights);
    }, weights);
}

/// The tensors that two models have both: visit(name, tensor of a, tensor of b, expected shape, role). Adapters are among them
/// where both types have them; both models have the same configuration and layout then.
template <vit_weights_type A, vit_weights_type B, class Visit>
void for_each_tensor(A& a, B& b, Visit&& visit) {
    detail::visit_around_blocks(visit, [&] {
        for (std::size_t i = 0; i < a.blocks.size(); ++i) detail::visit_block(i, visit, a, b);
    }, a, b);
}

/// The number of parameters, adapters included.
template <vit_weights_type Weights>
[[nodiscard]] std::size_t parameter_count(Weights const& weights) {
    std::size_t total = 0;
    for_each_tensor(weights, [&](std::string const&, stored_tensor const&, shape const& expected, parameter_role) { total += expected.count(); });
    return total;
}

/// An image model, or a merged one, as a model with adapters that has none: what `trainer` takes for full fine-tuning.
[[nodiscard]] inline adapted_vit without_adapters(merged_vit weights) {
    adapted_vit result{std::move(weights.config), adapter_layout::none()};
    static_cast<vit_backbone&>(result) = std::move(static_cast<vit_backbone&>(weights));
    return result;
}

} // namespace zeroi2v
