// Faults of safetensors headers, one test each; every truncation, extension and byte of a small file.
#include <zeroi2v/io/safetensors/safetensors_header.hpp>

#include "../faults.hpp"
#include "../header_text.hpp"
#include "../peak_memory.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using test::entry, test::fault_of, test::fault_of_file, test::fault_of_json, test::file_of, test::object, test::parse;
using zeroi2v::error_code;
using zeroi2v::safetensors_header;

[[nodiscard]] std::string one(std::string_view type, std::string_view shape, std::string_view offsets) {
    return object(entry("w", type, shape, offsets));
}

[[nodiscard]] std::string length_only(std::uint64_t n, std::string_view tail = {}) {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((n >> (8 * i)) & 0xFFU);
    return bytes.append(tail);
}

} // namespace

TEST_CASE("a sound header: tensors in the order of their data, found by name") {
    auto const header = parse(file_of(object(R"("__metadata__":{"a":"b","c":""})", entry("z", "F32", "[2,3]", "[4,28]"),
                                             entry("a", "BF16", "[2]", "[0,4]")),
                                      28));
    REQUIRE(header.tensors.size() == 2);
    CHECK(header.tensors[0] == zeroi2v::tensor_info{"a", zeroi2v::dtype::bf16, {2}});
    CHECK(header.tensors[1] == zeroi2v::tensor_info{"z", zeroi2v::dtype::f32, {2, 3}});
    CHECK(header.ranges[1] == zeroi2v::safetensors_range{4, 28});
    CHECK(header.find("z") == std::size_t{1});
    CHECK(header.find("a") == std::size_t{0});
    CHECK_FALSE(header.find("b"));
    CHECK_FALSE(header.find(""));
    CHECK(header.metadata == std::map<std::string, std::string>{{"a", "b"}, {"c", ""}});
    CHECK(parse(file_of("{}", 0)).tensors.empty());
}

TEST_CASE("A1: 0 to 7 bytes") {
    for (std::size_t n = 0; n < 8; ++n) {
        CHECK_FAULT(fault_of_file(std::string(n, '\0')), error_code::header_too_small, 3);
        CHECK_FAULT(fault_of_file(std::string(n, '{')), error_code::header_too_small, 3);
    }
}

TEST_CASE("A2: a header length beyond 100 000 000") {
    for (std::uint64_t const n :
         {std::uint64_t{100'000'001}, std::uint64_t{1} << 32U, (std::uint64_t{1} << 32U) + 2, std::uint64_t{1} << 63U,
          ~std::uint64_t{0}, ~std::uint64_t{0} - 7, ~std::uint64_t{0} - 8}) {
        auto const bytes = length_only(n, "{}");
        auto const start = std::chrono::steady_clock::now();
        auto const f = fault_of_file(bytes);
        CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds{10});
        CHECK_FAULT(f, error_code::header_too_large, 3);
        CHECK(f.says(std::to_string(n)));
    }
}

TEST_CASE("A3: a header length beyond the file") {
    for (std::uint64_t const n :
         {std::uint64_t{3}, std::uint64_t{11}, std::uint64_t{99'999'999}, std::uint64_t{100'000'000}}) {
        auto const f = fault_of_file(length_only(n, "{}"));
        CHECK_FAULT(f, error_code::bad_header_length, 3);
        CHECK(f.says(std::to_string(n)));
        CHECK(f.says("10"));
    }
    CHECK_FAULT(fault_of_file(length_only(1)), error_code::bad_header_length, 3);
    CHECK_FAULT(fault_of_file(length_only(0)), error_code::bad_json, 3);
}

