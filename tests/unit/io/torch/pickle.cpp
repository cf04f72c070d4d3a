#include <zeroi2v/io/torch/pickle.hpp>

#include "../archives.hpp"
#include "../faults.hpp"
#include "../pickle_damage.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace zeroi2v;
using test::le, test::p_call, test::p_dict, test::p_file, test::p_global, test::p_int, test::p_ints, test::p_text,
    test::p_tuple;
using namespace std::string_literals;

namespace {

using test::read_pickle_text, test::repeat;

pickle_graph read(std::string_view text) { return read_pickle_text(text); }

/// What the opcodes push.
pickle_graph value(std::string const& opcodes) { return read(opcodes + "."); }

/// bad_pickle at this byte with these words.
void check_bad(std::string const& text, std::size_t byte, std::string_view words) {
    CAPTURE(text.size());
    auto const f = test::fault_of([&] { static_cast<void>(read(text)); });
    CHECK_FAULT(f, error_code::bad_pickle, 3);
    CHECK(f.says("file: data.pkl: byte " + std::to_string(byte) + ": "));
    CHECK(f.says(words));
}

pickle_kind root_kind(std::string const& opcodes) { return value(opcodes).root().kind(); }
std::int64_t int_of(std::string const& opcodes) {
    auto const g = value(opcodes);
    return g.integer(g.root()).value_or(-999);
}
std::string text_of(std::string const& opcodes) {
    auto const g = value(opcodes);
    return std::string{g.text(g.root()).value_or("<no text>")};
}
std::size_t entry_count(pickle_graph const& g, pickle_value v) {
    std::size_t count = 0;
    for (auto i = g.first_entry(v); i != pickle_graph::no_entry; i = g.at(i).next) ++count;
    return count;
}

} // namespace

