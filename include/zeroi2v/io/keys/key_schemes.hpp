// key_schemes: by which names the tensors of a ViT go in the files of different projects, and which tensor that makes.
#pragma once

#include <zeroi2v/nn/adapter_sites.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Who chose the names.
enum class key_scheme : std::uint8_t { zeroi2v, openai_clip, hf_clip, timm };

[[nodiscard]] constexpr std::string_view to_string(key_scheme scheme) noexcept {
    switch (scheme) {
    case key_scheme::zeroi2v: return "ZeroI2V";
    case key_scheme::openai_clip: return "OpenAI CLIP";
    case key_scheme::hf_clip: return "HF CLIP";
    case key_scheme::timm: return "timm";
    }
    return "unknown";
}

/// Which part of the canonical tensor a tensor of the file is.
enum class key_part : std::uint8_t { whole, query, key, value };

/// What a name means: the canonical name (`backbone....`, `cls_head....`), and the part it is of that tensor.
struct key_match {
    std::string canonical;
    key_scheme scheme{};
    key_part part{key_part::whole};
    bool drop_leading_ones{}; ///< (1,1,C) is (C), (1,N,C) is (N,C)
    bool only_vision{};       ///< no text tower has a tensor of this name
};

namespace detail {

struct key_rule {
    std::string_view from;
    std::string_view to;
    key_part part = key_part::whole;
    bool drop_leading_ones = false;
    bool only_vision = false;
};

/// One project's names: those outside the blocks, what begins a block's, and those inside.
struct key_table {
    key_scheme scheme;
    std::span<key_rule const> outside;
    std::string_view block_prefix;
    std::span<key_rule const> inside;
};

/// The names of each project; a struct, so that the short words of key_part stay in here.
struct key_names {
    using enum key_part;

