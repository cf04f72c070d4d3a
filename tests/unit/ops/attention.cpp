// attention: against the formula in double, for every frame offset; the same bits as plain attention on shifted copies.
#include <zeroi2v/ops/attention.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/reference/attention.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <utility>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

/// A clip's q, k, v as one product (T,N,3C) lays them out.
struct clip {
    attention_shape shape;
    std::vector<float> qkv;

    explicit clip(attention_shape const& sizes, std::uint64_t seed)
        : shape{sizes}, qkv{normal_floats(sizes.frames * sizes.keys * 3 * sizes.heads * sizes.head_dim, seed)} {}

    [[nodiscard]] std::size_t width() const { return shape.heads * shape.head_dim; }
    [[nodiscard]] token_rows<float const> part(std::size_t which) const {
        return {qkv.data() + which * width(), shape.keys * 3 * width(), 3 * width(), shape.head_dim};
    }
    [[nodiscard]] std::size_t result_size() const { return shape.frames * shape.queries * width(); }
    template <class T>
    [[nodiscard]] token_rows<T> result(std::vector<T>& y) const {
        return {y.data(), shape.queries * width(), width(), shape.head_dim};
    }
    template <class Source>
    [[nodiscard]] std::vector<float> on(kernel_table const& table, executor& workers, Source const& source) const {
        std::vector<float> y(result_size());
        aligned_buffer scratch{attention_scratch_floats(table, shape, workers.concurrency()) * sizeof(float)};
        attention(table, workers, shape, part(0), part(1), part(2), result(y), source,
                  {reinterpret_cast<float*>(scratch.data()), scratch.size() / sizeof(float)});
        return y;
    }
    template <class Source>
    [[nodiscard]] std::vector<double> reference(Source const& source) const {
        std::vector<double> y(result_size());
        reference::attention<float>(shape, part(0), part(1), part(2), result(y), source);
        return y;
    }
};

/// Even heads look `offset` frames away where there is such a frame.
struct shift {
    long offset;
    std::size_t frames;

    std::size_t operator()(std::size_t head, std::size_t frame) const {
        long const from = static_cast<long>(frame) + (head % 2 == 0 ? offset : 0);
        return from >= 0 && from < static_cast<long>(frames) ? static_cast<std::size_t>(from) : frame;
    }
};

constexpr auto own = [](std::size_t, std::size_t frame) { return frame; };

/// Plain attention on keys and values that were moved in memory.
std::vector<float> on_shifted_copy(clip const& source_clip, kernel_table const& table, executor& workers, shift const& source) {
    clip moved = source_clip;
    auto const& s = source_clip.shape;
    for (std::size_t t = 0; t < s.frames; ++t)
        for (std::size_t n = 0; n < s.keys; ++n)
            for (std::size_t h = 0; h < s.heads; ++h)
                for (std::size_t which = 1; which < 3; ++which)
                    std::copy_n(source_clip.part(which).head(source(h, t), h) + n * 3 * source_clip.width(), s.head_dim,
                                moved.qkv.data() + which * source_clip.width() + (t * s.keys + n) * 3 * source_clip.width() + h * s.head_dim);
    return moved.on(table, workers, own);
}

} // namespace

TEST_CASE("attention with shifted heads: T 1-33, N 1, 2, 5, heads 1, 3, 12, every offset, D 4") {
    serial_executor serial;
    double worst = 0;
    std::size_t cases = 0;
    for (std::size_t frames = 1; frames <= 33; ++frames)
        for (std::size_t const tokens : {1U, 2U, 5U})
            for (std::size_t const heads : {1U, 3U, 12U}) {
                clip const c{{frames, tokens, tokens, heads, 4}, frames};
                long const last = static_cast<long>(frames) + 2;
                for (long offset = -last; offset <= last; ++offset) {
                    shift const source{offset, frames};
                    auto const want = c.reference(source);
                    for (kernel_table const* table : tables()) {
                        double const error = relative_l2(c.on(*table, serial, source), want);
                        worst = std::max(worst, error);
                        ++cases;
                        if (!(error <= 1e-6)) FAIL_CHECK(name_of(*table) << " T " << frames << " N " << tokens << " H " << heads << " offset " << offset << ": " << error);
                    }
                }
            }
    CHECK(cases > 10000 * tables().size());
    MESSAGE("largest relative L2 error: " << worst);
}

TEST_CASE("attention of 197 tokens, D 64: within the gate, and the same bits as plain attention on shifted copies") {
    serial_executor serial;
    for (std::size_t const frames : {1U, 2U, 8U}) {
        clip const c{{frames, 197, 197, 2, 64}, frames};
        long const t = static_cast<long>(frames);
        for (long const offset : {-t, -1L, 0L, 1L, t}) {
            shift const source{offset, frames};
            auto const want = c.reference(source);
            for (kernel_table const* table : tables()) {
                auto const y = c.on(*table, serial, source);
                CHECK(relative_l2(y, want) <= 1e-6);
                CHECK(same_bits(y, on_shifted_copy(c, *table, serial, source)));
            }
        }
    }
}

