#include <zeroi2v/nn/linear.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using namespace zeroi2v;

TEST_CASE("apply is exact on small integers, for every shape") {
    for (std::size_t const n : {0U, 1U, 2U, 5U})
        for (std::size_t const in : {0U, 1U, 3U, 7U})
            for (std::size_t const out : {1U, 2U, 5U}) {
                dynamic_linear<float> layer{dynamic_tensor<float, 2>{out, in}, dynamic_tensor<float, 1>{out}};
                dynamic_tensor<float, 2> x{n, in}, y{n, out};
                for (std::size_t o = 0; o < out; ++o) {
                    layer.bias(o) = static_cast<float>(o) - 2;
                    for (std::size_t i = 0; i < in; ++i) layer.weight(o, i) = static_cast<float>(o * 3 + i) - 4;
                }
                for (std::size_t r = 0; r < n; ++r)
                    for (std::size_t i = 0; i < in; ++i) x(r, i) = static_cast<float>(r + 2 * i) - 3;
                apply(layer, x, y);
                for (std::size_t r = 0; r < n; ++r)
                    for (std::size_t o = 0; o < out; ++o) {
                        long sum = static_cast<long>(o) - 2;
                        for (std::size_t i = 0; i < in; ++i)
                            sum += (static_cast<long>(o * 3 + i) - 4) * (static_cast<long>(r + 2 * i) - 3);
                        CHECK(y(r, o) == static_cast<float>(sum));
                    }
            }
}

TEST_CASE("the sum is kept in double: what float would lose is there") {
    static_linear<float, 1, 3> const layer{{{1, 1, 1}}, {{0}}};
    CHECK(apply(layer, static_tensor<float, 3>{{1e8F, 1, -1e8F}})(0) == 1.F);
}

TEST_CASE("views of foreign memory and half types are read in place") {
    std::vector<bf16> const weight{bf16{1.F}, bf16{2.F}, bf16{-1.F}, bf16{0.5F}};
    std::vector<bf16> const bias{bf16{10.F}, bf16{-1.F}};
    linear const layer{tensor_view{weight.data(), 2, 2}, tensor_view{bias.data(), 2}};
    dynamic_tensor<float, 2> x{1, 2}, y{1, 2};
    x(0, 0) = 3;
    x(0, 1) = 4;
    apply(layer, x, y);
    CHECK(y(0, 0) == 21.F);
    CHECK(y(0, 1) == -2.F);
}

TEST_CASE("sizes that do not fit are an error and nothing is written") {
    dynamic_linear<float> const layer{dynamic_tensor<float, 2>{2, 3}, dynamic_tensor<float, 1>{2}};
    dynamic_linear<float> const bad_bias{dynamic_tensor<float, 2>{2, 3}, dynamic_tensor<float, 1>{3}};
    dynamic_tensor<float, 2> x{4, 3}, y{4, 2};
    y(0, 0) = 5;
    CHECK_THROWS_AS(apply(bad_bias, x, y), precondition_error);
    CHECK_THROWS_AS(apply(layer, dynamic_tensor<float, 2>{4, 2}, y), precondition_error);
    CHECK_THROWS_AS(apply(layer, dynamic_tensor<float, 2>{3, 3}, y), precondition_error);
    CHECK_THROWS_AS(apply(layer, x, dynamic_tensor<float, 2>{4, 3}), precondition_error);
    CHECK(y(0, 0) == 5.F);
}

TEST_CASE("static layers compute on matrices and vectors") {
    static_linear<float, 2, 3> const layer{{{1, 2, 3, 4, 5, 6}}, {{10, 20}}};
    auto const rows = apply(layer, static_tensor<float, 2, 3>{{1, 0, 0, 1, 1, 1}});
    CHECK((rows(0, 0) == 11 && rows(0, 1) == 24 && rows(1, 0) == 16 && rows(1, 1) == 35));
    auto const one = apply(layer, static_tensor<float, 3>{{0, 0, 2}});
    CHECK((one(0) == 16 && one(1) == 32));
    CHECK(layer == static_linear<float, 2, 3>{{{1, 2, 3, 4, 5, 6}}, {{10, 20}}});
    CHECK_FALSE(layer == static_linear<float, 2, 3>{{{1, 2, 3, 4, 5, 6}}, {{10, 21}}});
}
