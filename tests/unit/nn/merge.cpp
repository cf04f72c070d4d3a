#include <zeroi2v/nn/merge.hpp>

#include "cancelling_merge.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/random.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

void set(stored_tensor& t, std::size_t i, double value) {
    detail::with_weight_element(t.type(), [&]<class T>(T) { t.as<T>()[i] = round_to<T>(value); });
}

stored_tensor drawn(dtype type, shape sizes, std::uint64_t seed, double scale = 1) {
    stored_tensor t{type, sizes};
    counter_rng const rng{seed};
    for (std::size_t i = 0; i < t.count(); ++i) set(t, i, static_cast<double>(rng.normal(i)) * scale);
    return t;
}

stored_linear drawn_linear(dtype type, std::size_t out, std::size_t in, std::uint64_t seed) {
    return {drawn(type, {out, in}, seed), drawn(type, {out}, seed + 1)};
}

stored_linear_adapter drawn_adapter(dtype type, std::size_t width, std::size_t rank, std::uint64_t seed) {
    return {drawn_linear(type, rank, width, seed), drawn_linear(type, width, rank, seed + 2)};
}

stored_linear clone(stored_linear const& l) { return {l.weight.clone(), l.bias.clone()}; }

bool same_bits(stored_tensor const& a, stored_tensor const& b) {
    return a.type() == b.type() && a.sizes() == b.sizes()
           && std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin(), b.bytes().end());
}
bool same_bits(stored_linear const& a, stored_linear const& b) {
    return same_bits(a.weight, b.weight) && same_bits(a.bias, b.bias);
}

/// The exact linear, straight from the formula: A = I + s W2 W1, a = s (W2 b1 + b2), in long double.
struct exact_linear {
    std::size_t out, in;
    std::vector<long double> weight, bias;
};

exact_linear exact_merge(stored_linear const& l, stored_linear_adapter const& adapter, bool is_before, double scale) {
    std::size_t const out = l.weight.sizes()[0], in = l.weight.sizes()[1];
    std::size_t const rank = adapter.D_fc1.weight.sizes()[0], width = adapter.D_fc1.weight.sizes()[1];
    auto const at = [](stored_tensor const& t, std::size_t i) { return static_cast<long double>(t.value(i)); };
    std::vector<long double> a_matrix(width * width), a(width);
    for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            long double sum = 0;
            for (std::size_t r = 0; r < rank; ++r)
                sum += at(adapter.D_fc2.weight, i * rank + r) * at(adapter.D_fc1.weight, r * width + j);
            a_matrix[i * width + j] = (i == j ? 1 : 0) + static_cast<long double>(scale) * sum;
        }
        long double sum = at(adapter.D_fc2.bias, i);
        for (std::size_t r = 0; r < rank; ++r)
            sum += at(adapter.D_fc2.weight, i * rank + r) * at(adapter.D_fc1.bias, r);
        a[i] = static_cast<long double>(scale) * sum;
    }
    exact_linear result{out, in, std::vector<long double>(out * in), std::vector<long double>(out)};
    for (std::size_t o = 0; o < out; ++o) {
        for (std::size_t i = 0; i < in; ++i)
            for (std::size_t k = 0; k < width; ++k)
                result.weight[o * in + i] += is_before ? at(l.weight, o * in + k) * a_matrix[k * in + i]
                                                       : a_matrix[o * width + k] * at(l.weight, k * in + i);
        result.bias[o] = is_before ? at(l.bias, o) : a[o];
        for (std::size_t k = 0; k < width; ++k)
            result.bias[o] += is_before ? at(l.weight, o * in + k) * a[k] : a_matrix[o * width + k] * at(l.bias, k);
    }
    return result;
}

/// The largest distance in units of the stored type; infinity for a NaN or another length.
double distance_in_ulp(stored_tensor const& found, std::vector<long double> const& expected) {
    if (found.count() != expected.size()) return std::numeric_limits<double>::infinity();
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        double const unit = detail::with_weight_element(
            found.type(), [&]<class T>(T) { return ulp<T>(static_cast<double>(expected[i])); });
        long double const difference = static_cast<long double>(found.value(i)) - expected[i];
        double const distance = static_cast<double>(std::abs(difference)) / unit;
        worst = distance <= worst ? worst : std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
    }
    return worst;
}

template <class Merge>
void check_refused(Merge&& merge, error_code code, std::vector<std::string> const& words) {
    try {
        (void)merge();
        FAIL("accepted");
    } catch (error const& caught) {
        CHECK(caught.code() == code);
        CHECK(caught.exit_status() == (code == error_code::bad_shape ? 4 : 3));
        for (auto const& word : words) {
            std::string const message = caught.what();
            CAPTURE(message);
            CAPTURE(word);
            CHECK(message.find(word) != std::string::npos);
        }
    }
}

} // namespace

