// Damage that shows in the container alone: cut files and bad checksums, where FFmpeg's demuxers pass over them in silence.
#pragma once

#include <zeroi2v/video/video_file.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::detail {

/// What is wrong with a container: the first place as a sentence, and how many places.
struct container_damage {
    std::string what;
    std::size_t count = 0;
};

/// The bytes [offset, offset + count) of a file, fewer at its end.
[[nodiscard]] inline std::vector<std::uint8_t> bytes_at(video_file const& file, std::int64_t offset,
                                                        std::size_t count) {
    std::vector<std::uint8_t> bytes(count);
    std::size_t filled = 0;
    while (filled < count) {
        auto const got = file.read_at(offset + static_cast<std::int64_t>(filled), std::span{bytes}.subspan(filled));
        if (got <= 0) break;
        filled += static_cast<std::size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
}

/// What is wrong with an MP4 or QuickTime file, by its boxes, that has no index; nothing where it has one or is another
/// kind of file. The index (`moov`) often stands at the end, so that a download or a recording that was cut has none.
[[nodiscard]] inline std::optional<std::string> missing_mp4_index(video_file const& file) {
    constexpr std::array<std::string_view, 9> names{"ftyp", "mdat", "moov", "free", "skip", "wide", "pnot", "uuid", "moof"};
    std::uint64_t const end = static_cast<std::uint64_t>(std::max<std::int64_t>(file.size(), 0));
    std::string last;
    for (std::uint64_t at = 0; at < end;) {
        auto const head = bytes_at(file, static_cast<std::int64_t>(at), 16);
        auto const number = [&](std::size_t from, std::size_t bytes) {
            std::uint64_t value = 0;
            for (std::size_t i = from; i < from + bytes; ++i) value = value << 8U | head[i];
            return value;
        };
        if (head.size() < 8) break;
        std::string const name{head.begin() + 4, head.begin() + 8};
        bool const known = std::find(names.begin(), names.end(), name) != names.end();
        if (at == 0 && !known) return std::nullopt;
        std::uint64_t size = number(0, 4);
        if (size == 1 && head.size() == 16) size = number(8, 8);
        if (size == 0) size = end - at;
        bool const cut = size > end - at;
        if (name == "moov" && !cut) return std::nullopt;
        last = name;
        if (cut || size < 8) {
            if (name == "moov") return "the file is cut: its index (moov) ends beyond it, a whole file expected";
            break;
        }
        at += size;
    }
    if (last.empty()) return std::nullopt;
    return "the file is cut: no index (moov) found in it, a whole file expected";
}

/// A Matroska file is one Segment whose size is stated, or left open by a live recording.
[[nodiscard]] inline container_damage matroska_damage(video_file const& file) {
    auto const head = bytes_at(file, 0, 4096);
    std::size_t at = 4; // after the identifier of the EBML header
    auto const size_field = [&](bool& open) -> std::uint64_t {
        if (at >= head.size() || head[at] == 0) return open = true, 0;
        unsigned length = 1;
        while ((head[at] & (0x80U >> (length - 1))) == 0) ++length;
        if (head.size() - at < length) return open = true, 0;
        std::uint64_t value = head[at] & (0xffU >> length);
        for (unsigned i = 1; i < length; ++i) value = value << 8 | head[at + i];
        at += length;
        open = value == (std::uint64_t{1} << (7 * length)) - 1;
        return value;
    };
    bool open = false;
    std::uint64_t const header = size_field(open);
    if (open || header > head.size() - at) return {};
    at += static_cast<std::size_t>(header);
    constexpr std::array<std::uint8_t, 4> segment{0x18, 0x53, 0x80, 0x67};
    if (head.size() - at < 4
        || !std::equal(segment.begin(), segment.end(), head.begin() + static_cast<std::ptrdiff_t>(at)))
        return {};
    at += 4;
    std::uint64_t const length = size_field(open);
    auto const there = static_cast<std::uint64_t>(file.size()) - at;
    if (open || length <= there) return {};
    return {std::to_string(length - there) + " bytes of the segment are missing", 1};
}

/// An Ogg file is a row of pages, each with a checksum; the last one ends its stream. A demuxer passes over bad pages.
[[nodiscard]] inline container_damage ogg_damage(video_file const& file) {
    static constexpr auto table = [] {
        std::array<std::uint32_t, 256> values{};
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t value = i << 24;
            for (int bit = 0; bit < 8; ++bit) value = (value << 1) ^ ((value >> 31) != 0 ? 0x04c11db7U : 0U);
            values[i] = value;
        }
        return values;
    }();
    constexpr std::size_t longest_page = 27 + 255 + 255 * 255;
    container_damage found;
    auto const report = [&](std::string what) {
        if (found.count++ == 0) found.what = std::move(what);
    };
    bool ended = false;
    bool lost = false; // between a bad place and the next page
    for (std::int64_t at = 0; at < file.size();) {
        auto page = bytes_at(file, at, longest_page);
        std::size_t length = page.size() < 27 ? 0 : 27U + page[26];
        if (length > page.size()) length = 0;
        for (std::size_t i = 27, segments = length; i < segments; ++i) length += page[i];
        if (length == 0 || length > page.size() || std::memcmp(page.data(), "OggS", 4) != 0) {
            if (!std::exchange(lost, true)) report("the page at byte " + std::to_string(at) + " is cut or no page");
        } else {
            lost = false;
            std::uint32_t stated = 0;
            for (std::size_t i = 26; i-- > 22;) stated = stated << 8 | std::exchange(page[i], std::uint8_t{0});
            std::uint32_t sum = 0;
            for (std::size_t i = 0; i < length; ++i) sum = (sum << 8) ^ table[(sum >> 24) ^ page[i]];
            ended = (page[5] & 4) != 0;
            at += static_cast<std::int64_t>(length);
            if (sum == stated) continue;
            report("the page that ends at byte " + std::to_string(at) + " has another checksum than it states");
            continue;
        }
        constexpr std::string_view mark = "OggS";
        auto const next = std::search(page.begin() + std::min<std::ptrdiff_t>(1, std::ssize(page)), page.end(),
                                      mark.begin(), mark.end());
        at += next == page.end() ? std::max<std::int64_t>(std::ssize(page) - 3, 1) : next - page.begin();
    }
    if (!ended && found.count == 0) report("the last page ends no stream");
    return found;
}

