// attention_backward: against the formula in double, through maps of every kind; and what scratch it takes.
#include <zeroi2v/train/attention_backward.hpp>

#include "../ops/tables.hpp"

#include <zeroi2v/parallel/thread_team.hpp>

#include <cmath>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

/// Rows (T,n,H,D) with gaps between tokens and between frames.
struct rows {
    std::size_t frames, tokens, heads, dim, token_stride, frame_stride;
    std::vector<float> values;

    rows(attention_shape const& s, std::size_t n, std::uint64_t seed)
        : frames{s.frames}, tokens{n}, heads{s.heads}, dim{s.head_dim}, token_stride{s.heads * s.head_dim + 3}, frame_stride{n * token_stride + 5},
          values{normal_floats(s.frames * frame_stride, seed)} {}

    [[nodiscard]] double at(std::size_t t, std::size_t n, std::size_t h, std::size_t d) const { return static_cast<double>(values[t * frame_stride + n * token_stride + h * dim + d]); }
    [[nodiscard]] token_rows<float const> view() const { return {values.data(), frame_stride, token_stride, dim}; }
    [[nodiscard]] token_rows<float> out() { return {values.data(), frame_stride, token_stride, dim}; }
    /// (T,n,H,D) without gaps.
    [[nodiscard]] std::vector<float> packed() const {
        std::vector<float> all;
        for (std::size_t t = 0; t < frames; ++t)
            for (std::size_t n = 0; n < tokens; ++n)
                for (std::size_t h = 0; h < heads; ++h)
                    for (std::size_t d = 0; d < dim; ++d) all.push_back(values[t * frame_stride + n * token_stride + h * dim + d]);
        return all;
    }
};

struct gradients {
    std::vector<double> q, k, v;
};

gradients reference(attention_shape const& s, std::vector<int> const& offsets, rows const& q, rows const& k, rows const& v, rows const& dy) {
    auto const place = [&](std::size_t tokens, std::size_t t, std::size_t n, std::size_t h, std::size_t d) { return ((t * tokens + n) * s.heads + h) * s.head_dim + d; };
    gradients g{std::vector<double>(s.frames * s.queries * s.heads * s.head_dim), std::vector<double>(s.frames * s.keys * s.heads * s.head_dim), {}};
    g.v = g.k;
    double const scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
    for (std::size_t t = 0; t < s.frames; ++t)
        for (std::size_t h = 0; h < s.heads; ++h) {
            int const wanted = static_cast<int>(t) + offsets[h];
            std::size_t const from = wanted < 0 || wanted >= static_cast<int>(s.frames) ? t : static_cast<std::size_t>(wanted);
            for (std::size_t i = 0; i < s.queries; ++i) {
                std::vector<double> p(s.keys), dp(s.keys);
                double sum = 0, inner = 0;
                for (std::size_t j = 0; j < s.keys; ++j) {
                    double dot = 0;
                    for (std::size_t d = 0; d < s.head_dim; ++d) {
                        dot += q.at(t, i, h, d) * k.at(from, j, h, d);
                        dp[j] += dy.at(t, i, h, d) * v.at(from, j, h, d);
                    }
                    sum += p[j] = std::exp(dot * scale);
                }
                for (std::size_t j = 0; j < s.keys; ++j) inner += (p[j] /= sum) * dp[j];
                for (std::size_t j = 0; j < s.keys; ++j)
                    for (std::size_t d = 0; d < s.head_dim; ++d) {
                        double const ds = p[j] * (dp[j] - inner) * scale;
                        g.q[place(s.queries, t, i, h, d)] += ds * k.at(from, j, h, d);
                        g.k[place(s.keys, from, j, h, d)] += ds * q.at(t, i, h, d);
                        g.v[place(s.keys, from, j, h, d)] += p[j] * dy.at(t, i, h, d);
                    }
            }
        }
    return g;
}

/// Floats of memory aligned to 64, `off` floats further.
std::span<float> floats_of(aligned_buffer& memory, std::size_t count, std::size_t off = 0) { return {reinterpret_cast<float*>(memory.data()) + off, count}; }

} // namespace