TEST_CASE("the comparators see what they must") {
    std::vector<long double> const expected{1.0L, -2.0L, 0.5L};
    stored_tensor t{dtype::f32, {3}};
    auto const fill = [&](float a, float b, float c) {
        auto const values = t.as<float>();
        values[0] = a;
        values[1] = b;
        values[2] = c;
    };
    fill(1, -2, 0.5F);
    CHECK(distance_in_ulp(t, expected) == 0);
    fill(1.0000002F, -2, 0.5F);
    CHECK(distance_in_ulp(t, expected) > 1);
    fill(1, 2, 0.5F);
    CHECK(distance_in_ulp(t, expected) > 1e6);
    fill(-2, 1, 0.5F);
    CHECK(distance_in_ulp(t, expected) > 1e6);
    fill(1, -2, std::numeric_limits<float>::quiet_NaN());
    CHECK(std::isinf(distance_in_ulp(t, expected)));
    fill(1, -2, std::numeric_limits<float>::infinity());
    CHECK(std::isinf(distance_in_ulp(t, expected)));
    CHECK(std::isinf(distance_in_ulp(stored_tensor{dtype::f32, {2}}, expected)));
    fill(0.0F, 0, 0);
    auto const other = t.clone();
    t.as<float>()[1] = -0.0F;
    CHECK_FALSE(same_bits(t, other));
}

TEST_CASE("every element is the exact product's nearest, for every shape, side and type") {
    int cases = 0;
    for (dtype const type : {dtype::f32, dtype::f16, dtype::bf16})
        for (std::size_t const out : {1U, 2U, 31U, 33U, 65U})
            for (std::size_t const in : {1U, 3U, 32U, 67U})
                for (std::size_t const rank : {1U, 2U, 9U})
                    for (bool const is_before : {true, false}) {
                        CAPTURE(dtype_name(type));
                        CAPTURE(out);
                        CAPTURE(in);
                        CAPTURE(rank);
                        CAPTURE(is_before);
                        auto const layer = drawn_linear(type, out, in, 1);
                        auto const adapter = drawn_adapter(type, is_before ? in : out, rank, 3);
                        auto const [merged, report] = is_before ? merge_measured(layer, adapter, before, 0.5)
                                                                : merge_measured(layer, adapter, after, 0.5);
                        auto const exact = exact_merge(layer, adapter, is_before, 0.5);
                        REQUIRE(merged.weight.type() == type);
                        REQUIRE(distance_in_ulp(merged.weight, exact.weight) <= 0.5001);
                        REQUIRE(distance_in_ulp(merged.bias, exact.bias) <= 0.5001);
                        REQUIRE(report.holds());
                        REQUIRE(report.max_ulp <= 0.5001);
                        REQUIRE(report.elements == out * in + out);
                        std::size_t const lines = is_before ? out : in, width = is_before ? in : out;
                        REQUIRE(report.compared == lines * std::min<std::size_t>(width, 32) + out);
                        auto const plain = is_before ? merge(layer, adapter, before, 0.5)
                                                     : merge(layer, adapter, after, 0.5);
                        REQUIRE(same_bits(plain, merged));
                        ++cases;
                    }
    CHECK(cases == 3 * 5 * 4 * 3 * 2);
}

TEST_CASE("a transposed or swapped adapter of square shape gives another linear") {
    auto const layer = drawn_linear(dtype::f32, 6, 6, 1);
    auto const adapter = drawn_adapter(dtype::f32, 6, 6, 3);
    auto const exact = exact_merge(layer, adapter, true, 0.5);
    stored_linear_adapter const swapped{clone(adapter.D_fc2), clone(adapter.D_fc1)};
    CHECK(distance_in_ulp(merge(layer, swapped, before, 0.5).weight, exact.weight) > 1000);
    stored_linear_adapter transposed{clone(adapter.D_fc1), clone(adapter.D_fc2)};
    for (std::size_t i = 0; i < 6; ++i)
        for (std::size_t j = 0; j < 6; ++j)
            set(transposed.D_fc1.weight, i * 6 + j, adapter.D_fc1.weight.value(j * 6 + i));
    CHECK(distance_in_ulp(merge(layer, transposed, before, 0.5).weight, exact.weight) > 1000);
    CHECK(distance_in_ulp(merge(layer, adapter, after, 0.5).weight, exact.weight) > 1000);
    auto const unscaled = merge(layer, adapter, before, 1);
    CHECK(distance_in_ulp(unscaled.weight, exact.weight) > 1000);
    CHECK(distance_in_ulp(unscaled.bias, exact.bias) > 1000);
}

TEST_CASE("a fresh adapter, or a scale of zero, merges to the base bit for bit") {
    for (dtype const type : {dtype::f32, dtype::f16, dtype::bf16})
        for (bool const is_before : {true, false}) {
            auto layer = drawn_linear(type, 40, 40, 1);
            set(layer.weight, 7, -0.0);
            set(layer.weight, 41, 0.0);
            set(layer.bias, 3, -0.0);
            auto adapter = drawn_adapter(type, 40, 5, 3);
            for (double const scale : {0.0, -0.0}) {
                auto const merged = is_before ? merge_measured(layer, adapter, before, scale)
                                              : merge_measured(layer, adapter, after, scale);
                CHECK(same_bits(merged.linear, layer));
                CHECK(merged.report.with_delta == 0);
            }
            adapter.D_fc2 = {stored_tensor::zeros(type, {40, 5}), stored_tensor::zeros(type, {40})};
            auto const [merged, report] = is_before ? merge_measured(layer, adapter, before, 0.5)
                                                    : merge_measured(layer, adapter, after, 0.5);
            CHECK(same_bits(merged, layer));
            CHECK(report.with_delta == 0);
            CHECK(report.share_unchanged == 0);
            CHECK(report.max_ulp == 0);
            CHECK(report.max_line_error == 0);
        }
}

