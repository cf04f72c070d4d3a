// Control characters: which ones, and how messages and JSON show them.
#include <zeroi2v/io/files/printable.hpp>

#include <zeroi2v/io/json/json_text.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <string_view>

using zeroi2v::printable;

namespace {

bool is_control(unsigned point) {
    return (point < 0x20 && point != '\t' && point != '\n') || (point >= 0x7F && point <= 0x9F) || (point >= 0x202A && point <= 0x202E)
           || (point >= 0x2066 && point <= 0x2069);
}

std::string escape(unsigned point) {
    char text[8]{};
    std::snprintf(text, sizeof text, "\\u%04x", point);
    return text;
}

std::string utf8(unsigned point) {
    std::string text;
    zeroi2v::detail::append_utf8(text, point);
    return text;
}

} // namespace

TEST_CASE("every control character of the first plane is escaped, and nothing else") {
    for (unsigned point = 0; point < 0x10000; ++point) {
        if (point >= 0xD800 && point <= 0xDFFF) continue;
        auto const text = "a" + utf8(point) + "b";
        INFO(point);
        auto const shown = point == '\n' ? "\\n" : point == '\t' ? "\\t" : point == '\r' ? "\\r" : is_control(point) ? escape(point) : utf8(point);
        CHECK(printable(text) == "a" + shown + "b");
        if (std::string_view{"\"\\\b\f\n\r\t"}.find(static_cast<char>(point)) != std::string_view::npos && point < 0x80) continue; // JSON's own escapes
        std::string json;
        zeroi2v::append_json_string(json, text);
        CHECK(json == "\"a" + (is_control(point) ? escape(point) : utf8(point)) + "b\"");
    }
}

TEST_CASE("bytes that are not UTF-8 stay bytes, cut characters too, and nothing is read beyond the end") {
    CHECK(printable("\xff|\xc2|\xe2\x80|\xe2\x81") == "\\xff|\\xc2|\\xe2\\x80|\\xe2\\x81");
    CHECK(printable("12345\xE2\x80\xAE", 7) == "12345..."); // not cut in the middle of a character
    CHECK(printable("12345\xE2\x80\xAE", 8) == "12345\\u202e");
}