TEST_CASE("attention_backward: queries, keys and values against the formula in double, frames that several heads read and that none reads") {
    for (kernel_table const* table : tables())
        for (attention_shape const shape : {attention_shape{4, 5, 5, 3, 8}, {4, 1, 9, 3, 5}, {1, 3, 3, 3, 4}, {5, 18, 33, 3, 17}})
            for (std::vector<int> const& offsets : {std::vector{0, 0, 0}, {-1, 1, 2}, {-7, 3, 0}})
                for (int const threads : {1, 3}) {
                    rows const q{shape, shape.queries, 1}, k{shape, shape.keys, 2}, v{shape, shape.keys, 3}, dy{shape, shape.queries, 4};
                    rows dq{shape, shape.queries, 5}, dk{shape, shape.keys, 6}, dv{shape, shape.keys, 7};
                    auto const gaps = [](rows const& of) { // what lies between the rows
                        std::vector<float> all;
                        for (std::size_t i = 0; i < of.values.size(); ++i)
                            if (i % of.frame_stride >= of.tokens * of.token_stride || i % of.frame_stride % of.token_stride >= of.heads * of.dim) all.push_back(of.values[i]);
                        return all;
                    };
                    auto const between_q = gaps(dq), between_k = gaps(dk), between_v = gaps(dv);
                    thread_team team{threads};
                    std::size_t const count = attention_backward_scratch_floats(*table, shape, team.concurrency());
                    guarded<float> scratch{(count + 15) / 16 * 16, guarded<float>::end::back};
                    std::fill_n(scratch.data(), count, NAN); // nothing is read that was not written
                    attention_backward(*table, team, shape, frame_map<>::from_offsets({offsets[0], offsets[1], offsets[2]}), q.view(), k.view(), v.view(), dy.view(), dq.out(), dk.out(), dv.out(),
                                       {scratch.data(), count});
                    auto const wanted = reference(shape, offsets, q, k, v, dy);
                    CAPTURE(name_of(*table));
                    CHECK(relative_l2(dv.packed(), wanted.v) < 1e-5);
                    CHECK(relative_l2(dq.packed(), wanted.q) < 1e-5);
                    CHECK(relative_l2(dk.packed(), wanted.k) < 1e-5);
                    CHECK(gaps(dq) == between_q);
                    CHECK(gaps(dk) == between_k);
                    CHECK(gaps(dv) == between_v);
                }
}

TEST_CASE("attention_backward refuses scratch that is too small or not aligned, and a map of other heads; no work needs nothing") {
    kernel_table const& table = *tables().front();
    attention_shape const shape{2, 3, 3, 2, 4};
    rows const q{shape, 3, 1}, k{shape, 3, 2}, v{shape, 3, 3}, dy{shape, 3, 4};
    rows dq{shape, 3, 5}, dk{shape, 3, 6}, dv{shape, 3, 7};
    thread_team team{2};
    std::size_t const one = attention_backward_scratch_floats(table, shape, 1), two = attention_backward_scratch_floats(table, shape, 2);
    CHECK(two == 2 * one);
    CHECK(one % 16 == 0);
    CHECK(one >= 2 * shape.queries * 16 + shape.keys * 16);
    for (int const none : {0, -1, -5}) CHECK(attention_backward_scratch_floats(table, shape, none) == one);
    aligned_buffer memory{(two + 16) * sizeof(float)};
    auto const run = [&](attention_shape const& of, std::size_t heads, std::span<float> scratch) {
        attention_backward(table, team, of, frame_map<>{heads}, q.view(), k.view(), v.view(), dy.view(), dq.out(), dk.out(), dv.out(), scratch);
    };
    CHECK_NOTHROW(run(shape, 2, floats_of(memory, two)));
    CHECK_NOTHROW(run(shape, 2, floats_of(memory, two, 16)));
    CHECK_THROWS_AS(run(shape, 2, floats_of(memory, two - 1)), precondition_error);
    CHECK_THROWS_AS(run(shape, 2, floats_of(memory, one)), precondition_error); // enough for one thread of two
    CHECK_THROWS_AS(run(shape, 2, floats_of(memory, two, 1)), precondition_error);
    CHECK_THROWS_AS(run(shape, 2, floats_of(memory, two, 8)), precondition_error);
    CHECK_THROWS_AS(run(shape, 3, floats_of(memory, two)), precondition_error);
    CHECK_THROWS_AS(run(shape, 1, floats_of(memory, two)), precondition_error);
    auto const before = dq.values;
    auto const room = floats_of(memory, two);
    for (attention_shape const& empty : {attention_shape{0, 3, 3, 2, 4}, {2, 0, 3, 2, 4}, {2, 3, 0, 2, 4}, {2, 3, 3, 2, 0}}) {
        aligned_buffer more{std::max<std::size_t>(attention_backward_scratch_floats(table, empty, 2), 16) * sizeof(float)};
        CHECK_NOTHROW(run(empty, 2, floats_of(more, more.size() / sizeof(float))));
    }
    static_cast<void>(room);
    CHECK(dq.values == before);
}
