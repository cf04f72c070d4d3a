// read_strided: elements that lie in strides in a file, brought into row-major order in memory.
#pragma once

#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace zeroi2v {

/// Where the elements of a tensor lie in a flat array: (i, j, ...) at offset + i strides[0] + j strides[1] + ...
struct strided_layout {
    shape sizes{};
    std::array<std::uint64_t, shape::max_rank> strides{};
    std::uint64_t offset{};

    /// Whether the elements lie side by side in row-major order. Strides of dimensions of size 1 do not matter.
    [[nodiscard]] bool contiguous() const noexcept {
        if (sizes.count() == 0) return true;
        std::uint64_t expected = 1;
        for (std::size_t r = sizes.rank(); r-- > 0;) {
            if (sizes[r] != 1 && strides[r] != expected) return false;
            expected *= sizes[r];
        }
        return true;
    }
};

namespace detail {

/// A dimension with a step in the file and one in memory, both in elements.
struct strided_dimension {
    std::uint64_t size{}, stride{}, step{};
};

/// Copies the elements of `dims`, at most 8 of them, slowest first.
template <std::size_t Bytes>
void scatter(std::byte const* from, std::byte* to, std::span<strided_dimension const> dims) noexcept {
    if (dims.empty()) {
        std::memcpy(to, from, Bytes);
        return;
    }
    strided_dimension const inner = dims.back();
    auto const outer = dims.first(dims.size() - 1);
    std::array<std::uint64_t, shape::max_rank + 1> index{};
    for (;;) {
        for (std::uint64_t i = 0; i < inner.size; ++i)
            std::memcpy(to + i * inner.step * Bytes, from + i * inner.stride * Bytes, Bytes);
        std::size_t d = outer.size();
        for (; d > 0; --d) {
            auto const& dim = outer[d - 1];
            if (++index[d - 1] < dim.size) {
                from += dim.stride * Bytes;
                to += dim.step * Bytes;
                break;
            }
            from -= (dim.size - 1) * dim.stride * Bytes;
            to -= (dim.size - 1) * dim.step * Bytes;
            index[d - 1] = 0;
        }
        if (d == 0) return;
    }
}

inline void scatter(std::byte const* from, std::byte* to, std::span<strided_dimension const> dims,
                    std::size_t element_size) noexcept {
    switch (element_size) {
    case 1: return scatter<1>(from, to, dims);
    case 2: return scatter<2>(from, to, dims);
    case 4: return scatter<4>(from, to, dims);
    default: return scatter<8>(from, to, dims);
    }
}

} // namespace detail

/// Fills `out` with the elements of `layout` in row-major order. `read(first_byte, bytes)` fetches from the flat array.
///
/// The dimensions are walked in the order of their strides, so the file is read forwards once, in pieces of at most
/// `piece` bytes; only what lies between the first and the last element is read.
/// Memory    one piece. A view that overlaps itself other than by stride 0 takes what it spans: it has no such order.
/// Requires  out.size() == sizes.count() * element_size (1, 2, 4 or 8); offset and strides that stay inside the array.
/// Test      tests/unit/io/torch/strided_read.cpp
template <class Read>
void read_strided(strided_layout const& layout, std::size_t element_size, std::span<std::byte> out, Read&& read,
                  std::size_t piece = std::size_t{1} << 20U) {
    if (out.empty()) return;
    if (layout.contiguous()) return read(layout.offset * element_size, out);

    std::array<detail::strided_dimension, shape::max_rank> all{};
    std::size_t rank = 0;
    std::uint64_t step = 1;
    for (std::size_t r = layout.sizes.rank(); r-- > 0;) {
        if (layout.sizes[r] != 1) all[rank++] = {layout.sizes[r], layout.strides[r], step};
        step *= layout.sizes[r];
    }
    auto const dims = std::span{all}.first(rank); // fastest in the file first
    std::ranges::stable_sort(dims, {}, &detail::strided_dimension::stride);

    // The first `whole` dimensions span `span` elements, which fit into a piece.
    std::uint64_t total = 1;
    bool overlapping = false;
    for (auto const& dim : dims) {
        overlapping = overlapping || (dim.stride != 0 && dim.stride < total);
        total += (dim.size - 1) * dim.stride;
    }
    std::uint64_t const room = overlapping ? total : std::max<std::uint64_t>(piece / element_size, 1);
    std::size_t whole = 0;
    std::uint64_t span = 1;
    while (whole < rank && span + (dims[whole].size - 1) * dims[whole].stride <= room) {
        span += (dims[whole].size - 1) * dims[whole].stride;
        ++whole;
    }
    // The next one is cut into runs, the others are walked one by one.
    bool const cut = whole < rank;
    std::uint64_t const run = cut ? std::min((room - span) / dims[whole].stride + 1, dims[whole].size) : 1;
    std::vector<std::byte> buffer(
        static_cast<std::size_t>((span + (cut ? (run - 1) * dims[whole].stride : 0)) * element_size));

    std::array<detail::strided_dimension, shape::max_rank> inner{};
    std::array<std::uint64_t, shape::max_rank> index{};
    std::size_t const inner_rank = whole + (cut ? 1 : 0);
    for (;;) {
        std::uint64_t from = layout.offset, to = 0;
        for (std::size_t d = whole; d < rank; ++d) {
            from += index[d] * dims[d].stride;
            to += index[d] * dims[d].step;
        }
        std::uint64_t const count = cut ? std::min(run, dims[whole].size - index[whole]) : 1;
        for (std::size_t d = 0; d < inner_rank; ++d) inner[inner_rank - 1 - d] = dims[d];
        if (cut) inner[0].size = count;
        auto const bytes = std::span{buffer}.first(
            static_cast<std::size_t>((span + (cut ? (count - 1) * dims[whole].stride : 0)) * element_size));
        read(from * element_size, bytes);
        detail::scatter(bytes.data(), out.data() + to * element_size, std::span{inner}.first(inner_rank), element_size);

        std::size_t d = whole;
        for (; d < rank; ++d) {
            index[d] += d == whole ? count : 1;
            if (index[d] < dims[d].size) break;
            index[d] = 0;
        }
        if (d == rank) return;
    }
}

} // namespace zeroi2v
