// device_weights: where each tensor of a model lies in the one allocation on the device, and in which form.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace zeroi2v::detail {

/// Everything on a device begins at a multiple of this: what cuBLASLt's fastest kernels ask for.
inline constexpr std::size_t device_alignment = 256;

[[nodiscard]] constexpr std::size_t device_aligned(std::size_t bytes) noexcept { return (bytes + device_alignment - 1) / device_alignment * device_alignment; }

/// A weight (out,in), rows perhaps longer than the model's, and its bias (out), both of the engine's type.
struct device_linear {
    std::byte* weight{};
    std::byte* bias{}; ///< null: none
    std::size_t outputs{}, inputs{};

    /// The outputs [first, first + count).
    [[nodiscard]] device_linear part(std::size_t first, std::size_t count, std::size_t element) const noexcept {
        return {weight + first * inputs * element, bias + first * element, count, inputs};
    }
};

struct device_norm {
    float *weight{}, *bias{};
};

/// D_fc1 and scale * D_fc2.
struct device_adapter {
    device_linear down, up;
};

struct no_device_adapters {};
struct device_adapters {
    std::array<std::optional<device_adapter>, adapter_sites.size()> at;

    [[nodiscard]] std::optional<device_adapter> const& operator[](adapter_site site) const noexcept { return at[index_of(site)]; }
    /// The adapter that all outputs of a Linear see, on one side of it; null where there is none.
    [[nodiscard]] device_adapter const* find(block_linear linear, adapter_side side) const noexcept {
        for (adapter_site_info const& each : adapter_sites)
            if (each.linear == linear && each.side == side && each.rows == adapter_rows::all && at[index_of(each.site)]) return &*at[index_of(each.site)];
        return nullptr;
    }
};

/// A block's weights; a merged one's type has no adapters.
template <class Adapters>
struct device_vit_block {
    device_norm ln_1, ln_2;
    device_linear in_proj, out_proj, c_fc, c_proj;
    ZEROI2V_NO_UNIQUE_ADDRESS std::conditional_t<Adapters::present, device_adapters, no_device_adapters> adapters;
};

/// Elements of a patch's row on the device: a multiple of 16 bytes for every type, so that tensor cores take it (ViT-L/14: 588 -> 592).
[[nodiscard]] constexpr std::size_t padded_patch_values(std::size_t values) noexcept { return (values + 7) / 8 * 8; }

/// All weights of a model at their places from `base` on. With base null the places are offsets, and bytes() says how much to ask for.
///
/// Linears of the blocks, conv1 and adapters are of `type`; embeddings, norms and the classifier fp32.
/// Test  tests/unit/cuda/layouts.cpp
template <class Adapters>
struct device_weights {
    dtype type{};
    activation act = activation::quick_gelu; ///< of the MLPs
    float *class_embedding{}, *positional{}, *temporal{};
    device_linear conv1;
    device_norm ln_pre, ln_post;
    float *head_weight{}, *head_bias{};
    std::vector<device_vit_block<Adapters>> blocks;
    std::size_t bytes{};

    device_weights() = default;
    device_weights(vit_config const& c, adapter_layout const& layout, dtype element, std::byte* base) : type{element}, blocks(c.layers()) {
        auto const place = [&](std::size_t count, std::size_t each) {
            std::byte* const here = base + bytes;
            bytes += device_aligned(count * each);
            return here;
        };
        auto const floats = [&](std::size_t count) { return reinterpret_cast<float*>(place(count, sizeof(float))); };
        auto const norm = [&] { return device_norm{floats(c.width()), floats(c.width())}; };
        auto const linear = [&](std::size_t outputs, std::size_t inputs) {
            return device_linear{place(outputs * inputs, size_of(type)), place(outputs, size_of(type)), outputs, inputs};
        };
        class_embedding = floats(c.width());
        positional = floats(c.tokens() * c.width());
        temporal = floats(c.frames() * c.width());
        std::size_t const values = padded_patch_values(c.patch_values());
        conv1 = {place(c.width() * values, size_of(type)), nullptr, c.width(), values};
        ln_pre = norm();
        ln_post = norm();
        head_weight = floats(c.classes() * c.width());
        head_bias = floats(c.classes());
        for (auto& block : blocks) {
            block.ln_1 = norm();
            block.ln_2 = norm();
            block.in_proj = linear(3 * c.width(), c.width());
            block.out_proj = linear(c.width(), c.width());
            block.c_fc = linear(c.mlp_width(), c.width());
            block.c_proj = linear(c.width(), c.mlp_width());
            if constexpr (Adapters::present) {
                block_sizes const sizes{c.width(), c.mlp_width(), layout.rank};
                for (adapter_site_info const& each : adapter_sites) {
                    std::size_t const width = sizes.adapter_width(each);
                    if (layout.has(each.site)) block.adapters.at[index_of(each.site)] = {linear(layout.rank, width), linear(width, layout.rank)};
                }
            }
        }
    }
};

/// The bytes of a tensor as the device wants them: elements of `type`, times `scale` with one rounding, rows of `columns` elements
/// followed by zeros up to `padded`.
[[nodiscard]] inline std::vector<std::byte> device_bytes(stored_tensor const& tensor, dtype type, std::size_t columns, std::size_t padded, double scale) {
    ZEROI2V_REQUIRE(is_weight_dtype(tensor.type()) && is_weight_dtype(type), "zeroi2v::engine_cuda: weights must be F32, F16 or BF16");
    std::size_t const rows = columns == 0 ? 0 : tensor.count() / columns;
    std::vector<std::byte> result(rows * padded * size_of(type));
    std::vector<float> line(columns);
    auto const convert = [&]<class E>(E) {
        for (std::size_t row = 0; row < rows; ++row) {
            tensor.widen(row * columns, line);
            std::byte* const to = result.data() + row * padded * sizeof(E);
            for (std::size_t i = 0; i < columns; ++i) {
                E const value = scale == 1 ? E(line[i]) : round_to<E>(static_cast<double>(line[i]) * scale);
                std::memcpy(to + i * sizeof(E), &value, sizeof(E));
            }
        }
    };
    if (type == tensor.type() && scale == 1 && columns == padded) {
        std::copy(tensor.bytes().begin(), tensor.bytes().end(), result.begin());
    } else if (type == dtype::f32) {
        convert(float{});
    } else if (type == dtype::bf16) {
        convert(bf16{});
    } else {
        convert(f16{});
    }
    return result;
}

} // namespace zeroi2v::detail
