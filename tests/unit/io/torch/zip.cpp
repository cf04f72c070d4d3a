#include <zeroi2v/io/torch/zip.hpp>

#include "../archives.hpp"
#include "../faults.hpp"
#include "../memory_file.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace zeroi2v;
using test::build_zip, test::built_zip, test::le, test::patch, test::zip_part;

namespace {

std::vector<zip_part> const two_parts{{"a", "alpha"}, {"folder/b", "beta and more"}};

zip_archive open_archive(std::string_view bytes) { return zip_archive{file{test::memory_file{bytes}.path()}}; }

std::string content(zip_archive const& archive, std::string_view name) {
    auto const* const entry = archive.find(name);
    REQUIRE(entry != nullptr);
    auto const bytes = archive.read(*entry);
    archive.verify(*entry);
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

test::fault fault_of_bytes(std::string_view bytes) {
    return test::fault_of([&] { static_cast<void>(open_archive(bytes)); });
}

/// A sound archive, changed at one place, is refused with a message that has these words.
void check_patched(built_zip zip, std::size_t position, std::string_view with, std::string_view words) {
    patch(zip.bytes, position, with);
    auto const f = fault_of_bytes(zip.bytes);
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says(words));
}

} // namespace

TEST_CASE("zip_archive reads stored entries, plain, ZIP64, padded and with deferred sizes") {
    for (bool const zip64_end : {false, true})
        for (bool const zip64 : {false, true})
            for (std::uint16_t const flags : {std::uint16_t{0}, std::uint16_t{0x0808}})
                for (std::string const& padding : {std::string{}, "FB" + le<std::uint16_t>(3) + "ZZZ"}) {
                    auto const zip = build_zip({{"top/z", "last", 0, flags, zip64, {}, padding},
                                                {"top/a", "first", 0, flags, zip64, {}, padding},
                                                {"top/nothing", "", 0, flags, zip64, {}, padding}},
                                               zip64_end);
                    auto const archive = open_archive(zip.bytes);
                    REQUIRE(archive.entries().size() == 3);
                    CHECK(archive.entries()[0].name == "top/a");
                    CHECK(content(archive, "top/z") == "last");
                    CHECK(content(archive, "top/a") == "first");
                    CHECK(content(archive, "top/nothing").empty());
                    CHECK(archive.find("top") == nullptr);
                    CHECK(archive.find("top/") == nullptr);
                    CHECK(archive.find("") == nullptr);
                    std::string part(3, '?');
                    archive.read_at(*archive.find("top/a"), 2,
                                    {reinterpret_cast<std::byte*>(part.data()), part.size()});
                    CHECK(part == "rst");
                    auto const beyond = test::fault_of([&] {
                        archive.read_at(*archive.find("top/a"), 3,
                                        {reinterpret_cast<std::byte*>(part.data()), part.size()});
                    });
                    CHECK_FAULT(beyond, error_code::bad_zip, 3);
                }
}

TEST_CASE("zip_archive reads an archive without entries, and one that moved") {
    CHECK(open_archive(build_zip({}).bytes).entries().empty());
    auto first = open_archive(build_zip(two_parts).bytes);
    auto const second = std::move(first);
    CHECK(content(second, "folder/b") == "beta and more");
}

