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

/// Places in a Matroska segment, which begins and ends here, that are no element, or one that ends beyond its parent. A
/// demuxer passes over them, and over all that follows up to the next cluster.
/// Cost  a few bytes per element.
[[nodiscard]] inline container_damage matroska_elements_damage(video_file const& file, std::int64_t begin,
                                                               std::int64_t end) {
    constexpr std::uint32_t cluster = 0x1f43b675, file_header = 0x1a45dfa3, simple_block = 0xa3;
    constexpr std::array<std::uint32_t, 11> in_segment{cluster,    0x114d9b74, 0x1549a966, 0x1654ae6b, 0x1c53bb6b, 0x1941a469,
                                                       0x1043a770, 0x1254c367, 0x1b538667, 0xec,       0xbf};
    constexpr std::array<std::uint32_t, 9> in_cluster{0xe7, 0x5854, 0xa7, 0xab, simple_block, 0xa0, 0xaf, 0xec, 0xbf};
    auto const among = [](auto const& names, std::uint32_t name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    container_damage found;
    std::int64_t cluster_end = begin; // where the cluster at hand ends
    bool open_cluster = false;        // or where the next element of the segment begins
    for (std::int64_t at = begin; at < end;) {
        auto const head = bytes_at(file, at, 16);
        std::size_t read = 0;
        bool sound = true, open = false;
        auto const number = [&](bool with_mark) -> std::uint64_t { // with its mark of length, as names are written
            if (read >= head.size() || head[read] == 0) return sound = false, 0;
            unsigned length = 1;
            while ((head[read] & (0x80U >> (length - 1))) == 0) ++length;
            if (head.size() - read < length || (with_mark && length > 4)) return sound = false, 0;
            std::uint64_t value = with_mark ? head[read] : head[read] & (0xffU >> length);
            for (unsigned i = 1; i < length; ++i) value = value << 8U | head[read + i];
            read += length;
            open = !with_mark && value == (std::uint64_t{1} << (7 * length)) - 1;
            return value;
        };
        auto const name = static_cast<std::uint32_t>(number(true));
        std::uint64_t const size = sound ? number(false) : 0;
        if (sound && name == file_header) break; // another file follows
        bool const inside = at < cluster_end || (open_cluster && (among(in_cluster, name) || !among(in_segment, name)));
        auto const data = at + static_cast<std::int64_t>(read);
        std::int64_t const limit = at < cluster_end ? cluster_end : end;
        sound = sound && (inside ? among(in_cluster, name) : among(in_segment, name));
        sound = sound && (open ? name == cluster : size <= static_cast<std::uint64_t>(limit - data));
        if (sound && name == simple_block) sound = size >= 4 && read < head.size() && head[read] != 0; // its track
        if (at == begin && !sound) break; // no segment that can be followed
        if (sound) {
            if (name == cluster) {
                open_cluster = open;
                cluster_end = open ? data : data + static_cast<std::int64_t>(size);
                at = data;
            } else {
                if (!inside) open_cluster = false;
                at = data + static_cast<std::int64_t>(size);
            }
            continue;
        }
        if (found.count++ == 0) found.what = "no sound element at byte " + std::to_string(at) + " of its segment";
        constexpr std::array<std::uint8_t, 4> mark{0x1f, 0x43, 0xb6, 0x75};
        constexpr std::int64_t piece = 1 << 16;
        for (++at; at < end;) { // to the next cluster
            auto const bytes = bytes_at(file, at, static_cast<std::size_t>(piece));
            auto const next = std::search(bytes.begin(), bytes.end(), mark.begin(), mark.end());
            at += next != bytes.end() ? next - bytes.begin() : std::max<std::int64_t>(std::ssize(bytes) - 3, 1);
            if (next != bytes.end()) break;
        }
        cluster_end = at;
        open_cluster = false;
    }
    return found;
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
    if (open || length <= there)
        return matroska_elements_damage(file, static_cast<std::int64_t>(at),
                                        open ? file.size() : static_cast<std::int64_t>(at + length));
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

/// The size of a transport stream's packets: 188 bytes, 192 with time stamps, 204 with error correction; 0 where it is none.
[[nodiscard]] inline std::size_t transport_packet_bytes(video_file const& file) {
    auto const head = bytes_at(file, 0, 1024);
    for (std::size_t const packet : {188U, 192U, 204U}) {
        std::size_t const first = packet == 192 ? 4 : 0;
        bool regular = head.size() > first + 4 * packet;
        for (std::size_t i = 0; regular && i <= 4; ++i) regular = head[first + i * packet] == 0x47;
        if (regular) return packet;
    }
    return 0;
}

/// A transport stream is a row of whole packets.
[[nodiscard]] inline container_damage transport_damage(video_file const& file) {
    std::size_t const packet = transport_packet_bytes(file);
    auto const rest = packet == 0 ? 0 : static_cast<std::size_t>(file.size()) % packet;
    if (rest == 0) return {};
    return {std::to_string(packet - rest) + " bytes of the last packet are missing", 1};
}

/// Pictures of the stream `id` in a transport stream that miss bytes: the counter of its packets jumps, and goes on within
/// a picture. A jump where a picture begins is no damage by itself: there streams were joined.
/// Cost  reads the whole file.
[[nodiscard]] inline container_damage transport_losses(video_file const& file, unsigned id) {
    std::size_t const packet = transport_packet_bytes(file);
    if (packet == 0) return {};
    container_damage found;
    int last = -1;
    bool within = false; // a picture that is whole so far
    std::vector<std::uint8_t> piece;
    std::size_t from = 0;
    for (std::int64_t at = packet == 192 ? 4 : 0;; from += packet, at += static_cast<std::int64_t>(packet)) {
        if (piece.size() < from + 188) {
            piece = bytes_at(file, at, packet * 1024);
            from = 0;
        }
        while (piece.size() >= from + 188 && piece[from] != 0x47) ++from, ++at;
        if (piece.size() < from + 188) {
            if (piece.size() < packet * 1024) return found;
            from = piece.size(); // read on from here
            at -= static_cast<std::int64_t>(packet);
            from -= packet;
            continue;
        }
        auto const* const p = piece.data() + from;
        if (((p[1] & 0x1fU) << 8U | p[2]) != id || (p[3] & 0x10U) == 0) continue;
        bool const begins = (p[1] & 0x40U) != 0;
        bool const stated = (p[3] & 0x20U) != 0 && p[4] > 0 && (p[5] & 0x80U) != 0; // a jump that is meant
        int const counter = p[3] & 15;
        if (counter == last && !begins) continue; // sent twice
        bool const jumps = last >= 0 && counter != (last + 1) % 16 && !stated;
        last = counter;
        if (begins) {
            within = true;
        } else if (jumps && within) {
            within = false;
            if (found.count++ == 0) found.what = "bytes of a picture are missing before byte " + std::to_string(at);
        }
    }
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
