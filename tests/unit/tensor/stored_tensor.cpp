#include <zeroi2v/tensor/stored_tensor.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

TEST_CASE("a shape keeps up to 8 sizes and refuses a ninth") {
    std::vector<std::size_t> const sizes{2, 3, 5, 7, 1, 1, 2, 3};
    shape const s{std::span<std::size_t const>{sizes}};
    CHECK(s.rank() == 8);
    CHECK(std::equal(s.begin(), s.end(), sizes.begin(), sizes.end()));
    CHECK(s.count() == 1260);
    CHECK_THROWS_AS((shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), precondition_error);
    CHECK(to_string(shape{2, 3, 768}) == "(2,3,768)");
    CHECK(to_string(shape{}) == "()");
    CHECK(shape{}.count() == 1);
    CHECK(shape{2, 3} == shape{2, 3});
    CHECK_FALSE(shape{2, 3} == shape{2, 3, 1});
}

TEST_CASE("elements come back as they went in, and only as what they are") {
    stored_tensor t{dtype::i64, {2, 2}};
    auto const values = t.as<std::int64_t>();
    for (std::size_t i = 0; i < 4; ++i) values[i] = static_cast<std::int64_t>(i) - 2;
    CHECK(std::as_const(t).as<std::int64_t>()[0] == -2);
    CHECK(t.count() == 4);
    CHECK(t.byte_size() == 32);
    CHECK_THROWS_AS((void)t.as<double>(), precondition_error);
    CHECK_THROWS_AS((void)t.as<std::uint64_t>(), precondition_error);
}

TEST_CASE_TEMPLATE("widening is exact, from any position, and value() agrees with it", T, float, f16, bf16) {
    constexpr std::size_t count = 37;
    stored_tensor t{dtype_of<T>, {count}};
    for (std::size_t i = 0; i < count; ++i) t.as<T>()[i] = T(0.25F * static_cast<float>(i) - 3.F);
    for (std::size_t first = 0; first <= count; ++first) {
        std::vector<float> out(count - first + 1, 99.F);
        t.widen(first, std::span{out}.first(count - first));
        for (std::size_t i = first; i < count; ++i) {
            CHECK(out[i - first] == 0.25F * static_cast<float>(i) - 3.F);
            CHECK(t.value(i) == static_cast<double>(out[i - first]));
        }
        CHECK(out.back() == 99.F);
    }
}

TEST_CASE("zeros, clones, moves and empty tensors") {
    auto t = stored_tensor::zeros(dtype::f32, {3, 3});
    CHECK(std::all_of(t.bytes().begin(), t.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
    auto const copy = t.clone();
    t.as<float>()[4] = 2.F;
    CHECK(copy.as<float>()[4] == 0.F);
    auto const moved = std::move(t);
    CHECK(moved.as<float>()[4] == 2.F);
    CHECK(t.empty()); // NOLINT: the state after a move is part of the contract
    CHECK(t.count() == 0);
    CHECK(stored_tensor{}.empty());
    stored_tensor const none{dtype::f16, {0, 7}};
    CHECK(none.empty());
    CHECK(none.clone().sizes() == shape{0, 7});
    CHECK(stored_tensor{dtype::f32, {}}.count() == 1);
}

TEST_CASE("a shape whose bytes overflow is an error") {
    auto const huge = std::size_t{1} << 62;
    CHECK_THROWS_AS((stored_tensor{dtype::f32, {huge}}), model_error);
    CHECK_THROWS_AS((stored_tensor{dtype::u8, {huge, huge}}), model_error);
    CHECK(stored_tensor{dtype::f64, {huge, 0, huge}}.empty());
}

TEST_CASE("a clone is what its original is, with no element more") {
    CHECK(stored_tensor{}.clone().empty());
    stored_tensor a{dtype::f32, {3, 3}};
    auto const b = std::move(a);
    CHECK(b.sizes() == shape{3, 3});
    CHECK(a.sizes() == shape{0}); // NOLINT: the state after a move is part of the contract
    CHECK(a.clone().empty());     // NOLINT
    auto const h = stored_tensor::zeros(dtype::bf16, {4}).clone();
    CHECK((h.type() == dtype::bf16 && h.count() == 4));
    stored_tensor c{dtype::u8, {2}};
    c = stored_tensor{dtype::f64, {5}};
    CHECK(c.type() == dtype::f64);
    CHECK(c.count() == 5);
}

TEST_CASE("an assignment that moves leaves nothing behind, and a const tensor is read as what it is only") {
    stored_tensor from{dtype::f32, {2, 3}}, to{dtype::u8, {5}};
    to = std::move(from);
    CHECK(to.sizes() == shape{2, 3});
    CHECK(from.sizes() == shape{0}); // NOLINT: the state after a move is part of the contract
    CHECK(from.empty());             // NOLINT
    stored_tensor const& read = to;
    CHECK(read.as<float>().size() == 6);
    CHECK_THROWS_WITH_AS((void)read.as<std::int32_t>(), "zeroi2v::stored_tensor::as: T must be the stored type", precondition_error);
    CHECK_THROWS_AS((void)read.as<f16>(), precondition_error);
}

TEST_CASE("values of every type with a double, bytes that overflow are named by the shape") {
    stored_tensor t{dtype::f64, {3}};
    for (std::size_t i = 0; i < 3; ++i) t.as<double>()[i] = 0.1 * static_cast<double>(i + 1);
    CHECK(t.value(2) == 0.1 * 3);
    stored_tensor h{dtype::f16, {2}};
    h.as<f16>()[1] = f16{-2.5F};
    CHECK(h.value(1) == -2.5);
    try {
        stored_tensor const never{dtype::f64, {std::size_t{1} << 61, 2}};
        FAIL("2^65 bytes");
    } catch (model_error const& e) {
        CHECK(e.code() == error_code::bad_config);
        CHECK(std::string{e.what()} == "tensor of shape (2305843009213693952,2): the number of bytes overflows");
    }
    CHECK(shape{2, 3}[1] == 3);
    CHECK(shape{}.rank() == 0);
    auto const zeros = stored_tensor::zeros(dtype::i16, {2, 2});
    CHECK(zeros.byte_size() == 8);
    CHECK(zeros.bytes().size() == 8);
}
