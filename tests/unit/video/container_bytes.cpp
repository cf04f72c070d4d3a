// Damage of containers written byte by byte here: what is missing, where, and how many places, to the byte.
#include <zeroi2v/video/container_damage.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using namespace zeroi2v;
using video_test::bytes;

namespace {

struct verdict {
    std::string what;
    std::size_t count;

    friend bool operator==(verdict const&, verdict const&) = default;
};

verdict judged(video_test::temporary_folder const& folder, bytes const& content, char const* format) {
    video_test::write_file(folder / "file", content);
    auto const found = detail::damage_of(video_file{folder / "file"}, format);
    return {found.what, found.count};
}

void append(bytes& to, bytes const& more) { to.insert(to.end(), more.begin(), more.end()); }

/// A size as EBML writes it, in `length` bytes.
bytes ebml_size(std::uint64_t value, unsigned length) {
    bytes field(length);
    for (unsigned i = 0; i < length; ++i) field[length - 1 - i] = static_cast<std::uint8_t>(value >> (8 * i));
    field[0] = static_cast<std::uint8_t>(field[0] | (0x80U >> (length - 1)));
    return field;
}

bytes matroska(std::size_t header, unsigned header_length, bytes const& stated, std::size_t there) {
    bytes file{0x1a, 0x45, 0xdf, 0xa3};
    append(file, ebml_size(header, header_length));
    append(file, bytes(header, 7));
    append(file, {0x18, 0x53, 0x80, 0x67});
    append(file, stated);
    append(file, bytes(there, 9));
    return file;
}

/// An Ogg page of these segments, its checksum from the definition, bit by bit.
bytes ogg_page(std::vector<std::uint8_t> const& segments, std::uint8_t flags) {
    bytes page{'O', 'g', 'g', 'S', 0, flags, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 1, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(segments.size())};
    append(page, segments);
    for (std::size_t s = 0; s < segments.size(); ++s)
        for (std::size_t i = 0; i < segments[s]; ++i) page.push_back(static_cast<std::uint8_t>(s * 31 + i));
    std::uint32_t sum = 0;
    for (std::uint8_t const byte : page)
        for (int bit = 7; bit >= 0; --bit) {
            bool const carry = ((sum >> 31U) ^ (byte >> bit & 1U)) != 0;
            sum = (sum << 1U) ^ (carry ? 0x04c11db7U : 0U);
        }
    for (std::size_t i = 0; i < 4; ++i) page[22 + i] = static_cast<std::uint8_t>(sum >> (8 * i));
    return page;
}

bytes joined(std::vector<bytes> const& parts) {
    bytes all;
    for (auto const& each : parts) append(all, each);
    return all;
}

/// Packets of a transport stream, `before` bytes ahead of each.
bytes transport(std::size_t packets, std::size_t size, std::size_t before) {
    bytes all(packets * size, 0xff);
    for (std::size_t i = 0; i < packets; ++i) all[i * size + before] = 0x47;
    return all;
}

} // namespace

TEST_CASE("matroska: bytes missing of the segment, its size written in any number of bytes; open sizes and other files have no damage") {
    video_test::temporary_folder const folder;
    auto const of = [&](bytes const& content) { return judged(folder, content, "matroska,webm"); };
    verdict const none{"", 0};
    for (unsigned const length : {1U, 2U, 3U, 4U, 5U, 8U})
        for (std::size_t const size : {5U, 100U, 126U}) {
            auto const stated = ebml_size(size, length);
            CHECK(of(matroska(19, 1, stated, size)) == none);
            CHECK(of(matroska(19, length, stated, size + 1)) == none); // what follows the segment is none of it
            CHECK(of(matroska(0, length, stated, size - 1)) == verdict{"1 bytes of the segment are missing", 1});
            CHECK(of(matroska(40, 2, stated, 0)) == verdict{std::to_string(size) + " bytes of the segment are missing", 1});
            bytes open(length, 0xff); // all ones: a live recording
            open[0] = static_cast<std::uint8_t>((0x80U >> (length - 1)) | ((0x80U >> (length - 1)) - 1));
            CHECK(of(matroska(19, 1, open, 3)) == none);
        }
    CHECK(of(matroska(19, 1, ebml_size(0x123456, 4), 0x3456)) == verdict{std::to_string(0x120000) + " bytes of the segment are missing", 1});
    CHECK(of(matroska(4000, 2, ebml_size(0x4000, 4), 1)) == verdict{std::to_string(0x3fff) + " bytes of the segment are missing", 1});
    CHECK(of(matroska(19, 1, {0x00, 0xff}, 3)) == none);     // no size
    CHECK(of(matroska(5000, 2, ebml_size(90, 1), 3)) == none); // the segment begins beyond what is looked at
    auto other = matroska(19, 1, ebml_size(90, 1), 3);
    other[4 + 1 + 19] ^= 1U; // another element follows
    CHECK(of(other) == none);
    auto const whole = matroska(19, 1, ebml_size(90, 2), 90);
    std::size_t const begin = 4 + 1 + 19 + 4 + 2;
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK(of({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)})
              == (length < begin ? none : verdict{std::to_string(whole.size() - length) + " bytes of the segment are missing", 1}));
}