TEST_CASE("only elements with a delta change") {
    // W2 W1 reaches column 2 only.
    auto layer = drawn_linear(dtype::f32, 5, 4, 1);
    set(layer.weight, 0, -0.0);
    stored_linear_adapter adapter{{stored_tensor::zeros(dtype::f32, {1, 4}), stored_tensor::zeros(dtype::f32, {1})},
                                  {drawn(dtype::f32, {4, 1}, 3), stored_tensor::zeros(dtype::f32, {4})}};
    set(adapter.D_fc1.weight, 2, 1);
    auto const [merged, report] = merge_measured(layer, adapter, before, 0.5);
    for (std::size_t i = 0; i < 20; ++i) {
        CAPTURE(i);
        bool const equal = std::memcmp(merged.weight.bytes().data() + 4 * i,
                                       layer.weight.bytes().data() + 4 * i, 4) == 0;
        CHECK(equal == (i % 4 != 2));
    }
    CHECK(report.with_delta == 5);
    CHECK(same_bits(merged.bias, layer.bias));
}

TEST_CASE("the share of unchanged elements counts deltas that the type swallows") {
    // Deltas of 2^-9 at 1: less than half a bf16 unit (2^-8); 2^-8 at 1 is a tie that goes to the even 1; 2^-7 is seen.
    stored_linear layer{stored_tensor{dtype::bf16, {1, 4}}, stored_tensor::zeros(dtype::bf16, {1})};
    for (std::size_t i = 0; i < 4; ++i) set(layer.weight, i, 1);
    stored_linear_adapter adapter{{stored_tensor{dtype::bf16, {1, 4}}, stored_tensor::zeros(dtype::bf16, {1})},
                                  {stored_tensor::zeros(dtype::bf16, {4, 1}), stored_tensor::zeros(dtype::bf16, {4})}};
    set(adapter.D_fc2.weight, 0, 1);
    double const deltas[] = {0x1p-9, 0x1p-8, 0x1p-7, 0};
    for (std::size_t i = 0; i < 4; ++i) set(adapter.D_fc1.weight, i, deltas[i]);
    auto const [merged, report] = merge_measured(layer, adapter, before, 1);
    CHECK(report.with_delta == 3);
    CHECK(report.unchanged == 2);
    CHECK(report.share_unchanged == doctest::Approx(2.0 / 3));
    CHECK(report.max_ulp == 0.5);
    CHECK(merged.weight.value(2) == 1 + 0x1p-7);
    // The wider type of linear and adapter keeps them.
    auto const wide = merge_measured(layer, adapter, before, 1, {.type = dtype::f32});
    CHECK(wide.report.unchanged == 0);
    CHECK(wide.linear.weight.value(0) == 1 + 0x1p-9);
}

TEST_CASE("the result has the wider type of linear and adapter, or the one asked for, rounded once") {
    struct { dtype linear, adapter, result; } const table[] = {
        {dtype::f32, dtype::f16, dtype::f32},   {dtype::f16, dtype::f32, dtype::f32},
        {dtype::bf16, dtype::f32, dtype::f32},  {dtype::f16, dtype::bf16, dtype::f32},
        {dtype::bf16, dtype::f16, dtype::f32},  {dtype::f16, dtype::f16, dtype::f16},
        {dtype::bf16, dtype::bf16, dtype::bf16}};
    for (auto const& [linear_type, adapter_type, result_type] : table) {
        auto const layer = drawn_linear(linear_type, 9, 7, 1);
        auto const adapter = drawn_adapter(adapter_type, 7, 3, 3);
        auto const merged = merge(layer, adapter, before, 0.5);
        CHECK(merged.weight.type() == result_type);
        CHECK(merged.bias.type() == result_type);
        auto const exact = exact_merge(layer, adapter, true, 0.5);
        for (dtype const asked : {dtype::f32, dtype::f16, dtype::bf16}) {
            auto const [narrow, report] = merge_measured(layer, adapter, before, 0.5, {.type = asked});
            CHECK(narrow.weight.type() == asked);
            CHECK(distance_in_ulp(narrow.weight, exact.weight) <= 0.5001);
            CHECK(distance_in_ulp(narrow.bias, exact.bias) <= 0.5001);
            CHECK(report.holds());
        }
    }
    CHECK_THROWS_AS((void)merge(drawn_linear(dtype::f32, 2, 2, 1), drawn_adapter(dtype::f32, 2, 1, 3), before, 1,
                                {.type = dtype::i8}),
                    precondition_error);
}

TEST_CASE("one rounding: what float in between would round twice") {
    // base 1, delta 2^-8 + 2^-40: above the middle of two bf16 numbers by less than half a float unit.
    stored_linear layer{stored_tensor{dtype::bf16, {1, 1}}, stored_tensor::zeros(dtype::bf16, {1})};
    set(layer.weight, 0, 1);
    stored_linear_adapter adapter{{stored_tensor{dtype::f32, {2, 1}}, stored_tensor::zeros(dtype::f32, {2})},
                                  {stored_tensor{dtype::f32, {1, 2}}, stored_tensor::zeros(dtype::f32, {1})}};
    set(adapter.D_fc1.weight, 0, 0x1p-8);
    set(adapter.D_fc1.weight, 1, 0x1p-40);
    set(adapter.D_fc2.weight, 0, 1);
    set(adapter.D_fc2.weight, 1, 1);
    CHECK(merge(layer, adapter, before, 1, {.type = dtype::bf16}).weight.value(0) == 1 + 0x1p-7);
}

