// merge of a whole model: every adapter multiplied into its Linear, and the proof that the answer stays the same.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge_proof.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/merge.hpp>
#include <zeroi2v/nn/merge_report.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <algorithm>
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

/// The adapters at one Linear, in the order in which they are multiplied into it.
[[nodiscard]] inline std::vector<adapter_site_info> sites_at(block_linear linear, block_adapters const& adapters) {
    std::vector<adapter_site_info> sites;
    for (adapter_site_info const& each : adapter_sites)
        if (each.linear == linear && adapters[each.site]) sites.push_back(each);
    return sites;
}

/// `T_Adapter_in`; of several that are parts of one `T_Adapter_in_q, _k, _v`.
[[nodiscard]] inline std::string names_of(std::span<adapter_site_info const> sites) {
    std::string names{sites.front().name};
    for (adapter_site_info const& each : sites.subspan(1)) names.append(", ").append(each.name.substr(each.name.rfind('_')));
    return names;
}

/// A Linear with all adapters at it multiplied in; add(names, report) for each product.
template <class Add>
[[nodiscard]] stored_linear merged(stored_linear const& layer, block_linear which, block_adapters const& adapters, double scale, merge_options const& options, Add&& add) {
    auto const sites = sites_at(which, adapters);
    stored_linear result;
    stored_linear const* from = &layer;
    auto const keep = [&](std::string const& names, merged_linear<stored_linear> product) {
        result = std::move(product.linear);
        from = &result;
        add(names, product.report);
    };
    std::vector<adapter_site_info> parts;
    std::vector<adapter_of_rows> rows;
    std::size_t const third = layer.bias.count() / 3;
    for (adapter_site_info const& each : sites) {
        if (each.rows == adapter_rows::all) continue;
        std::size_t const first = (static_cast<std::size_t>(each.rows) - static_cast<std::size_t>(adapter_rows::query)) * third;
        parts.push_back(each);
        rows.push_back({{first, first + third}, &*adapters[each.site]});
    }
    if (!rows.empty()) keep(names_of(parts), merge_rows_measured(*from, rows, scale, options));
    for (adapter_side const side : {adapter_side::before, adapter_side::after})
        for (adapter_site_info const& each : sites) {
            if (each.side != side || each.rows != adapter_rows::all) continue;
            auto const& adapter = *adapters[each.site];
            std::string const name{each.name};
            if (side == adapter_side::before) keep(name, merge_measured(*from, adapter, before, scale, options));
            else keep(name, merge_measured(*from, adapter, after, scale, options));
        }
    return result;
}

} // namespace detail

/// The same model without adapters, and the proof.
///
///   before:  weight W A, bias W a + b        after:  weight A W, bias A b + a        A = I + s W2 W1,  a = s (W2 b1 + b2)
///
/// Each adapter goes into the Linear that nn/adapter_sites.hpp names, those of q, k and v into its thirds. Tensors without an
/// adapter are copied as they are.
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
    merged_model result{merged_vit{adapted.config.without_adapter_scale(), adapter_layout::none()}, {}};
    merged_vit& model = result.model;
    thread_team team{static_cast<int>(std::max<std::size_t>(options.threads, 1))};
    result.proof.threads = static_cast<std::size_t>(team.concurrency());
    zeroi2v::dtype coarsest = zeroi2v::dtype::f32;

    for (std::size_t i = 0; i < adapted.blocks.size(); ++i)
        for (block_linear const which : block_linears) {
            if (detail::sites_at(which, adapted.adapters.blocks[i]).empty()) continue;
            auto const info = info_of(which);
            std::string const linear = "resblocks." + std::to_string(i) + "." + std::string{info.name};
            stored_linear& into = model.blocks[i].*info.member;
            std::vector<layer_proof> proofs;
            into = detail::merged(adapted.blocks[i].*info.member, which, adapted.adapters.blocks[i], scale, {options.dtype, &team, linear},
                                  [&](std::string const& adapters, merge_report const& report) { proofs.push_back({linear, adapters, {}, report}); });
            for (layer_proof& proof : proofs) {
                proof.type = into.weight.type();
                result.proof.layers.push_back(std::move(proof));
            }
            if (precision_of(into.weight.type()) < precision_of(coarsest)) coarsest = into.weight.type();
        }
    for_each_tensor(adapted, model, [](std::string const&, stored_tensor const& from, stored_tensor& to, shape const&, parameter_role) {
        if (to.empty()) to = from.clone();
    });

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
