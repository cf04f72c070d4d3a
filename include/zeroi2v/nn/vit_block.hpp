// vit_block: the weights of one transformer block, with linear adapters or, as another type, without.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>

namespace zeroi2v {

/// Epsilon of every layer norm of CLIP and ZeroI2V.
inline constexpr float layer_norm_epsilon = 1e-5F;

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

/// Which adapters a model has; the same in every block.
struct adapter_layout {
    /// Before in_proj: none, one for q, k and v together (`T_Adapter_in`), or one each (`T_Adapter_in_q`, `_k`, `_v`).
    enum class input { none, shared, separate };

    input attention_input = input::shared;
    bool attention_output = true; ///< S_Adapter, after out_proj
    bool mlp_input = true;        ///< MLP_Adapter, before c_fc
    bool mlp_output = true;       ///< MLP_Adapter_out, after c_proj
    std::size_t rank = 0;         ///< R

    [[nodiscard]] constexpr bool any() const noexcept {
        return attention_input != input::none || attention_output || mlp_input || mlp_output;
    }
    /// A model without adapters.
    [[nodiscard]] static constexpr adapter_layout none() noexcept { return {input::none, false, false, false, 0}; }
    friend constexpr bool operator==(adapter_layout const&, adapter_layout const&) = default;
};

/// Weight and bias of a layer norm, both (C).
struct stored_layer_norm { stored_tensor weight, bias; };

/// The adapters of a block that has been merged, or never had any: nothing, not even a byte.
struct no_adapters {
    static constexpr bool present = false;
};

/// The adapters of a block. Each may be absent, as adapter_layout says.
struct with_adapters {
    static constexpr bool present = true;
    std::optional<stored_linear_adapter> T_Adapter_in, T_Adapter_in_q, T_Adapter_in_k, T_Adapter_in_v;
    std::optional<stored_linear_adapter> S_Adapter, MLP_Adapter, MLP_Adapter_out;
};

/// The weights of one block, (out,in), in the dtype of their file.
///
///   x = x + S_Adapter(out_proj(attention(in_proj(T_Adapter_in(ln_1(x))))))
///   x = x + MLP_Adapter_out(c_proj(act(c_fc(MLP_Adapter(ln_2(x))))))
///
/// Adapters = no_adapters: the same without adapters, and a type that has none to call.
/// Shapes    ln (C); in_proj (3C,C), rows q, k, v; out_proj (C,C); c_fc (F,C); c_proj (C,F); adapters (R,C), (C,R).
/// Source    ZeroI2V, CLIP.
template <class Adapters>
struct vit_block {
    stored_layer_norm ln_1;
    stored_linear in_proj;
    stored_linear out_proj;
    stored_layer_norm ln_2;
    stored_linear c_fc;
    stored_linear c_proj;
    ZEROI2V_NO_UNIQUE_ADDRESS Adapters adapters;
};

namespace detail {

/// visit(name suffix, adapter) for each adapter that a block may have, in the order of the forward pass.
template <class Adapters, class Visit>
void for_each_adapter(Adapters& adapters, Visit&& visit) {
    visit("T_Adapter_in", adapters.T_Adapter_in);
    visit("T_Adapter_in_q", adapters.T_Adapter_in_q);
    visit("T_Adapter_in_k", adapters.T_Adapter_in_k);
    visit("T_Adapter_in_v", adapters.T_Adapter_in_v);
    visit("S_Adapter", adapters.S_Adapter);
    visit("MLP_Adapter", adapters.MLP_Adapter);
    visit("MLP_Adapter_out", adapters.MLP_Adapter_out);
}

} // namespace detail

/// The one list of a block's tensors: visit(name, tensor, expected shape, role) for each, names as in official files.
///
/// Block is vit_block<Adapters>, const or not. An adapter that is absent is not visited.
template <class Block, class Visit>
    requires requires(Block& block) { block.in_proj.weight; block.adapters; }
void for_each_tensor(Block& block, std::string const& prefix, std::size_t width, std::size_t mlp_width, std::size_t rank, Visit&& visit) {
    using role = parameter_role;
    auto const norm = [&](auto& layer, char const* name) {
        visit(prefix + name + ".weight", layer.weight, shape{width}, role::norm_weight);
        visit(prefix + name + ".bias", layer.bias, shape{width}, role::norm_bias);
    };
    auto const dense = [&](auto& layer, std::string const& weight, std::string const& bias, std::size_t out, std::size_t in) {
        visit(prefix + weight, layer.weight, shape{out, in}, role::weight);
        visit(prefix + bias, layer.bias, shape{out}, role::bias);
    };
    norm(block.ln_1, "ln_1");
    dense(block.in_proj, "attn.in_proj_weight", "attn.in_proj_bias", 3 * width, width);
    dense(block.out_proj, "attn.out_proj.weight", "attn.out_proj.bias", width, width);
    norm(block.ln_2, "ln_2");
    dense(block.c_fc, "mlp.c_fc.weight", "mlp.c_fc.bias", mlp_width, width);
    dense(block.c_proj, "mlp.c_proj.weight", "mlp.c_proj.bias", width, mlp_width);
    if constexpr (std::remove_cvref_t<decltype(block.adapters)>::present) {
        detail::for_each_adapter(block.adapters, [&](char const* name, auto& adapter) {
            if (!adapter) return;
            std::string const at = prefix + name;
            visit(at + ".D_fc1.weight", adapter->D_fc1.weight, shape{rank, width}, role::adapter_in_weight);
            visit(at + ".D_fc1.bias", adapter->D_fc1.bias, shape{rank}, role::adapter_in_bias);
            visit(at + ".D_fc2.weight", adapter->D_fc2.weight, shape{width, rank}, role::adapter_out_weight);
            visit(at + ".D_fc2.bias", adapter->D_fc2.bias, shape{width}, role::adapter_out_bias);
        });
    }
}

} // namespace zeroi2v
