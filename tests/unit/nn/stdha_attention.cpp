#include <zeroi2v/nn/stdha_attention.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/random.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

using namespace zeroi2v;

namespace {

using array = dynamic_tensor<float, 4>; // (T,N,H,D)

array drawn(std::size_t t, std::size_t n, std::size_t h, std::size_t d, std::uint64_t seed) {
    array a{t, n, h, d};
    counter_rng const rng{seed};
    for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = rng.normal(i);
    return a;
}

array like(array const& a) { return array{a.extents()}; }

/// k or v with every head moved by its offset, by the official rule and by hand: the copy that the library never makes.
array shifted(array const& a, std::span<int const> offsets) {
    array moved = like(a);
    auto const frames = static_cast<std::ptrdiff_t>(a.extent(0));
    for (std::ptrdiff_t t = 0; t < frames; ++t)
        for (std::size_t n = 0; n < a.extent(1); ++n)
            for (std::size_t h = 0; h < a.extent(2); ++h) {
                std::ptrdiff_t const wanted = t + offsets[h];
                std::ptrdiff_t const source = 0 <= wanted && wanted < frames ? wanted : t;
                for (std::size_t d = 0; d < a.extent(3); ++d) moved(t, n, h, d) = a(source, n, h, d);
            }
    return moved;
}

/// Plain attention in double, from the formula.
std::vector<double> reference(array const& q, array const& k, array const& v) {
    std::size_t const frames = q.extent(0), tokens = q.extent(1), heads = q.extent(2), dim = q.extent(3);
    std::vector<double> y(q.size()), weights(tokens);
    auto const row = [&](array const& a, std::size_t t, std::size_t n, std::size_t h) {
        return a.data() + ((t * tokens + n) * heads + h) * dim;
    };
    for (std::size_t t = 0; t < frames; ++t)
        for (std::size_t h = 0; h < heads; ++h)
            for (std::size_t n = 0; n < tokens; ++n) {
                double largest = -std::numeric_limits<double>::infinity(), total = 0;
                for (std::size_t m = 0; m < tokens; ++m) {
                    double sum = 0;
                    float const* const a = row(q, t, n, h);
                    float const* const b = row(k, t, m, h);
                    for (std::size_t d = 0; d < dim; ++d) sum += double(a[d]) * double(b[d]);
                    weights[m] = sum / std::sqrt(double(dim));
                    largest = std::max(largest, weights[m]);
                }
                for (double& w : weights) total += w = std::exp(w - largest);
                double* const out = y.data() + ((t * tokens + n) * heads + h) * dim;
                for (std::size_t m = 0; m < tokens; ++m) {
                    float const* const values = row(v, t, m, h);
                    for (std::size_t d = 0; d < dim; ++d) out[d] += weights[m] * double(values[d]) / total;
                }
            }
    return y;
}

/// |y - y'| / |y'| in the 2-norm; infinity for a NaN, another length, or nothing to compare.
double relative_l2(std::span<float const> y, std::span<double const> expected) {
    if (y.size() != expected.size() || y.empty()) return std::numeric_limits<double>::infinity();
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        difference += (double(y[i]) - expected[i]) * (double(y[i]) - expected[i]);
        size += expected[i] * expected[i];
    }
    double const result = std::sqrt(difference / size);
    return std::isfinite(result) ? result : std::numeric_limits<double>::infinity();
}

bool same_bits(array const& a, array const& b) {
    return a.extents() == b.extents() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::span<float const> values(array const& a) { return {a.data(), a.size()}; }

/// Head 0 looks d away, head 1 as far the other way, head 2 half as far, the rest at their own frame.
std::vector<int> spread(std::size_t heads, int d) {
    std::vector<int> offsets(heads, 0);
    offsets[0] = d;
    if (heads > 1) offsets[1] = -d;
    if (heads > 2) offsets[2] = d / 2;
    return offsets;
}

/// One shape, all offsets: bitwise equal to plain attention on explicitly shifted k and v, and close to double.
int check_shape(std::size_t frames, std::size_t tokens, std::size_t heads, std::size_t dim, std::span<int const> all) {
    auto const q = drawn(frames, tokens, heads, dim, 1), k = drawn(frames, tokens, heads, dim, 2),
               v = drawn(frames, tokens, heads, dim, 3);
    array y = like(q), plain = like(q), unmoved = like(q);
    stdha_attention(q, k, v, unmoved, frame_map<>{heads});
    int cases = 0;
    for (int const d : all) {
        CAPTURE(frames);
        CAPTURE(tokens);
        CAPTURE(heads);
        CAPTURE(d);
        auto const offsets = spread(heads, d);
        auto const moved_k = shifted(k, offsets), moved_v = shifted(v, offsets);
        stdha_attention(q, k, v, y, frame_map<>{std::span<int const>{offsets}});
        stdha_attention(q, moved_k, moved_v, plain, frame_map<>{heads});
        REQUIRE(same_bits(y, plain));
        auto const expected = reference(q, moved_k, moved_v);
        REQUIRE(relative_l2(values(y), expected) <= 1e-6);
        // The comparison can tell a map from no map.
        if (frames > 1 && std::abs(d) < static_cast<int>(frames) && d != 0) {
            REQUIRE_FALSE(same_bits(y, unmoved));
            REQUIRE(relative_l2(values(unmoved), expected) > 1e-6);
        }
        ++cases;
    }
    return cases;
}

constexpr auto three = frame_map<3>{{.head = 0, .offset = -1}, {.head = 2, .offset = 2}};

} // namespace

