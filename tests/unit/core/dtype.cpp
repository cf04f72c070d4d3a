#include <zeroi2v/core/dtype.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

using namespace zeroi2v;

TEST_CASE("names and types map onto each other, and nothing else has a type") {
    int found = 0;
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i) {
        auto const type = static_cast<dtype>(i);
        CHECK(dtype_from_name(dtype_name(type)) == type);
        CHECK(size_of(type) >= 1);
        CHECK(size_of(type) <= 8);
        ++found;
    }
    CHECK(found == 22);
    for (auto const* name : {"", "f32", "F32 ", "F", "F8", "?", "INT8", "BF16\n"}) CHECK_FALSE(dtype_from_name(name));
}

TEST_CASE_TEMPLATE("dtype_of names a type of the same size", T, bool, std::int8_t, std::uint8_t, std::int16_t,
                   std::uint16_t, f16, bf16, std::int32_t, std::uint32_t, float, double, std::int64_t, std::uint64_t) {
    CHECK(size_of(dtype_of<T>) == sizeof(T));
    CHECK(dtype_of<T const> == dtype_of<T>);
}

TEST_CASE("bytes of packed elements are whole, or there are none") {
    CHECK(bytes_of(dtype::f4, 6) == std::size_t{3});
    CHECK_FALSE(bytes_of(dtype::f4, 5));
    CHECK(bytes_of(dtype::f4, 0) == std::size_t{0});
    for (auto const type : {dtype::f6_e2m3, dtype::f6_e3m2}) {
        CHECK(bytes_of(type, 4) == std::size_t{3});
        for (std::size_t const count : {1U, 2U, 3U, 6U}) CHECK_FALSE(bytes_of(type, count));
    }
    CHECK(bytes_of(dtype::c64, 3) == std::size_t{24});
    std::size_t const most = ~std::size_t{0};
    CHECK(bytes_of(dtype::u8, most) == most);
    CHECK_FALSE(bytes_of(dtype::u16, most));
    CHECK_FALSE(bytes_of(dtype::f4, most - 7));
    int packed = 0;
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i) packed += is_packed(static_cast<dtype>(i)) ? 1 : 0;
    CHECK(packed == 3);
}

TEST_CASE("weights are f32, f16 or bf16") {
    int weights = 0;
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i) weights += is_weight_dtype(static_cast<dtype>(i)) ? 1 : 0;
    CHECK(weights == 3);
    CHECK((is_weight_dtype(dtype::f32) && is_weight_dtype(dtype::f16) && is_weight_dtype(dtype::bf16)));
    CHECK(dtype::int8 == dtype::i8);
}

TEST_CASE("names and sizes of every type, as safetensors has them") {
    struct { dtype type; char const* name; std::size_t size; } const all[]{
        {dtype::boolean, "BOOL", 1}, {dtype::u8, "U8", 1},   {dtype::i8, "I8", 1},   {dtype::f8_e5m2, "F8_E5M2", 1}, {dtype::f8_e4m3, "F8_E4M3", 1},
        {dtype::i16, "I16", 2},      {dtype::u16, "U16", 2}, {dtype::f16, "F16", 2}, {dtype::bf16, "BF16", 2},       {dtype::i32, "I32", 4},
        {dtype::u32, "U32", 4},      {dtype::f32, "F32", 4}, {dtype::f64, "F64", 8}, {dtype::i64, "I64", 8},         {dtype::u64, "U64", 8}};
    for (auto const& [type, name, size] : all) {
        CHECK(dtype_name(type) == name);
        CHECK(size_of(type) == size);
    }
    auto const none = static_cast<dtype>(200);
    CHECK(size_of(none) == 0);
    CHECK(dtype_name(none) == "?");
}

TEST_CASE("dtype_of is the type of its values") {
    CHECK((dtype_of<bool> == dtype::boolean && dtype_of<std::uint8_t> == dtype::u8 && dtype_of<std::int8_t> == dtype::i8
           && dtype_of<std::int16_t> == dtype::i16 && dtype_of<std::uint16_t> == dtype::u16 && dtype_of<f16> == dtype::f16
           && dtype_of<bf16> == dtype::bf16 && dtype_of<std::int32_t> == dtype::i32 && dtype_of<std::uint32_t> == dtype::u32
           && dtype_of<float> == dtype::f32 && dtype_of<double> == dtype::f64 && dtype_of<std::int64_t> == dtype::i64
           && dtype_of<std::uint64_t> == dtype::u64));
}
