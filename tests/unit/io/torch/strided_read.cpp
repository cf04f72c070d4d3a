#include <zeroi2v/io/torch/strided_read.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

using namespace zeroi2v;

namespace {

/// A flat array in place of a file: counts what is fetched and refuses what lies outside.
struct source {
    std::vector<std::byte> bytes;
    std::uint64_t fetched{};
    std::size_t largest{};
    bool outside{};

    explicit source(std::size_t size) : bytes(size) {
        std::mt19937 random{3};
        for (auto& b : bytes) b = static_cast<std::byte>(random() & 255U);
    }
    void operator()(std::uint64_t first, std::span<std::byte> out) {
        if (first > bytes.size() || out.size() > bytes.size() - first) {
            outside = true;
            return;
        }
        fetched += out.size();
        largest = std::max(largest, out.size());
        std::memcpy(out.data(), bytes.data() + first, out.size());
    }
};

/// Element by element, from the definition.
std::vector<std::byte> expected(source const& from, strided_layout const& layout, std::size_t element_size) {
    std::vector<std::byte> result;
    std::vector<std::uint64_t> index(layout.sizes.rank(), 0);
    for (std::size_t n = layout.sizes.count(); n > 0; --n) {
        std::uint64_t at = layout.offset;
        for (std::size_t r = 0; r < index.size(); ++r) at += index[r] * layout.strides[r];
        for (std::size_t b = 0; b < element_size; ++b)
            result.push_back(from.bytes[static_cast<std::size_t>(at) * element_size + b]);
        for (std::size_t r = index.size(); r-- > 0;) {
            if (++index[r] < layout.sizes[r]) break;
            index[r] = 0;
        }
    }
    return result;
}

strided_layout layout_of(shape sizes, std::vector<std::uint64_t> const& strides, std::uint64_t offset) {
    strided_layout layout{sizes, {}, offset};
    std::ranges::copy(strides, layout.strides.begin());
    return layout;
}

source check(strided_layout const& layout, std::size_t element_size, std::size_t piece, std::size_t elements) {
    source from{elements * element_size};
    std::vector<std::byte> out(layout.sizes.count() * element_size, std::byte{0xEE});
    read_strided(layout, element_size, out, from, piece);
    CHECK_FALSE(from.outside);
    CHECK(out == expected(from, layout, element_size));
    return from;
}

} // namespace

TEST_CASE("strided_layout knows what is contiguous") {
    CHECK(layout_of({}, {}, 5).contiguous());
    CHECK(layout_of({4}, {1}, 0).contiguous());
    CHECK_FALSE(layout_of({4}, {2}, 0).contiguous());
    CHECK(layout_of({1}, {7}, 0).contiguous());
    CHECK(layout_of({2, 3}, {3, 1}, 1).contiguous());
    CHECK_FALSE(layout_of({2, 3}, {1, 2}, 0).contiguous());
    CHECK_FALSE(layout_of({2, 3}, {4, 1}, 0).contiguous());
    CHECK(layout_of({2, 1, 3}, {3, 99, 1}, 0).contiguous());
    CHECK(layout_of({2, 0, 3}, {9, 9, 9}, 0).contiguous());
    CHECK_FALSE(layout_of({2, 2}, {0, 1}, 0).contiguous());
}

TEST_CASE("read_strided: transposed, sliced, stepped, expanded and overlapping views, in pieces of every size") {
    for (std::size_t const element_size : {1U, 2U, 4U, 8U})
        for (std::size_t const piece : {1U, 2U, 3U, 7U, 8U, 16U, 64U, 100U, 1U << 20U}) {
            check(layout_of({}, {}, 11), element_size, piece, 12);                      // a scalar
            check(layout_of({0, 3}, {3, 1}, 0), element_size, piece, 1);                // nothing
            check(layout_of({5, 7}, {7, 1}, 2), element_size, piece, 37);               // contiguous
            check(layout_of({7, 5}, {1, 7}, 0), element_size, piece, 35);               // transposed
            check(layout_of({5, 3}, {7, 2}, 1), element_size, piece, 35);               // stepped
            check(layout_of({4, 5}, {0, 1}, 3), element_size, piece, 8);                // expanded in front
            check(layout_of({5, 4}, {1, 0}, 0), element_size, piece, 5);                // expanded behind
            check(layout_of({3, 3}, {0, 0}, 1), element_size, piece, 2);                // one element
            check(layout_of({9, 4}, {2, 1}, 0), element_size, piece, 20);               // windows
            check(layout_of({2, 3, 4, 5}, {1, 2, 30, 6}, 0), element_size, piece, 120); // permuted
            check(layout_of({2, 1, 2, 1, 2, 1, 2, 1}, {8, 5, 4, 5, 2, 5, 1, 5}, 0), element_size, piece, 16);
            check(layout_of({2, 2, 2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32, 64, 128}, 0), element_size, piece, 256);
        }
}

TEST_CASE("read_strided: 3000 random layouts equal the definition") {
    std::mt19937 random{4};
    auto const below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
    for (int i = 0; i < 3000; ++i) {
        std::array<std::size_t, shape::max_rank> sizes{};
        strided_layout layout;
        std::size_t const rank = below(6);
        layout.offset = below(9);
        std::uint64_t last = layout.offset;
        for (std::size_t r = 0; r < rank; ++r) {
            sizes[r] = 1 + below(5);
            layout.strides[r] = below(40);
            last += (sizes[r] - 1) * layout.strides[r];
        }
        layout.sizes = shape{std::span<std::size_t const>{sizes}.first(rank)};
        check(layout, std::size_t{1} << below(4), 1 + below(200), static_cast<std::size_t>(last) + 1);
    }
}

TEST_CASE("read_strided reads a permuted tensor forwards once, in pieces") {
    auto const transposed = check(layout_of({300, 200}, {1, 300}, 0), 4, 4096, 60'000);
    CHECK(transposed.fetched == 240'000);
    CHECK(transposed.largest <= 4096);
    auto const column = check(layout_of({100}, {1000}, 5), 4, 1 << 20, 100'000); // one column of a matrix
    CHECK(column.fetched <= 400'000);
    auto const far = check(layout_of({100}, {1000}, 5), 4, 256, 100'000); // far apart: one element at a time
    CHECK(far.fetched == 400);
    auto const expanded = check(layout_of({1000, 10}, {0, 1}, 0), 4, 4096, 10);
    CHECK(expanded.fetched == 40);
}