TEST_CASE("the comparator sees what it must") {
    std::vector<double> const expected{1, -2, 3};
    std::vector<float> y{1, -2, 3};
    CHECK(relative_l2(y, expected) == 0);
    for (std::vector<float> const& wrong :
         {std::vector<float>{1, -2, 3.001F}, {1, 2, 3}, {-1, 2, 3}, {-2, 1, 3}, {1, -2}, {},
          {1, -2, std::numeric_limits<float>::quiet_NaN()}, {1, -2, std::numeric_limits<float>::infinity()}})
        CHECK(relative_l2(wrong, expected) > 1e-6);
    auto const a = drawn(2, 1, 1, 2, 1);
    auto b = a;
    CHECK(same_bits(a, b));
    b(1, 0, 0, 1) = std::nextafter(b(1, 0, 0, 1), 9.0F);
    CHECK_FALSE(same_bits(a, b));
    CHECK_FALSE(same_bits(a, drawn(1, 2, 1, 2, 1)));
    CHECK(shifted(drawn(3, 1, 1, 1, 1), std::vector<int>{1})(0, 0, 0, 0) == drawn(3, 1, 1, 1, 1)(1, 0, 0, 0));
}

TEST_CASE("every clip length, token and head count, and offset, beyond the clip too") {
    int cases = 0;
    for (std::size_t frames = 1; frames <= 33; ++frames) {
        std::vector<int> all;
        for (int d = -static_cast<int>(frames) - 2; d <= static_cast<int>(frames) + 2; ++d) all.push_back(d);
        for (std::size_t const tokens : {1U, 2U, 5U})
            for (std::size_t const heads : {1U, 3U, 12U}) cases += check_shape(frames, tokens, heads, 4, all);
    }
    CHECK(cases == 9 * 33 * (2 * 17 + 5));
}

TEST_CASE("the size of a real frame") {
    int cases = 0;
    for (int const frames : {1, 2, 8}) {
        std::vector<int> const all{-frames, -1, 0, 1, frames};
        cases += check_shape(static_cast<std::size_t>(frames), 197, 3, 64, all);
    }
    CHECK(cases == 15);
}

TEST_CASE("a static map, a map at run time, and any number of threads give the same bits") {
    auto const q = drawn(7, 5, 3, 8, 1), k = drawn(7, 5, 3, 8, 2), v = drawn(7, 5, 3, 8, 3);
    array y = like(q), other = like(q);
    stdha_attention<three>(q, k, v, y);
    stdha_attention(q, k, v, other, frame_map<>{three});
    CHECK(same_bits(y, other));
    stdha_attention(q, k, v, other, three);
    CHECK(same_bits(y, other));
    for (int const threads : {1, 2, 3, 7, 16}) {
        thread_team team{threads};
        other = like(q);
        stdha_attention<three>(default_kernels(), team, q, k, v, other);
        CHECK(same_bits(y, other));
        other = like(q);
        stdha_attention(default_kernels(), team, q, k, v, other, frame_map<>{three});
        CHECK(same_bits(y, other));
    }
}

TEST_CASE("views into a qkv product, any token stride, and y in the place of q") {
    constexpr std::size_t frames = 4, tokens = 3, heads = 3, dim = 5, width = heads * dim, stride = 3 * width + 7;
    auto const q = drawn(frames, tokens, heads, dim, 1), k = drawn(frames, tokens, heads, dim, 2),
               v = drawn(frames, tokens, heads, dim, 3);
    array expected = like(q);
    stdha_attention<three>(q, k, v, expected);

    std::vector<float> qkv(1 + frames * tokens * stride, -77.0F); // one element off any alignment, with gaps
    auto const part = [&](std::size_t which) {
        return tensor_view<float, dims<4>, strided<4>>{qkv.data() + 1 + which * width,
                                                       dims<4>{frames, tokens, heads, dim},
                                                       strided<4>{{tokens * stride, stride, dim, 1}}};
    };
    array const* const parts[] = {&q, &k, &v};
    for (std::size_t which = 0; which < 3; ++which)
        for (std::size_t t = 0; t < frames; ++t)
            for (std::size_t n = 0; n < tokens; ++n)
                for (std::size_t h = 0; h < heads; ++h)
                    for (std::size_t d = 0; d < dim; ++d) part(which)(t, n, h, d) = (*parts[which])(t, n, h, d);
    auto before_call = qkv;

    array y = like(q);
    stdha_attention<three>(part(0), part(1), part(2), y);
    CHECK(same_bits(y, expected));
    CHECK(std::memcmp(qkv.data(), before_call.data(), qkv.size() * sizeof(float)) == 0);

    stdha_attention<three>(part(0), part(1), part(2), part(0)); // y is q
    for (std::size_t t = 0; t < frames; ++t)
        for (std::size_t n = 0; n < tokens; ++n)
            for (std::size_t h = 0; h < heads; ++h)
                for (std::size_t d = 0; d < dim; ++d) {
                    CHECK(part(0)(t, n, h, d) == expected(t, n, h, d));
                    part(0)(t, n, h, d) = q(t, n, h, d);
                }
    // k, v and the gaps are as before
    CHECK(std::memcmp(qkv.data(), before_call.data(), qkv.size() * sizeof(float)) == 0);

    tensor<float, extents<dynamic, 3, heads, dynamic>> mixed{frames, tokens, heads, dim};
    stdha_attention<three>(q, k, v, mixed);
    CHECK(std::memcmp(mixed.data(), expected.data(), mixed.size() * sizeof(float)) == 0);
    static_tensor<float, 2, 1, 3, 2> small{};
    small(0, 0, 0, 0) = 1;
    auto result = small;
    stdha_attention<three>(small, small, small, result);
    CHECK(result(0, 0, 0, 0) == 1.0F);
    CHECK(result(1, 0, 0, 0) == 1.0F); // head 0 of frame 1 reads frame 0
    CHECK(result(1, 0, 1, 0) == 0.0F);
}

