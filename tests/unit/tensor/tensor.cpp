#include <zeroi2v/tensor/tensor.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

using namespace zeroi2v;

TEST_CASE("a new tensor is zero, aligned, and as large as its sizes say") {
    for (std::size_t const n : {1U, 2U, 15U, 16U, 17U, 63U, 64U, 65U}) {
        dynamic_tensor<float, 2> const t{n, 3};
        CHECK(t.size() == n * 3);
        CHECK(reinterpret_cast<std::uintptr_t>(t.data()) % 64 == 0);
        for (float const x : t) CHECK(x == 0.F);
    }
}

TEST_CASE("copies are deep, moves leave an empty tensor, assignment survives itself") {
    dynamic_tensor<int, 2> a{2, 3};
    a(1, 2) = 5;
    auto b = a;
    b(1, 2) = 6;
    CHECK(a(1, 2) == 5);
    auto const* const where = b.data();
    auto c = std::move(b);
    CHECK(c.data() == where);
    CHECK(c(1, 2) == 6);
    CHECK(b.empty());        // NOLINT: the state after a move is part of the contract
    CHECK(b.extent(0) == 0); // NOLINT
    auto& self = c;
    c = self;
    CHECK(c(1, 2) == 6);
    c = a;
    CHECK(c(1, 2) == 5);
    CHECK(c.data() != a.data());
}

TEST_CASE("zero sizes and no dimension") {
    CHECK(dynamic_tensor<float, 3>{}.empty());
    CHECK(dynamic_tensor<float, 3>{2, 0, 4}.empty());
    CHECK(dynamic_tensor<float, 3>{2, 0, 4}.extent(2) == 4);
    tensor<double, extents<>> scalar;
    scalar() = 3.;
    CHECK(scalar.size() == 1);
    CHECK(scalar() == 3.);
    CHECK(tensor<float, extents<3, 4>>{}.size() == 12);
}

TEST_CASE("sizes that overflow or cannot be had are errors, not crashes") {
    auto const huge = std::size_t{1} << 62;
    CHECK_THROWS_AS((dynamic_tensor<float, 1>{huge}), model_error);
    CHECK_THROWS_AS((dynamic_tensor<float, 2>{huge, huge}), model_error);
    CHECK_THROWS_AS((dynamic_tensor<float, 2>{std::numeric_limits<std::size_t>::max(), 1}), model_error);
    CHECK((dynamic_tensor<float, 3>{huge, 0, huge}).empty());
    try {
        dynamic_tensor<char, 1> const never{std::size_t{1} << 60};
        FAIL("2^60 bytes were given");
    } catch (resource_error const& caught) {
        CHECK(caught.code() == error_code::out_of_memory);
        CHECK(std::string{caught.what()}.find("1152921504606846976 bytes") != std::string::npos);
    }
}

TEST_CASE("a failed assignment leaves the object as it was") {
    dynamic_tensor<char, 1> t{3};
    t(2) = 'x';
    CHECK_THROWS_AS((t = dynamic_tensor<char, 1>{std::size_t{1} << 60}), resource_error);
    CHECK(t.size() == 3);
    CHECK(t(2) == 'x');
}

TEST_CASE("a copy of a tensor that was moved from has no elements either, static sizes or not") {
    tensor<float, extents<3, 4>> a;
    auto const b = std::move(a);
    CHECK(b.size() == 12);
    auto const copy = a; // NOLINT: the state after a move is part of the contract
    CHECK(copy.empty());
}

TEST_CASE("a size that contradicts the type is an error") {
    using mixed = tensor<float, extents<3, dynamic, 4>>;
    CHECK(mixed{3, 7, 4}.size() == 84);
    CHECK_THROWS_AS((mixed{2, 7, 4}), precondition_error);
    CHECK_THROWS_AS((mixed{3, 7, 5}), precondition_error);
}

TEST_CASE("sizes, ends and elements of a tensor and of what is const of it") {
    tensor<int, extents<2, dynamic>> t{2, 3};
    int next = 0;
    for (int& x : t) x = next++;
    auto const& read = t;
    CHECK((read.size() == 6 && read.end() - read.begin() == 6 && t.end() - t.begin() == 6 && read.rank() == 2));
    CHECK((read(1, 0) == 3 && read.view()(1, 2) == 5 && t.view().data() == read.data()));
    view<int const, 2> const as_view = read.view();
    CHECK((as_view.extent(0) == 2 && as_view.extent(1) == 3));
    tensor_view<int, extents<2, dynamic>> const written = t;
    written(0, 1) = 40;
    CHECK(read(0, 1) == 40);
    CHECK_FALSE(read.empty());
    CHECK_THROWS_WITH_AS((tensor<int, extents<2, dynamic>>{3, 3}), "zeroi2v::tensor: a static size must be given as the type has it", precondition_error);
    CHECK_THROWS_WITH_AS((dynamic_tensor<double, 1>{std::size_t{1} << 61}), "tensor: the number of bytes overflows", model_error);
    dynamic_tensor<int, 2> assigned{1, 1};
    assigned = dynamic_tensor<int, 2>{4, 5};
    CHECK((assigned.extent(0) == 4 && assigned.extent(1) == 5 && assigned.size() == 20));
}