TEST_CASE("zip_archive passes over a comment at the end, even one that looks like an end record") {
    CHECK(content(open_archive(build_zip(two_parts, false, "a comment").bytes), "a") == "alpha");
    CHECK(content(open_archive(build_zip(two_parts, true, std::string(65'535, 'c')).bytes), "a") == "alpha");
    std::string const imitation = "PK\x05\x06" + std::string(18, '\0') + "x"; // its comment would be one byte longer
    CHECK(content(open_archive(build_zip(two_parts, false, imitation).bytes), "a") == "alpha");
    auto const f = fault_of_bytes(build_zip(two_parts, false, "c").bytes + "d");
    CHECK_FAULT(f, error_code::bad_zip, 3); // a byte behind the comment
}

TEST_CASE("zip_archive reads what PyTorch wrote") {
    for (std::string_view const name : {"mmengine.pth", "strided.pth", "clip_torchscript.pt"}) {
        zip_archive const archive{file{std::string{ZEROI2V_TEST_DATA} + "/formats/" + std::string{name}}};
        CHECK(archive.entries().size() > 30);
        for (auto const& entry : archive.entries())
            if (entry.stored()) archive.verify(entry);
    }
}

TEST_CASE("A17 a deflated entry is listed and refused by name when it is needed") {
    auto const archive = open_archive(build_zip({{"good", "good"}, {"squeezed", "????", 8}}).bytes);
    CHECK(content(archive, "good") == "good");
    for (int way = 0; way < 3; ++way) {
        auto const f = test::fault_of([&] {
            auto const& entry = *archive.find("squeezed");
            if (way == 0) static_cast<void>(archive.read(entry));
            if (way == 1) archive.verify(entry);
            if (way == 2) archive.require_stored(entry);
        });
        CHECK_FAULT(f, error_code::bad_zip, 3);
        CHECK(f.says("\"squeezed\""));
        CHECK(f.says("method 8"));
    }
}

TEST_CASE("A17 an encrypted entry") {
    for (std::uint16_t const flag : {std::uint16_t{0x0001}, std::uint16_t{0x0040}, std::uint16_t{0x2000}}) {
        auto const f = fault_of_bytes(build_zip({{"a", "alpha"}, {"secret", "beta", 0, flag}}).bytes);
        CHECK_FAULT(f, error_code::bad_zip, 3);
        CHECK(f.says("\"secret\": is encrypted"));
    }
}

TEST_CASE("A17 duplicate entries") {
    auto const f = fault_of_bytes(build_zip({{"a", "1"}, {"w", "2"}, {"b", "3"}, {"w", "2"}}).bytes);
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("\"w\": comes twice"));
}

TEST_CASE("A17 overlapping entries") {
    // b's header lies inside the content of a, and is a true header of b.
    std::string const b = "PK\x03\x04" + std::string(22, '\0') + le<std::uint16_t>(1) + le<std::uint16_t>(0) + "b";
    auto zip = build_zip({{"a", b}, {"b", ""}});
    patch(zip.bytes, zip.central[1] + 42, le(static_cast<std::uint32_t>(30 + 1)));
    auto const f = fault_of_bytes(zip.bytes);
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("\"a\": overlaps the entry \"b\""));

    // Two names for one header cannot both be its name.
    auto same = build_zip({{"a", "same"}, {"b", "same"}});
    patch(same.bytes, same.central[1] + 42, le(std::uint32_t{0}));
    CHECK_FAULT(fault_of_bytes(same.bytes), error_code::bad_zip, 3);
}

TEST_CASE("A17 an entry that reaches into the directory") {
    auto zip = build_zip({{"a", "alpha"}});
    for (std::size_t const at : {zip.local[0] + 18, zip.local[0] + 22, zip.central[0] + 20, zip.central[0] + 24})
        patch(zip.bytes, at, le(std::uint32_t{6}));
    auto const f = fault_of_bytes(zip.bytes);
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("\"a\": overlaps the directory"));
}

TEST_CASE("A17 a CRC-32 mismatch, when the content is read") {
    auto const archive = open_archive(build_zip({{"a", "alpha"}, {"damaged", "beta", 0, 0, false, 0xDEADBEEF}}).bytes);
    CHECK(content(archive, "a") == "alpha");
    for (bool const whole : {true, false}) {
        auto const f = test::fault_of([&] {
            auto const& entry = *archive.find("damaged");
            if (whole)
                static_cast<void>(archive.read(entry));
            else
                archive.verify(entry);
        });
        CHECK_FAULT(f, error_code::bad_zip, 3);
        CHECK(f.says("\"damaged\""));
        CHECK(f.says("deadbeef"));
    }
}

TEST_CASE("an archive whose entries all state CRC-32 0 has no checksums; where one states another value, all are verified") {
    auto const none = std::optional<std::uint32_t>{0};
    std::vector<zip_part> parts{{"a", "alpha", 0, 0x0808, false, none}, {"b", "beta", 0, 0, true, none}, {"nothing", "", 0, 0, false, none}};
    auto const without = open_archive(build_zip(parts, true).bytes);
    CHECK_FALSE(without.has_checksums());
    CHECK(content(without, "a") == "alpha");
    CHECK(content(without, "b") == "beta");
    CHECK(content(without, "nothing").empty());
    for (auto const& one_more : {zip_part{"z", "zeta"}, zip_part{"z", "zeta", 0, 0, false, 7}}) { // a true value, and a wrong one
        auto more = parts;
        more.push_back(one_more);
        auto const with = open_archive(build_zip(more).bytes);
        CHECK(with.has_checksums());
        CHECK(content(with, "nothing").empty()); // its true CRC-32 is 0
        CHECK_FAULT(test::fault_of([&] { static_cast<void>(with.read(*with.find("a"))); }), error_code::bad_zip, 3);
        CHECK_FAULT(test::fault_of([&] { with.verify(*with.find("b")); }), error_code::bad_zip, 3);
    }
    // an archive of empty entries, and one without any
    CHECK(content(open_archive(build_zip({{"nothing", ""}}).bytes), "nothing").empty());
    CHECK_FALSE(open_archive(build_zip({}).bytes).has_checksums());
}

TEST_CASE("a place of another size than the entry is a mistake of the caller") {
    auto const archive = open_archive(build_zip(two_parts).bytes);
    for (std::size_t const size : {0U, 4U, 6U}) {
        std::vector<std::byte> place(size);
        CHECK_FAULT(test::fault_of([&] { archive.read(*archive.find("a"), place); }), error_code::precondition, 1);
    }
}

TEST_CASE("A17 a local header that contradicts the directory") {
    auto const zip = build_zip(two_parts);
    std::size_t const at = zip.local[1];
    check_patched(zip, at, "PK\x03\x05", "\"folder/b\": no local header");
    check_patched(zip, at + 6, le(std::uint16_t{1}), "\"folder/b\": its local header");   // encrypted
    check_patched(zip, at + 6, le(std::uint16_t{8}), "\"folder/b\": its local header");   // deferred sizes
    check_patched(zip, at + 8, le(std::uint16_t{8}), "\"folder/b\": its local header");   // method
    check_patched(zip, at + 14, le(std::uint32_t{1}), "\"folder/b\": its local header");  // CRC-32
    check_patched(zip, at + 18, le(std::uint32_t{12}), "\"folder/b\": its local header"); // stored size
    check_patched(zip, at + 22, le(std::uint32_t{12}), "\"folder/b\": its local header"); // size
    check_patched(zip, at + 18, le(std::uint32_t{0}),
                  "\"folder/b\": its local header"); // zero only where it is deferred
    check_patched(zip, at + 26, le(std::uint16_t{7}), "\"folder/b\": its local header"); // length of the name
    check_patched(zip, at + 30, "g", "\"folder/b\": its local header");                  // name
    check_patched(zip, at + 18, le(std::uint32_t{0xFFFFFFFF}), "\"folder/b\": refers to a ZIP64 extra field");
    check_patched(zip, zip.central[1] + 20, le(std::uint32_t{5}), "\"folder/b\": is stored, yet takes 5 bytes for 13");
}

TEST_CASE("A17 offsets outside the file") {
    auto const zip = build_zip(two_parts);
    auto const size = static_cast<std::uint32_t>(zip.bytes.size());
    for (std::uint32_t const offset : {size, size - 29, std::uint32_t{0xFFFFFFFE}})
        check_patched(zip, zip.central[1] + 42, le(offset), "\"folder/b\"");
    check_patched(zip, zip.local[1] + 28, le(std::uint16_t{0xFFFF}), "\"folder/b\": its header passes the end");
    check_patched(zip, zip.end + 16, le(size), "does not end at byte"); // the directory's offset
    check_patched(zip, zip.end + 16, le(std::uint32_t{0xFFFFFFFE}), "does not end at byte");
    check_patched(zip, zip.end + 12, le(size), "does not end at byte"); // the directory's size

    auto huge = build_zip(two_parts);
    for (std::size_t const at : {huge.local[1] + 18, huge.local[1] + 22, huge.central[1] + 20, huge.central[1] + 24})
        patch(huge.bytes, at, le(std::uint32_t{0xFFFFFFF0}));
    auto const f = fault_of_bytes(huge.bytes);
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("\"folder/b\": its 4294967280 bytes"));
}

TEST_CASE("A17 a directory whose entries are not what it says") {
    auto const zip = build_zip(two_parts);
    check_patched(zip, zip.central[1], "PK\x01\x03", "directory entry 1 of 2");
    check_patched(zip, zip.central[1] + 28, le(std::uint16_t{9}), "directory entry 1 of 2: its name");
    check_patched(zip, zip.central[1] + 34, le(std::uint16_t{1}), "\"folder/b\": lies on another disk");
    // The directory ends behind the first bytes of a header.
    auto cut = build_zip({{std::string(50, 'a'), "alpha"}});
    cut.bytes.insert(cut.end, "PK\x01\x02" + std::string(16, '\0'));
    patch(cut.bytes, cut.end + 20 + 8, le(std::uint16_t{2}) + le(std::uint16_t{2}) + le(static_cast<std::uint32_t>(cut.end - cut.directory + 20)));
    CHECK(fault_of_bytes(cut.bytes).says("directory entry 1 of 2: no header"));
    auto fewer = zip, more = zip;
    patch(fewer.bytes, fewer.end + 8, le(std::uint16_t{1}) + le(std::uint16_t{1}));
    CHECK(fault_of_bytes(fewer.bytes).says("bytes between the directory's last entry and its end"));
    patch(more.bytes, more.end + 8, le(std::uint16_t{3}) + le(std::uint16_t{3}));
    CHECK_FAULT(fault_of_bytes(more.bytes), error_code::bad_zip, 3);
}

TEST_CASE("A17 ZIP64 numbers that lie") {
    auto const zip = build_zip(two_parts, true);
    auto const u64 = [](std::uint64_t value) { return le(value); };
    std::uint64_t const most = ~std::uint64_t{0};
    for (std::uint64_t const value : {std::uint64_t{0}, std::uint64_t{43}, std::uint64_t{45}, most, most - 11})
        check_patched(zip, zip.end64 + 4, u64(value), "ZIP64 end record"); // its own length
    check_patched(zip, zip.end64, "PK\x06\x05", "ZIP64 end record");
    for (std::uint64_t const value : {std::uint64_t{3}, std::uint64_t{1} << 63U, most}) {
        check_patched(zip, zip.end64 + 32, u64(value), "");                  // entries
        check_patched(zip, zip.end64 + 40, u64(value), "contradict");        // size
        check_patched(zip, zip.end64 + 48, u64(value), "contradict");        // offset
        check_patched(zip, zip.locator + 8, u64(value), "ZIP64 end record"); // where it is
    }
    check_patched(zip, zip.end + 8, le(std::uint16_t{3}), "contradict");  // entries on this disk
    check_patched(zip, zip.end + 10, le(std::uint16_t{3}), "contradict"); // entries
    check_patched(zip, zip.end64 + 24, u64(1), "several disks");
    // With the narrow fields saying "see ZIP64", the wide ones alone decide.
    auto wide = zip;
    patch(wide.bytes, wide.end + 8, std::string(12, '\xFF'));
    CHECK(open_archive(wide.bytes).entries().size() == 2);
    check_patched(wide, wide.end64 + 40, u64(most), "does not end at byte");
    check_patched(wide, wide.end64 + 48, u64(most), "does not end at byte");
    auto many = wide;
    patch(many.bytes, many.end64 + 24, u64(99'999) + u64(99'999));
    CHECK(fault_of_bytes(many.bytes).says("for 99999 entries"));
    // "See ZIP64" where there is no such record.
    auto const narrow = build_zip(two_parts);
    check_patched(narrow, narrow.end + 8, std::string(4, '\xFF'), "refers to a ZIP64 end record");
    check_patched(narrow, narrow.end + 12, std::string(4, '\xFF'), "refers to a ZIP64 end record");
    check_patched(narrow, narrow.end + 16, std::string(4, '\xFF'), "refers to a ZIP64 end record");

    auto const entry64 = build_zip({{"a", "alpha", 0, 0, true}});
    std::size_t const extra = entry64.central[0] + 46 + 1;
    check_patched(entry64, extra, le(std::uint16_t{2}), "\"a\": refers to a ZIP64 extra field");
    check_patched(entry64, extra + 2, le(std::uint16_t{16}), "\"a\""); // without the offset
    check_patched(entry64, extra + 4, u64(most), "\"a\"");
    check_patched(entry64, extra + 12, u64(most), "\"a\"");
    check_patched(entry64, extra + 20, u64(most), "\"a\"");
    check_patched(entry64, entry64.central[0] + 34, le(std::uint16_t{0xFFFF}), "\"a\": its ZIP64 extra field is too short"); // no disk in it
    check_patched(entry64, entry64.local[0] + 30 + 1 + 4, u64(4), "\"a\": its local header");
}

TEST_CASE("A17 an archive on several disks") {
    auto const zip = build_zip(two_parts, true);
    check_patched(zip, zip.end + 4, le(std::uint16_t{1}), "several disks");
    check_patched(zip, zip.end + 6, le(std::uint16_t{1}), "several disks");
    check_patched(zip, zip.end64 + 16, le(std::uint32_t{1}), "several disks");
    check_patched(zip, zip.end64 + 20, le(std::uint32_t{1}), "several disks");
    check_patched(zip, zip.locator + 4, le(std::uint32_t{1}), "several disks");
    check_patched(zip, zip.locator + 16, le(std::uint32_t{2}), "several disks");
    auto const narrow = build_zip(two_parts);
    check_patched(narrow, narrow.end + 8, le(std::uint16_t{1}), "several disks");
}

TEST_CASE("A17 no end record: every truncation") {
    for (bool const zip64 : {false, true}) {
        auto const zip = build_zip(two_parts, zip64);
        for (std::size_t size = 0; size < zip.bytes.size(); ++size) {
            auto const f = fault_of_bytes(std::string_view{zip.bytes}.substr(0, size));
            CHECK_FAULT(f, error_code::bad_zip, 3);
            CHECK(f.says("no end of central directory record"));
        }
    }
}

TEST_CASE("A17 a million entries that are claimed are refused at once") {
    auto const claimed = [] {
        auto zip = build_zip(two_parts, true);
        patch(zip.bytes, zip.end + 8, std::string(4, '\xFF'));
        patch(zip.bytes, zip.end64 + 24, le(std::uint64_t{1'000'000}) + le(std::uint64_t{1'000'000}));
        return zip.bytes;
    }();
    CHECK(fault_of_bytes(claimed).says("1000000 entries, at most 100000"));
}

TEST_CASE("every single-byte change and 2000 random damages of an archive: read or one typed error") {
    auto const sound =
        build_zip({{"top/a", "alpha", 0, 0x0808}, {"top/b", "beta", 0, 0, true}, {"top/c", "gamma"}}, true).bytes;
    std::size_t read = 0, refused = 0;
    auto const probe = [&](std::string_view bytes) {
        try {
            auto const archive = open_archive(bytes);
            for (auto const& entry : archive.entries()) static_cast<void>(archive.read(entry));
            ++read;
        } catch (checkpoint_error const& e) {
            REQUIRE(e.code() == error_code::bad_zip);
            ++refused;
        }
    };
    std::mt19937 random{17};
    for (std::size_t at = 0; at < sound.size(); ++at)
        for (unsigned const change : {0x01U, 0x80U, 0xFFU, static_cast<unsigned>(random() & 0xFEU)}) {
            auto damaged = sound;
            damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ (change | 1U));
            probe(damaged);
        }
    for (int i = 0; i < 2000; ++i) {
        auto damaged = sound;
        for (auto n = 1 + random() % 8; n > 0; --n) {
            std::size_t const at = random() % damaged.size();
            switch (random() % 3) {
            case 0: damaged[at] = static_cast<char>(random() & 255U); break;
            case 1: damaged.erase(at, 1 + random() % 4); break;
            default: damaged.insert(at, 1 + random() % 4, static_cast<char>(random() & 255U)); break;
            }
            if (damaged.empty()) break;
        }
        probe(damaged);
    }
    CHECK(refused > read); // most bytes matter
    CHECK(read > 0);       // some do not: dates, versions, descriptors
}