TEST_CASE("values that are not finite, or become so, are refused with the linear and the operand") {
    auto const bad = [](double value, auto&& choose) {
        auto layer = drawn_linear(dtype::f32, 34, 5, 1);
        auto adapter = drawn_adapter(dtype::f32, 5, 2, 3);
        auto& tensor = choose(layer, adapter);
        tensor.template as<float>()[tensor.count() - 1] = static_cast<float>(value);
        return merge(layer, adapter, before, 0.5, {.name = "block 3, in_proj"});
    };
    for (double const value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity()}) {
        auto const refused = [&](char const* operand, auto choose) {
            check_refused([&] { return bad(value, choose); }, error_code::nonfinite_merge,
                          {"block 3, in_proj: ", operand});
        };
        refused(": weight has", [](auto& l, auto&) -> auto& { return l.weight; });
        refused(": bias has", [](auto& l, auto&) -> auto& { return l.bias; });
        refused("D_fc1.weight has", [](auto&, auto& a) -> auto& { return a.D_fc1.weight; });
        refused("D_fc1.bias has", [](auto&, auto& a) -> auto& { return a.D_fc1.bias; });
        refused("D_fc2.weight has", [](auto&, auto& a) -> auto& { return a.D_fc2.weight; });
        refused("D_fc2.bias has", [](auto&, auto& a) -> auto& { return a.D_fc2.bias; });
        auto const layer = drawn_linear(dtype::f32, 4, 5, 1);
        auto const adapter = drawn_adapter(dtype::f32, 5, 2, 3);
        check_refused([&] { return merge(layer, adapter, before, value); }, error_code::nonfinite_merge, {"scale"});
    }
    // 40000 + 40000 is beyond f16, and not beyond f32 or bf16.
    stored_linear layer{stored_tensor{dtype::f16, {1, 1}}, stored_tensor::zeros(dtype::f16, {1})};
    set(layer.weight, 0, 40000);
    stored_linear_adapter adapter{{drawn(dtype::f16, {1, 1}, 1), stored_tensor::zeros(dtype::f16, {1})},
                                  {drawn(dtype::f16, {1, 1}, 1), stored_tensor::zeros(dtype::f16, {1})}};
    set(adapter.D_fc1.weight, 0, 1);
    set(adapter.D_fc2.weight, 0, 1);
    auto const base = clone(layer);
    for (bool const measured : {true, false})
        check_refused(
            [&] {
                return measured ? merge_measured(layer, adapter, after, 1).linear
                                : merge(layer, adapter, after, 1);
            },
            error_code::nonfinite_merge, {"linear: ", "beyond the largest"});
    CHECK(same_bits(layer, base));
    CHECK(merge(layer, adapter, after, 1, {.type = dtype::f32}).weight.value(0) == 80000);
}

TEST_CASE("shapes that do not fit are refused with all of them") {
    auto const layer = drawn_linear(dtype::f32, 6, 4, 1);
    auto const refused = [&](stored_linear const& l, stored_linear_adapter const& a, auto side,
                             std::vector<std::string> words) {
        check_refused([&] { return merge(l, a, side, 1, {.name = "c_fc"}); }, error_code::bad_shape, words);
    };
    refused(layer, drawn_adapter(dtype::f32, 6, 2, 3), before,
            {"c_fc: ", "(2,6)", "(6,2)", "(R,4)", "before", "(6,4)"});
    refused(layer, drawn_adapter(dtype::f32, 4, 2, 3), after, {"c_fc: ", "(2,4)", "(4,2)", "(R,6)", "after", "(6,4)"});
    auto swapped = drawn_adapter(dtype::f32, 4, 2, 3);
    std::swap(swapped.D_fc1, swapped.D_fc2);
    refused(layer, swapped, before, {"(4,2)"});
    auto other_rank = drawn_adapter(dtype::f32, 4, 2, 3);
    other_rank.D_fc2 = drawn_linear(dtype::f32, 4, 3, 5);
    refused(layer, other_rank, before, {"(4,3)"});
    auto bias = drawn_adapter(dtype::f32, 4, 2, 3);
    bias.D_fc1.bias = drawn(dtype::f32, {3}, 5);
    refused(layer, bias, before, {"bias (3)"});
    auto absent = drawn_adapter(dtype::f32, 4, 2, 3);
    absent.D_fc2.bias = stored_tensor{};
    refused(layer, absent, before, {"D_fc2 (4,2) with bias (0)"});
    absent.D_fc2.bias = stored_tensor{dtype::f32, {}};
    refused(layer, absent, before, {"D_fc2.bias", "()", "1 dimensions"});
    refused({drawn(dtype::f32, {6, 4}, 1), drawn(dtype::f32, {4}, 2)}, drawn_adapter(dtype::f32, 4, 2, 3), before,
            {"bias (4)"});
    refused({drawn(dtype::f32, {6, 2, 2}, 1), drawn(dtype::f32, {6}, 2)}, drawn_adapter(dtype::f32, 4, 2, 3), before,
            {"weight", "(6,2,2)"});
    stored_linear const integers{stored_tensor::zeros(dtype::i64, {6, 4}), drawn(dtype::f32, {6}, 2)};
    check_refused([&] { return merge(integers, drawn_adapter(dtype::f32, 4, 2, 3), before, 1); },
                  error_code::unsupported_dtype, {"weight", "I64", "F32"});
}

