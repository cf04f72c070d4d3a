#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/core/random.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>

using namespace zeroi2v;

namespace {

template <class Tensor>
void draw_into(Tensor& t, std::uint64_t seed) {
    counter_rng const rng{seed};
    for (std::size_t i = 0; i < t.size(); ++i) t.data()[i] = rng.normal(i);
}

} // namespace

TEST_CASE("an adapter is two linears, scaled, on top of its input") {
    for (std::size_t const width : {1U, 5U, 8U})
        for (std::size_t const rank : {1U, 2U, 3U}) {
            auto adapter = make_linear_adapter<double>(width, rank);
            draw_into(adapter.D_fc1.weight, 1);
            draw_into(adapter.D_fc1.bias, 2);
            draw_into(adapter.D_fc2.weight, 3);
            draw_into(adapter.D_fc2.bias, 4);
            dynamic_tensor<double, 2> x{3, width}, y{3, width}, hidden{3, rank}, up{3, width};
            draw_into(x, 5);
            apply(adapter.D_fc1, x, hidden);
            apply(adapter.D_fc2, hidden, up);
            apply(adapter, 0.25, x, y);
            for (std::size_t i = 0; i < x.size(); ++i)
                CHECK(y.data()[i] == doctest::Approx(x.data()[i] + 0.25 * up.data()[i]).epsilon(1e-14));
            apply(adapter, 0.25, x, x); // in place
            for (std::size_t i = 0; i < x.size(); ++i) CHECK(x.data()[i] == y.data()[i]);
        }
}

TEST_CASE("a fresh adapter is the identity whatever its first layer is") {
    auto adapter = make_linear_adapter<float>(6, 2);
    draw_into(adapter.D_fc1.weight, 1);
    draw_into(adapter.D_fc1.bias, 2);
    dynamic_tensor<float, 2> x{4, 6}, y{4, 6};
    draw_into(x, 3);
    apply(adapter, 1.0, x, y);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(y.data()[i] == x.data()[i]);
}

TEST_CASE("sizes that do not fit are errors") {
    auto adapter = make_linear_adapter<float>(6, 2);
    dynamic_tensor<float, 2> x{4, 6}, y{4, 6};
    CHECK_THROWS_AS(apply(adapter, 1.0, dynamic_tensor<float, 2>{4, 5}, y), precondition_error);
    CHECK_THROWS_AS(apply(adapter, 1.0, x, dynamic_tensor<float, 2>{3, 6}), precondition_error);
    std::swap(adapter.D_fc1, adapter.D_fc2);
    CHECK_THROWS_AS(apply(adapter, 1.0, x, y), precondition_error);
}

TEST_CASE("each size that does not fit is refused by itself") {
    dynamic_tensor<float, 2> const x{4, 6};
    dynamic_tensor<float, 2> y{4, 6};
    auto const refused = [&](dynamic_linear_adapter<float> const& adapter, auto const& from, auto& to, char const* sentence) {
        CHECK_THROWS_WITH_AS(apply(adapter, 1.0, from, to), sentence, precondition_error);
    };
    auto const sound = make_linear_adapter<float>(6, 2);
    CHECK_NOTHROW(apply(sound, 1.0, x, y));
    char const* const of_adapter = "zeroi2v::linear_adapter: D_fc1 must be (R,C), (R) and D_fc2 (C,R), (C)";
    char const* const of_rows = "zeroi2v::apply: x and y must be (N,C) with the adapter's C";
    auto adapter = sound;
    adapter.D_fc1.bias = dynamic_tensor<float, 1>{3};
    refused(adapter, x, y, of_adapter);
    adapter = sound;
    adapter.D_fc2.weight = dynamic_tensor<float, 2>{5, 2};
    refused(adapter, x, y, of_adapter);
    adapter = sound;
    adapter.D_fc2.weight = dynamic_tensor<float, 2>{6, 3};
    refused(adapter, x, y, of_adapter);
    adapter = sound;
    adapter.D_fc2.bias = dynamic_tensor<float, 1>{7};
    refused(adapter, x, y, of_adapter);
    dynamic_tensor<float, 2> wide{4, 7}, high{5, 6};
    refused(sound, wide, y, of_rows);
    refused(sound, x, wide, of_rows);
    refused(sound, x, high, of_rows);
    refused(sound, high, y, of_rows);
}

TEST_CASE("a fresh adapter has the shapes of its width and rank; a static one computes the same") {
    auto const fresh = make_linear_adapter<double>(3, 2);
    CHECK((fresh.D_fc1.weight.extent(0) == 2 && fresh.D_fc1.weight.extent(1) == 3 && fresh.D_fc1.bias.extent(0) == 2));
    CHECK((fresh.D_fc2.weight.extent(0) == 3 && fresh.D_fc2.weight.extent(1) == 2 && fresh.D_fc2.bias.extent(0) == 3));
    static_linear_adapter<float, 2, 1> const fixed{{{{1, 2}}, {{3}}}, {{{4, 5}}, {{6, 7}}}};
    auto const y = apply(fixed, 0.5, static_tensor<float, 1, 2>{{1, 1}}); // hidden 6: 1 + (24 + 6) / 2, 1 + (30 + 7) / 2
    CHECK(y(0, 0) == 16.F);
    CHECK(y(0, 1) == 19.5F);
}
