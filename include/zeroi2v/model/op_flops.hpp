// op_flops: what each group of operations of a merged model's forward has to compute.
#pragma once

#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/op_times.hpp>

#include <cstddef>

namespace zeroi2v {

/// Floating point operations of vit_engine<no_adapters>::forward for one clip, two per multiply-add, products only.
///
/// Of the last block keys and values are computed for all N tokens of the T frames, all else for the T class tokens; the sum
/// is config.flops() less what that leaves out.
///
/// Test  tests/unit/model/op_flops.cpp
[[nodiscard]] inline per_op_group op_flops(vit_config const& config) noexcept {
    auto const t = static_cast<double>(config.frames()), n = static_cast<double>(config.tokens()), c = static_cast<double>(config.width());
    auto const hidden = static_cast<double>(config.mlp_width());
    double const all = t * n, whole_blocks = static_cast<double>(config.layers() - 1);
    double const rows = whole_blocks * all + t; // of whatever follows the keys and values
    per_op_group flops;
    flops[op_group::patches] = 2 * t * static_cast<double>(config.patches() * config.patch_values()) * c;
    flops[op_group::qkv] = 2 * (rows * c * c + (whole_blocks + 1) * all * 2 * c * c);
    flops[op_group::attention] = 4 * rows * n * c;
    flops[op_group::proj] = 2 * rows * c * c;
    flops[op_group::mlp] = 4 * rows * c * hidden;
    flops[op_group::head] = 2 * c * static_cast<double>(config.classes());
    return flops;
}

} // namespace zeroi2v