TEST_CASE("any number of threads gives the same bits and the same report") {
    auto const layer = drawn_linear(dtype::f32, 131, 97, 1);
    auto const adapter = drawn_adapter(dtype::f32, 97, 24, 3);
    auto const wide = drawn_adapter(dtype::f32, 131, 24, 5);
    auto const a = merge_measured(layer, adapter, before, 0.5);
    auto const b = merge_measured(layer, wide, after, 0.5);
    for (int const threads : {1, 2, 3, 7}) {
        thread_team team{threads};
        auto const c = merge_measured(layer, adapter, before, 0.5, {.threads = &team});
        auto const d = merge_measured(layer, wide, after, 0.5, {.threads = &team});
        CHECK(same_bits(a.linear, c.linear));
        CHECK(same_bits(b.linear, d.linear));
        CHECK(a.report.max_ulp == c.report.max_ulp);
        CHECK(b.report.max_line_error == d.report.max_line_error);
        CHECK(b.report.with_delta == d.report.with_delta);
    }
}

TEST_CASE("adapters of q, k and v each change their third, and rows without one keep their values") {
    constexpr std::size_t width = 35;
    auto const layer = drawn_linear(dtype::f32, 3 * width, width, 1);
    auto const q = drawn_adapter(dtype::f32, width, 4, 3), k = drawn_adapter(dtype::f32, width, 5, 13),
               v = drawn_adapter(dtype::f32, width, 6, 23);
    std::array<adapter_of_rows, 3> const all{
        {{{0, width}, &q}, {{width, 2 * width}, &k}, {{2 * width, 3 * width}, &v}}};
    auto const rows_of = [](stored_linear const& l, std::size_t first) {
        stored_linear part{stored_tensor{l.weight.type(), {width, width}}, stored_tensor{l.bias.type(), {width}}};
        std::size_t const size = size_of(l.weight.type());
        std::memcpy(part.weight.bytes().data(), l.weight.bytes().data() + first * width * size,
                    part.weight.byte_size());
        std::memcpy(part.bias.bytes().data(), l.bias.bytes().data() + first * size, part.bias.byte_size());
        return part;
    };
    auto const [merged, report] = merge_rows_measured(layer, all, 0.5);
    CHECK(report.holds());
    CHECK(report.elements == 3 * width * (width + 1));
    stored_linear_adapter const* const adapters[] = {&q, &k, &v};
    for (std::size_t j = 0; j < 3; ++j)
        CHECK(same_bits(rows_of(merged, j * width), merge(rows_of(layer, j * width), *adapters[j], before, 0.5)));

    std::array<adapter_of_rows, 1> const only_k{{all[1]}};
    auto const middle = merge_rows_measured(layer, only_k, 0.5).linear;
    CHECK(same_bits(rows_of(middle, 0), rows_of(layer, 0)));
    CHECK(same_bits(rows_of(middle, width), rows_of(merged, width)));
    CHECK(same_bits(rows_of(middle, 2 * width), rows_of(layer, 2 * width)));

    auto const narrow = merge_rows_measured(layer, only_k, 0.5, {.type = dtype::bf16}).linear;
    for (std::size_t i = 0; i < width * width; ++i)
        CHECK(narrow.weight.value(i) == to_double(round_to<bf16>(layer.weight.value(i))));

    std::array<adapter_of_rows, 2> const overlapping{{{{0, width + 1}, &q}, {{width, 2 * width}, &k}}};
    CHECK_THROWS_AS((void)merge_rows_measured(layer, overlapping, 0.5), precondition_error);
    std::array<adapter_of_rows, 1> const outside{{{{2 * width, 4 * width}, &q}}};
    check_refused([&] { return merge_rows_measured(layer, outside, 0.5); }, error_code::bad_shape, {"linear"});
    CHECK(same_bits(merge_rows_measured(layer, {}, 0.5).linear, layer));
}

TEST_CASE("what is measured is what was stored: a wrong element is seen wherever it stands") {
    for (bool const is_before : {true, false}) {
        auto const layer = drawn_linear(dtype::f32, 70, 70, 1);
        auto const adapter = drawn_adapter(dtype::f32, 70, 6, 3);
        auto merged = is_before ? merge(layer, adapter, before, 0.5) : merge(layer, adapter, after, 0.5);
        auto const source = detail::elements_of(std::as_const(layer.weight));
        auto const stored = detail::elements_of(merged.weight);
        detail::adapter_elements const parts = detail::checked_elements(adapter, "linear");
        detail::line_merge job{is_before ? source : source.transposed(),
                               is_before ? stored : stored.transposed(), {0, 70}, parts, is_before, 0.5};
        job.prepare_measure();
        auto const measured = [&] {
            merge_report report;
            for (std::size_t b = 0; b < job.blocks(); ++b) job.measure<float>(b, report);
            return report;
        };
        CHECK(measured().holds());
        auto const values = merged.weight.as<float>();
        for (std::size_t i = 0; i < values.size(); i += 61) {
            CAPTURE(i);
            float const kept = values[i];
            // 0.01 is 500 times what the roundings of a whole line can sum up to.
            for (float const wrong : {kept + 0.01F, kept - 0.01F, std::numeric_limits<float>::quiet_NaN(),
                                      std::numeric_limits<float>::infinity()}) {
                values[i] = wrong;
                CHECK_FALSE(measured().holds());
            }
            values[i] = kept;
        }
        std::swap(values[5], values[75]);
        CHECK_FALSE(measured().holds());
        std::swap(values[5], values[75]);
        CHECK(measured().holds());
        // The linear itself, unmerged, and another scale.
        std::memcpy(merged.weight.bytes().data(), layer.weight.bytes().data(), layer.weight.byte_size());
        CHECK_FALSE(measured().holds());
    }
}

