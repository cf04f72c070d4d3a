#include <zeroi2v/cuda/forward_pass.hpp>

#include "host_machine.hpp"

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/ops/reference/attention.hpp>
#include <zeroi2v/stdha/row_bases.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::cuda_kernels;
using cuda_test::schedule;

namespace {

/// Launches at once, in emulated blocks.
struct direct_queue {
    schedule order{};
    template <class Kernel>
    void launch(std::size_t blocks, unsigned threads, std::size_t shared_bytes, typename Kernel::arguments const& a) {
        cuda_test::run_kernel<Kernel>(blocks, threads, shared_bytes, a, order);
    }
};

struct sizes {
    std::size_t clips = 1, frames = 1, queries = 5, keys = 5, heads = 2, dim = 64;
};

constexpr frame_map<3> three_heads{{.head = 0, .offset = -1}, {.head = 2, .offset = 2}};

float value_of(float x) { return x; }
template <class E>
float value_of(E x) { return static_cast<float>(x); }

/// q, k, v in one buffer of (frames,keys,3C), y in another between sentinels; both as the engine has them.
template <class E>
struct problem {
    sizes s;
    frame_map<> map;
    std::vector<E> qkv, y;
    std::size_t width = s.heads * s.dim;

    problem(sizes const& of, frame_map<> const& offsets, std::uint64_t seed, bool integers) : s{of}, map{offsets} {
        std::size_t const rows = s.clips * s.frames * std::max(s.keys, s.queries);
        qkv.resize(rows * 3 * width + 8);
        counter_rng const rng{seed, 3};
        for (std::size_t i = 0; i < qkv.size(); ++i) {
            float const drawn = rng.normal(i);
            qkv[i] = E(integers ? std::round(drawn) : drawn);
        }
        y.resize(s.clips * s.frames * s.queries * width + 2, E(77.0F));
    }
    [[nodiscard]] std::size_t stride() const { return std::max(s.keys, s.queries) * 3 * width; }

    template <class Source>
    void run(Source const& source, schedule order) {
        auto const rows = [&](std::size_t first) { return device_rows<E const>{qkv.data() + first, stride(), 3 * width, s.dim}; };
        direct_queue queue{order};
        detail::launch_attention<E>(queue, attention_arguments<E, Source>{
                                               .q = rows(0), .k = rows(width), .v = rows(2 * width), .y = {y.data(), s.queries * width, width, s.dim},
                                               .frames = static_cast<int>(s.clips * s.frames), .clip_frames = static_cast<int>(s.frames),
                                               .queries = static_cast<int>(s.queries), .keys = static_cast<int>(s.keys), .heads = static_cast<int>(s.heads),
                                               .dim = static_cast<int>(s.dim), .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.dim))), .source = source});
        CHECK(value_of(y[y.size() - 1]) == 77.0F);
        CHECK(value_of(y[y.size() - 2]) == 77.0F);
    }

    [[nodiscard]] std::vector<double> reference() const {
        std::vector<double> wide(qkv.size()), result(s.clips * s.frames * s.queries * width);
        for (std::size_t i = 0; i < qkv.size(); ++i) wide[i] = static_cast<double>(value_of(qkv[i]));
        auto const rows = [&](std::size_t first) { return token_rows<double const>{wide.data() + first, stride(), 3 * width, s.dim}; };
        zeroi2v::reference::attention<double>({s.clips * s.frames, s.queries, s.keys, s.heads, s.dim}, rows(0), rows(width), rows(2 * width),
                                              {result.data(), s.queries * width, width, s.dim}, [&](std::size_t head, std::size_t frame) {
                                                  return frame / s.frames * s.frames + map.source(head, frame % s.frames, s.frames);
                                              });
        return result;
    }
};

/// |found - expected|_2 / |expected|_2, infinite for a NaN.
template <class E>
double relative_l2(std::vector<E> const& found, std::vector<double> const& expected) {
    double difference = 0, norm = 0;
    REQUIRE(found.size() >= expected.size());
    REQUIRE_FALSE(expected.empty());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        double const d = static_cast<double>(value_of(found[i])) - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    return difference == difference ? std::sqrt(difference / norm) : INFINITY;
}

template <class E>
constexpr double gate = sizeof(E) == 4 ? 1e-6 : std::is_same_v<E, bf16> ? 5e-3 : 1e-3;

template <class E>
double error_of(sizes const& s, frame_map<> const& map, schedule order = {}) {
    problem<E> p{s, map, 5, false};
    p.run(offset_table{map}, order);
    return relative_l2(p.y, p.reference());
}

} // namespace

TEST_CASE_TEMPLATE("cuda attention: every head size, odd numbers of tokens, against double", E, float, bf16, f16) {
    for (std::size_t const dim : {4U, 7U, 8U, 20U, 32U, 48U, 64U, 80U, 96U, 128U})
        for (std::size_t const tokens : {1U, 5U, 17U, 65U}) {
            CAPTURE(dim);
            CAPTURE(tokens);
            CHECK(error_of<E>({.frames = 2, .queries = tokens, .keys = tokens, .heads = 2, .dim = dim}, frame_map<>{2, {{1, -1}}}) < gate<E>);
        }
}

