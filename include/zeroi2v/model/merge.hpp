// merge of a whole model: every adapter multiplied into its Linear, and the proof that the answer stays the same.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge_proof.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/merge.hpp>
#include <zeroi2v/nn/merge_report.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

struct vit_merge_options {
    std::optional<zeroi2v::dtype> dtype{}; ///< of merged tensors: f32, f16 or bf16; absent: the wider of Linear and adapter
    std::size_t threads = 1;
    kernel_table const* kernels = nullptr; ///< of the probe; null: those of the compiler's flags
    std::uint64_t probe_seed = 0;          ///< the probe clip is random_clip(config, probe_seed)
};

/// What a merge gives: `auto const [model, proof] = merge(adapted);`
struct merged_model {
    merged_vit model;
    merge_proof proof;
};

namespace detail {

/// Logits of one clip in float; the engine's memory is gone when this returns.
template <class Adapters>
[[nodiscard]] std::vector<float> probe_logits(vit_weights<Adapters> const& weights, vit_merge_options const& options) {
    vit_engine<Adapters> const engine{weights, {.threads = options.threads, .kernels = options.kernels}};
    auto workspace = engine.make_workspace();
    std::vector<float> logits(weights.config.classes());
    engine.forward(random_clip(weights.config, options.probe_seed), workspace, logits);
    return logits;
}

[[nodiscard]] inline probe_proof compare_logits(std::span<float const> adapted, std::span<float const> merged, std::uint64_t seed, zeroi2v::dtype coarsest) {
    probe_proof probe{.seed = seed};
    double difference = 0, norm = 0;
    for (std::size_t k = 0; k < adapted.size(); ++k) {
        double const a = static_cast<double>(adapted[k]), d = static_cast<double>(merged[k]) - a;
        bool const finite = is_finite(adapted[k]) && is_finite(merged[k]); // else d may be folded to 0, or lost in a maximum
        probe.max_abs = worse(probe.max_abs, finite ? std::abs(d) : std::numeric_limits<double>::infinity());
        probe.largest_logit = std::max(probe.largest_logit, std::abs(a));
        difference += d * d;
        norm += a * a;
    }
    probe.relative_l2 = difference == 0 ? 0 : std::sqrt(difference / norm);
    probe.tolerance = merge_tolerance(coarsest);
    return probe;
}

inline void keep(stored_tensor const& from, stored_tensor& to) { to = from.clone(); }
inline void keep(stored_layer_norm const& from, stored_layer_norm& to) {
    keep(from.weight, to.weight);
    keep(from.bias, to.bias);
}
inline void keep(stored_linear const& from, stored_linear& to) {
    keep(from.weight, to.weight);
    keep(from.bias, to.bias);
}

} // namespace detail

