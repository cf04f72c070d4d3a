// forward_pass: the kernels and products of one forward in their order, for whatever machine launches them.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/cuda/device_weights.hpp>
#include <zeroi2v/cuda/frame_offsets.hpp>
#include <zeroi2v/cuda/kernel_choice.hpp>
#include <zeroi2v/cuda/kernels/activation.hpp>
#include <zeroi2v/cuda/kernels/attention.hpp>
#include <zeroi2v/cuda/kernels/attention_f32.hpp>
#include <zeroi2v/cuda/kernels/attention_mma.hpp>
#include <zeroi2v/cuda/kernels/head.hpp>
#include <zeroi2v/cuda/kernels/patches.hpp>
#include <zeroi2v/cuda/kernels/rows.hpp>
#include <zeroi2v/cuda/product_shape.hpp>
#include <zeroi2v/cuda/workspace_layout.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace zeroi2v::detail {

/// Attention's kernel for a type and a head size.
template <class E, int D, class Source>
struct attention_kernel_for {
    using type = cuda_kernels::attention_mma<E, D, Source>;
};
template <int D, class Source>
struct attention_kernel_for<float, D, Source> {
    using type = cuda_kernels::attention_f32<D, Source>;
};

/// Launches attention on `queue`; see attention_mma, attention_f32.
/// Errors  head_dim over 128 -> device_error unsupported_device.
template <class E, cuda_kernels::offset_source Source, class Queue>
void launch_attention(Queue& queue, cuda_kernels::attention_arguments<E, Source> const& a) {
    if (a.frames == 0 || a.queries == 0) return;
    with_attention_dim<E>(static_cast<std::size_t>(a.dim), [&]<int D>(constant<D>) {
        using kernel = typename attention_kernel_for<E, D, Source>::type;
        queue.template launch<kernel>(kernel::blocks(a.frames, a.heads, a.queries), kernel::threads(a.queries), kernel::shared_bytes, a);
    });
}

/// One forward, on a queue that has
///   launch<Kernel>(blocks, threads, shared_bytes, arguments)   and   product(shape, operands)
///
/// The order of operations is that of vit_engine: residual + layer norm in one kernel, the activation in another, of the last block only
/// the class tokens' queries, projection and MLP.
/// Test  tests/unit/cuda/engine.cpp
template <cuda_kernels::element E, class Adapters, class Queue>
class forward_pass {
public:
    forward_pass(vit_config const& config, device_weights<Adapters> const& weights, cuda_kernels::offset_table const& map, workspace_layout const& layout,
                 std::byte* memory, Queue& queue)
        : config_{config}, weights_{weights}, map_{map}, layout_{layout}, memory_{memory}, queue_{queue} {}

    /// Patches of `count` frames of floats (count,3,S,S) on the device, to those of frame `target` of the batch and the next ones.
    void gather(float const* frames, std::size_t count, std::size_t target) {
        using kernel = cuda_kernels::gather_patches<E>;
        queue_.template launch<kernel>(cuda_kernels::patch_blocks(count * config_.patches(), patch_row()), cuda_kernels::patch_threads, 0,
                                       {.frames = frames, .rows = patches() + target * config_.patches() * patch_row(), .count = count,
                                        .row_elements = static_cast<int>(patch_row()), .grid = grid()});
    }

    /// Patches of decoded frames; `a` without rows, row_elements and grid.
    void gather(typename cuda_kernels::gather_pixels<E>::arguments a) {
        a.rows = patches();
        a.row_elements = static_cast<int>(patch_row());
        a.grid = grid();
        queue_.template launch<cuda_kernels::gather_pixels<E>>(cuda_kernels::patch_blocks(a.count * config_.patches(), patch_row()),
                                                               cuda_kernels::patch_threads, 0, a);
    }

    /// Features and logits of `clips` clips, whose patches are gathered.
    void run(std::size_t clips) {
        clips_ = clips;
        frames_ = clips * config_.frames();
        rows_ = frames_ * config_.tokens();
        embed();
        norm(tokens(), width(), nullptr, narrow(), width(), weights_.blocks.front().ln_1, rows_);
        for (std::size_t i = 0; i < weights_.blocks.size(); ++i)
            block(weights_.blocks[i], i + 1 < weights_.blocks.size() ? &weights_.blocks[i + 1] : nullptr);
        classify();
    }

private:
    using block_weights = device_vit_block<Adapters>;

