// merge of a whole model: every adapter multiplied into its Linear, and the proof that the answer stays the same.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/model/merge_proof.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/default_arch.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

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
[[nodiscard]] ZEROI2V_COMPILED merged_model merge_with(adapted_vit const& adapted, vit_merge_options const& options); // the probe's kernels are named
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
template <class Arch = default_arch>
[[nodiscard]] merged_model merge(adapted_vit const& adapted, vit_merge_options options = {}) {
    if (options.kernels == nullptr) options.kernels = &default_kernels<Arch>();
    return detail::merge_with(adapted, options);
}

} // namespace zeroi2v

#if !ZEROI2V_DISPATCH
#include <zeroi2v/model/merge_impl.hpp>
#endif
