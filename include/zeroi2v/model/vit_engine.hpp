// vit_engine: a video ViT ready to compute: weights packed for one dtype and instruction set, immutable, shareable.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/model/vit_workspace.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/nn/packed_vit_block.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/ops/patch_embed.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/stdha/row_bases.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

struct engine_options {
    zeroi2v::dtype dtype = zeroi2v::dtype::f32; ///< of the packed Linear weights: f32, bf16 or i8
    std::size_t threads = 1;                    ///< of each workspace's own team
    kernel_table const* kernels = nullptr;      ///< null: those of the compiler's flags
};

/// The forward pass of vit_weights<Adapters>, at the cost of the image model where Adapters is no_adapters.
///
/// Attention reads keys and values through the frame map's row bases, so a shifted head costs what any head costs; of the
/// last block only the class tokens' queries, projection and MLP are computed, since nothing else of it is used.
/// Patch embedding, head, norms and attention compute in float whatever the dtype of the Linears.
///
/// Threads   const calls may run at the same time, each with a workspace of its own.
/// Numerics  the same bits for every number of threads and clips.
/// Errors    another dtype than f32, bf16, i8 -> device_error unsupported_dtype; adapters without a scale -> model_error
///           bad_config; clip, workspace or result of another shape -> ZEROI2V_REQUIRE.
/// Cost      config().flops() less what the last block leaves out; forward allocates nothing.
/// Source    ZeroI2V, CLIP.   Test  tests/unit/model/vit_engine.cpp, tests/unit/golden/golden.cpp
template <class Adapters>
class vit_engine {
public:
    /// Packs copies of the weights.
    explicit vit_engine(vit_weights<Adapters> const& weights, engine_options options = {})
        : vit_engine{weights, options, [](stored_tensor const&) {}, [](std::size_t) {}} {}

    /// Packs the weights and frees each matrix as soon as it is packed.
    explicit vit_engine(vit_weights<Adapters>&& weights, engine_options options = {})
        : vit_engine{weights, options, [](stored_tensor& tensor) { tensor = stored_tensor{}; }, [](std::size_t) {}} {}

    /// Packs weights as they come: read(name, tensor) is called once for each tensor of for_each_tensor's list, block by
    /// block, and must fill it; each matrix is freed as soon as it is packed.
    /// Cost  memory: the packed weights, and one block as it is read.
    template <class Read>
        requires std::invocable<Read&, std::string const&, stored_tensor&>
    vit_engine(vit_config config, adapter_layout const& layout, Read&& read, engine_options options = {})
        : vit_engine{vit_weights<Adapters>{std::move(config), layout}, read, options} {}

    [[nodiscard]] vit_config const& config() const noexcept { return config_; }
    [[nodiscard]] kernel_table const& kernels() const noexcept { return *kernels_; }
    [[nodiscard]] zeroi2v::dtype dtype() const noexcept { return dtype_; }
    [[nodiscard]] std::size_t threads() const noexcept { return threads_; }
    /// Bytes of packed weights.
    [[nodiscard]] std::size_t weight_bytes() const noexcept {
        std::size_t total = patch_.byte_size() + head_.byte_size();
        for (auto const& block : blocks_) total += block.bytes();
        return total;
    }

    /// A workspace for `clips` clips at once, with its own team of options.threads threads.
    [[nodiscard]] vit_workspace make_workspace(std::size_t clips = 1) const { return {sizes_for(clips), threads_}; }
    /// The same with the caller's executor, which must outlive it.
    [[nodiscard]] vit_workspace make_workspace(std::size_t clips, executor& workers) const { return {sizes_for(clips), workers}; }

    /// logits (K) of one clip (T,3,S,S), already normalised.
    void forward(view<float const, 4> clip, vit_workspace& workspace, std::span<float> logits) const {
        require_clip(clip);
        ZEROI2V_REQUIRE(logits.size() == config_.classes(), "zeroi2v::vit_engine::forward: logits must be (K)");
        class_features(as_batch(clip), workspace);
        head(workspace, 1, logits.data());
    }