    template <class T>
    [[nodiscard]] T* at(device_region const& region) const noexcept { return reinterpret_cast<T*>(memory_ + region.offset); }
    [[nodiscard]] float* tokens() const noexcept { return at<float>(layout_.tokens); }
    [[nodiscard]] E* narrow() const noexcept { return at<E>(layout_.narrow); }
    [[nodiscard]] E* qkv() const noexcept { return at<E>(layout_.wide); }
    [[nodiscard]] E* delta() const noexcept { return at<E>(layout_.wide); } // q, k, v are used up when it is written
    [[nodiscard]] E* hidden() const noexcept { return at<E>(layout_.hidden); }
    [[nodiscard]] E* patches() const noexcept { return at<E>(layout_.hidden); }
    [[nodiscard]] std::size_t width() const noexcept { return config_.width(); }
    [[nodiscard]] std::size_t patch_row() const noexcept { return padded_patch_values(config_.patch_values()); }
    [[nodiscard]] std::size_t frame_stride() const noexcept { return config_.tokens() * width(); }
    [[nodiscard]] cuda_kernels::patch_grid grid() const noexcept {
        return {static_cast<int>(config_.image_size()), static_cast<int>(config_.patch_size())};
    }

    /// d = layer(a), a and d with rows of strides lda and ldd; `add` (stride ldc) is added where there is one.
    template <class Out>
    void product(device_linear const& layer, E const* a, std::size_t lda, Out* d, std::size_t ldd, std::size_t rows, Out const* add = nullptr, std::size_t ldc = 0) {
        product_shape const shape{rows, layer.outputs, layer.inputs, lda, ldc == 0 ? ldd : ldc, ldd, dtype_of<E>, dtype_of<Out>, layer.bias != nullptr, add != nullptr};
        queue_.product(shape, {a, layer.weight, layer.bias, add, d});
    }

    /// to = A(from); to may be from where the strides are equal.
    void adapt(device_adapter const& adapter, E const* from, std::size_t from_stride, E* to, std::size_t to_stride, std::size_t rows) {
        E* const rank = at<E>(layout_.rank);
        product(adapter.down, from, from_stride, rank, adapter.down.outputs, rows);
        product(adapter.up, rank, adapter.up.inputs, to, to_stride, rows, from, from_stride);
    }
    /// x = A(x) of `stride` values a row, where the block has an adapter on that side of the Linear.
    void adapt_in_place(block_weights const& b, block_linear linear, adapter_side side, E* x, std::size_t stride, std::size_t rows) {
        if constexpr (Adapters::present)
            if (device_adapter const* const adapter = b.adapters.find(linear, side); adapter != nullptr) adapt(*adapter, x, stride, x, stride, rows);
    }

    void activate(E* x, std::size_t count) {
        with_activation(weights_.act, [&]<activation A>(std::integral_constant<activation, A>) {
            using kernel = cuda_kernels::activate_in_place<E, A>;
            queue_.template launch<kernel>(kernel::blocks(count), kernel::threads, 0, {.x = x, .count = count});
        });
    }

    /// x += delta (rows without gaps, or null); y = layer(x).
    template <class Out>
    void norm(float* x, std::size_t x_stride, E const* delta, Out* y, std::size_t y_stride, device_norm const& layer, std::size_t rows) {
        with_row_shape(width(), [&]<int Width, int Groups>(constant<Width>, constant<Groups>) {
            using kernel = cuda_kernels::add_norm<E, Out, Width, Groups>;
            queue_.template launch<kernel>(cuda_kernels::row_blocks(rows), cuda_kernels::row_threads, 0,
                                           {.x = x, .x_stride = x_stride, .delta = delta, .delta_stride = width(), .y = y, .y_stride = y_stride,
                                            .weight = layer.weight, .bias = layer.bias, .rows = rows, .columns = static_cast<int>(width()),
                                            .epsilon = config_.norm_epsilon()});
        });
    }

    void embed() {
        float* const products = at<float>(layout_.wide);
        product(weights_.conv1, patches(), patch_row(), products, width(), frames_ * config_.patches());
        with_row_shape(width(), [&]<int Width, int Groups>(constant<Width>, constant<Groups>) {
            using kernel = cuda_kernels::embed<Width, Groups>;
            queue_.template launch<kernel>(cuda_kernels::row_blocks(rows_), cuda_kernels::row_threads, 0,
                                           {.patches = products, .class_embedding = weights_.class_embedding, .position = weights_.positional,
                                            .time = weights_.temporal, .weight = weights_.ln_pre.weight, .bias = weights_.ln_pre.bias, .x = tokens(),
                                            .rows = rows_, .tokens = static_cast<int>(config_.tokens()), .clip_frames = static_cast<int>(config_.frames()),
                                            .columns = static_cast<int>(width()), .epsilon = config_.norm_epsilon()});
        });
    }

