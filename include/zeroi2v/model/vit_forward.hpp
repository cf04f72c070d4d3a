// vit_forward: the forward pass, in the order and with the names of the model.
#pragma once

#include <zeroi2v/model/packed_vit.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/model/vit_workspace.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/patch_embed.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/parallel/row_schedule.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <algorithm>
#include <cstddef>

namespace zeroi2v::detail {

/// One forward of V clips, in a workspace made for the model and at least as many clips.
///
/// Steps over rows wait for each other in a row_schedule: the rest of a block and the beginning of the next run together on a few rows
/// while these are in the cache; attention reads rows of other frames, so all rows are finished before it.
/// Test  tests/unit/model/vit_engine.cpp, tests/unit/golden/golden.cpp
template <class Adapters>
class vit_forward {
public:
    vit_forward(packed_vit<Adapters> const& model, vit_workspace& workspace, std::size_t clips) noexcept
        : model_{model}, config_{model.config}, workspace_{workspace}, frames_{clips * config_.frames()},
          steps_{workspace.workers(), workspace.scratch(0).rows, model.kernels->matmul(model.type)->row_tile} {}

    /// Tokens (V,T,N,C) in workspace.tokens() after `layers` blocks; with all_tokens false, of the last one only what `features` uses.
    void run(view<float const, 5> clips, std::size_t layers, bool all_tokens) {
        using wanted = typename packed_vit_block<Adapters>::wanted;
        bool const class_pooling = config_.form().pooling == frame_pooling::class_token;
        embed(clips);
        for (std::size_t i = 0; i < layers; ++i) {
            auto const& block = model_.blocks[i];
            bool const class_only = class_pooling && i + 1 == layers && !all_tokens;
            steps_.add(rows(), [this, &block, class_only](index_range some, std::size_t part) {
                block.attention_input(tokens(some), qkv(some), workspace_.scratch(part), class_only ? wanted::all_but_first : wanted::all);
                if (class_only) block.attention_input(class_tokens(some), class_qkv(some), workspace_.scratch(part), wanted::first);
                if (model_.rotary) rotate(some, !class_only);
            });
            steps_.finish();
            attend(class_only ? 1 : config_.tokens());
            steps_.add(class_only ? frames_ : rows(), [this, &block, class_only](index_range some, std::size_t part) {
                matrix_view<float> const x = class_only ? frame_rows(tokens({0, rows()}), some) : tokens(some);
                matrix_view<float> const y = class_only ? frame_rows(attended({0, rows()}), some) : attended(some);
                block.attention_output(x, y, workspace_.scratch(part));
                block.mlp(x, workspace_.scratch(part));
            });
        }
        steps_.finish();
    }

    /// Features (V,T,C) in workspace.features(), of the tokens after all blocks; the tokens are used up.
    void features() {
        op_timer const timer{workspace_.thread_times(), op_group::head};
        matrix_view<float> const out{workspace_.features(), frames_, config_.width()};
        switch (config_.form().pooling) {
        case frame_pooling::class_token: return post_norm(frame_rows(tokens({0, rows()}), {0, frames_}), out);
        case frame_pooling::mean: return mean_of_patches(out);
        case frame_pooling::attention: return attention_pool(*model_.pool, out);
        }
    }

