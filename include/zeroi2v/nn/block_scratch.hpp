// block_scratch: where one thread keeps what it computes of some rows of a block.
#pragma once

#include <zeroi2v/nn/op_times.hpp>

#include <cstddef>
#include <span>

namespace zeroi2v {

/// Scratch of one thread while it works on up to `rows` rows.
struct block_scratch {
    std::size_t rows{};
    float* narrow{};             // (rows,C)
    float* adapted{};            // (rows,C), with separate q, k, v adapters only
    float* hidden{};             // (rows,F) or wider
    float* rank{};               // (rows,R), with adapters only
    std::span<std::byte> matmul; // largest matmul_scratch_bytes of the block's matrices for `rows` rows
    std::span<op_times> times;   // where this thread's seconds are added up, or nothing
};

} // namespace zeroi2v