/// A transport stream is a row of packets of 188 bytes (192 with time stamps, 204 with error correction).
[[nodiscard]] inline container_damage transport_damage(video_file const& file) {
    auto const head = bytes_at(file, 0, 1024);
    for (std::size_t const packet : {188U, 192U, 204U}) {
        std::size_t const first = packet == 192 ? 4 : 0;
        bool regular = head.size() > first + 4 * packet;
        for (std::size_t i = 0; regular && i <= 4; ++i) regular = head[first + i * packet] == 0x47;
        if (!regular) continue;
        auto const rest = static_cast<std::size_t>(file.size()) % packet;
        if (rest == 0) return {};
        return {std::to_string(packet - rest) + " bytes of the last packet are missing", 1};
    }
    return {};
}

/// Looks at a container after it was read to its end. `format` is FFmpeg's name of it. FFmpeg itself notices a cut
/// mov/mp4, avi or mpeg file.
/// Cost  a few bytes; for ogg the whole file, about 0.4 GB/s.
/// Test  tests/unit/video/container_damage.cpp
[[nodiscard]] inline container_damage damage_of(video_file const& file, std::string_view format) {
    if (format == "matroska,webm") return matroska_damage(file);
    if (format == "ogg") return ogg_damage(file);
    if (format == "mpegts") return transport_damage(file);
    return {};
}

} // namespace zeroi2v::detail
