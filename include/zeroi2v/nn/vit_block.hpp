// vit_block: the weights of one transformer block, and of the adapters beside it.
#pragma once

#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace zeroi2v {

/// What a parameter is for; decides how it is drawn, whether it decays, and what may train.
enum class parameter_role {
    embedding,          ///< class, positional, temporal embeddings
    norm_weight, norm_bias,
    weight, bias,       ///< of frozen Linear layers and the patch embedding
    adapter_in_weight,  ///< D_fc1.weight (R,C)
    adapter_out_weight, ///< D_fc2.weight (C,R)
    adapter_in_bias, adapter_out_bias,
    head_weight, head_bias,
};

/// Weight and bias of a layer norm, both (C).
struct stored_layer_norm { stored_tensor weight, bias; };

/// The weights of one block of an image model, (out,in), in the dtype of their file.
///
///   x = x + out_proj(attention(in_proj(ln_1(x))))
///   x = x + c_proj(activation(c_fc(ln_2(x))))
///
/// Shapes    ln (C); in_proj (3C,C), rows q, k, v; out_proj (C,C); c_fc (F,C); c_proj (C,F).
/// Source    ZeroI2V, CLIP.
struct vit_block {
    stored_layer_norm ln_1;
    stored_linear in_proj;
    stored_linear out_proj;
    stored_layer_norm ln_2;
    stored_linear c_fc;
    stored_linear c_proj;
};

/// The adapters of one block, by site; each may be absent, as adapter_layout says.
///
///   S_Adapter, MLP_Adapter_out: adapter(linear(x))      the others: linear(adapter(x))
struct block_adapters {
    std::array<std::optional<stored_linear_adapter>, adapter_sites.size()> at;

    [[nodiscard]] std::optional<stored_linear_adapter>& operator[](adapter_site site) noexcept { return at[index_of(site)]; }
    [[nodiscard]] std::optional<stored_linear_adapter> const& operator[](adapter_site site) const noexcept { return at[index_of(site)]; }
};

/// A Linear of a block: its names in checkpoints and its place in vit_block.
struct block_linear_info {
    std::string_view name, weight, bias;
    stored_linear vit_block::*member;
};

[[nodiscard]] constexpr block_linear_info info_of(block_linear linear) noexcept {
    switch (linear) {
    case block_linear::in_proj: return {"attn.in_proj", "attn.in_proj_weight", "attn.in_proj_bias", &vit_block::in_proj};
    case block_linear::out_proj: return {"attn.out_proj", "attn.out_proj.weight", "attn.out_proj.bias", &vit_block::out_proj};
    case block_linear::c_fc: return {"mlp.c_fc", "mlp.c_fc.weight", "mlp.c_fc.bias", &vit_block::c_fc};
    case block_linear::c_proj: break;
    }
    return {"mlp.c_proj", "mlp.c_proj.weight", "mlp.c_proj.bias", &vit_block::c_proj};
}

/// The sizes of a block that shape its tensors.
struct block_sizes {
    std::size_t width{};     ///< C
    std::size_t mlp_width{}; ///< F
    std::size_t rank{};      ///< R of its adapters

    /// Of a Linear.
    [[nodiscard]] constexpr std::size_t inputs(block_linear linear) const noexcept { return linear == block_linear::c_proj ? mlp_width : width; }
    [[nodiscard]] constexpr std::size_t outputs(block_linear linear) const noexcept {
        return linear == block_linear::in_proj ? 3 * width : linear == block_linear::c_fc ? mlp_width : width;
    }
    /// What an adapter takes and gives.
    [[nodiscard]] constexpr std::size_t adapter_width(adapter_site_info const& site) const noexcept {
        return site.side == adapter_side::input ? inputs(site.linear) : outputs(site.linear);
    }
};

/// The one list of a block's tensors: visit(name, tensor..., expected shape, role) for each, names as in official files; with
/// several blocks it visits their tensors side by side.
template <class Visit, class... Block>
void for_each_tensor(std::string const& prefix, block_sizes const& sizes, Visit&& visit, Block&... block) {
    using role = parameter_role;
    auto const norm = [&](char const* name, auto&... layer) {
        visit(prefix + name + ".weight", layer.weight..., shape{sizes.width}, role::norm_weight);
        visit(prefix + name + ".bias", layer.bias..., shape{sizes.width}, role::norm_bias);
    };
    auto const dense = [&](block_linear which) {
        auto const info = info_of(which);
        visit(prefix + std::string{info.weight}, (block.*info.member).weight..., shape{sizes.outputs(which), sizes.inputs(which)}, role::weight);
        visit(prefix + std::string{info.bias}, (block.*info.member).bias..., shape{sizes.outputs(which)}, role::bias);
    };
    norm("ln_1", block.ln_1...);
    dense(block_linear::in_proj);
    dense(block_linear::out_proj);
    norm("ln_2", block.ln_2...);
    dense(block_linear::c_fc);
    dense(block_linear::c_proj);
}

/// The same of a block's adapters, in the order of the table. An adapter that the first of them lacks is not visited.
template <class Visit, class First, class... Adapters>
void for_each_adapter_tensor(std::string const& prefix, block_sizes const& sizes, Visit&& visit, First& first, Adapters&... others) {
    using role = parameter_role;
    for (adapter_site_info const& info : adapter_sites) {
        if (!first[info.site]) continue;
        std::string const at = prefix + std::string{info.name};
        auto const both = [&](auto&... adapter) {
            std::size_t const width = sizes.adapter_width(info), rank = sizes.rank;
            visit(at + ".D_fc1.weight", adapter.D_fc1.weight..., shape{rank, width}, role::adapter_in_weight);
            visit(at + ".D_fc1.bias", adapter.D_fc1.bias..., shape{rank}, role::adapter_in_bias);
            visit(at + ".D_fc2.weight", adapter.D_fc2.weight..., shape{width, rank}, role::adapter_out_weight);
            visit(at + ".D_fc2.bias", adapter.D_fc2.bias..., shape{width}, role::adapter_out_bias);
        };
        both(*first[info.site], others[info.site].value()...);
    }
}

} // namespace zeroi2v