TEST_CASE("reports add up, and the worst stays") {
    merge_report a{.elements = 10, .with_delta = 4, .unchanged = 1, .share_unchanged = 0.25, .compared = 3,
                   .max_ulp = 0.5, .max_line_error = 0.1};
    merge_report const b{.elements = 5, .with_delta = 4, .unchanged = 3, .share_unchanged = 0.75, .compared = 2,
                         .max_ulp = 0.25, .max_line_error = 0.2};
    a += b;
    CHECK(a.elements == 15);
    CHECK(a.share_unchanged == 0.5);
    CHECK(a.compared == 5);
    CHECK(a.max_ulp == 0.5);
    CHECK(a.max_line_error == 0.2);
    CHECK(a.holds());
    a += merge_report{.max_ulp = std::numeric_limits<double>::quiet_NaN()};
    a += b;
    CHECK_FALSE(a.holds());
}

TEST_CASE("the user's own arrays merge in place of memory and stride, and give the bits of stored tensors") {
    auto const layer = drawn_linear(dtype::f32, 9, 7, 1);
    auto const adapter = drawn_adapter(dtype::f32, 7, 3, 3);
    auto const expected = merge(layer, adapter, before, 0.5);
    auto const matrix = [](stored_tensor const& t) {
        return tensor_view{t.as<float>().data(), t.sizes()[0], t.sizes()[1]};
    };
    auto const vector = [](stored_tensor const& t) { return tensor_view{t.as<float>().data(), t.sizes()[0]}; };
    linear_adapter const view_adapter{linear{matrix(adapter.D_fc1.weight), vector(adapter.D_fc1.bias)},
                                      linear{matrix(adapter.D_fc2.weight), vector(adapter.D_fc2.bias)}};
    // The weight by columns, every second float.
    std::vector<float> columns(2 * 9 * 7);
    for (std::size_t o = 0; o < 9; ++o)
        for (std::size_t i = 0; i < 7; ++i)
            columns[2 * (i * 9 + o)] = static_cast<float>(layer.weight.value(o * 7 + i));
    linear const strided_layer{tensor_view<float const, dims<2>, strided<2>>{columns.data(), {9, 7}, {{2, 18}}},
                               vector(layer.bias)};
    dynamic_linear<float> const merged = merge(strided_layer, view_adapter, before, 0.5);
    for (std::size_t i = 0; i < merged.weight.size(); ++i)
        CHECK(static_cast<double>(merged.weight.data()[i]) == expected.weight.value(i));
    for (std::size_t o = 0; o < 9; ++o) CHECK(static_cast<double>(merged.bias(o)) == expected.bias.value(o));
    CHECK(merge_measured(strided_layer, view_adapter, before, 0.5).report.holds());
    CHECK_THROWS_AS((void)merge(strided_layer, view_adapter, after, 0.5), model_error);

    dynamic_linear<double> const doubles{dynamic_tensor<double, 2>{9, 7}, dynamic_tensor<double, 1>{9}};
    dynamic_linear<double> const wide = merge(doubles, view_adapter, before, 0.5);
    CHECK(wide.weight(0, 0) == 0);
}

TEST_CASE("static and run-time merge agree") {
    constexpr static_linear<float, 2, 2> two{{{1, 2, 3, 4}}, {{5, 6}}};
    constexpr static_linear_adapter<float, 2, 1> one_rank{{{{1, 1}}, {{1}}}, {{{1, 2}}, {{0, 1}}}};
    constexpr auto by_compiler = merge(two, one_rank, after, 0.5);
    auto const at_run_time = merge_measured(two, one_rank, after, 0.5).linear;
    for (std::size_t i = 0; i < 4; ++i) CHECK(at_run_time.weight.data()[i] == by_compiler.weight.elements[i]);
    for (std::size_t i = 0; i < 2; ++i) CHECK(at_run_time.bias.data()[i] == by_compiler.bias.elements[i]);
    static_linear<float, 1, 1> const large{{{3e38F}}, {{0}}};
    static_linear_adapter<float, 1, 1> const doubling{{{{1}}, {{0}}}, {{{1}}, {{0}}}};
    CHECK_THROWS_AS((void)merge(large, doubling, before, 1), checkpoint_error);
}

namespace {

/// A merged weight (70,70), what is measured on it, and a way to spoil it.
struct measured_merge {
    stored_linear layer = drawn_linear(dtype::f32, 70, 70, 1);
    stored_linear_adapter adapter = drawn_adapter(dtype::f32, 70, 6, 3);
    stored_linear merged = merge(layer, adapter, before, 0.5);

    merge_report operator()() {
        detail::line_merge job{detail::elements_of(std::as_const(layer.weight)), detail::elements_of(merged.weight), {0, 70},
                               detail::checked_elements(adapter, "linear"), true, 0.5};
        job.prepare_measure();
        merge_report report;
        for (std::size_t b = 0; b < job.blocks(); ++b) job.measure<float>(b, report);
        return report;
    }
    /// Element (row,column), `units` of its neighbours' distance away.
    merge_report with(std::size_t row, std::size_t column, double units) {
        float& value = merged.weight.as<float>()[row * 70 + column];
        float const kept = value;
        value = static_cast<float>(static_cast<double>(kept) + units * ulp<float>(static_cast<double>(kept)));
        auto const report = (*this)();
        value = kept;
        return report;
    }
    /// What the roundings of a whole line may sum up to, in units of element (row,column).
    double allowed(std::size_t row, std::size_t column) {
        auto const values = merged.weight.as<float>();
        double sum = 0;
        for (std::size_t c = 0; c < 70; ++c) sum += ulp<float>(static_cast<double>(values[row * 70 + c])) / 2;
        return sum / ulp<float>(static_cast<double>(values[row * 70 + column]));
    }
};

} // namespace