TEST_CASE("A4: not UTF-8, with the byte") {
    struct wrong {
        std::string bytes;
        std::size_t at;
    };
    for (auto const& each : {wrong{"\x80", 0},
                             {"\xFF", 0},
                             {"\xC0\x80", 0},
                             {"\xC1\xBF", 0},
                             {"\xE0\x80\x80", 0},
                             {"\xE0\x9F\xBF", 0},
                             {"\xED\xA0\x80", 0},
                             {"\xED\xBF\xBF", 0},
                             {"\xF0\x80\x80\x80", 0},
                             {"\xF0\x8F\xBF\xBF", 0},
                             {"\xF4\x90\x80\x80", 0},
                             {"\xF5\x80\x80\x80", 0},
                             {"\xC3", 0},
                             {"\xE2\x82", 0},
                             {"\xF0\x9F\x98", 0},
                             {"\xC3(", 0},
                             {"ok\xFE", 2},
                             {"\xC3\xA9\xBF", 2},
                             {"\\ud800", 0},
                             {"\\udc00", 0},
                             {"\\uDBFFx", 0},
                             {"\\ud800\\ud800", 0},
                             {"\\ud800\\n", 0},
                             {"\\uD83D\\uDE00\\uDE00", 12}}) {
        auto const& bytes = each.bytes;
        auto const& at = each.at;
        auto const f = fault_of_json(R"({"__metadata__":{")" + bytes + R"(":"x"}})");
        CAPTURE(bytes);
        CHECK_FAULT(f, error_code::header_not_utf8, 3);
        CHECK(f.says("byte " + std::to_string(18 + at) + ":"));
    }
    for (std::string const good :
         {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80",
          "\xF4\x8F\xBF\xBF", "\\uD83D\\uDE00", "\\u0000", "\xEF\xBB\xBF"})
        CHECK_FALSE(fault_of_json(R"({"__metadata__":{")" + good + R"(":"x"}})").thrown);
}

TEST_CASE("A4: not UTF-8 outside of strings") {
    for (std::string const json : {"\xFF{}", "{}\xFF", "{\xC3}", "{\"w\":\xE2\x82}"}) CHECK_FAULT(fault_of_json(json), error_code::header_not_utf8, 3);
}

