// packed_vit_block: the same numbers for any strides and any number of rows at a time; its matrices counted.
#include <zeroi2v/nn/packed_vit_block.hpp>

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/reference/activation.hpp>
#include <zeroi2v/ops/reference/layer_norm.hpp>
#include <zeroi2v/ops/reference/matmul.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

using namespace zeroi2v;

namespace {

constexpr std::size_t width = 12, mlp = 20, rank = 5;
constexpr float untouched = -77.0F;

std::vector<float> normal(std::size_t count, std::uint64_t seed) {
    std::vector<float> values(count);
    counter_rng const rng{seed};
    for (std::size_t i = 0; i < count; ++i) values[i] = rng.normal(i);
    return values;
}

struct no_adapters {
    static constexpr bool present = false;
};
struct with_adapters : block_adapters {
    static constexpr bool present = true;
};

template <class Adapters>
struct drawn {
    vit_block block;
    Adapters adapters;
};

template <class Adapters>
drawn<Adapters> drawn_block(bool separate) {
    drawn<Adapters> result;
    std::uint64_t seed = 0;
    auto const draw = [&](std::string const&, stored_tensor& tensor, shape const& sizes, parameter_role) {
        tensor = stored_tensor{dtype::f32, sizes};
        auto const values = normal(tensor.count(), ++seed);
        std::transform(values.begin(), values.end(), tensor.template as<float>().begin(), [](float x) { return 0.3F * x; });
    };
    for_each_tensor("", {width, mlp, rank}, draw, result.block);
    if constexpr (Adapters::present) {
        for (adapter_site_info const& each : adapter_sites)
            if (each.linear != block_linear::in_proj || separate == (each.rows != adapter_rows::all)) result.adapters[each.site].emplace();
        for_each_adapter_tensor("", {width, mlp, rank}, draw, result.adapters);
    }
    return result;
}

/// Scratch of one thread for `rows` rows.
struct room {
    std::vector<float> narrow, adapted, hidden, rank_floats;
    aligned_buffer matmul;
    block_scratch scratch;

    template <class Block>
    room(Block const& block, std::size_t rows) : narrow(rows * width), adapted(rows * width), hidden(rows * mlp), rank_floats(rows * rank) {
        std::size_t bytes = 0;
        block.for_each_matrix([&](packed_matrix const& matrix) { bytes = std::max(bytes, matmul_scratch_bytes(matrix, rows)); });
        matmul = aligned_buffer{bytes};
        scratch = {rows, narrow.data(), adapted.data(), hidden.data(), rank_floats.data(), {matmul.data(), bytes}, {}};
    }
};

template <class Adapters>
packed_vit_block<Adapters> packed(drawn<Adapters>& from, bool q_apart, dtype type = dtype::f32, activation act = activation::quick_gelu) {
    return {from.block, from.adapters, q_apart, {&default_kernels<>(), type, 0.5, act}, [](stored_tensor const&) {}};
}

/// Rows of `columns` values that lie `stride` apart, with sentinels between them.
struct spread_rows {
    std::size_t rows, columns, stride;
    std::vector<float> memory;

    spread_rows(std::vector<float> const& values, std::size_t column_count, std::size_t row_stride)
        : rows{values.size() / column_count}, columns{column_count}, stride{row_stride}, memory(rows * stride, untouched) {
        for (std::size_t i = 0; i < values.size(); ++i) memory[i / columns * stride + i % columns] = values[i];
    }
    std::vector<float> values(std::size_t first = 0, std::size_t count = width) const {
        std::vector<float> result;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < count; ++c) result.push_back(memory[r * stride + first + c]);
        return result;
    }
    bool gaps_untouched() const {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = columns; c < stride; ++c)
                if (memory[r * stride + c] != untouched) return false;
        return true;
    }
};