TEST_CASE("attention of any size: dims from 1 on, keys around every block, fewer queries than keys") {
    serial_executor serial;
    for (kernel_table const* table : tables()) {
        for (std::size_t const dim : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 15U, 16U, 17U, 31U, 33U, 64U, 65U, 80U, 128U})
            for (std::size_t const keys : {1U, 3U, 15U, 16U, 17U, 33U, 50U}) {
                clip const c{{2, keys, keys, 2, dim}, dim * 100 + keys};
                double const error = relative_l2(c.on(*table, serial, own), c.reference(own));
                CHECK_MESSAGE(error <= 1e-6, name_of(*table) << " D " << dim << " N " << keys << ": " << error);
            }
        for (std::size_t const keys : {511U, 512U, 513U, 1023U, 1024U, 1025U, 1569U}) {
            clip const c{{1, 30, keys, 1, 20}, keys};
            double const error = relative_l2(c.on(*table, serial, own), c.reference(own));
            CHECK_MESSAGE(error <= 1e-6, name_of(*table) << " N " << keys << ": " << error);
        }
        clip const all{{3, 40, 40, 2, 16}, 1};
        auto const every = all.on(*table, serial, own);
        for (std::size_t queries = 1; queries < 40; ++queries) { // the first rows are what they are among all
            clip few = all;
            few.shape.queries = queries;
            auto const y = few.on(*table, serial, own);
            bool equal = true;
            for (std::size_t frame = 0; frame < 3; ++frame)
                equal = equal && same_bits(std::span{y}.subspan(frame * queries * 32, queries * 32), std::span{every}.subspan(frame * 40 * 32, queries * 32));
            CHECK(equal);
        }
    }
}

TEST_CASE("attention: the same bits for every number of threads and in place of q") {
    for (kernel_table const* table : tables())
        for (std::size_t const keys : {13U, 600U}) {
            clip c{{5, keys, keys, 3, 12}, keys};
            shift const source{1, 5};
            serial_executor serial;
            auto const want = c.on(*table, serial, source);
            for (int const threads : {1, 2, 3, 7, 16, 64}) {
                thread_team team{threads};
                CHECK(same_bits(c.on(*table, team, source), want));
            }
            thread_team team{2};
            aligned_buffer scratch{attention_scratch_floats(*table, c.shape, 2) * sizeof(float)};
            token_rows<float> const in_place{c.qkv.data(), c.shape.keys * 3 * c.width(), 3 * c.width(), c.shape.head_dim};
            attention(*table, team, c.shape, c.part(0), c.part(1), c.part(2), in_place, source,
                      {reinterpret_cast<float*>(scratch.data()), scratch.size() / sizeof(float)});
            std::vector<float> y;
            for (std::size_t row = 0; row < 5 * keys; ++row) y.insert(y.end(), c.qkv.begin() + static_cast<std::ptrdiff_t>(row * 108), c.qkv.begin() + static_cast<std::ptrdiff_t>(row * 108 + 36));
            CHECK(same_bits(y, want));
        }
}

TEST_CASE("attention: scores of any size give finite results, special queries stay in their rows") {
    serial_executor serial;
    float const infinity = std::numeric_limits<float>::infinity();
    for (kernel_table const* table : tables())
        for (std::size_t const keys : {5U, 197U, 700U}) {
            clip c{{1, keys, keys, 1, 8}, keys};
            for (std::size_t i = 0; i < c.qkv.size(); ++i)
                if (i % 24 < 16) c.qkv[i] *= 1e18F; // scores about 1e36
            for (float const value : c.on(*table, serial, own)) CHECK(std::isfinite(value));
            c = clip{c.shape, keys};
            auto const good = c.on(*table, serial, own);
            for (float const bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
                clip spoilt = c;
                spoilt.qkv[2 * 24 + 3] = bad; // one element of query 2
                auto const y = spoilt.on(*table, serial, own);
                for (std::size_t d = 0; d < 8; ++d) CHECK(std::isnan(y[2 * 8 + d]));
                CHECK(same_bits(std::span{y}.first(16), std::span{good}.first(16)));
                CHECK(same_bits(std::span{y}.subspan(24), std::span{good}.subspan(24)));
            }
            clip hidden = c; // every score of query 0 is -inf
            for (std::size_t n = 0; n < keys; ++n)
                for (std::size_t d = 0; d < 8; ++d) {
                    hidden.qkv[d] = d == 0 ? 1.0F : 0.0F;
                    hidden.qkv[n * 24 + 8 + d] = d == 0 ? -3e38F : 0.0F;
                }
            hidden.qkv[0] = 10.0F;
            auto const y = hidden.on(*table, serial, own);
            for (std::size_t d = 0; d < 8; ++d) CHECK(y[d] == 0.0F);
        }
}