TEST_CASE("32 elements of a line, spread over all of it, are compared one by one") {
    measured_merge of;
    CHECK(of().max_ulp <= 0.5001);
    std::size_t first = 0, seen = 0;
    for (std::size_t column = 0; column < 70; ++column) {
        bool const sampled = of.with(40, column, 3).max_ulp > 2.4;
        CHECK(sampled == (column == first * 70 / 32 && first < 32));
        if (sampled) ++seen, ++first;
    }
    CHECK(seen == 32);
}

TEST_CASE("the tolerance of a line is the sum of its roundings: what is beyond it is refused, what is below is not") {
    measured_merge of;
    constexpr std::size_t column = 1; // compared with its line only
    for (std::size_t const row : {0U, 33U, 69U}) {
        double const line = of.allowed(row, column);
        CHECK(of.with(row, column, std::round(2.2 * line)).max_line_error > 1.1); // 2.2, less what this line's own roundings sum up to
        CHECK_FALSE(of.with(row, column, std::round(2.2 * line)).holds());
        CHECK(of.with(row, column, std::round(0.2 * line)).max_line_error < 0.9);
        CHECK(of.with(row, column, std::round(0.2 * line)).holds());
        CHECK_FALSE(of.with(row, column, -std::round(2.2 * line)).holds());
    }
}

TEST_CASE("two errors of a line that cancel each other are seen by half of the signs") {
    measured_merge of;
    auto const values = of.merged.weight.as<float>().subspan(5 * 70, 70);
    std::size_t seen = 0, pairs = 0;
    for (std::size_t const a : {1U, 3U, 5U})
        for (std::size_t const b : {7U, 9U, 12U, 14U, 16U, 18U}) {
            float const kept_a = values[a], kept_b = values[b];
            values[a] += 0.01F;
            values[b] -= 0.01F;
            seen += of().holds() ? 0U : 1U;
            ++pairs;
            values[a] = kept_a;
            values[b] = kept_b;
        }
    CHECK(seen >= pairs / 4);
    CHECK(seen <= 3 * pairs / 4);
}

TEST_CASE("merges of doubles hold, whose sums are no more exact than their elements") {
    auto const fill = [](auto& t, std::uint64_t seed) {
        counter_rng const rng{seed};
        for (std::size_t i = 0; i < t.size(); ++i) t.data()[i] = static_cast<double>(rng.normal(i)) + 1e-9 * static_cast<double>(rng.normal(i + 1000000));
    };
    for (std::size_t const width : {7U, 64U, 200U}) {
        dynamic_linear<double> layer{dynamic_tensor<double, 2>{40, width}, dynamic_tensor<double, 1>{40}};
        auto adapter = make_linear_adapter<double>(width, 30);
        fill(layer.weight, 1);
        fill(layer.bias, 2);
        fill(adapter.D_fc1.weight, 3);
        fill(adapter.D_fc1.bias, 4);
        fill(adapter.D_fc2.weight, 5);
        fill(adapter.D_fc2.bias, 6);
        auto const [merged, report] = merge_measured(layer, adapter, before, 0.5);
        CHECK(report.max_line_error <= 1);
        CHECK(report.max_line_error > 0);
        CHECK(report.elements == 40 * width + 40);
        for (std::size_t r = 0; r < 40; r += 13)
            for (std::size_t c = 0; c < width; c += 5) {
                long double sum = static_cast<long double>(layer.weight(r, c));
                for (std::size_t k = 0; k < 30; ++k) {
                    long double hidden = 0;
                    for (std::size_t j = 0; j < width; ++j) hidden += static_cast<long double>(layer.weight(r, j)) * static_cast<long double>(adapter.D_fc2.weight(j, k));
                    sum += 0.5L * hidden * static_cast<long double>(adapter.D_fc1.weight(k, c));
                }
                CHECK(static_cast<double>(merged.weight(r, c)) == doctest::Approx(static_cast<double>(sum)).epsilon(1e-11));
            }
    }
}

TEST_CASE("a product that cancels beyond double's digits does not hold: two orders of it differ") {
    auto const [layer, adapter] = cancelling_merge(24);
    auto const report = merge_measured(layer, adapter, before, 1).report;
    CHECK(report.max_ulp > 1.5);
    CHECK_FALSE(report.holds());
}

