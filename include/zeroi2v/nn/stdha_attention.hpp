// stdha_attention: attention on the user's own arrays in which each head reads the frame that a frame map names.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/extents.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace zeroi2v {

namespace detail {

template <class T>
inline constexpr bool is_rank_4_of_float =
    tensor_like<T> && std::remove_cvref_t<T>::rank() == 4
    && std::same_as<typename std::remove_cvref_t<T>::value_type, float>;

// Sizes known in both types differ.
template <class A, class B>
[[nodiscard]] consteval bool static_sizes_differ() {
    using a = typename std::remove_cvref_t<A>::extents_t;
    using b = typename std::remove_cvref_t<B>::extents_t;
    for (std::size_t r = 0; r < a::rank() && r < b::rank(); ++r)
        if (a::static_extent(r) != dynamic && b::static_extent(r) != dynamic
            && a::static_extent(r) != b::static_extent(r))
            return true;
    return false;
}

template <class A, class B>
[[nodiscard]] constexpr bool same_sizes(A const& a, B const& b) noexcept {
    for (std::size_t r = 0; r < 4; ++r)
        if (a.extent(r) != b.extent(r)) return false;
    return true;
}

// (T,N,H,D) with any strides as the kernels' rows of tokens.
template <class Element, class Array>
[[nodiscard]] token_rows<Element> rows_of(Array& array) {
    std::array<std::size_t, 4> strides{};
    if constexpr (requires { array.stride(std::size_t{}); }) {
        for (std::size_t r = 0; r < 4; ++r) strides[r] = array.stride(r);
    } else {
        strides[3] = 1;
        for (std::size_t r = 3; r-- > 0;) strides[r] = strides[r + 1] * array.extent(r + 1);
    }
    ZEROI2V_REQUIRE(strides[3] == 1 || array.extent(3) <= 1,
                    "zeroi2v::stdha_attention: elements of a head must be contiguous");
    return {array.data(), strides[0], strides[1], strides[2]};
}

template <class Map, class Q, class K, class V, class Y>
void stdha_attention_on(kernel_table const& kernels, executor& workers, Map const& map, Q const& q, K const& k,
                        V const& v, Y& y) {
    static_assert(is_rank_4_of_float<Q> && is_rank_4_of_float<K> && is_rank_4_of_float<V> && is_rank_4_of_float<Y>,
                  "zeroi2v::stdha_attention: q, k, v and y must be arrays of float with four dimensions (T,N,H,D)");
    static_assert(!static_sizes_differ<Q, K>() && !static_sizes_differ<Q, V>() && !static_sizes_differ<Q, Y>(),
                  "zeroi2v::stdha_attention: q, k, v and y must have the same shape");
    constexpr std::size_t static_heads = Q::extents_t::static_extent(2);
    static_assert(Map::static_heads == dynamic || static_heads == dynamic || Map::static_heads == static_heads,
                  "zeroi2v::stdha_attention: Map must give one frame offset per head");
    ZEROI2V_REQUIRE(same_sizes(q, k) && same_sizes(q, v) && same_sizes(q, y),
                    "zeroi2v::stdha_attention: q, k, v and y must have the same shape");
    ZEROI2V_REQUIRE(map.heads() == q.extent(2), "zeroi2v::stdha_attention: Map must give one frame offset per head");

    std::size_t const frames = q.extent(0);
    attention_shape const sizes{.frames = frames, .queries = q.extent(1), .keys = q.extent(1), .heads = q.extent(2),
                                .head_dim = q.extent(3)};
    std::size_t const floats = attention_scratch_floats(kernels, sizes, workers.concurrency());
    aligned_buffer scratch{floats * sizeof(float)};
    auto const source = [&map, frames](std::size_t head, std::size_t frame) { return map.source(head, frame, frames); };
    attention(kernels, workers, sizes, rows_of<float const>(q), rows_of<float const>(k), rows_of<float const>(v),
              rows_of<float>(y), source,
              {reinterpret_cast<float*>(scratch.data()), floats});
}

} // namespace detail

/// Attention in which head h of frame t reads the keys and values of frame Map.source(h, t, T).
///
///   y[t,n,h,:] = softmax(q[t,n,h,:] . k[s,:,h,:]^T / sqrt(D)) v[s,:,h,:],   s = Map.source(h, t, T)
///
/// Shapes    q, k, v, y: (T,N,H,D) of float, owners or views, any strides between frames, tokens and heads.
/// Aliasing  y may be q, with the same strides, and shares no element with k or v; views of one fused product (T,N,3C) share none.
/// Numerics  bitwise equal to attention on explicitly shifted copies of k and v, none of which is made here; see
///           <zeroi2v/ops/attention.hpp>. The same bits for every executor.
/// Errors    static shapes that differ, a map of another number of heads: no compilation; otherwise, and for another aliasing,
///           ZEROI2V_REQUIRE.
/// Cost      4 T N N C flops, equal for every Map; scratch for one frame and head per thread.
/// Source    ZeroI2V, section STDHA.      Test  tests/unit/nn/stdha_attention.cpp
template <frame_map Map, class Q, class K, class V, class Y, class Arch = default_arch>
void stdha_attention(Q const& q, K const& k, V const& v, Y&& y) {
    static_assert(Map.is_valid(), "zeroi2v::stdha_attention: Map must hold offsets within -32767..32767");
    serial_executor workers;
    detail::stdha_attention_on(default_kernels<Arch>(), workers, Map, q, k, v, y);
}

/// The same with chosen kernels and threads.
template <frame_map Map, class Q, class K, class V, class Y>
void stdha_attention(kernel_table const& kernels, executor& workers, Q const& q, K const& k, V const& v, Y&& y) {
    static_assert(Map.is_valid(), "zeroi2v::stdha_attention: Map must hold offsets within -32767..32767");
    detail::stdha_attention_on(kernels, workers, Map, q, k, v, y);
}

/// The same with a map known at run time.
template <class Q, class K, class V, class Y, std::size_t Heads, class Arch = default_arch>
void stdha_attention(Q const& q, K const& k, V const& v, Y&& y, frame_map<Heads> const& map) {
    serial_executor workers;
    detail::stdha_attention_on(default_kernels<Arch>(), workers, map, q, k, v, y);
}

/// The same with a map known at run time, chosen kernels and threads.
template <class Q, class K, class V, class Y, std::size_t Heads>
void stdha_attention(kernel_table const& kernels, executor& workers, Q const& q, K const& k, V const& v, Y&& y,
                     frame_map<Heads> const& map) {
    detail::stdha_attention_on(kernels, workers, map, q, k, v, y);
}

} // namespace zeroi2v