TEST_CASE("attention touches nothing outside its operands and refuses what does not fit") {
    serial_executor serial;
    for (kernel_table const* table : tables())
        for (auto const where : {guarded<float>::end::front, guarded<float>::end::back})
            for (std::size_t const tokens : {1U, 2U, 17U, 25U, 49U})
                for (std::size_t const dim : {4U, 5U, 16U, 17U}) {
                    attention_shape const shape{1, tokens, tokens, 1, dim};
                    std::size_t const count = tokens * dim;
                    guarded<float> q{count, where}, k{count, where}, v{count, where}, y{count, where};
                    std::size_t const floats = attention_scratch_floats(*table, shape, 1);
                    guarded<float> scratch{floats, floats % 16 == 0 ? where : guarded<float>::end::front};
                    auto const values = normal_floats(3 * count, 1);
                    std::copy_n(values.data(), count, q.data());
                    std::copy_n(values.data() + count, count, k.data());
                    std::copy_n(values.data() + 2 * count, count, v.data());
                    auto const rows = [&](guarded<float>& m) { return token_rows<float const>{m.data(), count, dim, dim}; };
                    std::vector<double> want(count);
                    attention(*table, serial, shape, rows(q), rows(k), rows(v), {y.data(), count, dim, dim}, own, scratch.span());
                    reference::attention<float>(shape, rows(q), rows(k), rows(v), {want.data(), count, dim, dim}, own);
                    CHECK(relative_l2(y.span(), want) <= 1e-6);
                }
    clip const c{{2, 3, 3, 1, 4}, 1};
    CHECK_THROWS_AS(static_cast<void>(c.on(*tables().front(), serial, [](std::size_t, std::size_t) { return 2; })), precondition_error);
    std::vector<float> y(c.result_size());
    CHECK_THROWS_AS(attention(*tables().front(), serial, c.shape, c.part(0), c.part(1), c.part(2), c.result(y), own, std::span<float>{}), precondition_error);
}

TEST_CASE("attention: each argument that does not fit is refused with its sentence, and nothing is written") {
    serial_executor serial;
    clip c{{2, 3, 3, 2, 4}, 1};
    kernel_table const& table = *tables().front();
    auto const kept = c.qkv;
    std::vector<float> const untouched(c.result_size(), -1.0F);
    auto result = untouched;
    std::size_t const floats = attention_scratch_floats(table, c.shape, 1);
    CHECK(floats == table.attention_scratch(3, 4));
    CHECK(attention_scratch_floats(table, c.shape, 3) == 3 * floats);
    CHECK(attention_scratch_floats(table, c.shape, 0) == floats);
    CHECK(attention_scratch_floats(table, c.shape, -2) == floats);
    aligned_buffer memory{(floats + 16) * sizeof(float)};
    auto* const scratch = reinterpret_cast<float*>(memory.data());
    auto const part = [&](std::size_t which) { return token_rows<float>{c.qkv.data() + which * c.width(), c.shape.keys * 3 * c.width(), 3 * c.width(), c.shape.head_dim}; };
    auto const refused = [&](char const* sentence, token_rows<float> y, std::span<float> room, executor& workers) {
        CHECK_THROWS_WITH_AS(attention(table, workers, c.shape, c.part(0), c.part(1), c.part(2), y, own, room), sentence, precondition_error);
    };
    char const* const small = "zeroi2v::attention: scratch is too small";
    refused(small, c.result(result), {scratch, floats - 1}, serial);
    thread_team two{2};
    refused(small, c.result(result), {scratch, floats}, two);
    refused("zeroi2v::attention: scratch must be aligned to 64", c.result(result), {scratch + 1, floats}, serial);
    refused("zeroi2v::attention: y must share no element with k", part(1), {scratch, floats}, serial);
    refused("zeroi2v::attention: y must share no element with v", part(2), {scratch, floats}, serial);
    auto moved = part(0);
    ++moved.data;
    refused("zeroi2v::attention: y must be q, or share no element with it", moved, {scratch, floats}, serial);
    auto other_strides = part(0);
    std::swap(other_strides.frame_stride, other_strides.token_stride);
    refused("zeroi2v::attention: y must be q, or share no element with it", other_strides, {scratch, floats}, serial);
    CHECK_THROWS_WITH_AS(attention(table, serial, c.shape, c.part(0), c.part(1), c.part(2), c.result(result), [](std::size_t, std::size_t) { return 2; }, {scratch, floats}),
                         "zeroi2v::attention: source must name a frame of the clip", precondition_error);
    CHECK(c.qkv == kept);
    CHECK(result == untouched);
    // One query per frame, as of a last layer, in place of q, beside all keys: elements of k lie between those of y.
    c.shape.queries = 1;
    CHECK_NOTHROW(attention(table, serial, c.shape, c.part(0), c.part(1), c.part(2), part(0), own, {scratch, floats}));
    // Nothing to do: no frame, query or dimension.
    for (attention_shape const& none : {attention_shape{0, 3, 3, 2, 4}, attention_shape{2, 0, 3, 2, 4}, attention_shape{2, 3, 3, 0, 4}, attention_shape{2, 3, 3, 2, 0}})
        CHECK_NOTHROW(attention(table, serial, none, c.part(0), c.part(1), c.part(2), c.result(result), own, {scratch, floats}));
    CHECK(result == untouched);
}
