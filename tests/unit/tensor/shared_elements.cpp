// share_elements: against all pairs of elements, for arrays of every kind of strides.
#include <zeroi2v/tensor/shared_elements.hpp>

#include <zeroi2v/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace zeroi2v;

namespace {

using elements = strided_elements<float, 4>;

std::vector<float const*> addresses(elements const& e) {
    std::vector<float const*> all;
    auto const& x = e.axes;
    for (std::size_t i = 0; i < x[0].count; ++i)
        for (std::size_t j = 0; j < x[1].count; ++j)
            for (std::size_t k = 0; k < x[2].count; ++k)
                for (std::size_t l = 0; l < x[3].count; ++l) all.push_back(e.data + i * x[0].stride + j * x[1].stride + k * x[2].stride + l * x[3].stride);
    std::sort(all.begin(), all.end());
    return all;
}

bool share_by_counting(elements const& a, elements const& b) {
    auto const x = addresses(a), y = addresses(b);
    return std::any_of(x.begin(), x.end(), [&](float const* at) { return std::binary_search(y.begin(), y.end(), at); });
}

} // namespace

TEST_CASE("share_elements finds what a comparison of all pairs finds") {
    std::vector<float> const memory(4096);
    counter_rng const rng{5};
    std::uint64_t drawn = 0;
    auto const below = [&](std::size_t most) { return static_cast<std::size_t>(rng.bits(drawn++)) % most; };
    auto const any = [&] { // strides that nest, in any order, some with gaps and some not nesting at all
        std::array<strided_axis, 4> axes;
        std::size_t stride = 1 + below(2);
        for (strided_axis& axis : axes) {
            axis = {stride, 1 + below(4)};
            stride = below(8) == 0 ? below(5) : stride * axis.count + below(3) * below(6);
        }
        for (std::size_t i = 3; i > 0; --i) std::swap(axes[i], axes[below(i + 1)]);
        return elements{memory.data() + below(60), axes};
    };
    std::size_t shared = 0;
    constexpr std::size_t cases = 20000;
    for (std::size_t i = 0; i < cases; ++i) {
        elements const a = any();
        elements b = any();
        if (i % 2 == 0) b.axes = a.axes; // the same strides, as parts of one product have them
        bool const want = share_by_counting(a, b);
        shared += want ? 1U : 0U;
        if (share_elements(a, b) != want || share_elements(b, a) != want) FAIL("case " << i);
    }
    CHECK(shared > cases / 10);
    CHECK(shared < cases * 9 / 10);
}

TEST_CASE("parts of one product share nothing, their neighbours and themselves all") {
    constexpr std::size_t frames = 8, tokens = 197, heads = 12, dim = 64, width = heads * dim;
    std::vector<float> const qkv(3 * width);
    auto const part = [&](std::size_t first) {
        return elements{qkv.data() + first, {{{tokens * 3 * width, frames}, {3 * width, tokens}, {dim, heads}, {1, dim}}}};
    };
    CHECK_FALSE(share_elements(part(0), part(width)));
    CHECK_FALSE(share_elements(part(0), part(2 * width)));
    CHECK_FALSE(share_elements(part(2 * width), part(width)));
    CHECK(share_elements(part(0), part(width - 1)));
    CHECK(share_elements(part(width), part(1)));
    CHECK(share_elements(part(0), part(0)));
    CHECK(part(0) == part(0));
    CHECK_FALSE(part(0) == part(1));

    elements const one{qkv.data(), {{{0, 1}, {0, 1}, {0, 1}, {1, 1}}}};
    elements const other_strides{qkv.data(), {{{99, 1}, {98, 1}, {97, 1}, {96, 1}}}};
    CHECK(one == other_strides); // strides of a single element say nothing
    CHECK(share_elements(one, other_strides));
    elements const none{qkv.data(), {{{1, 1}, {1, 0}, {1, 1}, {1, 1}}}};
    CHECK(none.empty());
    CHECK_FALSE(one.empty());
    CHECK_FALSE(share_elements(none, none));
    CHECK_FALSE(share_elements(one, none));
    elements const nothing_at_one{qkv.data(), {{{0, 0}, {0, 1}, {0, 1}, {1, 5}}}};
    CHECK_FALSE(share_elements(one, nothing_at_one));
    CHECK_FALSE(share_elements(nothing_at_one, one));
    elements const longer{qkv.data(), {{{0, 1}, {0, 1}, {0, 1}, {1, 2}}}};
    CHECK_FALSE(one == longer);
    elements const spread{qkv.data(), {{{0, 1}, {0, 1}, {0, 1}, {2, 2}}}};
    CHECK_FALSE(longer == spread);
}
