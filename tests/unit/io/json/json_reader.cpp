// Strings, numbers and faults of JSON texts; what is UTF-8; names fit for one line.
#include <zeroi2v/io/json/json_reader.hpp>

#include "../faults.hpp"

#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/utf8.hpp>
#include <zeroi2v/io/json/json_text.hpp>

#include <nlohmann/json.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using test::fault_of;
using zeroi2v::error_code;

[[nodiscard]] std::string read_string(std::string_view text) {
    zeroi2v::json_reader reader{text, "f", "text"};
    auto result = reader.string("a string", 1'000'000);
    reader.expect_end();
    return result.value();
}

/// The Unicode Standard's definition: decode, refuse surrogates and what is too large, encode again.
[[nodiscard]] bool is_utf8_by_definition(std::string const& bytes) {
    std::size_t i = 0;
    while (i < bytes.size()) {
        auto const at = [&](std::size_t j) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[j])); };
        unsigned const lead = at(i);
        std::size_t const length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if (lead >= 0x80 && lead < 0xC0) return false;
        if (i + length > bytes.size() || lead >= 0xF8) return false;
        unsigned point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
        for (std::size_t j = 1; j < length; ++j) {
            if ((at(i + j) >> 6U) != 2) return false;
            point = point << 6U | (at(i + j) & 0x3FU);
        }
        constexpr std::array<unsigned, 5> least{0, 0, 0x80, 0x800, 0x10000};
        if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return false;
        i += length;
    }
    return true;
}

} // namespace

TEST_CASE("UTF-8: all sequences of up to two bytes, edges of three and four") {
    auto const agree = [](std::string const& bytes) {
        if (zeroi2v::find_invalid_utf8(bytes).has_value() == is_utf8_by_definition(bytes)) FAIL("disagreement");
    };
    for (unsigned a = 0; a < 256; ++a) {
        agree({static_cast<char>(a)});
        for (unsigned b = 0; b < 256; ++b) {
            agree({static_cast<char>(a), static_cast<char>(b)});
            for (unsigned const c : {0x00U, 0x41U, 0x7FU, 0x80U, 0x9FU, 0xA0U, 0xBFU, 0xC0U, 0xFFU}) {
                agree({static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)});
                for (unsigned const d : {0x41U, 0x80U, 0xBFU, 0xC0U})
                    agree({static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)});
            }
        }
    }
    for (std::size_t n = 0; n < 100; ++n) { // in blocks and beside them
        CHECK_FALSE(zeroi2v::find_invalid_utf8(std::string(n, 'a')));
        CHECK(zeroi2v::find_invalid_utf8(std::string(n, 'a') + "\xFF" + std::string(70, 'b')) == n);
        CHECK(zeroi2v::find_invalid_utf8(std::string(n, 'a') + "\xC3\xA9" + std::string(40, 'b') + "\xC3") == n + 42);
    }
}

TEST_CASE("strings: each escape, each code point, as nlohmann reads them") {
    CHECK(read_string(R"("")").empty());
    CHECK(read_string(R"(  "a\"b\\c\/d\b\f\n\r\t"  )") == "a\"b\\c/d\b\f\n\r\t");
    for (unsigned point = 0; point < 0x10000; point += point < 0x900 ? 1 : 97) {
        if (point >= 0xD800 && point <= 0xDFFF) continue;
        std::array<char, 16> text{};
        std::snprintf(text.data(), text.size(), "\"x\\u%04Xy\"", point);
        if (read_string(text.data()) != nlohmann::json::parse(text.data()).get<std::string>()) FAIL(point);
    }
    for (unsigned high = 0xD800; high < 0xDC00; high += 31)
        for (unsigned low = 0xDC00; low < 0xE000; low += 57) {
            std::array<char, 32> text{};
            std::snprintf(text.data(), text.size(), "\"\\u%04x\\u%04x\"", high, low);
            if (read_string(text.data()) != nlohmann::json::parse(text.data()).get<std::string>())
                FAIL(high << " " << low);
        }
    for (int i = 0; i < 256; ++i) { // written and read again
        std::string const text{'a', static_cast<char>(i < 128 ? i : 'z'), 'b'};
        std::string json;
        zeroi2v::append_json_string(json, text);
        CHECK(read_string(json) == text);
        CHECK(nlohmann::json::parse(json).get<std::string>() == text);
    }
}

TEST_CASE("strings: limits count unescaped bytes") {
    auto const within = [](std::string_view text, std::size_t limit) {
        return zeroi2v::json_reader{text, "f", "t"}.string("", limit).has_value();
    };
    CHECK(within("\"abc\"", 3));
    CHECK_FALSE(within("\"abc\"", 2));
    CHECK(within("\"\\u0041\\u0041\"", 2));
    CHECK_FALSE(within("\"\\u0041\\u0041\"", 1));
    CHECK(within("\"\"", 0));
}

TEST_CASE("numbers: non-negative integers as JSON spells them") {
    CHECK(zeroi2v::parse_json_unsigned("0") == std::uint64_t{0});
    CHECK(zeroi2v::parse_json_unsigned("18446744073709551615") == ~std::uint64_t{0});
    for (std::string_view const wrong : {"", "-", "-0", "-1", "+1", "01", "00", "1e3", "1.0", "2.", ".5",
                                         "18446744073709551616", "99999999999999999999999", "0x1", " 1", "1 "})
        CHECK_FALSE(zeroi2v::parse_json_unsigned(wrong));
}