TEST_CASE("every dtype has its size in bits, and packed elements fill whole bytes") {
    struct sized {
        char const* name;
        std::size_t bits;
    };
    std::size_t found = 0;
    for (auto const& each :
         {sized{"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
          {"I16", 16}, {"U16", 16}, {"F16", 16}, {"BF16", 16}, {"I32", 32}, {"U32", 32}, {"F32", 32}, {"C64", 64}, {"F64", 64}, {"I64", 64}, {"U64", 64}}) {
        std::string const name = each.name;
        auto const bits = each.bits;
        CAPTURE(name);
        for (std::size_t count = 0; count <= 9; ++count) {
            std::size_t const wanted = (count * bits + 7) / 8;
            for (std::size_t const bytes : {std::size_t{0}, wanted / 2, wanted - (wanted > 0 ? 1U : 0U), wanted, wanted + 1, 2 * wanted, 8 * wanted, std::size_t{80}}) {
                auto const f = fault_of_json(one(name, "[" + std::to_string(count) + "]", "[0," + std::to_string(bytes) + "]"), bytes);
                if (count * bits == 8 * bytes) CHECK_FALSE(f.thrown);
                else CHECK_FAULT(f, error_code::size_mismatch, 3);
            }
        }
        ++found;
    }
    CHECK(found == 22);
    CHECK(fault_of_json(one("F4", "[3]", "[0,2]"), 2).says("F4 of shape (3) takes 12 bits, whole bytes expected"));
    auto const huge = fault_of_json(one("F6_E2M3", "[281474976710655,65535]", "[0,2]"), 2);
    CHECK_FAULT(huge, error_code::bad_shape, 3);
    for (char const* const name : {"F4_E2M1", "F6", "F8", "F8_E4M3FN", "C128", "C32", "f4", "I4", "F8_E3M4"}) CHECK_FAULT(fault_of_json(one(name, "[1]", "[0,1]"), 1), error_code::unknown_dtype, 3);
}

TEST_CASE("a tensor without elements stands where another begins, whichever is named first") {
    for (auto const& json : {object(entry("a", "F32", "[1]", "[0,4]"), entry("e", "F32", "[0]", "[0,0]")), object(entry("e", "F32", "[0]", "[0,0]"), entry("a", "F32", "[1]", "[0,4]"))}) {
        auto const header = parse(file_of(json, 4));
        CHECK(header.tensors[0].name == "e");
        CHECK(header.tensors[1].name == "a");
    }
}

TEST_CASE("A5: not JSON, with line and column") {
    struct wrong {
        std::string json;
        char const* where;
    };
    for (auto const& each : {wrong{"[]", "line 1, column 1"},
                             {"", "line 1, column 1"},
                             {"  ", "line 1, column"},
                             {"null", "line 1, column"},
                             {"3", "line 1"},
                             {"\"a\"", "line 1"},
                             {"{", "line 1, column"},
                             {"{}x", "line 1, column 3"},
                             {"{}{}", "line 1, column 3"},
                             {"{} \n null", "line 2"},
                             {std::string{"{}\0", 3}, "line 1, column 3"},
                             {std::string{"{}\0\0\0\0\0\0", 8}, "NUL"},
                             {std::string{"{\"a\0\":1}", 8}, "NUL"},
                             {"\xEF\xBB\xBF{}", "byte order mark"},
                             {"{\"a\":}", "line 1, column 6"},
                             {"{\"a\" 1}", "line 1, column"},
                             {"{a:1}", "line 1, column 2"},
                             {"{'a':1}", "line 1, column 2"},
                             {"{\"a\":1,}", "line 1, column"},
                             {"{,}", "line 1"},
                             {"{\"a", "without an end"},
                             {"{\"\\x\":1}", "escape"},
                             {"{\"\\u12\":1}", "escape"},
                             {"{\"\\uD83D\\u12\":1}", nullptr},
                             {"{\"a\nb\":1}", "control character"},
                             {"{\"w\":1}", "tensor \"w\""},
                             {"{\"w\":null}", "line 1, column"},
                             {"{\"w\":[]}", "line 1, column"},
                             {"{\n\n  \"w\" : true}", "line 3, column"},
                             {"{\"w\":{}}", "dtype is missing"},
                             {R"({"w":{"dtype":"F32","shape":[]}})", "data_offsets is missing"},
                             {R"({"w":{"dtype":"F32","data_offsets":[0,0]}})", "shape is missing"},
                             {R"({"w":{"dtype":1}})", "dtype"},
                             {R"({"w":{"shape":1}})", "shape"},
                             {R"({"w":{"shape":{}}})", "shape"},
                             {R"({"w":{"shape":["1"]}})", "shape"},
                             {R"({"w":{"shape":[[1]]}})", "shape"},
                             {R"({"w":{"data_offsets":0}})", "data_offsets"},
                             {"{\"__metadata__\":null}", "__metadata__"},
                             {"{\"__metadata__\":[]}", "__metadata__"},
                             {"{\"__metadata__\":\"\"}", "__metadata__"},
                             {"{\"__metadata__\":{\"a\":1}}", "__metadata__"},
                             {"{\"__metadata__\":{\"a\":null}}", "__metadata__"},
                             {"{\"__metadata__\":{\"a\":{}}}", "__metadata__"},
                             {"{\"__metadata__\":{\"a\":[\"\"]}}", "__metadata__"},
                             {"{\"w\":" + std::string(50, '1') + "}", "tensor \"w\""},
                             {"{/**/}", "line 1, column 2"},
                             {"{\"a\":NaN}", "line 1"},
                             {"{\"a\":01}", "line 1"},
                             {"{\"a\":\xC3\xA9}", "line 1"}}) {
        auto const& json = each.json;
        auto const& where = each.where;
        auto const f = fault_of_json(json);
        CAPTURE(json);
        if (where == nullptr) { // half a pair comes before a broken escape
            CHECK_FAULT(f, error_code::header_not_utf8, 3);
            continue;
        }
        CHECK_FAULT(f, error_code::bad_json, 3);
        CHECK(f.says("line "));
        CHECK(f.says(", column "));
        CHECK(f.says(where));
        CHECK(f.message.starts_with("f: "));
        CHECK(f.message.find('\n') == std::string::npos);
    }
}

TEST_CASE("A6: JSON blanks on both sides") {
    CHECK(parse(file_of(" \t\r\n{ \"w\" :\n{ \"dtype\" : \"F32\" ,\t\"shape\" : [ 1 ] , \"data_offsets\":[ 0 , 4 "
                        "]\r}\n} \t\r\n  ",
                        4))
              .tensors.size()
          == 1);
    CHECK_FAULT(fault_of_json("\v{}"), error_code::bad_json, 3);
    CHECK_FAULT(fault_of_json("{}\f"), error_code::bad_json, 3);
    CHECK_FAULT(fault_of_json("{\xC2\xA0}"), error_code::bad_json, 3);
}

TEST_CASE("A7: names that stand twice") {
    auto const twice = [](std::string const& json, std::size_t data, std::string_view name) {
        auto const f = fault_of_json(json, data);
        CAPTURE(json);
        CHECK_FAULT(f, error_code::duplicate_key, 3);
        CHECK(f.says(name));
    };
    twice(object(entry("w", "F32", "[1]", "[0,4]"), entry("w", "F32", "[1]", "[4,8]")), 8, "\"w\"");
    twice(object(entry("w", "F32", "[1]", "[0,4]"), entry("w", "F32", "[1]", "[0,4]")), 4, "\"w\"");
    twice(object(entry("w", "F32", "[1]", "[0,4]"), entry("w", "F16", "[1]", "[4,6]")), 6, "\"w\"");
    twice(object(entry("w", "F32", "[1]", "[0,4]"), entry("w", "F16", "[1]", "[0,4]")), 4, "\"w\"");
    twice(object(entry("w", "F32", "[1]", "[0,4]"), entry("\\u0077", "F32", "[1]", "[4,8]")), 8, "\"w\"");
    twice(object(entry("a/b", "F32", "[1]", "[0,4]"), entry("x", "F32", "[1]", "[4,8]"),
                 entry("a\\/b", "F32", "[1]", "[8,12]")),
          12, "a/b");
    twice(object(R"("w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"), 4, "dtype");
    twice(object(R"("w":{"dtype":"F32","shape":[1],"\u0073hape":[1],"data_offsets":[0,4]})"), 4, "shape");
    twice(object(R"("w":{"data_offsets":[0,4],"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), 4, "data_offsets");
    twice(R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__");
    twice(R"({"__metadata__":{},"__meta\u0064ata__":{}})", 0, "__metadata__");
    twice(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "\"k\"");
    CHECK(parse(file_of(object(entry("w", "U8", "[1]", "[0,1]"), entry("W", "U8", "[1]", "[1,2]"),
                               entry("w ", "U8", "[1]", "[2,3]")),
                        3))
              .tensors.size()
          == 3);
}

TEST_CASE("A8: overlap, hole, data that do not begin at 0: both tensors and the range") {
    auto overlap = fault_of_json(object(entry("a", "F32", "[2]", "[0,8]"), entry("b", "F32", "[2]", "[4,12]")), 12);
    CHECK_FAULT(overlap, error_code::bad_offsets, 3);
    CHECK(overlap.says("\"a\""));
    CHECK(overlap.says("\"b\""));
    CHECK(overlap.says("[4, 8)"));
    auto const same = fault_of_json(object(entry("a", "F32", "[2]", "[0,8]"), entry("b", "F32", "[2]", "[0,8]")), 8);
    CHECK_FAULT(same, error_code::bad_offsets, 3);
    CHECK(same.says("[0, 8)"));
    auto const inside =
        fault_of_json(object(entry("a", "F32", "[4]", "[0,16]"), entry("b", "F32", "[1]", "[4,8]")), 16);
    CHECK_FAULT(inside, error_code::bad_offsets, 3);
    CHECK(inside.says("[4, 8)"));
    auto const hole = fault_of_json(object(entry("b", "F32", "[1]", "[8,12]"), entry("a", "F32", "[1]", "[0,4]")), 12);
    CHECK_FAULT(hole, error_code::bad_offsets, 3);
    CHECK(hole.says("\"a\""));
    CHECK(hole.says("\"b\""));
    CHECK(hole.says("[4, 8)"));
    auto const late = fault_of_json(one("F32", "[1]", "[4,8]"), 8);
    CHECK_FAULT(late, error_code::bad_offsets, 3);
    CHECK(late.says("\"w\""));
    CHECK(late.says("[0, 4)"));
    CHECK_FAULT(fault_of_json(object(entry("a", "F32", "[2]", "[0,8]"), entry("z", "F32", "[0]", "[4,4]")), 8),
                error_code::bad_offsets, 3);
}

TEST_CASE("A9: offsets that are no range") {
    for (std::string const offsets : {"[4,0]", "[-1,4]", "[-0,4]", "[0,-4]", "[]", "[0]", "[0,4,8]", "[0,1e3]",
                                      "[0,4.0]", "[0,18446744073709551616]", "[0,99999999999999999999999999]",
                                      "[0,1e999]", "[0,\"4\"]", "[0,null]", "[[0],4]", "[0,true]", "[0,{}]"}) {
        CAPTURE(offsets);
        CHECK_FAULT(fault_of_json(one("F32", "[1]", offsets), 4), error_code::bad_offsets, 3);
    }
    for (std::string const shape : {"[-1]", "[-0]", "[1.0]", "[1e0]", "[18446744073709551616]", "[1e999]", "[null]"}) {
        CAPTURE(shape);
        CHECK_FAULT(fault_of_json(one("F32", shape, "[0,4]"), 4), error_code::bad_json, 3);
    }
    CHECK_FAULT(fault_of_json(one("F32", "[1]", "[0,18446744073709551615]"), 4), error_code::size_mismatch, 3);
    CHECK_FAULT(fault_of_json(one("F32", "[1]", "[18446744073709551615,3]"), 4), error_code::bad_offsets, 3);
}

TEST_CASE("A10: a range that is not what dtype and shape take, with both counts") {
    auto const f = fault_of_json(one("F32", "[2,3]", "[0,23]"), 23);
    CHECK_FAULT(f, error_code::size_mismatch, 3);
    CHECK(f.says("23 bytes"));
    CHECK(f.says("24 bytes"));
    CHECK(f.says("\"w\""));
    CHECK_FAULT(fault_of_json(one("F32", "[]", "[0,0]")), error_code::size_mismatch, 3);
    CHECK_FAULT(fault_of_json(one("F32", "[0]", "[0,4]"), 4), error_code::size_mismatch, 3);
}

TEST_CASE("A11: bytes too many and too few") {
    auto const json = one("F32", "[2]", "[0,8]");
    for (std::size_t n = 1; n <= 16; ++n) {
        auto const f = fault_of_json(json, 8 + n);
        CHECK_FAULT(f, error_code::size_mismatch, 3);
        CHECK(f.says(std::to_string(n) + " extra bytes"));
    }
    for (std::size_t n = 1; n <= 8; ++n) {
        auto const f = fault_of_json(json, 8 - n);
        CHECK_FAULT(f, error_code::size_mismatch, 3);
        CHECK(f.says(std::to_string(n) + " bytes missing"));
    }
    CHECK_FAULT(fault_of_json("{}", 1), error_code::size_mismatch, 3);
}

TEST_CASE("A12: shapes that overflow, the same verdict for every permutation") {
    struct wrong {
        std::vector<std::uint64_t> dims;
        std::string type;
    };
    auto const p = [](unsigned bits) { return std::uint64_t{1} << bits; };
    for (auto [dims, type] : {wrong{{2, ~std::uint64_t{0} - 1}, "U8"},
                              {{2, p(63) - 1}, "U8"},
                              {{p(32), p(32)}, "U8"},
                              {{0, p(63), 4}, "F32"},
                              {{p(63), 4, 0}, "F32"},
                              {{p(48), 0}, "F32"},
                              {{p(40), p(40), 3}, "F32"},
                              {{p(47), p(14), 1}, "F64"},
                              {{1, 1, 1, 1, 1, 1, 1, 1, 1}, "F32"},
                              {{0, 1, 1, 1, 1, 1, 1, 1, 2}, "F32"}}) {
        std::sort(dims.begin(), dims.end());
        do {
            std::string shape = "[";
            for (auto const d : dims) shape += (shape.size() > 1 ? "," : "") + std::to_string(d);
            shape += "]";
            CAPTURE(shape);
            CHECK_FAULT(fault_of_json(one(type, shape, "[0,0]")), error_code::bad_shape, 3);
        } while (std::next_permutation(dims.begin(), dims.end()));
    }
    std::string deep = "[1";
    for (int i = 1; i < 10'000; ++i) deep += ",1";
    CHECK_FAULT(fault_of_json(one("F32", deep + "]", "[0,4]"), 4), error_code::bad_shape, 3);

    std::vector<std::uint64_t> dims{0, 2, p(48) - 1, p(47)}; // nothing in it: sound, wherever the zero stands
    std::sort(dims.begin(), dims.end());
    do {
        std::string shape = "[";
        for (auto const d : dims) shape += (shape.size() > 1 ? "," : "") + std::to_string(d);
        CHECK(parse(file_of(one("F32", shape + "]", "[0,0]"), 0)).tensors[0].byte_size() == 0);
    } while (std::next_permutation(dims.begin(), dims.end()));

    // sizes whose sum wraps to what the file has: each range must begin where the one before ends
    CHECK_FAULT(fault_of_json(object(entry("a", "U8", "[281474976710655,65536]", "[0,18446744073709486080]"),
                                     entry("b", "U8", "[65540]", "[18446744073709486080,4]")),
                              4),
                error_code::bad_offsets, 3);
}

TEST_CASE("A13: empty tensors, scalars, fields, dtypes") {
    auto const header = parse(file_of(object(entry("e", "F32", "[0,7]", "[4,4]"), entry("s", "F32", "[]", "[0,4]"),
                                             entry("t", "F32", "[1]", "[4,8]"), entry("u", "F16", "[3,0]", "[8,8]")),
                                      8));
    REQUIRE(header.tensors.size() == 4);
    CHECK(header.tensors[*header.find("s")].sizes.rank() == 0);
    CHECK(header.tensors[*header.find("s")].byte_size() == 4);
    CHECK(header.tensors[*header.find("e")].byte_size() == 0);
    auto const field = fault_of_json(R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4],"extra":1}})", 4);
    CHECK_FAULT(field, error_code::unknown_field, 3);
    CHECK(field.says("\"extra\""));
    for (std::string const type : {"F31", "f32", "", "F32 ", "float32", "INT8", "F5", "C32"}) {
        auto const f = fault_of_json(one(type, "[1]", "[0,4]"), 4);
        CHECK_FAULT(f, error_code::unknown_dtype, 3);
        CHECK(f.says('"' + type + '"'));
    }
    for (int i = 0; i <= static_cast<int>(zeroi2v::dtype::u64); ++i) {
        auto const type = static_cast<zeroi2v::dtype>(i);
        std::size_t const count = zeroi2v::is_packed(type) ? 4 : 3; // whole bytes
        auto const bytes = *zeroi2v::bytes_of(type, count);
        auto const parsed =
            parse(file_of(one(zeroi2v::dtype_name(type), "[" + std::to_string(count) + "]", "[0," + std::to_string(bytes) + "]"), bytes));
        CHECK(parsed.tensors[0].type == type);
    }
}

TEST_CASE("A14: nesting, long names, many tensors, within a second and four times the header") {
    CHECK_FAULT(fault_of_json(std::string(1'000'000, '[')), error_code::too_deep, 3);
    CHECK_FAULT(fault_of_json("{\"w\":{\"shape\":" + std::string(1'000'000, '[')), error_code::too_deep, 3);
    std::string objects;
    for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
    CHECK_FAULT(fault_of_json(objects), error_code::too_deep, 3);
    CHECK_FAULT(fault_of_json(object(entry(std::string(1'000'000, 'n'), "F32", "[1]", "[0,4]")), 4),
                error_code::name_too_long, 3);
    CHECK_FAULT(fault_of_json(object(entry(std::string(1'025, 'n'), "F32", "[1]", "[0,4]")), 4),
                error_code::name_too_long, 3);
    CHECK_FALSE(fault_of_json(object(entry(std::string(1'024, 'n'), "F32", "[1]", "[0,4]")), 4).thrown);
    std::string escaped;
    for (int i = 0; i < 1'024; ++i) escaped += "\\u006e";
    CHECK_FALSE(fault_of_json(object(entry(escaped, "F32", "[1]", "[0,4]")), 4).thrown);
    CHECK_FAULT(fault_of_json(object(entry(escaped + "n", "F32", "[1]", "[0,4]")), 4), error_code::name_too_long, 3);
    CHECK_FAULT(fault_of_json(object("\"__metadata__\":{\"a\":1}")), error_code::bad_json, 3);

    std::string many = "{";
    for (int i = 0; i < 65'536; ++i) many += (i > 0 ? "," : "") + entry("t" + std::to_string(i), "F32", "[0]", "[0,0]");
    CHECK(parse(file_of(many + ",\"__metadata__\":{}}", 0)).tensors.size() == 65'536);
    CHECK_FAULT(fault_of_json(many + "," + entry("x", "F32", "[0]", "[0,0]") + "}"), error_code::too_many_tensors, 3);
    std::string words = "{\"__metadata__\":{";
    for (int i = 0; i <= 65'536; ++i) words += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
    CHECK_FAULT(fault_of_json(words + "}}"), error_code::too_many_tensors, 3);
}

TEST_CASE("A16: other kinds of files are named") {
    struct other {
        std::string bytes;
        char const* kind;
    };
    using namespace std::string_literals;
    for (auto const& each : {other{"PK\x03\x04\x14\0\0\0\x08\0"s, "ZIP"},
                             {"\x80\x02}q\x00(X\x0a\0\0\0"s, "pickle"},
                             {"GGUF\x03\0\0\0\0\0\0\0"s, "GGUF"},
                             {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"},
                             {"\x89HDF\r\n\x1a\n\0\0"s, "HDF5"},
                             {"\x1f\x8b\x08\0\0\0\0\0\0\x03"s, "gzip"},
                             {"<!DOCTYPE html><html>", "HTML"},
                             {"{\"a\": [1, 2]}", "JSON"},
                             {"just some words", "text"}}) {
        auto const& bytes = each.bytes;
        auto const& kind = each.kind;
        auto const f = fault_of_file(bytes);
        CAPTURE(kind);
        CHECK_FAULT(f, error_code::not_safetensors, 3);
        CHECK(f.says(kind));
    }
}

// tests/unit/damage has every value of every byte.
TEST_CASE("every bit, truncation and extension of a small file loads the same or fails with a typed error") {
    test::damage_small_file([](char byte) {
        std::vector<unsigned char> values;
        for (unsigned bit = 1; bit < 256; bit <<= 1) values.push_back(static_cast<unsigned char>(static_cast<unsigned char>(byte) ^ bit));
        return values;
    });
}
