// cuda_options: what an engine on a CUDA device is asked for. Needs no CUDA.
#pragma once

#include <zeroi2v/core/dtype.hpp>

#include <cstddef>

namespace zeroi2v {

struct cuda_options {
    zeroi2v::dtype dtype = zeroi2v::dtype::f32; ///< of weights and activations: f32, bf16 or f16
    int device = 0;                             ///< among those that CUDA_VISIBLE_DEVICES shows
    bool tf32 = false;                          ///< products of f32 in TF32: faster, 10 bits of mantissa instead of 23
};

} // namespace zeroi2v