    /// One block, given ln_1(x) in `narrow`; leaves ln_1 of the next block there, or, after the last one, ln_post in `features`.
    void block(block_weights const& b, block_weights const* next) {
        bool const last = next == nullptr;
        project(b, last);
        attend(last ? 1 : config_.tokens());
        std::size_t const rows = last ? frames_ : rows_, x_stride = last ? frame_stride() : width();
        linear(b, block_linear::out_proj, b.out_proj, narrow(), delta(), rows);
        norm(tokens(), x_stride, delta(), narrow(), width(), b.ln_2, rows);
        linear(b, block_linear::c_fc, b.c_fc, narrow(), hidden(), rows);
        activate(hidden(), rows * config_.mlp_width());
        linear(b, block_linear::c_proj, b.c_proj, hidden(), delta(), rows);
        if (last) norm(tokens(), x_stride, delta(), at<float>(layout_.features), width(), weights_.ln_post, rows);
        else norm(tokens(), x_stride, delta(), narrow(), width(), next->ln_1, rows);
    }

    /// y = after(layer(before(x))), x overwritten, of `rows` rows without gaps.
    void linear(block_weights const& b, block_linear which, device_linear const& layer, E* x, E* y, std::size_t rows) {
        adapt_in_place(b, which, adapter_side::input, x, layer.inputs, rows);
        product(layer, x, layer.inputs, y, layer.outputs, rows);
        adapt_in_place(b, which, adapter_side::output, y, layer.outputs, rows);
    }

    /// q, k, v of all tokens; of the last block q of the class tokens only.
    void project(block_weights const& b, bool last) {
        std::size_t const c = width(), q_rows = last ? frames_ : rows_, q_stride = last ? frame_stride() : c;
        if constexpr (Adapters::present) {
            E* const adapted = at<E>(layout_.adapted);
            std::size_t j = 0;
            for (adapter_site_info const& each : adapter_sites) {
                if (each.linear != block_linear::in_proj || each.rows == adapter_rows::all || !b.adapters[each.site]) continue;
                bool const queries = each.rows == adapter_rows::query;
                std::size_t const rows = queries ? q_rows : rows_, stride = queries ? q_stride : c;
                adapt(*b.adapters[each.site], narrow(), stride, adapted, c, rows);
                product(b.in_proj.part(j * c, c, sizeof(E)), adapted, c, qkv() + j * c, 3 * stride, rows);
                ++j;
            }
            if (j > 0) return;
        }
        adapt_in_place(b, block_linear::in_proj, adapter_side::input, narrow(), c, rows_);
        if (!last) return product(b.in_proj, narrow(), c, qkv(), 3 * c, rows_);
        product(b.in_proj.part(c, 2 * c, sizeof(E)), narrow(), c, qkv() + c, 3 * c, rows_);
        product(b.in_proj.part(0, c, sizeof(E)), narrow(), q_stride, qkv(), 3 * q_stride, q_rows);
    }

    /// narrow (frames * queries,C) = attention over q, k, v.
    void attend(std::size_t queries) {
        std::size_t const c = width(), stride = 3 * frame_stride(), dim = config_.head_dim();
        auto const read = [&](std::size_t first) { return cuda_kernels::device_rows<E const>{qkv() + first, stride, 3 * c, dim}; };
        launch_attention<E>(queue_, cuda_kernels::attention_arguments<E, cuda_kernels::offset_table>{
                                        .q = read(0), .k = read(c), .v = read(2 * c), .y = {narrow(), queries * c, c, dim},
                                        .frames = static_cast<int>(frames_), .clip_frames = static_cast<int>(config_.frames()),
                                        .queries = static_cast<int>(queries), .keys = static_cast<int>(config_.tokens()),
                                        .heads = static_cast<int>(config_.heads()), .dim = static_cast<int>(dim),
                                        .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim))), .source = map_});
    }

    void classify() {
        using kernel = cuda_kernels::classify_mean;
        queue_.template launch<kernel>(clips_ * kernel::blocks_per_clip(static_cast<int>(config_.classes())), kernel::threads, kernel::shared_bytes_for(width()),
                                       {.features = at<float>(layout_.features), .weight = weights_.head_weight, .bias = weights_.head_bias,
                                        .logits = at<float>(layout_.logits), .frames = static_cast<int>(config_.frames()),
                                        .columns = static_cast<int>(width()), .classes = static_cast<int>(config_.classes())});
    }

    vit_config const& config_;
    device_weights<Adapters> const& weights_;
    cuda_kernels::offset_table const& map_;
    workspace_layout const& layout_;
    std::byte* memory_;
    Queue& queue_;
    std::size_t clips_{}, frames_{}, rows_{};
};

} // namespace zeroi2v::detail