template <class Adapters>
void check_rows_and_strides(bool separate, dtype type) {
    using wanted = typename packed_vit_block<Adapters>::wanted;
    constexpr std::size_t rows = 8;
    auto block = drawn_block<Adapters>(separate);
    for (bool const q_apart : {false, true}) {
        auto const of = packed(block, q_apart, type);
        auto const x = normal(rows * width, 90);
        auto const y_rows = normal(rows * width, 91);
        auto attended = y_rows;
        room whole{of, rows};
        std::vector<float> qkv(rows * 3 * width, untouched), out = x;
        of.attention_input({x.data(), rows, width}, {qkv.data(), rows, 3 * width}, whole.scratch);
        CHECK(std::find(qkv.begin(), qkv.end(), untouched) == qkv.end());
        of.attention_output({out.data(), rows, width}, {attended.data(), rows, width}, whole.scratch);
        of.mlp({out.data(), rows, width}, whole.scratch);
        CHECK(out != x);
        for (std::size_t const at_a_time : {1U, 3U, 7U}) {
            room few{of, at_a_time};
            std::vector<float> found(rows * 3 * width, untouched);
            of.attention_input({x.data(), rows, width}, {found.data(), rows, 3 * width}, few.scratch);
            CHECK(found == qkv);

            bool const has_q_apart = q_apart || separate;
            std::vector<float> no_queries(rows * 3 * width, untouched);
            of.attention_input({x.data(), rows, width}, {no_queries.data(), rows, 3 * width}, few.scratch, wanted::all_but_first);
            for (std::size_t i = 0; i < found.size(); ++i)
                if (no_queries[i] != (has_q_apart && i % (3 * width) < width ? untouched : qkv[i])) FAIL_CHECK("element " << i);

            spread_rows far{x, width, 2 * width + 3}, y{y_rows, width, width + 5};
            of.attention_output({far.memory.data(), rows, width, far.stride}, {y.memory.data(), rows, width, y.stride}, few.scratch);
            of.mlp({far.memory.data(), rows, width, far.stride}, few.scratch);
            CHECK(far.values() == out);
            CHECK(far.gaps_untouched());

            if (has_q_apart) {
                spread_rows const from{x, width, 3 * width + 1};
                spread_rows queries{std::vector<float>(rows * width, 0.0F), width, 4 * width};
                of.attention_input({from.memory.data(), rows, width, from.stride}, {queries.memory.data(), rows, 3 * width, queries.stride}, few.scratch, wanted::first);
                CHECK(queries.gaps_untouched());
                spread_rows const all{qkv, 3 * width, 3 * width};
                CHECK(queries.values() == all.values(0));
            }
        }
    }
}

} // namespace

TEST_CASE_TEMPLATE("rows a few at a time and at any strides give the bits of all rows at once", Adapters, no_adapters, with_adapters) {
    for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
        check_rows_and_strides<Adapters>(false, type);
        if (Adapters::present) check_rows_and_strides<Adapters>(true, type);
    }
}

TEST_CASE("every matrix of a block is counted, adapters' both") {
    struct { bool separate, q_apart; std::size_t in_proj, adapters; } const forms[]{{false, false, 1, 4}, {false, true, 2, 4}, {true, false, 3, 6}, {true, true, 3, 6}};
    for (auto const& [separate, q_apart, in_proj, adapters] : forms)
        for (dtype const type : {dtype::f32, dtype::i8}) {
            auto block = drawn_block<with_adapters>(separate);
            auto const of = packed(block, q_apart, type);
            std::size_t matrices = 0, bytes = 0, up = 0;
            of.for_each_matrix([&](packed_matrix const& matrix) {
                ++matrices;
                bytes += matrix.byte_size();
                up += matrix.outputs() == width && matrix.inputs() == rank ? 1U : 0U;
            });
            CHECK(matrices == in_proj + 3 + 2 * adapters);
            CHECK(up == adapters);
            CHECK(of.bytes() == bytes);
            CHECK(of.rank() == rank);
            CHECK(of.adapts_parts() == separate);
            CHECK((of.width() == width && of.mlp_width() == mlp));
        }
    auto plain = drawn_block<no_adapters>(false);
    auto const of = packed(plain, false);
    CHECK(of.rank() == 0);
    CHECK_FALSE(of.adapts_parts());
    std::size_t matrices = 0;
    of.for_each_matrix([&](packed_matrix const&) { ++matrices; });
    CHECK(matrices == 4);
}