    /// logits (V,K) of clips (V,T,3,S,S), computed `workspace.clips()` at a time.
    void forward(view<float const, 5> clips, vit_workspace& workspace, view<float, 2> logits) const {
        std::size_t const count = clips.extent(0);
        ZEROI2V_REQUIRE(logits.extent(0) == count && logits.extent(1) == config_.classes(), "zeroi2v::vit_engine::forward: logits must be (V,K)");
        for_each_batch(clips, workspace, [&](std::size_t first, std::size_t batch) {
            head(workspace, batch, logits.data() + first * config_.classes());
        });
    }

    /// features (T,C) of one clip: ln_post of the class token of every frame.
    void features(view<float const, 4> clip, vit_workspace& workspace, view<float, 2> out) const {
        require_clip(clip);
        features(as_batch(clip), workspace,
                 view<float, 3>{out.data(), 1, out.extent(0), out.extent(1)});
    }

    /// features (V,T,C) of clips (V,T,3,S,S).
    void features(view<float const, 5> clips, vit_workspace& workspace, view<float, 3> out) const {
        std::size_t const frames = config_.frames(), width = config_.width();
        ZEROI2V_REQUIRE(out.extent(0) == clips.extent(0) && out.extent(1) == frames && out.extent(2) == width,
                        "zeroi2v::vit_engine::features: out must be (V,T,C)");
        for_each_batch(clips, workspace, [&](std::size_t first, std::size_t batch) {
            std::copy_n(workspace.features(), batch * frames * width, out.data() + first * frames * width);
        });
    }

    /// All tokens (T,N,C) of one clip after `layers` blocks; 0: what enters the first block, after ln_pre.
    void hidden_states(view<float const, 4> clip, std::size_t layers, vit_workspace& workspace, view<float, 3> out) const {
        require_clip(clip);
        ZEROI2V_REQUIRE(layers <= blocks_.size(), "zeroi2v::vit_engine::hidden_states: no such layer");
        ZEROI2V_REQUIRE(out.extent(0) == config_.frames() && out.extent(1) == config_.tokens() && out.extent(2) == config_.width(),
                        "zeroi2v::vit_engine::hidden_states: out must be (T,N,C)");
        run(as_batch(clip), workspace, layers, true);
        std::copy_n(workspace.tokens(), out.size(), out.data());
    }

    /// Convenience: logits (K) of one clip in a workspace made for the call.
    [[nodiscard]] dynamic_tensor<float, 1> operator()(view<float const, 4> clip) const {
        dynamic_tensor<float, 1> logits{config_.classes()};
        vit_workspace workspace = make_workspace();
        forward(clip, workspace, {logits.data(), logits.size()});
        return logits;
    }

private:
    template <class Read>
    vit_engine(vit_weights<Adapters> weights, Read& read, engine_options const& options)
        : vit_engine{weights, options, [](stored_tensor& tensor) { tensor = stored_tensor{}; },
                     [&](std::size_t part) {
                         for_each_tensor_of_part(weights, part, [&read](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { read(name, tensor); });
                     }} {}

    /// fill(i) is called before block i is read, fill(number of blocks) before all that stands around them.
    template <vit_weights_type Weights, class Release, class Fill>
    vit_engine(Weights& weights, engine_options const& options, Release release, Fill fill)
        : config_{weights.config}, kernels_{options.kernels != nullptr ? options.kernels : &default_kernels<>()}, dtype_{options.dtype},
          threads_{std::max<std::size_t>(options.threads, 1)} {
        if (kernels_->matmul(dtype_) == nullptr)
            throw device_error{error_code::unsupported_dtype, "dtype: " + std::string{dtype_name(dtype_)} + " found; the processor's kernels have F32, BF16 and I8"};
        if constexpr (Adapters::present)
            if (!config_.adapter_scale())
                throw model_error{error_code::bad_config, "adapter_scale: not stated, needed while adapters are present"};
        fill(weights.blocks.size());
        patch_ = packed_matrix{*kernels_, zeroi2v::dtype::f32, weights.conv1};
        head_ = packed_matrix{*kernels_, zeroi2v::dtype::f32, weights.fc_cls.weight, &weights.fc_cls.bias};
        class_embedding_ = widened(weights.class_embedding);
        positional_ = widened(weights.positional_embedding);
        temporal_ = widened(weights.temporal_embedding);
        ln_pre_ = detail::packed_layer_norm{weights.ln_pre};
        ln_post_ = detail::packed_layer_norm{weights.ln_post};
        packing_options const packing{kernels_, dtype_, config_.adapter_scale()};
        blocks_.reserve(weights.blocks.size());
        for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
            fill(i);
            if constexpr (Adapters::present) blocks_.emplace_back(weights.blocks[i], weights.adapters.blocks[i], i + 1 == weights.blocks.size(), packing, release);
            else blocks_.emplace_back(weights.blocks[i], weights.adapters, i + 1 == weights.blocks.size(), packing, release);
        }
        sources_ = row_bases(config_.map(), config_.frames());
    }