TEST_CASE("a report holds up to one unit, and what is not finite is the worst") {
    double const above = std::nextafter(1.0, 2.0), infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(merge_report{.max_ulp = 1, .max_line_error = 1}.holds());
    CHECK_FALSE(merge_report{.max_ulp = above, .max_line_error = 0}.holds());
    CHECK_FALSE(merge_report{.max_ulp = 0, .max_line_error = above}.holds());
    CHECK(detail::worse(1, 2) == 2);
    CHECK(detail::worse(3, 2) == 3);
    for (double const bad : {nan, infinity}) {
        CHECK(detail::worse(bad, 0) == infinity);
        CHECK(detail::worse(0, bad) == infinity);
    }
    merge_report sum{.elements = 1, .with_delta = 2, .unchanged = 1, .compared = 4};
    sum += merge_report{.elements = 10, .with_delta = 6, .unchanged = 3, .compared = 40, .max_ulp = 0.25, .max_line_error = 0.5};
    CHECK((sum.elements == 11 && sum.with_delta == 8 && sum.unchanged == 4 && sum.share_unchanged == 0.5 && sum.compared == 44));
    CHECK((sum.max_ulp == 0.25 && sum.max_line_error == 0.5));
    merge_report none;
    none += merge_report{.elements = 3};
    CHECK(none.share_unchanged == 0);
}

TEST_CASE("rows of adapters are ascending ranges, each with its adapter; arrays have the type that follows from theirs") {
    auto const layer = drawn_linear(dtype::f32, 12, 4, 1);
    auto const adapter = drawn_adapter(dtype::f32, 4, 2, 3);
    auto const refused = [&](std::vector<adapter_of_rows> const& all) {
        CHECK_THROWS_WITH_AS((void)merge_rows_measured(layer, all, 0.5),
                             "zeroi2v::merge: adapters of rows must be given in ascending order, without overlap", precondition_error);
    };
    refused({{{5, 3}, &adapter}});
    refused({{{0, 4}, nullptr}});
    refused({{{4, 8}, &adapter}, {{0, 4}, &adapter}});
    refused({{{0, 5}, &adapter}, {{4, 8}, &adapter}});
    CHECK_NOTHROW((void)merge_rows_measured(layer, std::vector<adapter_of_rows>{{{0, 4}, &adapter}, {{4, 4}, &adapter}, {{4, 12}, &adapter}}, 0.5));

    dynamic_linear<float> const array{dynamic_tensor<float, 2>{3, 4}, dynamic_tensor<float, 1>{3}};
    auto const detour = make_linear_adapter<float>(4, 2);
    CHECK_NOTHROW((void)merge(array, detour, before, 0.5, {.type = dtype::f32}));
    CHECK_THROWS_WITH_AS((void)merge(array, detour, before, 0.5, {.type = dtype::bf16}), "zeroi2v::merge: the result's type follows from the arrays' types",
                         precondition_error);
}

TEST_CASE("a bias is merged as exactly as a weight, and its delta counts") {
    for (bool const is_before : {true, false}) {
        auto const layer = drawn_linear(dtype::bf16, 21, 21, 1);
        auto const adapter = drawn_adapter(dtype::bf16, 21, 4, 3);
        double const scale = 0.002; // about a bf16 step: some are swallowed
        auto const [merged, report] = is_before ? merge_measured(layer, adapter, before, scale) : merge_measured(layer, adapter, after, scale);
        CHECK(report.with_delta == 21 * 21 + 21);
        std::size_t unchanged = 0;
        for (std::size_t i = 0; i < 21 * 21; ++i) unchanged += merged.weight.value(i) == layer.weight.value(i) ? 1U : 0U;
        for (std::size_t i = 0; i < 21; ++i) unchanged += merged.bias.value(i) == layer.bias.value(i) ? 1U : 0U;
        CHECK(unchanged > 0);
        CHECK(report.unchanged == unchanged);
        CHECK(report.share_unchanged == doctest::Approx(static_cast<double>(unchanged) / (21 * 21 + 21)));
    }
}

TEST_CASE("static merges on either side are the run-time ones, for weights that no compiler saw") {
    counter_rng const rng{17};
    std::uint64_t drawn_numbers = 0;
    auto const fill = [&](auto& t) {
        for (auto& x : t.elements) x = static_cast<float>(rng.normal(drawn_numbers++));
    };
    static_linear<float, 3, 4> layer{};
    static_linear_adapter<float, 4, 2> narrow{};
    static_linear_adapter<float, 3, 2> wide{};
    fill(layer.weight);
    fill(layer.bias);
    for (auto* part : {&narrow.D_fc1}) fill(part->weight), fill(part->bias);
    for (auto* part : {&narrow.D_fc2}) fill(part->weight), fill(part->bias);
    for (auto* part : {&wide.D_fc1}) fill(part->weight), fill(part->bias);
    for (auto* part : {&wide.D_fc2}) fill(part->weight), fill(part->bias);
    auto const same = [](auto const& fixed, auto const& dynamic) {
        for (std::size_t i = 0; i < 12; ++i) CHECK(fixed.weight.elements[i] == dynamic.weight.data()[i]);
        for (std::size_t i = 0; i < 3; ++i) CHECK(fixed.bias.elements[i] == dynamic.bias.data()[i]);
    };
    same(merge(layer, narrow, before, 0.25), merge_measured(layer, narrow, before, 0.25).linear);
    same(merge(layer, wide, after, 0.25), merge_measured(layer, wide, after, 0.25).linear);
    auto const kept = merge(layer, narrow, before, 0.0);
    CHECK(kept == layer);
    narrow.D_fc2.bias.elements[1] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS((void)merge(layer, narrow, before, 0.25), "zeroi2v::merge: the result must be finite in its element type", checkpoint_error);
    static_assert(std::same_as<wider_element<f16, bf16>, float> && std::same_as<wider_element<f16, f16>, f16> && std::same_as<wider_element<bf16, double>, double>);
}