    /// logits (V,K) = fc_cls(mean over T of the features).
    void head(float* logits) {
        op_timer const timer{workspace_.thread_times(), op_group::head};
        std::size_t const frames = config_.frames(), width = config_.width(), clips = frames_ / frames;
        float* const mean = workspace_.wide(); // free by now
        for (std::size_t clip = 0; clip < clips; ++clip)
            for (std::size_t c = 0; c < width; ++c) {
                double sum = 0;
                for (std::size_t t = 0; t < frames; ++t) sum += static_cast<double>(workspace_.features()[(clip * frames + t) * width + c]);
                mean[clip * width + c] = static_cast<float>(sum / static_cast<double>(frames));
            }
        matmul(*model_.kernels, workspace_.workers(), {mean, clips, width}, model_.head, {}, {logits, clips, config_.classes()});
    }

private:
    /// x[t,prefix] = class + position[0] and registers; x[t,prefix+p] = patch . conv1 + position[p]; all + temporal[t]; then ln_pre.
    void embed(view<float const, 5> clips) {
        std::size_t const patches = config_.patches(), width = config_.width(), values = config_.patch_values(), prefix = config_.form().prefix_tokens();
        op_timer const timer{workspace_.thread_times(), op_group::patches};
        gather_patches(workspace_.workers(), view<float const, 4>{clips.data(), frames_, 3, config_.image_size(), config_.image_size()},
                       config_.patch_size(), {workspace_.wide(), frames_ * patches, values});
        steps_.add(frames_ * patches, [this, patches, width, values, prefix](index_range some, std::size_t) {
            serial_executor here;
            for (std::size_t at = some.begin; at < some.end;) {
                std::size_t const frame = at / patches, patch = at % patches;
                std::size_t const count = std::min(some.end - at, patches - patch);
                float const* const temporal = model_.temporal.data() + frame % config_.frames() * width;
                float* out = workspace_.tokens() + (frame * config_.tokens() + prefix + patch) * width;
                matrix_view<float const> const position{model_.positional.empty() ? nullptr : model_.positional.data() + patch * width, count, width};
                matmul(*model_.kernels, here, {workspace_.wide() + at * values, count, values}, model_.patch, {activation::none, position}, {out, count, width});
                std::size_t made = count;
                if (patch == 0) {
                    out -= prefix * width;
                    made += prefix;
                    std::copy(model_.prefix.begin(), model_.prefix.end(), out);
                }
                for (std::size_t r = 0; r < made; ++r)
                    for (std::size_t c = 0; c < width; ++c) out[r * width + c] += temporal[c];
                if (model_.ln_pre) (*model_.ln_pre)(*model_.kernels, out, width, out, width, made);
                at += count;
            }
        });
        steps_.finish();
    }

    /// Attention of the first `queries` tokens of each frame, keys and values of the frames that the map names; y in place of q.
    void attend(std::size_t queries) {
        op_timer const timer{workspace_.thread_times(), op_group::attention};
        std::size_t const heads = config_.heads(), clip = config_.frames();
        attend(queries, [&](std::size_t head, std::size_t frame) { return frame / clip * clip + model_.sources[frame % clip * heads + head]; });
    }
    template <class Source>
    void attend(std::size_t queries, Source const& source) {
        std::size_t const width = config_.width(), tokens = config_.tokens(), heads = config_.heads();
        float* const qkv = workspace_.wide();
        auto const rows = [&]<class T>(T* first) { return token_rows<T>{first, tokens * 3 * width, 3 * width, config_.head_dim()}; };
        auto const read = [&](std::size_t first) { return rows(static_cast<float const*>(qkv + first)); };
        attention(*model_.kernels, workspace_.workers(), {frames_, queries, tokens, heads, config_.head_dim()}, read(0), read(width), read(2 * width), rows(qkv),
                  source, workspace_.attention_scratch());
    }

    /// The rotary embedding of the patch tokens' keys among some rows, and of their queries where they were computed.
    void rotate(index_range some, bool queries) const noexcept {
        std::size_t const width = config_.width(), prefix = config_.form().prefix_tokens();
        for (std::size_t row = some.begin; row < some.end; ++row) {
            std::size_t const token = row % config_.tokens();
            if (token < prefix) continue;
            float* const q = workspace_.wide() + row * 3 * width;
            if (queries) model_.rotary->rotate(q, config_.heads(), token - prefix);
            model_.rotary->rotate(q + width, config_.heads(), token - prefix);
        }
    }

    /// y = ln_post(x); y may be x.
    void post_norm(matrix_view<float const> x, matrix_view<float> y) const noexcept {
        model_.ln_post(*model_.kernels, x.data, x.stride, y.data, y.stride, x.rows);
    }