    [[nodiscard]] static std::vector<float> widened(stored_tensor const& tensor) {
        std::vector<float> values(tensor.count());
        tensor.widen(0, values);
        return values;
    }

    [[nodiscard]] static view<float const, 5> as_batch(view<float const, 4> clip) noexcept {
        return view<float const, 5>{clip.data(), 1, clip.extent(0), clip.extent(1), clip.extent(2), clip.extent(3)};
    }

    void require_clip(view<float const, 4> clip) const {
        ZEROI2V_REQUIRE(clip.extent(0) == config_.frames() && clip.extent(1) == 3 && clip.extent(2) == config_.image_size()
                            && clip.extent(3) == config_.image_size(),
                        "zeroi2v::vit_engine: clip must be (T,3,S,S)");
    }

    [[nodiscard]] workspace_sizes sizes_for(std::size_t clips) const {
        ZEROI2V_REQUIRE(clips > 0, "zeroi2v::vit_engine::make_workspace: at least one clip");
        std::size_t const frames = checked(clips, config_.frames());
        std::size_t const rows = checked(frames, config_.tokens());
        workspace_sizes sizes{.clips = clips,
                              .tokens = checked(rows, config_.width()),
                              .wide = std::max(checked(rows, 3 * config_.width()), checked(frames, config_.patches() * config_.patch_values())),
                              .features = checked(frames, config_.width()),
                              .rows = std::min(rows, kernels_->matmul(dtype_)->row_block),
                              .narrow = config_.width(),
                              .hidden = config_.mlp_width(),
                              .attention = kernels_->attention_scratch(config_.tokens(), config_.head_dim())};
        for (auto const& block : blocks_) {
            sizes.rank = std::max(sizes.rank, block.rank());
            if (block.adapts_parts()) sizes.adapted = config_.width();
            block.for_each_matrix([&](packed_matrix const& matrix) {
                sizes.matmul_bytes = std::max(sizes.matmul_bytes, matmul_scratch_bytes(matrix, sizes.rows));
            });
        }
        return sizes;
    }
    [[nodiscard]] static std::size_t checked(std::size_t a, std::size_t b) {
        auto const product = checked_mul(a, b);
        if (!product) throw model_error{error_code::bad_config, "workspace: the number of clips is too large"};
        return *product;
    }

