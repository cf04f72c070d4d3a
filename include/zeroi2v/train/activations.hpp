// block_activations: what the forward pass of one block leaves for its backward pass, and the scratch both share.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/rotary.hpp>
#include <zeroi2v/train/attention_backward.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/training_block.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Hands out aligned pieces of one allocation; without a base it only counts, so that a plan and its memory cannot differ.
class arena {
public:
    explicit arena(std::byte* base = nullptr) noexcept : base_{base} {}

    [[nodiscard]] float* floats(std::size_t count) { return reinterpret_cast<float*>(bytes(count, sizeof(float))); }
    [[nodiscard]] double* doubles(std::size_t count) { return reinterpret_cast<double*>(bytes(count, sizeof(double))); }
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

private:
    [[nodiscard]] std::byte* bytes(std::size_t count, std::size_t each) {
        auto const wanted = checked_mul(count, each);
        auto const padded = wanted ? checked_add<std::size_t>(*wanted, 63) : std::nullopt;
        auto const total = padded ? checked_add(used_, *padded / 64 * 64) : std::nullopt;
        if (!total) throw model_error{error_code::bad_config, "training: the number of bytes of activations overflows"};
        std::byte* const here = base_ == nullptr ? nullptr : base_ + used_;
        used_ = *total;
        return here;
    }

    std::byte* base_;
    std::size_t used_{};
};

/// The rows of one clip as one block sees them.
struct clip_rows {
    std::size_t frames{};  ///< T
    std::size_t tokens{};  ///< N
    std::size_t heads{};   ///< H
    std::size_t head_dim{};
    std::size_t prefix{};  ///< tokens before the patches
    rotary_angles const* rotary{}; ///< of the patch tokens' queries and keys, or null

    [[nodiscard]] std::size_t all() const noexcept { return frames * tokens; }
    /// Rows behind the attention of `block`: all, or one per frame.
    [[nodiscard]] std::size_t behind(training_block const& block) const noexcept { return block.class_only ? frames : all(); }
    [[nodiscard]] attention_shape attention(training_block const& block) const noexcept {
        return {frames, block.class_only ? 1 : tokens, tokens, heads, head_dim};
    }
};

/// Kept from forward to backward. M rows in, Q rows after attention (of the last block the class tokens only).
struct block_activations {
    float* x{};                       // (M,C) what enters
    float* qkv{};                     // (M,3C)
    float* attended{};                // (Q,C), where out_proj trains
    float* behind{};                  // (Q,C) the residual stream after attention
    float* wide{};                    // (Q,F) before the activation
    std::array<float*, adapter_sites.size()> hidden{};       // by site, (M,R) or (Q,R): what D_fc1 gave, dropped values as dropped
    std::array<float*, block_linears.size()> unadapted{};    // (Q,C) what a Linear gave whose output is adapted

    /// Of an adapter.
    [[nodiscard]] float* hidden_of(training_adapter const& adapter) const noexcept { return hidden[index_of(adapter.site)]; }
    /// Of a Linear whose output is adapted.
    [[nodiscard]] float* unadapted_by(training_adapter const& adapter) const noexcept { return unadapted[static_cast<std::size_t>(info_of(adapter.site).linear)]; }

    /// Everything but x.
    void carve(arena& from, training_block const& block, clip_rows const& rows) {
        std::size_t const m = rows.all(), q = rows.behind(block), width = block.width(), rank = block.rank();
        for (training_adapter const& adapter : block.adapters()) {
            adapter_site_info const& site = info_of(adapter.site);
            bool const all = site.linear == block_linear::in_proj && !(site.rows == adapter_rows::query && block.class_only);
            hidden[index_of(adapter.site)] = from.floats((all ? m : q) * rank);
            if (site.side == adapter_side::output) unadapted[static_cast<std::size_t>(site.linear)] = from.floats(q * width);
        }
        qkv = from.floats(m * 3 * width);
        if (block.out_proj.trains()) attended = from.floats(q * width);
        behind = from.floats(q * width);
        wide = from.floats(q * block.mlp_width());
    }
};

/// Scratch of one thread that takes some rows through several products while they are in its cache.
struct row_scratch {
    std::size_t rows{};        ///< that it has room for
    float *a{}, *b{};          // (rows,C) each
    float* wide{};             // (rows,F)
    std::span<std::byte> room; ///< for partial sums of long products
};

/// Scratch of one clip's passes through all blocks.
struct block_scratchpad {
    float *a{}, *b{}, *c{};          // (M,C) each
    float *wide{}, *wide_2{};        // (M,3C), where image weights train (M, max(3C,F)) each
    std::array<float*, 2> rank{};    // (M,R) each
    std::vector<row_scratch> threads;
    std::span<float> attention;      // forward or backward
    std::span<float> weights;        // of weight_gradient
    std::span<double> norms;         // (2M)

    void carve(arena& from, std::span<training_block const> blocks, clip_rows const& rows, kernel_table const& kernels, int concurrency,
               std::size_t other_weight_floats) {
        std::size_t width = 0, hidden = 0, rank_floats = 0, weight_floats = other_weight_floats, attention_floats = 0, room = 0;
        bool image_weights = false;
        // Half the rows of a forward pass: of a row of the MLP two stay in the cache, before the activation and after it.
        std::size_t const some = std::max<std::size_t>(std::min(rows.all(), kernels.f32.row_block / 2), 1);
        std::size_t const m = rows.all();
        for (auto const& block : blocks) {
            width = block.width();
            hidden = std::max(hidden, block.mlp_width());
            rank_floats = std::max(rank_floats, m * block.rank());
            image_weights = image_weights || block.c_proj.trains() || block.c_fc.trains();
            auto const shape = rows.attention(block);
            attention_floats = std::max({attention_floats, attention_scratch_floats(kernels, shape, concurrency),
                                         block.anything() ? attention_backward_scratch_floats(kernels, shape, concurrency) : 0});
            auto const weight = [&](training_linear const& linear) {
                for (auto const& [out, in] : {std::pair{linear.out(), linear.in()}, std::pair{linear.in(), linear.out()}})
                    room = std::max(room, detail::partial_bytes(kernels.f32, some, out, in));
                if (linear.trains()) weight_floats = std::max(weight_floats, weight_gradient_scratch(kernels, m, linear.out(), linear.in(), concurrency));
            };
            for (training_adapter const& adapter : block.adapters()) {
                weight(adapter.down);
                weight(adapter.up);
            }
            for (auto const& part : block.in_proj) weight(part.linear);
            weight(block.out_proj);
            weight(block.c_fc);
            weight(block.c_proj);
        }
        a = from.floats(m * width);
        b = from.floats(m * width);
        c = from.floats(m * width);
        std::size_t const wide_floats = m * std::max(3 * width, image_weights ? hidden : 0);
        wide = from.floats(wide_floats);
        if (image_weights) wide_2 = from.floats(wide_floats);
        for (float*& each : rank) each = from.floats(rank_floats);
        threads.assign(static_cast<std::size_t>(std::max(concurrency, 1)), {});
        for (row_scratch& each : threads) {
            each.rows = some;
            each.a = from.floats(some * width);
            each.b = from.floats(some * width);
            each.wide = from.floats(some * hidden);
            each.room = {reinterpret_cast<std::byte*>(from.floats(room / sizeof(float))), room};
        }
        attention = {from.floats(attention_floats), attention_floats};
        weights = {from.floats(weight_floats), weight_floats};
        norms = {from.doubles(2 * m), 2 * m};
    }
};

} // namespace zeroi2v
