// What takes millions of headers, or headers of 100 MB: too long for a build with sanitizers.
#include "../io/faults.hpp"
#include "../io/header_text.hpp"
#include "../io/peak_memory.hpp"
#include "../io/temporary_folder.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using test::entry, test::fault_of, test::file_of;
using zeroi2v::error_code;

/// Opening a file with this header: refused with `code`, within a second and 4 x header + 16 MB. (A build without
/// optimisation has its own speed; its time is not judged.)
void check_cheap_refusal(std::string const& json, error_code code) {
    test::temporary_folder const folder;
    auto const path = folder / "big.safetensors";
    test::write_file(path, file_of(json, 0));
    test::fault f;
    double seconds = 0;
    auto const bytes = test::peak_growth([&] {
        seconds = test::processor_seconds([&] { f = fault_of([&] { zeroi2v::safetensors_file const opened{path}; }); });
    });
    CHECK_FAULT(f, code, 3);
    CHECK(f.message.size() < 4096);
    if (bytes) CHECK(*bytes <= 4 * json.size() + 16'000'000);
#ifdef __OPTIMIZE__
    CHECK(seconds < test::limit_seconds(1.0));
#endif
    MESSAGE(zeroi2v::to_string(code), ": ", seconds, " s, ", bytes.value_or(0) / 1'000'000, " MB for ",
            json.size() / 1'000'000, " MB");
}

} // namespace

TEST_CASE("every value of every byte, truncation and extension of a small file loads the same or fails with a typed error") {
    std::vector<unsigned char> all;
    for (unsigned value = 0; value < 256; ++value) all.push_back(static_cast<unsigned char>(value));
    test::damage_small_file([&all](char) -> std::vector<unsigned char> const& { return all; });
}

TEST_CASE("A14: headers of 100 MB are refused cheaply") {
    constexpr std::size_t size = 100'000'000;
    auto const fill = [](std::string text, std::string_view piece, std::string_view tail) {
        text.reserve(size);
        while (text.size() + piece.size() + tail.size() <= size) text += piece;
        return text.append(tail);
    };
    SUBCASE("10 million entries") {
        check_cheap_refusal(fill("{", "\"a\":0,   ", "\"b\":0}"), error_code::too_many_tensors);
    }
    SUBCASE("10 million empty entries") {
        check_cheap_refusal(fill("{", "\"1234\":{},", "\"b\":{}}"), error_code::too_many_tensors);
    }
    SUBCASE("tensors") {
        std::string text = "{";
        text.reserve(size);
        for (int i = 0; text.size() < size - 100; ++i)
            text += entry("t" + std::to_string(i), "F32", "[0]", "[0,0]") + ",";
        check_cheap_refusal(text + entry("last", "F32", "[0]", "[0,0]") + "}", error_code::too_many_tensors);
    }
    SUBCASE("nesting") { check_cheap_refusal(fill("", "[", ""), error_code::too_deep); }
    SUBCASE("a name") { check_cheap_refusal(fill("{\"", "a", "\":0}"), error_code::name_too_long); }
    SUBCASE("a string without an end") {
        check_cheap_refusal(fill("{\"__metadata__\":{\"a\":\"", "b", ""), error_code::bad_json);
    }
    SUBCASE("a metadata value, then a fault") {
        check_cheap_refusal(fill("{\"__metadata__\":{\"a\":\"", "b", "\",0}}"), error_code::bad_json);
    }
    SUBCASE("a metadata value, then bytes missing") {
        check_cheap_refusal(fill("{\"__metadata__\":{\"a\":\"", "b", "\"}," + entry("w", "F32", "[1]", "[0,4]") + "}"),
                            error_code::size_mismatch);
    }
    SUBCASE("metadata entries") {
        check_cheap_refusal(fill("{\"__metadata__\":{", "\"\":\"\",", "\"a\":\"\"}}"), error_code::duplicate_key);
    }
    SUBCASE("an unknown field") { check_cheap_refusal(fill("{\"w\":{\"", "a", "\":0}}"), error_code::unknown_field); }
    SUBCASE("a dtype") { check_cheap_refusal(fill("{\"w\":{\"dtype\":\"", "a", "\"}}"), error_code::unknown_dtype); }
    SUBCASE("a number") { check_cheap_refusal(fill("{\"w\":{\"shape\":[", "1", "]}}"), error_code::bad_json); }
    SUBCASE("a shape") { check_cheap_refusal(fill("{\"w\":{\"shape\":[1", ",1", "]}}"), error_code::bad_shape); }
    SUBCASE("blanks") { check_cheap_refusal(fill("{", "\n", "]"), error_code::bad_json); }
    SUBCASE("blanks behind") { check_cheap_refusal(fill("{", "\n", ""), error_code::bad_json); }
}