TEST_CASE("pickle: integers and booleans of every opcode") {
    CHECK(int_of("K\xff") == 255);
    CHECK(int_of("M\xff\xff") == 65'535);
    CHECK(int_of("J\xff\xff\xff\xff") == -1);
    CHECK(int_of("J" + le(std::int32_t{-2'147'483'647})) == -2'147'483'647);
    CHECK(int_of("\x8a\0"s) == 0);
    CHECK(int_of("\x8a\x01\xff") == -1);
    CHECK(int_of("\x8a\x02\xff\0"s) == 255);
    CHECK(int_of("\x8b" + le(std::uint32_t{3}) + "\0\0\x80"s) == -8'388'608);
    CHECK(int_of(p_int((std::int64_t{1} << 59U) - 1)) == (std::int64_t{1} << 59U) - 1);
    CHECK(int_of(p_int(-(std::int64_t{1} << 59U))) == -(std::int64_t{1} << 59U));
    CHECK(int_of("I-17\n") == -17);
    CHECK(int_of("L17L\n") == 17);
    CHECK(int_of("L17\n") == 17);
    CHECK(root_kind("\x88") == pickle_kind::boolean);
    CHECK(int_of("\x88") == 1);
    CHECK(int_of("\x89") == 0);
    CHECK(root_kind("I01\n") == pickle_kind::boolean);
    CHECK(root_kind("I00\n") == pickle_kind::boolean);
    CHECK(int_of("I00\n") == 0);
    // What is too large for anything that a tensor says is opaque, and no error.
    CHECK(root_kind(p_int(std::int64_t{1} << 59U)) == pickle_kind::opaque);
    CHECK(root_kind("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") == pickle_kind::opaque);
    CHECK(root_kind("L123456789012345678901234567890L\n") == pickle_kind::opaque);
    CHECK(root_kind("I-99999999999999999999\n") == pickle_kind::opaque);
}

TEST_CASE("pickle: texts, bytes, floats and none of every opcode") {
    CHECK(text_of(p_text("name")) == "name");
    CHECK(text_of("\x8c\x02hi") == "hi");
    CHECK(text_of("\x8d" + le(std::uint64_t{2}) + "hi") == "hi");
    CHECK(text_of("U\x02hi") == "hi");
    CHECK(text_of("T" + le(std::uint32_t{2}) + "hi") == "hi");
    CHECK(text_of("Vhi\n") == "hi");
    CHECK(text_of("S'hi'\n") == "hi");
    CHECK(text_of("S\"it's\"\n") == "it's");
    CHECK(text_of("X\0\0\0\0"s).empty());
    CHECK(root_kind("V\\u0041\n") == pickle_kind::opaque);
    CHECK(root_kind("S'\\n'\n") == pickle_kind::opaque);
    for (auto const& bytes :
         {"C\x01z"s, "B\x01\0\0\0z"s, "\x8e" + le(std::uint64_t{1}) + "z", "\x96" + le(std::uint64_t{1}) + "z"})
        CHECK(root_kind(bytes) == pickle_kind::bytes);
    CHECK(root_kind("G\x3f\xf0\0\0\0\0\0\0"s) == pickle_kind::opaque);
    CHECK(root_kind("F1.5\n") == pickle_kind::opaque);
    CHECK(root_kind("N") == pickle_kind::none);
}

TEST_CASE("pickle: tuples, lists, sets and dicts of every opcode") {
    auto const three = "K\x01K\x02K\x03"s;
    for (auto const& text : {three + "\x87", "(" + three + "t", "K\x09" + three + "\x87"}) {
        auto const g = value(text);
        REQUIRE(g.items(g.root()).size() == 3);
        CHECK(g.integer(g.items(g.root())[2]) == 3);
    }
    CHECK(value(")").root().kind() == pickle_kind::tuple);
    CHECK(value("K\x01\x85").items(value("K\x01\x85").root()).size() == 1);
    CHECK(value("NN\x86").root().kind() == pickle_kind::tuple);
    for (auto const& text : {"]"s,
                             "]K\x01"
                             "a"s,
                             "](K\x01K\x02"
                             "e"s,
                             "(K\x01l"s, "\x8f"s, "\x8f(K\x01\x90"s, "(K\x01\x91"s})
        CHECK(root_kind(text) == pickle_kind::sequence);
    for (auto const& text :
         {"}"s + p_text("a") + "K\x01s" + p_text("b") + "K\x02s", "}(" + p_text("a") + "K\x01" + p_text("b") + "K\x02u",
          "(" + p_text("a") + "K\x01" + p_text("b") + "K\x02" + "d"}) {
        auto const g = value(text);
        CHECK(g.root().kind() == pickle_kind::dict);
        REQUIRE(entry_count(g, g.root()) == 2);
        auto const& first = g.at(g.first_entry(g.root()));
        CHECK(g.text(first.key) == "a");
        CHECK(g.integer(first.value) == 1);
        CHECK(g.text(g.at(first.next).key) == "b");
    }
    CHECK(entry_count(value("}(u"), value("}(u").root()) == 0);
}

TEST_CASE("pickle: memo, stack and framing opcodes") {
    CHECK(int_of("K\x07q\x05"
                 "0h\x05")
          == 7);
    CHECK(int_of("K\x07r\x05\x01\0\0"s + "0j\x05\x01\0\0"s) == 7);
    CHECK(int_of("K\x07p300\n0g300\n") == 7);
    for (std::string const& put : {"p5\n"s, "q\x05"s, "r\x05\0\0\0"s, "\x94"s}) CHECK(int_of("K\x07" + put) == 7); // nothing more is read
    CHECK(int_of("K\x07\x94K\x08\x94"
                 "00h\0"s)
          == 7);
    CHECK(int_of("K\x07\x94K\x08\x94"
                 "00h\x01")
          == 8);
    CHECK(int_of("K\x07q\0K\x08\x94"
                 "00h\x01"s)
          == 8); // MEMOIZE counts what PUT set
    CHECK(int_of("K\x07q\0K\x08q\0K\x09\x94"
                 "000h\x01"s)
          == 9); // once, however often
    CHECK(int_of("K\x07q\x05K\x08\x94"
                 "00h\x01"s)
          == 8); // and not the numbers between
    CHECK(int_of("K\x07K\x08"
                 "0")
          == 7);
    CHECK(int_of("K\x07(K\x08"
                 "1")
          == 7);
    CHECK(int_of("K\x07(0") == 7); // POP takes a mark that is on top
    CHECK(value("K\x07"
                "2\x86")
              .items(value("K\x07"
                           "2\x86")
                         .root())
              .size()
          == 2);
    CHECK(int_of("\x80\x04\x95" + le(std::uint64_t{3}) + "K\x07") == 7);
    for (char protocol = 0; protocol <= 5; ++protocol) CHECK(int_of("\x80"s + protocol + "K\x01") == 1);
}

TEST_CASE("A18 unknown GLOBAL, REDUCE, BUILD, NEWOBJ, INST, OBJ and persistent ids are opaque values") {
    auto const system = p_global("os", "system");
    auto const g = value(p_call(system, {p_text("touch /tmp/zeroi2v-was-here")}) + p_dict({{"a", p_int(1)}}) + "b");
    REQUIRE(g.root().kind() == pickle_kind::call);
    CHECK(g.is_global(g.callable(g.root()), "os", "system"));
    CHECK_FALSE(g.is_global(g.callable(g.root()), "os", "popen"));
    CHECK(g.items(g.arguments(g.root())).size() == 1);
    CHECK(entry_count(g, g.state(g.root())) == 1);

    for (auto const& text : {p_global("m", "C") + ")\x81", p_global("m", "C") + ")}\x92", "(im\nC\n"s,
                             "(" + p_global("m", "C") + "o", p_text("m") + p_text("C") + "\x93)R"}) {
        auto const made = value(text);
        CHECK(made.root().kind() == pickle_kind::call);
        CHECK(made.is_global(made.callable(made.root()), "m", "C"));
        CHECK(made.items(made.arguments(made.root())).empty());
    }
    auto const with = value("(K\x01K\x02im\nC\n");
    CHECK(with.items(with.arguments(with.root())).size() == 2);
    auto const object = value("(" + p_global("m", "C") + "K\x01K\x02o");
    CHECK(object.items(object.arguments(object.root())).size() == 2);
    // Objects may be filled like dicts and lists, called, and given any state.
    auto const filled = value(p_global("m", "C") + ")\x81" + p_text("k") + "K\x01s"
                              + "K\x02"
                                "aK\x03"
                                "b");
    CHECK(entry_count(filled, filled.root()) == 1);
    CHECK(root_kind(p_global("m", "C") + ")R)R") == pickle_kind::call);
    CHECK(root_kind("K\x01Q") == pickle_kind::persistent);
    CHECK(root_kind("Psome id\n") == pickle_kind::persistent);
    CHECK(root_kind("}K\x01"
                  "b")
          == pickle_kind::dict); // BUILD on what has no state
}

TEST_CASE("A18 bad opcodes, with their byte") {
    for (unsigned code = 0; code < 256; ++code) {
        bool const known =
            "().012FIJKLMNPQRSTUVXabcd}eghij]lopqrstuG"s.find(static_cast<char>(code)) != std::string::npos
            || (code >= 0x80 && code <= 0x98) || code == 'B' || code == 'C';
        if (!known) check_bad("K\x01"s + static_cast<char>(code) + ".", 2, "no opcode: " + std::to_string(code));
    }
    for (auto const& text : {"\x82\x01"s, "\x83\x01\0"s, "\x84\x01\0\0\0"s})
        check_bad("N" + text + ".", 1, "extension");
    check_bad("\x97.", 0, "buffer outside");
    check_bad("N\x98.", 1, "buffer outside");
    check_bad("\x80\x06N.", 0, "protocol 6");
}

TEST_CASE("A18 stack, mark and memo underflow, with their byte") {
    check_bad(".", 0, "stack underflow");
    for (std::string const& text : {"0"s, "2"s, "a"s, "s"s, "b"s, "R"s, "Q"s, "\x81"s, "\x92"s, "\x93"s, "\x85"s,
                                    "\x86"s, "\x87"s, "q\0"s, "\x94"s, "r\0\0\0\0"s, "p0\n"s})
        check_bad(text + ".", 0, "stack underflow");
    check_bad("K\x01\x86.", 2, "stack underflow");
    check_bad("K\x01K\x02\x87.", 4, "stack underflow");
    check_bad("K\x01(K\x02\x86.", 5, "stack underflow"); // a mark cannot be crossed
    check_bad("K\x01(.", 3, "stack underflow");
    for (std::string const& text : {"t"s, "l"s, "d"s, "e"s, "u"s, "1"s, "o"s, "\x90"s, "\x91"s, "im\nC\n"s})
        check_bad("]" + text + ".", 1, "no mark");
    check_bad("(e.", 1, "stack underflow");
    check_bad("(u.", 1, "stack underflow");
    check_bad("(\x90.", 1, "stack underflow");
    check_bad("(o.", 1, "stack underflow");
    for (std::string const& text : {"h\0"s, "j\0\0\0\0"s, "g0\n"s, "g99999999\n"s})
        check_bad(text + ".", 0, "was never set");
    check_bad("Nq\x05h\x04.", 3, "memo key 4 was never set");
    check_bad("gx\n.", 0, "memo key expected");
    check_bad("Np-1\n.", 1, "memo key expected");
    check_bad("N(}s.", 3, "stack underflow");
}

TEST_CASE("A18 opcodes on values that cannot take them") {
    check_bad("}(K\x01u.", 4, "a key without its value");
    check_bad("(K\x01"
              "d.",
              3, "a key without its value");
    check_bad("]K\x01K\x02s.", 5, "no dict");
    check_bad(")K\x01K\x02s.", 5, "no dict");
    check_bad("}K\x01"
              "a.",
              3, "no list");
    check_bad("K\x05)R.", 3, "a call of something");
    check_bad(p_global("m", "C") + "K\x05R.", 7, "no tuple");
    check_bad("K\x01K\x02\x93.", 4, "no text");
    check_bad(p_text("m") + "K\x02\x93.", 8, "no text");
    check_bad("K\x02" + p_text("m") + "\x93.", 8, "no text");
    // Items set in what nothing looks into go nowhere: not into the dict before it either.
    auto const g = value("}q\0G12345678K\x01K\x02s0h\0"s);
    CHECK(g.root().kind() == pickle_kind::dict);
    CHECK(entry_count(g, g.root()) == 0);
    check_bad("Ix\n.", 0, "a number expected");
    check_bad("L\n.", 0, "a number expected");
    check_bad("Shi\n.", 0, "without its quotes");
    check_bad("S'hi\"\n.", 0, "without its quotes");
}

TEST_CASE("A18 strings longer than the entry, truncations and what follows the end") {
    for (auto const& text : {"X" + le(std::uint32_t{3}) + "ab",
                             "\x8c\x03"
                             "ab"s,
                             "\x8d" + le(~std::uint64_t{0}) + "ab", "\x8d" + le(std::uint64_t{3}) + "ab",
                             "B" + le(std::uint32_t{0xFFFFFFFF}) + "ab",
                             "C\x03"
                             "ab"s,
                             "\x8e" + le(std::uint64_t{1} << 63U) + "ab", "\x96" + le(std::uint64_t{3}) + "ab",
                             "T" + le(std::int32_t{-1}) + "ab",
                             "U\x03"
                             "ab"s,
                             "\x8a\x03"
                             "ab"s,
                             "\x8b" + le(std::int32_t{-1}) + "ab", "G1234567"s, "J123"s, "M1"s})
        check_bad("N" + text, 1, "the pickle ends");
    check_bad("N\x95" + le(std::uint64_t{9}) + "N.", 1, "a frame");
    check_bad("N\x95" + le(~std::uint64_t{0}) + "N.", 1, "a frame");
    check_bad("Vnever ends", 0, "ends inside a line");
    check_bad("cos\nsystem", 0, "ends inside a line");
    check_bad("", 0, "without STOP");
    check_bad("N", 1, "without STOP");
    check_bad("N.N", 1, "1 bytes follow the end");
}

TEST_CASE("A18 depth: 64 levels are read, 65 refused, ever so many without recursion") {
    struct brackets {
        std::string open, close;
    };
    for (auto const& pair : std::vector<brackets>{{"", "\x85"},
                                                  {"(", "t"},
                                                  {"]", "a"},
                                                  {"(", "l"},
                                                  {p_global("m", "C"), "\x85R"},
                                                  {"}" + p_text("k"), "s"},
                                                  {"", "Q"}}) {
        std::string const &open = pair.open, &close = pair.close;
        CAPTURE(close);
        bool const call = close == "\x85R"; // two levels each: the tuple and the call
        std::size_t const fits = call ? 32 : 64;
        CHECK_NOTHROW(static_cast<void>(value(repeat(open, fits) + "N" + repeat(close, fits))));
        auto const deeper = repeat(open, fits + 1) + "N" + repeat(close, fits + 1) + ".";
        check_bad(deeper, deeper.size() - 2 - (call ? 1 : 0), "nests deeper than 64 levels");
        auto const deepest = repeat(open, 100'000) + "N" + repeat(close, 100'000) + ".";
        CHECK_FAULT(test::fault_of([&] { static_cast<void>(read(deepest)); }), error_code::bad_pickle, 3);
    }
    check_bad(repeat("(", 100'000), 100'000, "without STOP");
    check_bad("N" + repeat("\x85", 100'000) + ".", 65, "nests deeper than 64 levels");
    // Depth by a shared value counts as well.
    check_bad("]q\0"s
                  + repeat("]q\x01"
                           "0h\x01h\0aq\0"s,
                           70),
              3 + 63 * 11 + 8, "nests deeper");
}

TEST_CASE("A18 values that contain themselves come to an end") {
    auto const list = value("]q\0h\0a"s);
    CHECK(list.root().kind() == pickle_kind::sequence);
    auto const dict = value("}q\0"s + p_text("self") + "h\0s"s);
    CHECK(dict.at(dict.first_entry(dict.root())).value == dict.root());
    auto const object = value(p_global("m", "C") + ")\x81q\0h\0b"s);
    CHECK(object.state(object.root()) == object.root());
}

TEST_CASE("A18 memo keys: 999999 is kept, a million refused") {
    CHECK(int_of("K\x07r" + le(std::uint32_t{999'999}) + "0j" + le(std::uint32_t{999'999})) == 7);
    check_bad("Nr" + le(std::uint32_t{1'000'000}) + ".", 1, "memo key 1000000");
    check_bad("Nr" + le(std::uint32_t{0xFFFFFFFF}) + ".", 1, "memo key 4294967295");
    check_bad("Np18446744073709551615\n.", 1, "memo key 18446744073709551615");
}

TEST_CASE("A18 truncations and damages of real pickles: a graph or bad_pickle") {
    test::truncate_pickles(test::share::part);
    test::damage_pickles(test::share::part);
}
