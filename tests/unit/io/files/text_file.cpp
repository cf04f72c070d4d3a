// Texts of every editor: marks, line ends, UTF-16 in every form, NUL bytes, limits.
#include <zeroi2v/io/files/text_file.hpp>

#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/checkpoints/config_json.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_literals;
using test::fault_of;
using zeroi2v::error_code;
using zeroi2v::read_text_file;

/// ASCII in units of `size` bytes, the significant one first or last.
std::string widened(std::string_view text, std::size_t size, bool big_endian) {
    std::string result;
    for (char const c : text) {
        std::string unit(size, '\0');
        unit[big_endian ? size - 1 : 0] = c;
        result += unit;
    }
    return result;
}

} // namespace

TEST_CASE("UTF-8 with and without a mark, as bytes") {
    test::temporary_folder const folder;
    for (auto const& text : {""s, "a"s, "one\ntwo\n"s, "one\r\ntwo"s, "gr\xC3\xBC\xC3\x9F"s, "latin\xFC"s, "\xEF\xBB"s, "\xFF"s, "\xFE\xFD"s}) {
        test::write_file(folder / "t", text);
        CHECK(read_text_file(folder / "t", error_code::bad_labels) == text);
        test::write_file(folder / "t", "\xEF\xBB\xBF" + text);
        CHECK(read_text_file(folder / "t", error_code::bad_labels) == text);
    }
}

TEST_CASE("UTF-16 and UTF-32 are named, in both orders, with and without a mark; any NUL byte is refused") {
    test::temporary_folder const folder;
    auto const refused = [&](std::string const& bytes, std::string_view name) {
        test::write_file(folder / "t", bytes);
        auto const f = fault_of([&] { static_cast<void>(read_text_file(folder / "t", error_code::bad_labels)); });
        CHECK_FAULT(f, error_code::bad_labels, 2);
        CHECK(f.says("/t: " + std::string{name} + " found, UTF-8 expected"));
    };
    for (auto const* const text : {"one\ntwo\nthree", "one\r\ntwo\r\n", "a"}) {
        refused("\xFF\xFE" + widened(text, 2, false), "UTF-16");
        refused("\xFE\xFF" + widened(text, 2, true), "UTF-16");
        refused(widened(text, 2, false), "UTF-16");
        refused(widened(text, 2, true), "UTF-16");
        refused("\xFF\xFE\0\0"s + widened(text, 4, false), "UTF-32");
        refused("\0\0\xFE\xFF"s + widened(text, 4, true), "UTF-32");
    }
    refused("\xFF\xFE", "UTF-16");
    refused("\x2D\x4E\n\0\x87\x65\n\0"s, "UTF-16"); // no Latin letter in it
    refused("one\ntwo\0\nthree"s, "a NUL byte");
    refused("\0"s, "a NUL byte");
    refused(std::string(100, 'x') + "\0"s, "a NUL byte");
    refused(std::string(99, 'x') + "\0"s, "a NUL byte"); // one in a hundred makes no UTF-16
    refused("\xEF\xBB\xBF" "a\0"s, "a NUL byte");
    refused("a\0b"s, "a NUL byte"); // no whole number of units
    refused("ab\0\0cd\0\0"s, "a NUL byte"); // both halves
    refused("a\0b\n\n\0"s, "a NUL byte");   // a line feed of one byte
}

TEST_CASE("what is larger than the limit or cannot be read is a usage error with its own code") {
    test::temporary_folder const folder;
    test::write_file(folder / "t", "12345");
    CHECK(read_text_file(folder / "t", error_code::bad_labels, 5) == "12345");
    auto const f = fault_of([&] { static_cast<void>(read_text_file(folder / "t", error_code::bad_labels, 4)); });
    CHECK_FAULT(f, error_code::open_failed, 2);
    CHECK(f.says("5 bytes found"));
    CHECK_FAULT(fault_of([&] { static_cast<void>(read_text_file(folder / "none", error_code::bad_labels)); }), error_code::open_failed, 2);
    CHECK_FAULT(fault_of([&] { static_cast<void>(read_text_file(folder.path(), error_code::bad_labels)); }), error_code::open_failed, 2);
    test::write_file(folder / "t", "a\0b"s);
    CHECK(zeroi2v::read_whole_file(folder / "t") == "a\0b"s);
}

TEST_CASE("lines: LF, CRLF, a last one without either, empty ones, and where each begins") {
    auto const lines_of = [](std::string_view text) {
        std::vector<std::string> all;
        for (zeroi2v::text_lines lines{text}; lines.next();)
            all.push_back(std::to_string(lines.number()) + "@" + std::to_string(lines.offset()) + ":" + std::string{lines.line()});
        return all;
    };
    using list = std::vector<std::string>;
    CHECK(lines_of("").empty());
    CHECK(lines_of("\n") == list{"1@0:"});
    CHECK(lines_of("a") == list{"1@0:a"});
    CHECK(lines_of("a\nbc\n") == list{"1@0:a", "2@2:bc"});
    CHECK(lines_of("a\r\n\r\nbc\r\n") == list{"1@0:a", "2@3:", "3@5:bc"});
    CHECK(lines_of("a\r\nbc") == list{"1@0:a", "2@3:bc"});
    zeroi2v::text_lines one{"a\r\nbc"};
    CHECK(one.end() == 0);
    CHECK(one.next());
    CHECK(one.end() == 3);
    CHECK(one.next());
    CHECK(one.end() == 5);
    CHECK_FALSE(one.next());
    CHECK(lines_of("\n\na\rb\n") == list{"1@0:", "2@1:", "3@2:a\rb"});
}

TEST_CASE("a configuration may begin with a mark and have CRLF; UTF-16 is named") {
    test::temporary_folder const folder;
    std::string const json = "{\r\n\"heads\":12\r\n}";
    test::write_file(folder / "c", "\xEF\xBB\xBF" + json);
    CHECK(*zeroi2v::read_config_file(folder / "c").heads == 12);
    test::write_file(folder / "c", widened(json, 2, false));
    auto const f = fault_of([&] { static_cast<void>(zeroi2v::read_config_file(folder / "c")); });
    CHECK_FAULT(f, error_code::bad_json, 2);
    CHECK(f.says("UTF-16 found"));
}
