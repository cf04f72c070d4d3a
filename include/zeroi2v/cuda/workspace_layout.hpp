// workspace_layout: what a forward on a device keeps where, in the one allocation that a workspace asks for.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/device_weights.hpp>
#include <zeroi2v/cuda/kernels/patches.hpp>
#include <zeroi2v/model/vit_config.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace zeroi2v::detail {

/// A stretch of an allocation.
struct device_region {
    std::size_t offset{};
    std::size_t bytes{};
    friend constexpr bool operator==(device_region const&, device_region const&) noexcept = default;
};

/// Regions of V clips' activations, M = V T N rows; each begins at a multiple of 256.
///
///   tokens    (M,C) fp32       the residual stream
///   narrow    (M,C)            what a layer norm gives; then attention's result
///   wide      (M,3C)           products of patches with conv1 (fp32) at first; then q, k, v; then what is added to tokens
///   hidden    (M,F)            patches at first
///   rank      (M,R)            with adapters
///   adapted   (M,C)            with separate adapters of q, k and v
///   features  (V T,C) fp32, logits (V,K) fp32
///   scratch                    of the products
///   upload    twice            one filled while the other is read
///
/// Errors  sizes that overflow -> model_error bad_config.     Test  tests/unit/cuda/layouts.cpp
struct workspace_layout {
    static constexpr std::size_t slots = 2;
    static constexpr std::size_t max_windows = 8;                     ///< crops of a video
    static constexpr std::size_t upload_target = std::size_t{32} << 20; ///< bytes of an upload: large enough for the bus, small beside a batch

    std::size_t clips{};
    device_region tokens, narrow, wide, hidden, rank, adapted, features, logits, scratch;
    std::array<device_region, slots> upload; ///< data behind a head of `upload_head` bytes
    std::size_t upload_head{}, upload_data{};
    std::size_t result_bytes{};              ///< of a slot that results are read from
    std::size_t bytes{};

    friend constexpr bool operator==(workspace_layout const&, workspace_layout const&) noexcept = default;

    workspace_layout() = default;
    /// rank: R, 0 without adapters; separate: whether q, k, v have one each; pixel_bytes: for decoded frames.
    workspace_layout(vit_config const& c, dtype type, std::size_t count, std::size_t r, bool separate, std::size_t scratch_bytes, std::size_t pixel_bytes)
        : clips{count} {
        std::size_t const each = size_of(type);
        std::size_t const frames = product({count, c.frames()}), rows = product({frames, c.tokens()}), patches = product({frames, c.patches()});
        tokens = add(product({rows, c.width(), sizeof(float)}));
        narrow = add(product({rows, c.width(), each}));
        wide = add(std::max(product({rows, 3 * c.width(), each}), product({patches, c.width(), sizeof(float)})));
        hidden = add(std::max(product({rows, c.mlp_width(), each}), product({patches, padded_patch_values(c.patch_values()), each})));
        rank = add(product({rows, r, each}));
        adapted = add(separate ? product({rows, c.width(), each}) : 0);
        features = add(product({frames, c.width(), sizeof(float)}));
        logits = add(product({count, c.classes(), sizeof(float)}));
        scratch = add(scratch_bytes);
        std::size_t const frame = product({3, c.image_size(), c.image_size(), sizeof(float)});
        if (pixel_bytes != 0)
            upload_head = device_aligned(frames * sizeof(cuda_kernels::pixel_job)) + device_aligned(max_windows * c.image_size() * sizeof(bilinear_tap)) * 2
                          + device_aligned(3 * 256 * sizeof(float));
        upload_data = std::max({frame, std::min(product({frames, frame}), upload_target / frame * frame), pixel_bytes});
        for (device_region& slot : upload) slot = add(sum(upload_head, upload_data));
        result_bytes = device_aligned(std::max(features.bytes, logits.bytes));
    }

private:
    [[nodiscard]] static std::size_t product(std::initializer_list<std::size_t> factors) {
        auto const result = checked_product(std::span<std::size_t const>{factors.begin(), factors.size()});
        if (!result) throw model_error{error_code::bad_config, "workspace: the number of clips is too large"};
        return *result;
    }
    [[nodiscard]] static std::size_t sum(std::size_t a, std::size_t b) {
        auto const result = checked_add(a, b);
        if (!result || *result > std::size_t{1} << 60) throw model_error{error_code::bad_config, "workspace: the number of bytes overflows"};
        return *result;
    }
    [[nodiscard]] device_region add(std::size_t count) {
        std::size_t const padded = sum(count, device_alignment - 1) / device_alignment * device_alignment;
        device_region const here{bytes, count};
        bytes = sum(bytes, padded);
        return here;
    }
};

} // namespace zeroi2v::detail
