// What programs print and files keep as JSON: the proof of a merge.
#pragma once

#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/model/merge_proof.hpp>

#include <utility>

namespace zeroi2v::program {

/// The schema of docs/merging.md.
[[nodiscard]] inline json_value to_json(merge_proof const& proof, double scale) {
    using json = json_value;
    json layers = json::array();
    for (auto const& layer : proof.layers) {
        auto const& r = layer.report;
        layers.push_back(json::object({{"linear", layer.linear}, {"adapter", layer.adapter}, {"dtype", dtype_name(layer.type)},
                                       {"elements", r.elements}, {"with_delta", r.with_delta}, {"unchanged", r.unchanged},
                                       {"share_unchanged", r.share_unchanged}, {"compared", r.compared}, {"max_ulp", r.max_ulp},
                                       {"max_line_error", r.max_line_error}}));
    }
    auto const& p = proof.probe;
    auto const tolerance = json::object({{"relative_l2", p.tolerance.relative_l2}, {"max_abs", p.tolerance.max_abs * p.largest_logit}});
    return json::object({{"adapter_scale", scale},
                         {"max_ulp", proof.max_ulp()},
                         {"probe", json::object({{"seed", p.seed}, {"max_abs", p.max_abs}, {"relative_l2", p.relative_l2},
                                                 {"largest_logit", p.largest_logit}, {"tolerance", tolerance}})},
                         {"layers", std::move(layers)}});
}

} // namespace zeroi2v::program
