// head: the mean of a clip's features over its frames, and its product with the classifier.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/cuda/fragments.hpp>
#include <zeroi2v/cuda/kernels/rows.hpp>

#include <cmath>
#include <cstddef>

namespace zeroi2v::cuda_kernels {

/// logits[v,k] = bias[k] + sum over c of weight[k,c] mean over t of features[v,t,c].
///
/// A block computes 32 classes of a clip, a warp 4 of them; each block makes the mean anew, in shared memory.
///
/// Shapes    features (V,T,C), weight (K,C), bias (K), logits (V,K), all fp32.
/// Numerics  the mean in double, the product in fp32, each lane its columns, the lanes in a tree. The same bits in every run.
/// Test      tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
struct classify_mean {
    struct arguments {
        float const *features{}, *weight{}, *bias{};
        float* logits{};
        int frames{}, columns{}, classes{};
    };
    static constexpr char const* name = "classify_mean";
    static constexpr unsigned threads = 256, max_threads = threads;
    static constexpr int classes_each = 4, classes_per_block = static_cast<int>(threads) / warp_lanes * classes_each;

    [[nodiscard]] static constexpr std::size_t shared_bytes_for(std::size_t columns) noexcept { return columns * sizeof(float); }
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr unsigned blocks_per_clip(int classes) noexcept {
        return static_cast<unsigned>((classes + classes_per_block - 1) / classes_per_block);
    }

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        unsigned const parts = blocks_per_clip(a.classes);
        std::size_t const clip = block.index() / parts;
        auto const columns = static_cast<std::size_t>(a.columns);
        float const* const features = a.features + clip * static_cast<std::size_t>(a.frames) * columns;
        float* const mean = reinterpret_cast<float*>(block.memory());
        for (std::size_t c = block.thread(); c < columns; c += threads) {
            double sum = 0;
            for (int t = 0; t < a.frames; ++t) sum += static_cast<double>(features[static_cast<std::size_t>(t) * columns + c]);
            mean[c] = static_cast<float>(sum / a.frames);
        }
        block.barrier();
        int const first = static_cast<int>(block.index() % parts) * classes_per_block + block.warp() * classes_each;
        for (int k = first; k < first + classes_each && k < a.classes; ++k) {
            float const* const weight = a.weight + static_cast<std::size_t>(k) * columns;
            float sum = 0;
            for (int c = block.lane(); c < a.columns; c += warp_lanes) sum = ::fmaf(mean[c], weight[c], sum);
            sum = warp_sum(block, sum);
            if (block.lane() == 0) a.logits[clip * static_cast<std::size_t>(a.classes) + static_cast<std::size_t>(k)] = sum + a.bias[k];
        }
    }
};

} // namespace zeroi2v::cuda_kernels
