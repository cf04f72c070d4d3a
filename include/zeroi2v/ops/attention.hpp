// attention: every head of every frame reads its keys and values from the frame that the caller names.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/shared_elements.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace zeroi2v {

/// The sizes of one attention: `queries` and `keys` are tokens per frame (equal, but for a layer of which only CLS is used).
struct attention_shape {
    std::size_t frames{};
    std::size_t queries{};
    std::size_t keys{};
    std::size_t heads{};
    std::size_t head_dim{};
};

/// Rows of tokens: element d of head h of token n of frame t is data[t*frame_stride + n*token_stride + h*head_stride + d].
/// Read from a qkv product (T,N,3C): {qkv + C, N*3C, 3C, D} are the keys.
template <class T>
struct token_rows {
    T* data{};
    std::size_t frame_stride{};
    std::size_t token_stride{};
    std::size_t head_stride{};

    [[nodiscard]] constexpr T* head(std::size_t frame, std::size_t head) const noexcept {
        return data + frame * frame_stride + head * head_stride;
    }
};

namespace detail {

/// All elements of (frames, tokens, H, D).
template <class T>
[[nodiscard]] constexpr strided_elements<std::remove_const_t<T>, 4> elements_of(token_rows<T> const& rows, attention_shape const& shape, std::size_t tokens) noexcept {
    return {rows.data, {{{rows.frame_stride, shape.frames}, {rows.token_stride, tokens}, {rows.head_stride, shape.heads}, {1, shape.head_dim}}}};
}

} // namespace detail

/// Gives the frame whose keys and values head h of frame t reads.
template <class Source>
concept frame_source = requires(Source const& source, std::size_t head, std::size_t frame) {
    { source(head, frame) } -> std::convertible_to<std::size_t>;
};

/// Floats of scratch for `concurrency` threads.
[[nodiscard]] inline std::size_t attention_scratch_floats(kernel_table const& kernels, attention_shape const& shape,
                                                          int concurrency) noexcept {
    return kernels.attention_scratch(shape.keys, shape.head_dim) * static_cast<std::size_t>(concurrency < 1 ? 1 : concurrency);
}

/// Attention in which head h of frame t reads the keys and values of frame s = source(h, t).
///
///   y[t,n,h,:] = softmax(q[t,n,h,:] . k[s,:,h,:]^T / sqrt(D)) v[s,:,h,:]
///
/// Shapes    q, y (T,queries,H,D), k, v (T,keys,H,D), any strides between frames, tokens and heads.
/// Aliasing  y may be q, with the same strides, and shares no element with k or v. Parts of one product (T,N,3C) share none.
/// Numerics  float accumulation, max-subtracted exp (at most 2 ulp); keys beyond 512 in blocks with running maximum and sum.
///           The same bits for every executor and for every source that names the same frames.
/// Errors    source(h, t) >= frames, scratch too small, another aliasing -> ZEROI2V_REQUIRE.
/// Cost      4 T queries keys H D flops, no allocation; equal for every source. `scratch`: attention_scratch_floats(kernels,
///           shape, workers.concurrency()), aligned to 64.
/// Source    ZeroI2V (MCG-NJU), section STDHA.     Test  tests/unit/ops/attention.cpp
template <frame_source Source>
void attention(kernel_table const& kernels, executor& workers, attention_shape const& shape, token_rows<float const> q,
               token_rows<float const> k, token_rows<float const> v, token_rows<float> y, Source const& source,
               std::span<float> scratch) {
    auto const parts = static_cast<std::size_t>(workers.concurrency());
    std::size_t const per_part = kernels.attention_scratch(shape.keys, shape.head_dim);
    ZEROI2V_REQUIRE(scratch.size() >= per_part * parts, "zeroi2v::attention: scratch is too small");
    ZEROI2V_REQUIRE(reinterpret_cast<std::uintptr_t>(scratch.data()) % 64 == 0, "zeroi2v::attention: scratch must be aligned to 64");
    auto const result = detail::elements_of(y, shape, shape.queries);
    auto const queries = detail::elements_of(q, shape, shape.queries);
    ZEROI2V_REQUIRE(result == queries || !share_elements(result, queries), "zeroi2v::attention: y must be q, or share no element with it");
    ZEROI2V_REQUIRE(!share_elements(result, detail::elements_of(k, shape, shape.keys)), "zeroi2v::attention: y must share no element with k");
    ZEROI2V_REQUIRE(!share_elements(result, detail::elements_of(v, shape, shape.keys)), "zeroi2v::attention: y must share no element with v");
    float const scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
    std::size_t const units = shape.frames * shape.heads;
    if (units == 0 || shape.queries == 0 || shape.head_dim == 0) return;
    dealt_blocks blocks{units, parts, 1};
    workers.run(static_cast<int>(parts), [&](int number) {
        auto const part = static_cast<std::size_t>(number);
        auto const call_of = [&](std::size_t unit) {
            std::size_t const frame = unit / shape.heads;
            std::size_t const head = unit % shape.heads;
            auto const from = static_cast<std::size_t>(source(head, frame));
            ZEROI2V_REQUIRE(from < shape.frames, "zeroi2v::attention: source must name a frame of the clip");
            return attention_args{.q = q.head(frame, head), .q_stride = q.token_stride,
                                  .k = k.head(from, head), .k_stride = k.token_stride,
                                  .v = v.head(from, head), .v_stride = v.token_stride,
                                  .y = y.head(frame, head), .y_stride = y.token_stride,
                                  .queries = shape.queries, .keys = shape.keys, .dim = shape.head_dim, .scale = scale,
                                  .scratch = scratch.data() + part * per_part};
        };
        index_range unit = blocks.take(part);
        if (unit.empty()) return;
        for (attention_args next = call_of(unit.begin); !unit.empty();) {
            attention_args call = next;
            unit = blocks.take(part);
            if (!unit.empty()) {
                next = call_of(unit.begin);
                call.next_q = next.q;
                call.next_k = next.k;
                call.next_v = next.v;
            }
            kernels.attention(call);
        }
    });
}

/// The same with the kernels of the compiler's flags, on the calling thread; allocates its scratch.
template <frame_source Source, class Arch = default_arch>
void attention(attention_shape const& shape, token_rows<float const> q, token_rows<float const> k, token_rows<float const> v,
               token_rows<float> y, Source const& source) {
    serial_executor workers;
    std::size_t const count = attention_scratch_floats(default_kernels<Arch>(), shape, 1);
    aligned_buffer scratch{count * sizeof(float)};
    attention(default_kernels<Arch>(), workers, shape, q, k, v, y, source, {reinterpret_cast<float*>(scratch.data()), count});
}

} // namespace zeroi2v