TEST_CASE("ogg: every page with its checksum, the last of which ends its stream; each bad place counts once, the first is named") {
    video_test::temporary_folder const folder;
    auto const of = [&](std::vector<bytes> const& parts) { return judged(folder, joined(parts), "ogg"); };
    auto const text = [](char const* before, std::size_t at, char const* after) { return before + std::to_string(at) + after; };
    auto const cut = [&](std::size_t at) { return text("the page at byte ", at, " is cut or no page"); };
    auto const sum = [&](std::size_t end) { return text("the page that ends at byte ", end, " has another checksum than it states"); };
    verdict const none{"", 0}, endless{"the last page ends no stream", 1};
    auto const first = ogg_page({10}, 2), middle = ogg_page({255, 255, 3}, 0), largest = ogg_page(std::vector<std::uint8_t>(255, 255), 0), bare = ogg_page({}, 0), last = ogg_page({7, 1}, 4);
    CHECK(largest.size() == 27 + 255 + 255 * 255);
    CHECK(of({first, middle, largest, bare, last}) == none);
    CHECK(of({last}) == none);
    CHECK(of({ogg_page({4}, 6)}) == none); // begins and ends
    CHECK(of({first, middle}) == endless);
    CHECK(of({last, first}) == endless);
    CHECK(of({}) == endless);
    for (std::size_t const at : {5U, 6U, 21U, 22U, 25U, 30U, 36U}) { // of a byte of the first page; its length and mark stay
        auto flipped = first;
        flipped[at] ^= 0x10U;
        CHECK(of({flipped, last}) == verdict{sum(first.size()), 1});
        CHECK(of({flipped, flipped, last}) == verdict{sum(first.size()), 2});
    }
    bytes const junk(10, 'x'), far(70000, 0), mark{'O', 'g', 'g', 'S'};
    CHECK(of({junk, first, last}) == verdict{cut(0), 1});
    CHECK(of({first, junk, last}) == verdict{cut(first.size()), 1});
    CHECK(of({first, junk, middle, junk, last}) == verdict{cut(first.size()), 2});
    CHECK(of({first, last, junk}) == verdict{cut(first.size() + last.size()), 1});
    CHECK(of({first, far, last}) == verdict{cut(first.size()), 1});
    CHECK(of({first, mark, last}) == verdict{cut(first.size()), 1}); // a mark, and no page
    for (std::size_t const before : {65300U, 65303U, 65304U, 65305U, 65306U, 65307U, 65308U}) { // a mark across the end of what is looked at
        CHECK(of({first, bytes(before, 1), middle, junk, last}) == verdict{cut(first.size()), 2});
    }
    auto shorter = last;
    shorter.pop_back();
    CHECK(of({first, shorter}) == verdict{cut(first.size()), 1});
    for (std::size_t const length : {1U, 4U, 26U, 27U, 28U}) // within the last page's head
        CHECK(of({first, {last.begin(), last.begin() + static_cast<std::ptrdiff_t>(length)}}) == verdict{cut(first.size()), 1});
}

TEST_CASE("mpegts: bytes missing of the last packet, of packets of 188, 192 and 204 bytes") {
    video_test::temporary_folder const folder;
    auto const of = [&](bytes const& content) { return judged(folder, content, "mpegts"); };
    verdict const none{"", 0};
    for (auto const& [size, before] : {std::pair<std::size_t, std::size_t>{188, 0}, {192, 4}, {204, 0}})
        for (std::size_t const packets : {5U, 6U, 20U}) {
            auto const whole = transport(packets, size, before);
            CHECK(of(whole) == none);
            for (std::size_t const missing : {1U, 90U, 180U}) {
                bytes const part{whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(missing)};
                if (part.size() <= before + 4 * size) continue;
                CHECK(of(part) == verdict{std::to_string(missing) + " bytes of the last packet are missing", 1});
            }
            bytes more = whole;
            more.push_back(0x47);
            CHECK(of(more) == verdict{std::to_string(size - 1) + " bytes of the last packet are missing", 1});
            for (std::size_t i = 0; i < 5; ++i) { // no such packets: nothing is said
                auto irregular = more;
                irregular[i * size + before] = 0x46;
                CHECK(of(irregular) == none);
            }
        }
    bytes edge = transport(5, 188, 0);
    edge.resize(4 * 188 + 1); // the fifth packet has begun
    CHECK(of(edge) == verdict{"187 bytes of the last packet are missing", 1});
    edge.resize(4 * 188);
    CHECK(of(edge) == none);
    CHECK(of({}) == none);
}

TEST_CASE("other formats are not looked at; bytes_at gives what there is") {
    video_test::temporary_folder const folder;
    bytes const page = ogg_page({10}, 0);
    for (char const* format : {"mov,mp4,m4a,3gp,3g2,mj2", "avi", "", "matroska"}) CHECK(judged(folder, page, format) == verdict{"", 0});
    video_file const file{folder / "file"};
    CHECK(detail::bytes_at(file, 0, page.size()) == page);
    CHECK(detail::bytes_at(file, 3, 5) == bytes(page.begin() + 3, page.begin() + 8));
    CHECK(detail::bytes_at(file, static_cast<std::int64_t>(page.size()) - 2, 100) == bytes(page.end() - 2, page.end()));
    CHECK(detail::bytes_at(file, 1000, 5).empty());
    CHECK(detail::bytes_at(file, 0, 0).empty());
}