/// The same model without adapters, and the proof.
///
///   before:  weight W A, bias W a + b        after:  weight A W, bias A b + a        A = I + s W2 W1,  a = s (W2 b1 + b2)
///
/// T_Adapter_in goes into in_proj (or _q, _k, _v into its thirds), S_Adapter into out_proj, MLP_Adapter into c_fc,
/// MLP_Adapter_out into c_proj. Tensors without an adapter are copied as they are.
/// Numerics  double products, one rounding per element; an element whose delta is zero keeps its bits, so that an adapter
///           with D_fc2 = 0 merges to its base bit for bit.
/// Errors    a value that is not finite -> checkpoint_error nonfinite_merge naming the layer; no scale -> model_error
///           bad_config; a stored weight more than one ulp off its product, or logits that differ by more than
///           merge_tolerance -> checkpoint_error merge_not_equivalent with the figures. `adapted` is never changed.
/// Cost      about 4 R times the weights in flops, and two forward passes.
/// Source    ZeroI2V, structural re-parameterisation.     Test  tests/unit/model/merge.cpp
[[nodiscard]] inline merged_model merge(adapted_vit const& adapted, vit_merge_options const& options = {}) {
    if (!adapted.config.adapter_scale())
        throw model_error{error_code::bad_config, "merge: adapter_scale: not stated, needed to merge"};
    double const scale = *adapted.config.adapter_scale();
    std::size_t const width = adapted.config.width();
    merged_model result{merged_vit{adapted.config.without_adapter_scale(), adapter_layout::none()}, {}};
    merged_vit& model = result.model;
    thread_team team{static_cast<int>(std::max<std::size_t>(options.threads, 1))};
    result.proof.threads = static_cast<std::size_t>(team.concurrency());
    zeroi2v::dtype coarsest = zeroi2v::dtype::f32;

    detail::keep(adapted.conv1, model.conv1);
    detail::keep(adapted.class_embedding, model.class_embedding);
    detail::keep(adapted.positional_embedding, model.positional_embedding);
    detail::keep(adapted.temporal_embedding, model.temporal_embedding);
    detail::keep(adapted.ln_pre, model.ln_pre);
    detail::keep(adapted.ln_post, model.ln_post);
    detail::keep(adapted.fc_cls, model.fc_cls);

    for (std::size_t i = 0; i < adapted.blocks.size(); ++i) {
        auto const& from = adapted.blocks[i];
        auto& to = model.blocks[i];
        auto const& a = from.adapters;
        std::string const at = "resblocks." + std::to_string(i) + ".";
        auto const record = [&](std::string linear, std::string adapter, merged_linear<stored_linear> merged, stored_linear& into) {
            into = std::move(merged.linear);
            if (precision_of(into.weight.type()) < precision_of(coarsest)) coarsest = into.weight.type();
            result.proof.layers.push_back({std::move(linear), std::move(adapter), into.weight.type(), merged.report});
        };
        auto const one = [&](stored_linear const& layer, char const* name, auto side, std::optional<stored_linear_adapter> const& adapter,
                             char const* adapter_name, stored_linear& into) {
            if (!adapter) return detail::keep(layer, into);
            std::string const linear = at + name;
            record(linear, adapter_name, merge_measured(layer, *adapter, side, scale, {options.dtype, &team, linear}), into);
        };
        detail::keep(from.ln_1, to.ln_1);
        detail::keep(from.ln_2, to.ln_2);
        if (a.T_Adapter_in_q) {
            std::array<adapter_of_rows, 3> const thirds{{{{0, width}, &*a.T_Adapter_in_q},
                                                         {{width, 2 * width}, &*a.T_Adapter_in_k},
                                                         {{2 * width, 3 * width}, &*a.T_Adapter_in_v}}};
            std::string const linear = at + "attn.in_proj";
            record(linear, "T_Adapter_in_q, _k, _v", merge_rows_measured(from.in_proj, thirds, scale, {options.dtype, &team, linear}), to.in_proj);
        } else {
            one(from.in_proj, "attn.in_proj", before, a.T_Adapter_in, "T_Adapter_in", to.in_proj);
        }
        one(from.out_proj, "attn.out_proj", after, a.S_Adapter, "S_Adapter", to.out_proj);
        one(from.c_fc, "mlp.c_fc", before, a.MLP_Adapter, "MLP_Adapter", to.c_fc);
        one(from.c_proj, "mlp.c_proj", after, a.MLP_Adapter_out, "MLP_Adapter_out", to.c_proj);
    }

    for (layer_proof const& layer : result.proof.layers)
        if (!layer.report.holds())
            throw checkpoint_error{error_code::merge_not_equivalent,
                                   layer.linear + ": merge: a stored weight is " + std::to_string(layer.report.max_ulp)
                                       + " ulp off its product (line error " + std::to_string(layer.report.max_line_error) + "), at most 1 expected"};

    auto merged_logits = detail::probe_logits(model, options);
    result.proof.probe = detail::compare_logits(detail::probe_logits(adapted, options), merged_logits, options.probe_seed, coarsest);
    result.proof.probe.logits = std::move(merged_logits);
    if (!result.proof.probe.holds())
        throw checkpoint_error{error_code::merge_not_equivalent, "merge: probe clip: " + to_string(result.proof.probe)};
    return result;
}

} // namespace zeroi2v