    static constexpr std::array openai_outside{
        key_rule{"conv1.weight", "conv1.weight", whole, false, true},
        key_rule{"conv1.bias", "conv1.bias", whole, false, true},
        key_rule{"register_tokens", "register_tokens", whole, false, true},
        key_rule{"class_embedding", "class_embedding", whole, false, true},
        key_rule{"positional_embedding", "positional_embedding"},
        key_rule{"temporal_embedding", "temporal_embedding", whole, false, true},
        key_rule{"ln_pre.weight", "ln_pre.weight", whole, false, true},
        key_rule{"ln_pre.bias", "ln_pre.bias", whole, false, true},
        key_rule{"ln_post.weight", "ln_post.weight", whole, false, true},
        key_rule{"ln_post.bias", "ln_post.bias", whole, false, true},
        key_rule{"attnpool.probe", "attnpool.probe", whole, false, true},
        key_rule{"attnpool.in_proj_weight", "attnpool.in_proj_weight", whole, false, true},
        key_rule{"attnpool.in_proj_bias", "attnpool.in_proj_bias", whole, false, true},
        key_rule{"attnpool.out_proj.weight", "attnpool.out_proj.weight", whole, false, true},
        key_rule{"attnpool.out_proj.bias", "attnpool.out_proj.bias", whole, false, true},
        key_rule{"attnpool.ln.weight", "attnpool.ln.weight", whole, false, true},
        key_rule{"attnpool.ln.bias", "attnpool.ln.bias", whole, false, true},
        key_rule{"attnpool.mlp.c_fc.weight", "attnpool.mlp.c_fc.weight", whole, false, true},
        key_rule{"attnpool.mlp.c_fc.bias", "attnpool.mlp.c_fc.bias", whole, false, true},
        key_rule{"attnpool.mlp.c_proj.weight", "attnpool.mlp.c_proj.weight", whole, false, true},
        key_rule{"attnpool.mlp.c_proj.bias", "attnpool.mlp.c_proj.bias", whole, false, true},
    };
    static constexpr std::array openai_inside{
        key_rule{"ln_1.weight", "ln_1.weight"},
        key_rule{"ln_1.bias", "ln_1.bias"},
        key_rule{"attn.in_proj_weight", "attn.in_proj_weight"},
        key_rule{"attn.in_proj_bias", "attn.in_proj_bias"},
        key_rule{"attn.out_proj.weight", "attn.out_proj.weight"},
        key_rule{"attn.out_proj.bias", "attn.out_proj.bias"},
        key_rule{"ln_2.weight", "ln_2.weight"},
        key_rule{"ln_2.bias", "ln_2.bias"},
        key_rule{"mlp.c_fc.weight", "mlp.c_fc.weight"},
        key_rule{"mlp.c_fc.bias", "mlp.c_fc.bias"},
        key_rule{"mlp.c_proj.weight", "mlp.c_proj.weight"},
        key_rule{"mlp.c_proj.bias", "mlp.c_proj.bias"},
    };
    static constexpr std::array hf_outside{
        key_rule{"embeddings.patch_embedding.weight", "conv1.weight", whole, false, true},
        key_rule{"embeddings.class_embedding", "class_embedding", whole, false, true},
        key_rule{"embeddings.position_embedding.weight", "positional_embedding"},
        key_rule{"pre_layrnorm.weight", "ln_pre.weight", whole, false, true}, // their spelling
        key_rule{"pre_layrnorm.bias", "ln_pre.bias", whole, false, true},
        key_rule{"pre_layernorm.weight", "ln_pre.weight", whole, false, true},
        key_rule{"pre_layernorm.bias", "ln_pre.bias", whole, false, true},
        key_rule{"post_layernorm.weight", "ln_post.weight", whole, false, true},
        key_rule{"post_layernorm.bias", "ln_post.bias", whole, false, true},
    };
    static constexpr std::array hf_inside{
        key_rule{"layer_norm1.weight", "ln_1.weight"},
        key_rule{"layer_norm1.bias", "ln_1.bias"},
        key_rule{"self_attn.q_proj.weight", "attn.in_proj_weight", query},
        key_rule{"self_attn.k_proj.weight", "attn.in_proj_weight", key},
        key_rule{"self_attn.v_proj.weight", "attn.in_proj_weight", value},
        key_rule{"self_attn.q_proj.bias", "attn.in_proj_bias", query},
        key_rule{"self_attn.k_proj.bias", "attn.in_proj_bias", key},
        key_rule{"self_attn.v_proj.bias", "attn.in_proj_bias", value},
        key_rule{"self_attn.out_proj.weight", "attn.out_proj.weight"},
        key_rule{"self_attn.out_proj.bias", "attn.out_proj.bias"},
        key_rule{"layer_norm2.weight", "ln_2.weight"},
        key_rule{"layer_norm2.bias", "ln_2.bias"},
        key_rule{"mlp.fc1.weight", "mlp.c_fc.weight"},
        key_rule{"mlp.fc1.bias", "mlp.c_fc.bias"},
        key_rule{"mlp.fc2.weight", "mlp.c_proj.weight"},
        key_rule{"mlp.fc2.bias", "mlp.c_proj.bias"},
    };
    static constexpr std::array timm_outside{
        key_rule{"patch_embed.proj.weight", "conv1.weight", whole, false, true},
        key_rule{"cls_token", "class_embedding", whole, true, true},
        key_rule{"pos_embed", "positional_embedding", whole, true, true},
        key_rule{"norm_pre.weight", "ln_pre.weight", whole, false, true},
        key_rule{"norm_pre.bias", "ln_pre.bias", whole, false, true},
        key_rule{"norm.weight", "ln_post.weight"},
        key_rule{"norm.bias", "ln_post.bias"},
    };
    static constexpr std::array timm_inside{
        key_rule{"norm1.weight", "ln_1.weight"},
        key_rule{"norm1.bias", "ln_1.bias"},
        key_rule{"attn.qkv.weight", "attn.in_proj_weight"},
        key_rule{"attn.qkv.bias", "attn.in_proj_bias"},
        key_rule{"attn.proj.weight", "attn.out_proj.weight"},
        key_rule{"attn.proj.bias", "attn.out_proj.bias"},
        key_rule{"norm2.weight", "ln_2.weight"},
        key_rule{"norm2.bias", "ln_2.bias"},
        key_rule{"mlp.fc1.weight", "mlp.c_fc.weight"},
        key_rule{"mlp.fc1.bias", "mlp.c_fc.bias"},
        key_rule{"mlp.fc2.weight", "mlp.c_proj.weight"},
        key_rule{"mlp.fc2.bias", "mlp.c_proj.bias"},
    };
    static constexpr std::array tables{
        key_table{key_scheme::openai_clip, openai_outside, "transformer.resblocks.", openai_inside},
        key_table{key_scheme::hf_clip, hf_outside, "encoder.layers.", hf_inside},
        key_table{key_scheme::timm, timm_outside, "blocks.", timm_inside},
    };
};

/// Words that a wrapper puts between dots anywhere in a name, and that mean nothing: torch.compile, activation
/// checkpointing, FSDP, DistributedDataParallel and AveragedModel, Lightning, averages of weights.
inline constexpr std::array<std::string_view, 6> transparent_words{"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "module", "model", "ema"};

/// Modules around a model that leave their name in front of every tensor's.
inline constexpr std::array<std::string_view, 16> key_wrappers{
    "backbone.",     "visual.",     "vision_model.", "trunk.",   "clip.",    "clip_model.", "vision_tower.", "image_encoder.",
    "base_model.",   "net.",        "network.",      "student.", "teacher.", "ema_model.",  "model_ema.",    "_forward_module.",
};

/// `12.ln_1.weight` -> `12` and `ln_1.weight`; a number has at most four digits and no leading zero.
[[nodiscard]] inline std::optional<std::pair<std::string_view, std::string_view>>
split_block(std::string_view text) noexcept {
    auto const dot = text.find('.');
    if (dot == std::string_view::npos || dot == 0 || dot > 4 || (dot > 1 && text[0] == '0')) return std::nullopt;
    auto const number = text.substr(0, dot);
    if (number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    return std::pair{number, text.substr(dot + 1)};
}

[[nodiscard]] inline bool is_adapter_name(std::string_view text) noexcept {
    constexpr std::array<std::string_view, 4> parts{"D_fc1.weight", "D_fc1.bias", "D_fc2.weight", "D_fc2.bias"};
    auto const dot = text.find('.');
    return dot != std::string_view::npos && adapter_site_from_name(text.substr(0, dot)) && std::ranges::find(parts, text.substr(dot + 1)) != parts.end();
}

} // namespace detail

/// `module.blocks.1._orig_mod.norm1.bias` -> `blocks.1.norm1.bias`: the wrappers' words go wherever they stand as whole
/// words between dots. The last word always stays.
[[nodiscard]] inline std::string without_transparent_words(std::string_view key) {
    std::string kept;
    for (;;) {
        auto const dot = key.find('.');
        if (dot == std::string_view::npos) return kept.append(key);
        if (std::ranges::find(detail::transparent_words, key.substr(0, dot)) == detail::transparent_words.end()) kept.append(key.substr(0, dot + 1));
        key.remove_prefix(dot + 1);
    }
}

/// A name, split into the modules in front and the name that the project chose. Both are parts of what was split.
struct split_key {
    std::string_view prefix;
    std::string_view name;
};
/// `key` has no transparent words any more.
[[nodiscard]] inline split_key split_wrappers(std::string_view key) noexcept {
    std::size_t end = 0;
    for (bool found = true; found;) {
        found = false;
        for (auto const wrapper : detail::key_wrappers) {
            if (!key.substr(end).starts_with(wrapper)) continue;
            end += wrapper.size();
            found = true;
        }
    }
    return {key.substr(0, end), key.substr(end)};
}

/// What a name without wrappers means; nothing where no project has it in a ViT.
/// Source  reference: ZeroI2V, openai/CLIP, transformers' CLIPVisionModel, timm's VisionTransformer.
/// Test    tests/unit/io/checkpoints/canonical_source.cpp
[[nodiscard]] inline std::optional<key_match> match_key(std::string_view name) {
    if (name == "cls_head.fc_cls.weight" || name == "cls_head.fc_cls.bias")
        return key_match{std::string{name}, key_scheme::zeroi2v, key_part::whole, false, false};
    for (auto const& table : detail::key_names::tables) {
        auto const rules_match = [&](std::span<detail::key_rule const> rules, std::string_view text,
                                     std::string const& front) {
            auto const rule = std::ranges::find(rules, text, &detail::key_rule::from);
            return rule == rules.end() ? std::optional<key_match>{}
                                       : key_match{front + std::string{rule->to}, table.scheme, rule->part,
                                                   rule->drop_leading_ones, rule->only_vision};
        };
        if (!name.starts_with(table.block_prefix)) {
            if (auto match = rules_match(table.outside, name, "backbone.")) {
                if (match->canonical == "backbone.temporal_embedding") match->scheme = key_scheme::zeroi2v;
                return match;
            }
            continue;
        }
        auto const block = detail::split_block(name.substr(table.block_prefix.size()));
        if (!block) return std::nullopt;
        auto const front = "backbone.transformer.resblocks." + std::string{block->first} + '.';
        if (table.scheme == key_scheme::openai_clip && detail::is_adapter_name(block->second))
            return key_match{front + std::string{block->second}, key_scheme::zeroi2v, key_part::whole, false, true};
        return rules_match(table.inside, block->second, front);
    }
    return std::nullopt;
}

/// The models of other kinds that a name tells of: they have layers that no ZeroI2V model has.
enum class foreign_kind : std::uint8_t { none, aim_adapter, lora };

/// What a tensor is by a word of its name: `T_Adapter` in a block is AIM's (ZeroI2V has T_Adapter_in), whose adapters have
/// a GELU between their Linears; `lora_A`, `lora_B`, `lora_down`, ... come from loralib, PEFT and their kin.
[[nodiscard]] inline foreign_kind foreign_kind_of(std::string_view name) noexcept {
    for (bool more = true; more;) {
        auto const dot = name.find('.');
        auto const word = name.substr(0, dot);
        if (word == "T_Adapter") return foreign_kind::aim_adapter;
        if (word.starts_with("lora_")) return foreign_kind::lora;
        more = dot != std::string_view::npos;
        if (more) name.remove_prefix(dot + 1);
    }
    return foreign_kind::none;
}

/// Whether a name is that of something inside a block: a word `resblocks`, `blocks` or `layers`, then a number. Texts and
/// decoders have blocks of their own, and say so in a word in front.
[[nodiscard]] inline bool is_inside_block(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 3> rows{"resblocks", "blocks", "layers"};
    bool row = false;
    for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
        auto const word = name.substr(0, dot);
        if (row && !word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos) return true;
        if (word.find("text") != std::string_view::npos || word.find("decoder") != std::string_view::npos) return false;
        row = std::ranges::find(rows, word) != rows.end();
        name.remove_prefix(dot + 1);
    }
    return false;
}

/// Whether a name without wrappers belongs to parts of a file that no image or video encoder uses: text towers,
/// projections to the space of texts, timm's classifier, counters and masks.
[[nodiscard]] inline bool is_ignored_key(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 19> names{"proj",
                                                     "logit_scale",
                                                     "logit_bias",
                                                     "text_projection",
                                                     "text_projection.weight",
                                                     "text_projection.bias",
                                                     "visual_projection.weight",
                                                     "token_embedding.weight",
                                                     "ln_final.weight",
                                                     "ln_final.bias",
                                                     "attn_mask",
                                                     "input_resolution",
                                                     "context_length",
                                                     "vocab_size",
                                                     "head.weight",
                                                     "head.bias",
                                                     "n_averaged",
                                                     "data_preprocessor.mean",
                                                     "data_preprocessor.std"};
    constexpr std::array<std::string_view, 2> fronts{"text_model.", "text."};
    return std::ranges::find(names, name) != names.end() || name == "position_ids" || name.ends_with(".position_ids")
           || std::ranges::any_of(fronts, [&](std::string_view front) { return name.starts_with(front); });
}

/// Whether only a text tower has this name: its blocks and positions go by the names of the image encoder's.
[[nodiscard]] inline bool is_text_tower_key(std::string_view name) noexcept {
    return name == "token_embedding.weight" || name == "ln_final.weight" || name == "ln_final.bias"
           || name == "text_projection";
}

} // namespace zeroi2v