TEST_CASE("each matrix is released once it is packed, and nothing else") {
    auto block = drawn_block<with_adapters>(false);
    std::vector<stored_tensor const*> released;
    packed_vit_block<with_adapters> const of{block.block, block.adapters, false, {&default_kernels<>(), dtype::f32, 0.5}, [&](stored_tensor const& tensor) { released.push_back(&tensor); }};
    CHECK(released == std::vector<stored_tensor const*>{&block.block.in_proj.weight, &block.block.out_proj.weight, &block.block.c_fc.weight, &block.block.c_proj.weight});
}

TEST_CASE("the largest rank of adapters counts, and the scale is multiplied into the second of an adapter") {
    auto block = drawn_block<with_adapters>(false);
    block.adapters[adapter_site::S_Adapter]->D_fc1 = {stored_tensor::zeros(dtype::f32, {9, width}), stored_tensor::zeros(dtype::f32, {9})};
    block.adapters[adapter_site::S_Adapter]->D_fc2.weight = stored_tensor::zeros(dtype::f32, {width, 9});
    CHECK(packed(block, false).rank() == 9);
    CHECK_THROWS_AS((packed_vit_block<with_adapters>{block.block, block.adapters, false, {&default_kernels<>(), dtype::f32, std::nullopt}, [](stored_tensor const&) {}}), std::bad_optional_access);
}

TEST_CASE("behind attention a block computes its formula, with each activation") {
    constexpr std::size_t rows = 9;
    auto from = drawn_block<no_adapters>(false);
    vit_block const& block = from.block;
    auto const x = normal(rows * width, 92);
    auto attended = normal(rows * width, 93);
    auto const doubles = [](stored_tensor const& tensor) {
        std::vector<double> values(tensor.count());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = tensor.value(i);
        return values;
    };
    /// y = act(layer(x)) + residual.
    auto const linear = [&](stored_linear const& layer, std::vector<double> const& input, activation act, std::vector<double> const& residual) {
        auto const weight = doubles(layer.weight), bias = doubles(layer.bias);
        std::size_t const out = bias.size(), in = weight.size() / out;
        std::vector<double> y(rows * out);
        reference::matmul(matrix_view<double const>{input.data(), rows, in}, matrix_view<double const>{weight.data(), out, in}, matrix_view<double>{y.data(), rows, out},
                          matrix_view<double const>{bias.data(), 1, out}, act, matrix_view<double const>{residual.empty() ? nullptr : residual.data(), rows, out});
        return y;
    };
    for (std::size_t i = 0; i < activation_count; ++i) {
        auto const act = static_cast<activation>(i);
        CAPTURE(to_string(act));
        auto const stream = linear(block.out_proj, {attended.begin(), attended.end()}, activation::none, {x.begin(), x.end()});
        std::vector<double> normed(stream.size());
        reference::layer_norm<double>({stream.data(), rows, width}, doubles(block.ln_2.weight), doubles(block.ln_2.bias), {normed.data(), rows, width}, 1e-5);
        auto const want = linear(block.c_proj, linear(block.c_fc, normed, act, {}), activation::none, stream);
        auto const of = packed(from, false, dtype::f32, act);
        room const all{of, rows};
        auto out = x;
        of.attention_output({out.data(), rows, width}, {attended.data(), rows, width}, all.scratch);
        of.mlp({out.data(), rows, width}, all.scratch);
        for (std::size_t at = 0; at < out.size(); ++at) CHECK(static_cast<double>(out[at]) == doctest::Approx(want[at]).epsilon(1e-5));
    }
}