TEST_CASE_TEMPLATE("cuda attention: 197 and 257 tokens, and the class token alone", E, float, bf16, f16) {
    for (std::size_t const keys : {std::size_t{197}, std::size_t{257}})
        for (std::size_t const queries : {keys, std::size_t{1}})
            CHECK(error_of<E>({.frames = 1, .queries = queries, .keys = keys, .heads = 1, .dim = 64}, frame_map<>{1}) < gate<E>);
}

TEST_CASE_TEMPLATE("cuda attention: frame offsets from -T to T, several clips", E, float, bf16) {
    for (std::size_t const frames : {1U, 2U, 8U})
        for (int offset = -static_cast<int>(frames); offset <= static_cast<int>(frames); ++offset) {
            CAPTURE(frames);
            CAPTURE(offset);
            frame_map<> const map{2, {{0, offset}}};
            CHECK(error_of<E>({.clips = 2, .frames = frames, .queries = 3, .keys = 3, .heads = 2, .dim = 32}, map) < gate<E>);
        }
    // The comparison can fail: another map than the reference's.
    problem<E> wrong{{.frames = 8, .dim = 32}, frame_map<>{2, {{0, 1}}}, 5, false};
    wrong.run(offset_table{frame_map<>{2, {{0, -1}}}}, {});
    CHECK(relative_l2(wrong.y, wrong.reference()) > 0.1);
}

TEST_CASE_TEMPLATE("cuda attention: the same bits in whatever order lanes run and copies arrive, and for a static map", E, float, bf16) {
    for (std::size_t const tokens : {70U, 130U}) {
        problem<E> first{{.frames = 3, .queries = tokens, .keys = tokens, .heads = 3, .dim = 64}, three_heads, 9, false};
        auto others = first;
        first.run(offset_table{three_heads}, {});
        for (schedule const order : cuda_test::schedules) {
            others.run(offset_table{three_heads}, order);
            CHECK(std::memcmp(first.y.data(), others.y.data(), first.y.size() * sizeof(E)) == 0);
        }
        others.run(static_offsets<three_heads>{}, {});
        CHECK(std::memcmp(first.y.data(), others.y.data(), first.y.size() * sizeof(E)) == 0);
    }
}

TEST_CASE_TEMPLATE("cuda attention: exact where nothing is rounded", E, float, bf16, f16) {
    // One key: its value. Equal keys: the mean of integers whose number is a power of two.
    problem<E> one{{.queries = 3, .keys = 1, .heads = 1, .dim = 64}, frame_map<>{1}, 2, true};
    one.run(offset_table{one.map}, {});
    for (std::size_t i = 0; i < 3 * 64; ++i) CHECK(value_of(one.y[i]) == value_of(one.qkv[2 * 64 + i % 64]));
    problem<E> equal{{.queries = 64, .keys = 64, .heads = 1, .dim = 64}, frame_map<>{1}, 2, true};
    for (std::size_t n = 0; n < 64; ++n)
        for (std::size_t d = 0; d < 64; ++d) equal.qkv[n * 192 + 64 + d] = E(0.0F);
    equal.run(offset_table{equal.map}, {});
    auto const expected = equal.reference();
    for (std::size_t i = 0; i < expected.size(); ++i) REQUIRE(static_cast<double>(value_of(equal.y[i])) == expected[i]);
}

TEST_CASE_TEMPLATE("cuda attention: infinite and undefined scores stay in their row", E, float, bf16) {
    float const infinity = std::numeric_limits<float>::infinity();
    problem<E> p{{.queries = 20, .keys = 20, .heads = 1, .dim = 32}, frame_map<>{1}, 2, false};
    for (std::size_t n = 0; n < 20; ++n)
        for (std::size_t d = 0; d < 32; ++d) p.qkv[n * 96 + 32 + d] = E(d == 0 ? 1.0F : 0.0F); // every score is the query's first element, scaled
    p.qkv[3 * 96] = E(-infinity);
    p.qkv[4 * 96] = E(infinity);
    p.qkv[5 * 96] = E(std::nanf(""));
    for (std::size_t n : {3U, 4U, 5U})
        for (std::size_t d = 1; d < 32; ++d) p.qkv[n * 96 + d] = E(1.0F);
    p.run(offset_table{p.map}, {});
    for (std::size_t n = 0; n < 20; ++n)
        for (std::size_t d = 0; d < 32; ++d) {
            float const y = value_of(p.y[n * 32 + d]);
            if (n == 3) CHECK(y == 0.0F);
            else if (n == 4 || n == 5) CHECK(std::isnan(y));
            else CHECK(std::isfinite(y));
        }
}

TEST_CASE_TEMPLATE("cuda attention: a head sees nothing of its neighbour's columns, nor of the rows behind the last token", E, float, bf16) {
    for (std::size_t const dim : {7U, 20U, 32U, 72U}) {
        CAPTURE(dim);
        problem<E> p{{.queries = 6, .keys = 6, .heads = 2, .dim = dim}, frame_map<>{2}, 2, false};
        for (std::size_t i = 0; i < p.qkv.size(); ++i)
            if (i % p.width >= dim || i >= 6 * 3 * p.width) p.qkv[i] = E(std::nanf(""));
        p.run(offset_table{p.map}, {});
        for (std::size_t n = 0; n < 6; ++n)
            for (std::size_t d = 0; d < dim; ++d) {
                CHECK(std::isfinite(value_of(p.y[n * p.width + d])));
                CHECK(std::isnan(value_of(p.y[n * p.width + dim + d])));
            }
    }
}