TEST_CASE("what is next, and what should have been") {
    zeroi2v::json_reader reader{" \n {\"a\" : [12 , 3]}x", "f", "text"};
    CHECK(reader.peek() == '{');
    reader.expect('{');
    CHECK(reader.string("a name", 10) == "a");
    reader.expect(':');
    CHECK_FALSE(reader.accept('{'));
    CHECK(reader.accept('['));
    CHECK(reader.number() == "12");
    CHECK(reader.accept(','));
    CHECK(reader.number() == "3");
    CHECK(reader.number().empty());
    reader.expect(']');
    reader.expect('}');
    auto const f = fault_of([&] { reader.expect_end(); });
    CHECK_FAULT(f, error_code::bad_json, 3);
    CHECK(f.message == "f: text, line 2, column 18: 'x', expected nothing behind the value");
    zeroi2v::json_reader empty{"  ", "f", "text"};
    CHECK_FALSE(empty.peek());
    CHECK(fault_of([&] { empty.expect('{'); }).says("the end, expected '{'"));
}

TEST_CASE("lines and columns") {
    CHECK(zeroi2v::line_and_column("", 0) == "line 1, column 1");
    CHECK(zeroi2v::line_and_column("ab\ncd", 1) == "line 1, column 2");
    CHECK(zeroi2v::line_and_column("ab\ncd", 2) == "line 1, column 3");
    CHECK(zeroi2v::line_and_column("ab\ncd", 3) == "line 2, column 1");
    CHECK(zeroi2v::line_and_column("ab\ncd", 99) == "line 2, column 3");
}

TEST_CASE("faults that are looked for before a general parser sees a text") {
    auto const code_of = [](std::string_view text, zeroi2v::json_limits limits = {}) -> std::optional<error_code> {
        auto const fault = zeroi2v::find_json_fault(text, limits);
        return fault ? std::optional{fault->code} : std::nullopt;
    };
    CHECK_FALSE(code_of(R"({"a":[1,2,{"b":"\u00e9\ud83d\ude00"}]})"));
    CHECK(code_of("\xEF\xBB\xBF{}") == error_code::bad_json);
    CHECK(code_of(std::string_view{"{}\0", 3}) == error_code::bad_json);
    CHECK(code_of("{\"\xC0\x80\":1}") == error_code::header_not_utf8);
    CHECK(code_of("{\"\\ud800\":1}") == error_code::header_not_utf8);
    CHECK(code_of("{\"\\x\":1}") == error_code::bad_json);
    CHECK(code_of("\"abc") == error_code::bad_json);
    CHECK(code_of("[[[]]]", {.depth = 2}) == error_code::too_deep);
    CHECK_FALSE(code_of("[[],[[]]]", {.depth = 3}));
    CHECK_FALSE(code_of("\"[[[[\"", {.depth = 3}));
    CHECK_FALSE(code_of("]}{[]}[", {.depth = 2})); // what closes nothing is for the parser to refuse
    CHECK(code_of(std::string(1'000'000, '[')) == error_code::too_deep);
    CHECK(code_of(R"({"a":1,"b":2,"c":3})", {.members = 2}) == error_code::too_many_tensors);
    CHECK_FALSE(code_of(R"({"a":[1,2,3],"b,,":2})", {.members = 2}));
    CHECK(code_of("{\"" + std::string(61, 'n') + "\":1}", {.name_bytes = 10}) == error_code::name_too_long);
    CHECK_FALSE(code_of("{\"n\":\"" + std::string(61, 'n') + "\"}", {.name_bytes = 10}));
    CHECK(code_of("[" + std::string(1001, '1') + "]") == error_code::bad_json);
    CHECK(code_of("[" + std::string(1'000'001, ' ') + "]") == error_code::bad_json);
    CHECK_FALSE(code_of("[]" + std::string(2'000'000, ' ')));
}

TEST_CASE("names on one line") {
    CHECK(zeroi2v::printable("a\nb\tc\rd\x01\x7F") == "a\\nb\\tc\\rd\\u0001\\u007f");
    CHECK(zeroi2v::printable("\xC3\xA9") == "\xC3\xA9");
    CHECK(zeroi2v::printable("a\xFF\xC3(\x9B" "31m") == "a\\xff\\xc3(\\x9b31m"); // no UTF-8; 0x9b begins a terminal's commands
    CHECK(zeroi2v::printable("\xC2\x9B" "1\xED\xA0\x80\xC0\xAF\xF0\x9F\x98\x80\xE2\x82") == "\\u009b1\\xed\\xa0\\x80\\xc0\\xaf\xF0\x9F\x98\x80\\xe2\\x82");
    CHECK(zeroi2v::printable("abcdef", 3) == "abc...");
    CHECK(zeroi2v::printable("abc", 3) == "abc");
    CHECK(zeroi2v::printable("ab\xC3\xA9", 3) == "ab...");
    CHECK(zeroi2v::quoted_name("w") == "\"w\"");
    std::vector<std::string> names;
    CHECK(zeroi2v::list_names(names).empty());
    for (int i = 0; i < 22; ++i) names.push_back(std::to_string(i));
    CHECK(zeroi2v::list_names(names, 3) == "0, 1, 2 and 19 more");
    CHECK(zeroi2v::list_names(names).ends_with("19 and 2 more"));
}