    /// out (V*T,C) = mean over the patch tokens of each frame, ln_post before it or after it.
    void mean_of_patches(matrix_view<float> out) {
        steps_.add(frames_, [this, out](index_range some, std::size_t) {
            std::size_t const n = config_.tokens(), width = config_.width(), prefix = config_.form().prefix_tokens();
            bool const before = config_.form().pool_norm == pool_norm_place::before_mean;
            for (std::size_t frame = some.begin; frame < some.end; ++frame) {
                matrix_view<float> const x = tokens({frame * n + prefix, (frame + 1) * n});
                matrix_view<float> const mean{out.row(frame), 1, width};
                if (before) post_norm(x, x);
                for (std::size_t c = 0; c < width; ++c) {
                    double sum = 0;
                    for (std::size_t p = 0; p < x.rows; ++p) sum += static_cast<double>(x.row(p)[c]);
                    mean.data[c] = static_cast<float>(sum / static_cast<double>(x.rows));
                }
                if (!before) post_norm(mean, mean);
            }
        });
        steps_.finish();
    }

    /// out (V*T,C) = z + mlp(ln(z)), z = out_proj(attention of the probe over ln_post of all tokens of the frame).
    void attention_pool(packed_attention_pool const& pool, matrix_view<float> out) {
        steps_.add(rows(), [this, &pool](index_range some, std::size_t) { // keys and values
            serial_executor here;
            matrix_view<float> const x = tokens(some), all = qkv(some);
            post_norm(x, x);
            matmul(*pool.kernels, here, x, pool.keys_values, {}, {all.data + config_.width(), all.rows, 2 * config_.width(), all.stride});
        });
        steps_.finish();
        for (std::size_t frame = 0; frame < frames_; ++frame) std::copy(pool.query.begin(), pool.query.end(), qkv({frame * config_.tokens(), frame * config_.tokens() + 1}).data);
        attend(1, [](std::size_t, std::size_t frame) { return frame; });
        steps_.add(frames_, [this, &pool, out](index_range some, std::size_t part) {
            serial_executor here;
            std::size_t const width = config_.width();
            for (std::size_t frame = some.begin; frame < some.end; ++frame) {
                matrix_view<float> const y = frame_rows(attended({0, rows()}), {frame, frame + 1}), z{out.row(frame), 1, width};
                matrix_view<float> const normed{workspace_.scratch(part).narrow, 1, width}, hidden{workspace_.scratch(part).hidden, 1, config_.mlp_width()};
                matmul(*pool.kernels, here, y, pool.out_proj, {}, z);
                pool.ln(*pool.kernels, z.data, z.stride, normed.data, normed.stride, 1);
                matmul(*pool.kernels, here, normed, pool.c_fc, {pool.act, {}}, hidden);
                matmul(*pool.kernels, here, hidden, pool.c_proj, {activation::none, z}, z);
            }
        });
        steps_.finish();
    }

    [[nodiscard]] std::size_t rows() const noexcept { return frames_ * config_.tokens(); }

    [[nodiscard]] matrix_view<float> tokens(index_range some) const noexcept {
        return {workspace_.tokens() + some.begin * config_.width(), some.size(), config_.width()};
    }
    [[nodiscard]] matrix_view<float> qkv(index_range some) const noexcept {
        return {workspace_.wide() + some.begin * 3 * config_.width(), some.size(), 3 * config_.width()};
    }
    [[nodiscard]] matrix_view<float> attended(index_range some) const noexcept {
        return {workspace_.wide() + some.begin * 3 * config_.width(), some.size(), config_.width(), 3 * config_.width()};
    }
    /// Of rows of all tokens, those of the class tokens of some frames.
    [[nodiscard]] matrix_view<float> frame_rows(matrix_view<float> all, index_range frames) const noexcept {
        std::size_t const stride = config_.tokens() * all.stride;
        return {all.data + frames.begin * stride, frames.size(), all.columns, stride};
    }
    /// The class tokens among some rows.
    [[nodiscard]] index_range frames_in(index_range some) const noexcept {
        std::size_t const n = config_.tokens();
        return {(some.begin + n - 1) / n, (some.end + n - 1) / n};
    }
    [[nodiscard]] matrix_view<float> class_tokens(index_range some) const noexcept { return frame_rows(tokens({0, rows()}), frames_in(some)); }
    [[nodiscard]] matrix_view<float> class_qkv(index_range some) const noexcept { return frame_rows(qkv({0, rows()}), frames_in(some)); }

    packed_vit<Adapters> const& model_;
    vit_config const& config_;
    vit_workspace& workspace_;
    std::size_t frames_; // V*T
    row_schedule steps_;
};

} // namespace zeroi2v::detail