    template <class Use>
    void for_each_batch(view<float const, 5> clips, vit_workspace& workspace, Use&& use) const {
        std::size_t const count = clips.extent(0);
        for (std::size_t first = 0; first < count; first += workspace.clips()) {
            std::size_t const batch = std::min(workspace.clips(), count - first);
            view<float const, 5> const part{clips.data() + first * config_.clip_values(), batch, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
            require_clip(view<float const, 4>{part.data(), part.extent(1), part.extent(2), part.extent(3), part.extent(4)});
            class_features(part, workspace);
            use(first, batch);
        }
    }

    /// workspace.features() = ln_post of the class tokens, (V*T,C).
    void class_features(view<float const, 5> clips, vit_workspace& workspace) const {
        run(clips, workspace, blocks_.size(), false);
        op_timer const timer{workspace.thread_times(), op_group::head};
        std::size_t const frame_stride = config_.tokens() * config_.width();
        ln_post_(*kernels_, workspace.tokens(), frame_stride, workspace.features(), config_.width(), clips.extent(0) * config_.frames());
    }

    /// Tokens after `layers` blocks; with all_tokens false only the class tokens of the last one are made.
    void run(view<float const, 5> clips, vit_workspace& workspace, std::size_t layers, bool all_tokens) const {
        std::size_t const batch = clips.extent(0);
        ZEROI2V_REQUIRE(batch <= workspace.clips() && workspace.sizes() == sizes_for(workspace.clips()),
                        "zeroi2v::vit_engine: the workspace was made for another model or fewer clips");
        std::size_t const frames = batch * config_.frames();
        embed(clips, workspace);
        if (layers == 0) return;
        before(blocks_.front(), workspace, frames, layers == 1 && !all_tokens);
        for (std::size_t i = 0; i < layers; ++i) {
            bool const class_only = i + 1 == layers && !all_tokens;
            attend(workspace, frames, class_only ? 1 : config_.tokens());
            if (class_only) {
                last_rows(blocks_[i], workspace, frames);
            } else {
                bool const next = i + 1 < layers;
                bool const next_class_only = next && i + 2 == layers && !all_tokens;
                between(blocks_[i], next ? &blocks_[i + 1] : nullptr, workspace, frames, next_class_only);
            }
        }
    }
    /// x[t,0] = class + position[0] + temporal[t]; x[t,1+p] = patch . conv1 + position[1+p] + temporal[t]; then ln_pre.
    void embed(view<float const, 5> clips, vit_workspace& workspace) const {
        std::size_t const frames = clips.extent(0) * config_.frames();
        std::size_t const patches = config_.patches(), width = config_.width(), values = config_.patch_values();
        op_timer const timer{workspace.thread_times(), op_group::patches};
        gather_patches(workspace.workers(), view<float const, 4>{clips.data(), frames, 3, config_.image_size(), config_.image_size()},
                       config_.patch_size(), {workspace.wide(), frames * patches, values});
        in_blocks(workspace, frames * patches, [&](index_range rows, block_scratch const&) {
            serial_executor here;
            for (std::size_t at = rows.begin; at < rows.end;) {
                std::size_t const frame = at / patches, patch = at % patches;
                std::size_t const count = std::min(rows.end - at, patches - patch);
                float const* const temporal = temporal_.data() + frame % config_.frames() * width;
                float* out = workspace.tokens() + (frame * config_.tokens() + 1 + patch) * width;
                matmul(*kernels_, here, {workspace.wide() + at * values, count, values}, patch_,
                       {activation::none, {positional_.data() + (1 + patch) * width, count, width}}, {out, count, width});
                std::size_t made = count;
                if (patch == 0) {
                    out -= width;
                    ++made;
                    for (std::size_t c = 0; c < width; ++c) out[c] = class_embedding_[c] + positional_[c];
                }
                for (std::size_t r = 0; r < made; ++r)
                    for (std::size_t c = 0; c < width; ++c) out[r * width + c] += temporal[c];
                ln_pre_(*kernels_, out, width, out, width, made);
                at += count;
            }
        });
    }

    void before(packed_vit_block<Adapters> const& block, vit_workspace& workspace, std::size_t frames, bool class_only) const {
        in_blocks(workspace, frames * config_.tokens(), [&](index_range rows, block_scratch const& scratch) {
            before_rows(block, workspace, rows, scratch, class_only);
        });
    }

    void before_rows(packed_vit_block<Adapters> const& block, vit_workspace& workspace, index_range rows, block_scratch const& scratch, bool class_only) const noexcept {
        std::size_t const width = config_.width(), tokens = config_.tokens();
        block.before_attention(workspace.tokens() + rows.begin * width, workspace.wide() + rows.begin * 3 * width, rows.size(), !class_only, scratch);
        if (!class_only) return;
        std::size_t const first = (rows.begin + tokens - 1) / tokens, last = (rows.end + tokens - 1) / tokens;
        if (first < last)
            block.queries_only(workspace.tokens() + first * tokens * width, tokens * width, workspace.wide() + first * tokens * 3 * width,
                               tokens * 3 * width, last - first, scratch);
    }

    void attend(vit_workspace& workspace, std::size_t frames, std::size_t queries) const {
        op_timer const timer{workspace.thread_times(), op_group::attention};
        std::size_t const width = config_.width(), tokens = config_.tokens(), heads = config_.heads(), clip = config_.frames();
        float* const qkv = workspace.wide();
        auto const rows = [&]<class T>(T* first) { return token_rows<T>{first, tokens * 3 * width, 3 * width, config_.head_dim()}; };
        auto const read = [&](std::size_t first) { return rows(static_cast<float const*>(qkv + first)); };
        attention(*kernels_, workspace.workers(), {frames, queries, tokens, heads, config_.head_dim()}, read(0), read(width), read(2 * width), rows(qkv),
                  [&](std::size_t head, std::size_t frame) { return frame / clip * clip + sources_[frame % clip * heads + head]; },
                  workspace.attention_scratch());
    }

    /// The rest of one block and the beginning of the next, row block by row block, while the rows are in the cache. A row's q, k, v
    /// come where attention's result for it was.
    void between(packed_vit_block<Adapters> const& block, packed_vit_block<Adapters> const* next, vit_workspace& workspace, std::size_t frames, bool next_class_only) const {
        std::size_t const width = config_.width();
        in_blocks(workspace, frames * config_.tokens(), [&](index_range rows, block_scratch const& scratch) {
            block.after_attention(workspace.tokens() + rows.begin * width, width, workspace.wide() + rows.begin * 3 * width, 3 * width, rows.size(), scratch);
            if (next != nullptr) before_rows(*next, workspace, rows, scratch, next_class_only);
        });
    }

    void last_rows(packed_vit_block<Adapters> const& block, vit_workspace& workspace, std::size_t frames) const {
        std::size_t const stride = config_.tokens() * config_.width();
        in_blocks(workspace, frames, [&](index_range rows, block_scratch const& scratch) {
            block.after_attention(workspace.tokens() + rows.begin * stride, stride, workspace.wide() + rows.begin * 3 * stride, 3 * stride, rows.size(), scratch);
        });
    }

    /// work(some rows, a thread's scratch) until all of `rows` are done.
    template <class Work>
    void in_blocks(vit_workspace& workspace, std::size_t rows, Work&& work) const {
        std::size_t const parts = workspace.threads();
        dealt_blocks blocks{rows, parts, workspace.scratch(0).rows, kernels_->matmul(dtype_)->row_tile};
        workspace.workers().run(static_cast<int>(parts), [&](int number) {
            auto const part = static_cast<std::size_t>(number);
            for (index_range some = blocks.take(part); !some.empty(); some = blocks.take(part)) work(some, workspace.scratch(part));
        });
    }

    /// logits = fc_cls(mean over T of the features).
    void head(vit_workspace& workspace, std::size_t batch, float* logits) const {
        op_timer const timer{workspace.thread_times(), op_group::head};
        std::size_t const frames = config_.frames(), width = config_.width();
        float* const mean = workspace.wide(); // free by now
        for (std::size_t clip = 0; clip < batch; ++clip)
            for (std::size_t c = 0; c < width; ++c) {
                double sum = 0;
                for (std::size_t t = 0; t < frames; ++t) sum += static_cast<double>(workspace.features()[(clip * frames + t) * width + c]);
                mean[clip * width + c] = static_cast<float>(sum / static_cast<double>(frames));
            }
        matmul(*kernels_, workspace.workers(), {mean, batch, width}, head_, {}, {logits, batch, config_.classes()});
    }

    vit_config config_;
    kernel_table const* kernels_;
    zeroi2v::dtype dtype_;
    std::size_t threads_;
    packed_matrix patch_, head_;
    std::vector<float> class_embedding_, positional_, temporal_;
    detail::packed_layer_norm ln_pre_, ln_post_;
    std::vector<packed_vit_block<Adapters>> blocks_;
    std::vector<std::size_t> sources_; // (T,H)
};

template <class Adapters>
vit_engine(vit_weights<Adapters> const&, engine_options) -> vit_engine<Adapters>;
template <class Adapters>
vit_engine(vit_weights<Adapters> const&) -> vit_engine<Adapters>;

} // namespace zeroi2v
