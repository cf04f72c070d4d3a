// What programs print and files keep as JSON: the proof of a merge.
#pragma once

#include <zeroi2v/io/utf8.hpp>
#include <zeroi2v/model/merge_proof.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace zeroi2v::program {

/// The schema of docs/merging.md.
[[nodiscard]] inline nlohmann::ordered_json to_json(merge_proof const& proof, double scale) {
    using json = nlohmann::ordered_json;
    json layers = json::array();
    for (auto const& layer : proof.layers) {
        auto const& r = layer.report;
        layers.push_back({{"linear", layer.linear}, {"adapter", layer.adapter}, {"dtype", std::string{dtype_name(layer.type)}},
                          {"elements", r.elements}, {"with_delta", r.with_delta}, {"unchanged", r.unchanged},
                          {"share_unchanged", r.share_unchanged}, {"compared", r.compared}, {"max_ulp", r.max_ulp},
                          {"max_line_error", r.max_line_error}});
    }
    auto const& p = proof.probe;
    return {{"adapter_scale", scale},
            {"max_ulp", proof.max_ulp()},
            {"probe", {{"seed", p.seed}, {"max_abs", p.max_abs}, {"relative_l2", p.relative_l2}, {"largest_logit", p.largest_logit},
                       {"tolerance", {{"relative_l2", p.tolerance.relative_l2}, {"max_abs", p.tolerance.max_abs * p.largest_logit}}}}},
            {"layers", std::move(layers)}};
}

/// A document as it is printed: bytes that are no UTF-8 become U+FFFD, control characters their escapes.
[[nodiscard]] inline std::string dump(nlohmann::ordered_json const& document, int indent = -1) {
    return escape_controls(document.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

} // namespace zeroi2v::program
