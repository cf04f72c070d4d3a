// Control characters: which ones, and how messages and JSON show them.
#include <zeroi2v/io/printable.hpp>

#include <zeroi2v/io/json_text.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>

using namespace std::string_literals;
using zeroi2v::escape_controls;
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
        CHECK(escape_controls(text) == (is_control(point) ? "a" + escape(point) + "b" : text));
        auto const shown = point == '\n' ? "\\n" : point == '\t' ? "\\t" : point == '\r' ? "\\r" : is_control(point) ? escape(point) : utf8(point);
        CHECK(printable(text) == "a" + shown + "b");
    }
}

TEST_CASE("bytes that are not UTF-8 stay bytes, cut characters too, and nothing is read beyond the end") {
    CHECK(printable("\xff|\xc2|\xe2\x80|\xe2\x81") == "\\xff|\\xc2|\\xe2\\x80|\\xe2\\x81");
    for (auto const* const cut : {"\xC2", "\xE2", "\xE2\x80", "\xE2\x81"}) CHECK(escape_controls(cut) == cut);
    CHECK(escape_controls("") == "");
    CHECK(escape_controls("\x1b\xC2\x9b\x7f"s) == "\\u001b\\u009b\\u007f");
    CHECK(printable("12345\xE2\x80\xAE", 7) == "12345..."); // not cut in the middle of a character
    CHECK(printable("12345\xE2\x80\xAE", 8) == "12345\\u202e");
}