TEST_CASE("empty arrays are nothing to do") {
    for (array const& none : {array{0, 5, 3, 4}, array{2, 0, 3, 4}}) {
        array y = like(none);
        CHECK_NOTHROW(stdha_attention<three>(none, none, none, y));
    }
}

TEST_CASE("shapes and maps that do not fit are errors, and y stays as it was") {
    auto const q = drawn(4, 2, 3, 4, 1);
    array y = like(q);
    y(0, 0, 0, 0) = 5;
    CHECK_THROWS_AS(stdha_attention(q, drawn(4, 3, 3, 4, 2), q, y, three), precondition_error);
    CHECK_THROWS_AS(stdha_attention(q, q, drawn(3, 2, 3, 4, 2), y, three), precondition_error);
    CHECK_THROWS_AS(stdha_attention(q, q, q, array{4, 2, 3, 5}, three), precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention(q, q, q, y, frame_map<>{4}),
                         "zeroi2v::stdha_attention: Map must give one frame offset per head", precondition_error);
    CHECK_THROWS_AS(stdha_attention<frame_map<2>{}>(q, q, q, y), precondition_error);
    tensor_view<float const, dims<4>, strided<4>> const gaps{q.data(), dims<4>{2, 1, 3, 2}, strided<4>{{24, 12, 4, 2}}};
    array small{2, 1, 3, 2};
    CHECK_THROWS_AS(stdha_attention<three>(gaps, gaps, gaps, small), precondition_error);
    CHECK(y(0, 0, 0, 0) == 5.0F);
}

TEST_CASE("y may be q and nothing else that is read") {
    constexpr std::size_t frames = 3, tokens = 4, heads = 3, dim = 5, width = heads * dim;
    auto const q = drawn(frames, tokens, heads, dim, 1), other = drawn(frames, tokens, heads, dim, 2);
    auto k = other, v = other, both = other;
    char const* const of_k = "zeroi2v::attention: y must share no element with k";
    char const* const of_v = "zeroi2v::attention: y must share no element with v";
    char const* const of_q = "zeroi2v::attention: y must be q, or share no element with it";
    CHECK_THROWS_WITH_AS(stdha_attention<three>(q, k, v, k), of_k, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention<three>(q, k, v, v), of_v, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention(q, both, both, both, three), of_k, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention<three>(both, both, v, both), of_k, precondition_error); // though y is q
    CHECK(same_bits(k, other)); // and nothing was written
    CHECK(same_bits(v, other));

    // Of one product (T,N,3C) y is any part that is not read, or q.
    std::vector<float> fused(2 * frames * tokens * 4 * width, 0.25F);
    auto const strided_part = [&](std::size_t first, std::size_t token_stride) {
        return tensor_view<float, dims<4>, strided<4>>{fused.data() + first, dims<4>{frames, tokens, heads, dim},
                                                       strided<4>{{tokens * token_stride, token_stride, dim, 1}}};
    };
    auto const part = [&](std::size_t first) { return strided_part(first, 4 * width); };
    CHECK_NOTHROW(stdha_attention<three>(part(0), part(width), part(2 * width), part(3 * width)));
    CHECK_NOTHROW(stdha_attention<three>(part(0), part(width), part(2 * width), part(0)));
    CHECK_THROWS_WITH_AS(stdha_attention<three>(part(0), part(width), part(2 * width), part(width)), of_k, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention<three>(part(0), part(width), part(2 * width), part(3 * width - 1)), of_v, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention<three>(part(width), part(2 * width), part(3 * width), part(1)), of_q, precondition_error);
    CHECK_THROWS_WITH_AS(stdha_attention<three>(part(0), part(width), part(2 * width), strided_part(0, 5 * width)), of_q, precondition_error);
}
