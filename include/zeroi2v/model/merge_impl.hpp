// The definitions of merge.hpp.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge.hpp>
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
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

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
    for (adapter_side const side : {adapter_side::input, adapter_side::output})
        for (adapter_site_info const& each : sites) {
            if (each.side != side || each.rows != adapter_rows::all) continue;
            auto const& adapter = *adapters[each.site];
            std::string const name{each.name};
            if (side == adapter_side::input) keep(name, merge_measured(*from, adapter, before, scale, options));
            else keep(name, merge_measured(*from, adapter, after, scale, options));
        }
    return result;
}

ZEROI2V_COMPILED merged_model merge_with(adapted_vit const& adapted, vit_merge_options const& options) {
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
            if (sites_at(which, adapted.adapters.blocks[i]).empty()) continue;
            auto const info = info_of(which);
            std::string const linear = "resblocks." + std::to_string(i) + "." + std::string{info.name};
            stored_linear& into = model.blocks[i].*info.member;
            std::vector<layer_proof> proofs;
            into = merged(adapted.blocks[i].*info.member, which, adapted.adapters.blocks[i], scale, {options.dtype, &team, linear},
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

    auto merged_logits = probe_logits(model, options);
    result.proof.probe = compare_logits(probe_logits(adapted, options), merged_logits, options.probe_seed, coarsest);
    result.proof.probe.logits = std::move(merged_logits);
    if (!result.proof.probe.holds())
        throw checkpoint_error{error_code::merge_not_equivalent, "merge: probe clip: " + to_string(result.proof.probe)};
    return result;
}

} // namespace detail
} // namespace zeroi2v
