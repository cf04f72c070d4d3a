// zip_archive: the directory of a ZIP file, checked as a whole, and the stored entries behind it.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/little_endian.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// One file inside a ZIP archive. `name` lives as long as the archive.
struct zip_entry {
    std::string_view name;
    std::uint64_t header_offset{};
    std::uint64_t data_offset{};
    std::uint64_t stored_size{}; ///< bytes in the archive
    std::uint64_t size{};        ///< bytes of the content; equal to stored_size where `stored`
    std::uint32_t crc{};
    std::uint16_t method{};
    std::uint16_t flags{};

    [[nodiscard]] bool stored() const noexcept { return method == 0; }
};

/// A ZIP or ZIP64 archive whose directory was proven consistent: every entry's two headers agree, no name comes twice,
/// no two entries share a byte, and nothing lies outside the file. Moves only; const members may run concurrently.
///
/// Only stored entries can be read; others may be present, so that whoever needs one can refuse it by name.
/// A writer that computes no checksums states CRC-32 0 everywhere (PyTorch's set_crc32_options(False)): such an archive
/// has none. Where one entry states another value, all are verified.
/// Bounds  at most 100 000 entries and 100 000 000 bytes of directory; memory: the directory and 64 bytes an entry.
/// Errors  checkpoint_error bad_zip, naming the entry where there is one.
/// Source  PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
/// Test    tests/unit/io/torch/zip.cpp
class zip_archive {
public:
    static constexpr std::uint64_t max_entries = 100'000;
    static constexpr std::uint64_t max_directory_bytes = 100'000'000;

    explicit zip_archive(file source) : file_{std::move(source)} {
        directory_location const directory = find_directory();
        read_directory(directory);
        check_names();
        has_checksums_ = std::ranges::any_of(entries_, [](zip_entry const& entry) { return entry.crc != 0; });
        for (zip_entry& entry : entries_) read_local_header(entry);
        check_overlaps(directory.offset);
    }

    [[nodiscard]] file const& source() const noexcept { return file_; }

    /// All entries, ordered by name.
    [[nodiscard]] std::span<zip_entry const> entries() const noexcept { return entries_; }

    [[nodiscard]] zip_entry const* find(std::string_view name) const noexcept {
        auto const found = std::ranges::lower_bound(entries_, name, {}, &zip_entry::name);
        return found != entries_.end() && found->name == name ? &*found : nullptr;
    }

    /// Refuses an entry that is compressed.
    void require_stored(zip_entry const& entry) const {
        if (!entry.stored())
            throw failure(entry,
                          "compressed by method " + std::to_string(entry.method) + ", expected it stored (method 0)");
    }

    /// The content's bytes from `offset` on; its checksum is not looked at.
    void read_at(zip_entry const& entry, std::uint64_t offset, std::span<std::byte> out) const {
        require_stored(entry);
        auto const end = checked_add<std::uint64_t>(offset, out.size());
        if (!end || *end > entry.size)
            throw failure(entry, "is read beyond its " + std::to_string(entry.size) + " bytes");
        file_.read_at(entry.data_offset + offset, out);
    }

    /// Whether the archive has checksums.
    [[nodiscard]] bool has_checksums() const noexcept { return has_checksums_; }

    /// The whole content into `out`, which has the entry's size; its checksum is verified where there are any.
    void read(zip_entry const& entry, std::span<std::byte> out) const {
        ZEROI2V_REQUIRE(out.size() == entry.size,
                        "zeroi2v::zip_archive::read: the destination must have the entry's size");
        read_at(entry, 0, out);
        if (has_checksums_) require_checksum(entry, crc32::of(out));
    }

    [[nodiscard]] std::vector<std::byte> read(zip_entry const& entry) const {
        require_stored(entry);
        std::vector<std::byte> content(static_cast<std::size_t>(entry.size));
        read(entry, content);
        return content;
    }

    /// Reads the content once, in small pieces, for its checksum alone; not at all where the archive has none.
    void verify(zip_entry const& entry) const {
        if (!has_checksums_) return;
        std::vector<std::byte> piece(
            static_cast<std::size_t>(std::min<std::uint64_t>(entry.size, std::uint64_t{1} << 18U)));
        crc32 checksum;
        for (std::uint64_t done = 0; done < entry.size;) {
            auto const part = std::span{piece}.first(
                static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), entry.size - done)));
            read_at(entry, done, part);
            checksum.update(part);
            done += part.size();
        }
        require_checksum(entry, checksum.value());
    }

    [[nodiscard]] checkpoint_error failure(std::string const& sentence) const {
        return file_.failure(error_code::bad_zip, sentence);
    }
    [[nodiscard]] checkpoint_error failure(zip_entry const& entry, std::string const& sentence) const {
        return failure("entry " + quoted_name(entry.name) + ": " + sentence);
    }

private:
    static constexpr std::uint32_t end_signature = 0x06054b50, end64_signature = 0x06064b50,
                                   locator_signature = 0x07064b50, central_signature = 0x02014b50,
                                   local_signature = 0x04034b50;
    static constexpr std::size_t end_size = 22, locator_size = 20, end64_size = 56, central_size = 46, local_size = 30;
    static constexpr std::uint16_t encrypted_flags = 0x2041, descriptor_flag = 0x0008;
    static constexpr std::uint64_t max16 = 0xFFFF, max32 = 0xFFFFFFFF;

    struct directory_location {
        std::uint64_t entries{}, size{}, offset{}, end{}; ///< `end`: where the record that follows the directory begins
    };

    [[nodiscard]] static std::uint64_t u16(std::byte const* at) noexcept { return load_le<std::uint16_t>(at); }
    [[nodiscard]] static std::uint64_t u32(std::byte const* at) noexcept { return load_le<std::uint32_t>(at); }
    [[nodiscard]] static std::uint64_t u64(std::byte const* at) noexcept { return load_le<std::uint64_t>(at); }

    void require_checksum(zip_entry const& entry, std::uint32_t found) const {
        if (found != entry.crc)
            throw failure(entry, "the content's CRC-32 is " + hex(found) + ", the directory says " + hex(entry.crc)
                                     + ": the file is damaged");
    }

    [[nodiscard]] static std::string hex(std::uint32_t value) {
        std::string text;
        for (int shift = 28; shift >= 0; shift -= 4)
            text += "0123456789abcdef"[(value >> static_cast<unsigned>(shift)) & 15U];
        return text;
    }

    // ---- the end records --------------------------------------------------------------------------------------------

    [[nodiscard]] directory_location find_directory() const {
        // The end record is followed by a comment of at most 65535 bytes, and nothing else.
        auto const tail_size = static_cast<std::size_t>(std::min<std::uint64_t>(file_.size(), end_size + max16));
        std::vector<std::byte> tail(tail_size);
        std::uint64_t const tail_offset = file_.size() - tail_size;
        file_.read_at(tail_offset, tail);
        for (std::size_t at = tail_size < end_size ? 0 : tail_size - end_size + 1; at-- > 0;) {
            std::byte const* const record = tail.data() + at;
            if (u32(record) == end_signature && u16(record + 20) == tail_size - at - end_size)
                return directory_of(record, tail_offset + at);
        }
        throw failure("no end of central directory record: not a ZIP archive, or truncated");
    }

    [[nodiscard]] directory_location directory_of(std::byte const* record, std::uint64_t position) const {
        std::uint64_t const disk = u16(record + 4), first_disk = u16(record + 6), entries_here = u16(record + 8);
        directory_location result{u16(record + 10), u32(record + 12), u32(record + 16), position};
        if (auto const wide = directory64_of(position)) {
            bool const agrees = (result.entries == max16 || result.entries == wide->entries)
                                && (entries_here == max16 || entries_here == wide->entries)
                                && (result.size == max32 || result.size == wide->size)
                                && (result.offset == max32 || result.offset == wide->offset);
            if (!agrees) throw failure("the end record and the ZIP64 end record contradict each other");
            result = *wide;
        } else if (result.entries == max16 || result.size == max32 || result.offset == max32) {
            throw failure("the end record refers to a ZIP64 end record that is not there");
        } else if (entries_here != result.entries) {
            throw failure("the archive is spread over several disks");
        }
        if ((disk != 0 && disk != max16) || (first_disk != 0 && first_disk != max16))
            throw failure("the archive is spread over several disks");
        auto const end = checked_add(result.offset, result.size);
        if (!end || *end != result.end)
            throw failure("the directory of " + std::to_string(result.size) + " bytes at "
                          + std::to_string(result.offset) + " does not end at byte " + std::to_string(result.end)
                          + ", where its end record begins");
        if (result.entries > max_entries)
            throw failure(std::to_string(result.entries) + " entries, at most " + std::to_string(max_entries)
                          + " are read");
        if (result.size > max_directory_bytes || result.entries > result.size / central_size)
            throw failure("a directory of " + std::to_string(result.size) + " bytes for "
                          + std::to_string(result.entries) + " entries");
        return result;
    }

    [[nodiscard]] std::optional<directory_location> directory64_of(std::uint64_t end_position) const {
        if (end_position < locator_size) return std::nullopt;
        std::array<std::byte, locator_size> locator;
        file_.read_at(end_position - locator_size, locator);
        if (u32(locator.data()) != locator_signature) return std::nullopt;
        std::uint64_t const locator_position = end_position - locator_size, position = u64(locator.data() + 8);
        if (u32(locator.data() + 4) != 0 || u32(locator.data() + 16) > 1)
            throw failure("the archive is spread over several disks");
        if (locator_position < end64_size || position > locator_position - end64_size)
            throw failure("the ZIP64 end record at byte " + std::to_string(position)
                          + " does not lie in front of its locator");
        std::array<std::byte, end64_size> record;
        file_.read_at(position, record);
        auto const end = checked_add<std::uint64_t>(u64(record.data() + 4), position + 12);
        if (u32(record.data()) != end64_signature || u64(record.data() + 4) < end64_size - 12
            || end != locator_position)
            throw failure("no ZIP64 end record at byte " + std::to_string(position) + ", where its locator points");
        if (u32(record.data() + 16) != 0 || u32(record.data() + 20) != 0
            || u64(record.data() + 24) != u64(record.data() + 32))
            throw failure("the archive is spread over several disks");
        return directory_location{u64(record.data() + 32), u64(record.data() + 40), u64(record.data() + 48), position};
    }

    // ---- the directory ---------------------------------------------------------------------------------------------

    void read_directory(directory_location const& where) {
        directory_.resize(static_cast<std::size_t>(where.size));
        file_.read_at(where.offset, directory_);
        entries_.reserve(static_cast<std::size_t>(where.entries));
        std::span<std::byte const> rest{directory_};
        for (std::uint64_t i = 0; i < where.entries; ++i) {
            if (rest.size() < central_size || u32(rest.data()) != central_signature)
                throw failure("directory entry " + std::to_string(i) + " of " + std::to_string(where.entries)
                              + ": no header where it should begin");
            std::byte const* const at = rest.data();
            auto const name_size = static_cast<std::size_t>(u16(at + 28)),
                       extra_size = static_cast<std::size_t>(u16(at + 30)),
                       comment_size = static_cast<std::size_t>(u16(at + 32));
            if (rest.size() - central_size < name_size + extra_size + comment_size)
                throw failure("directory entry " + std::to_string(i) + " of " + std::to_string(where.entries)
                              + ": its name and extra fields pass the end of the directory");
            zip_entry entry;
            entry.name = {reinterpret_cast<char const*>(at + central_size), name_size};
            entry.flags = load_le<std::uint16_t>(at + 8);
            entry.method = load_le<std::uint16_t>(at + 10);
            entry.crc = load_le<std::uint32_t>(at + 16);
            entry.stored_size = u32(at + 20);
            entry.size = u32(at + 24);
            entry.header_offset = u32(at + 42);
            std::uint64_t disk = u16(at + 34);
            widen(entry, rest.subspan(central_size + name_size, extra_size),
                  {&entry.size, &entry.stored_size, &entry.header_offset}, &disk);
            if (disk != 0) throw failure(entry, "lies on another disk");
            if ((entry.flags & encrypted_flags) != 0) throw failure(entry, "is encrypted");
            if (entry.stored() && entry.stored_size != entry.size)
                throw failure(entry, "is stored, yet takes " + std::to_string(entry.stored_size) + " bytes for "
                                         + std::to_string(entry.size));
            entries_.push_back(entry);
            rest = rest.subspan(central_size + name_size + extra_size + comment_size);
        }
        if (!rest.empty())
            throw failure(std::to_string(rest.size()) + " bytes between the directory's last entry and its end");
    }

    /// Takes from the ZIP64 extra field those numbers that did not fit their own 32 or 16 bits.
    void widen(zip_entry const& entry, std::span<std::byte const> extra, std::array<std::uint64_t*, 3> fields,
               std::uint64_t* disk) const {
        bool const wanted = std::ranges::any_of(fields, [](auto const* f) { return f != nullptr && *f == max32; })
                            || (disk != nullptr && *disk == max16);
        if (!wanted) return;
        while (extra.size() >= 4) {
            auto const tag = u16(extra.data());
            auto const size = static_cast<std::size_t>(u16(extra.data() + 2));
            if (extra.size() - 4 < size) break;
            if (tag != 0x0001) {
                extra = extra.subspan(4 + size);
                continue;
            }
            std::span<std::byte const> body = extra.subspan(4, size);
            for (std::uint64_t* const field : fields) {
                if (field == nullptr || *field != max32) continue;
                if (body.size() < 8) throw failure(entry, "its ZIP64 extra field is too short");
                *field = u64(body.data());
                body = body.subspan(8);
            }
            if (disk != nullptr && *disk == max16) {
                if (body.size() < 4) throw failure(entry, "its ZIP64 extra field is too short");
                *disk = u32(body.data());
            }
            return;
        }
        throw failure(entry, "refers to a ZIP64 extra field that is not there");
    }

    void check_names() {
        std::ranges::sort(entries_, {}, &zip_entry::name);
        auto const twice = std::ranges::adjacent_find(entries_, {}, &zip_entry::name);
        if (twice != entries_.end()) throw failure(*twice, "comes twice");
    }

    // ---- local headers ---------------------------------------------------------------------------------------------

    /// Finds where the content begins; the local header must say what the directory says.
    void read_local_header(zip_entry& entry) const {
        std::array<std::byte, local_size> header;
        if (file_.size() < local_size || entry.header_offset > file_.size() - local_size)
            throw failure(entry,
                          "its header at byte " + std::to_string(entry.header_offset) + " lies outside the file");
        file_.read_at(entry.header_offset, header);
        std::byte const* const at = header.data();
        if (u32(at) != local_signature)
            throw failure(entry, "no local header at byte " + std::to_string(entry.header_offset));
        auto const name_size = static_cast<std::size_t>(u16(at + 26)),
                   extra_size = static_cast<std::size_t>(u16(at + 28));
        if (name_size != entry.name.size() || load_le<std::uint16_t>(at + 8) != entry.method
            || ((load_le<std::uint16_t>(at + 6) ^ entry.flags) & (encrypted_flags | descriptor_flag)) != 0)
            throw contradiction(entry);
        std::uint64_t const variable_offset = entry.header_offset + local_size; // inside the file, or one past its end
        if (name_size + extra_size > file_.size() - variable_offset)
            throw failure(entry, "its header passes the end of the file");
        std::vector<std::byte> variable(name_size + extra_size);
        file_.read_at(variable_offset, variable);
        if (std::memcmp(variable.data(), entry.name.data(), name_size) != 0) throw contradiction(entry);

        std::uint64_t local_stored = u32(at + 18), local_content = u32(at + 22);
        widen(entry, std::span{variable}.subspan(name_size), {&local_content, &local_stored, nullptr}, nullptr);
        // Where the sizes were not known in time they follow the content, and zeros stand here.
        bool const deferred = (entry.flags & descriptor_flag) != 0;
        auto const agrees = [deferred](std::uint64_t local, std::uint64_t central) {
            return local == central || (deferred && local == 0);
        };
        if (!agrees(local_stored, entry.stored_size) || !agrees(local_content, entry.size)
            || !agrees(u32(at + 14), entry.crc))
            throw contradiction(entry);

        entry.data_offset = variable_offset + name_size + extra_size;
        if (entry.stored_size > file_.size() - entry.data_offset)
            throw failure(entry, "its " + std::to_string(entry.stored_size) + " bytes at "
                                     + std::to_string(entry.data_offset) + " pass the end of the file of "
                                     + std::to_string(file_.size()));
    }

    [[nodiscard]] checkpoint_error contradiction(zip_entry const& entry) const {
        return failure(entry, "its local header at byte " + std::to_string(entry.header_offset)
                                  + " contradicts the directory");
    }

    void check_overlaps(std::uint64_t directory_offset) const {
        std::vector<std::uint32_t> order(entries_.size());
        std::iota(order.begin(), order.end(), 0U);
        std::ranges::sort(order, {}, [this](std::uint32_t i) { return entries_[i].header_offset; });
        for (std::size_t i = 0; i < order.size(); ++i) {
            zip_entry const& entry = entries_[order[i]];
            std::uint64_t const end = entry.data_offset + entry.stored_size;
            if (i + 1 < order.size() && end > entries_[order[i + 1]].header_offset)
                throw failure(entry, "overlaps the entry " + quoted_name(entries_[order[i + 1]].name));
            if (end > directory_offset) throw failure(entry, "overlaps the directory");
        }
    }

    file file_;
    std::vector<std::byte> directory_;
    std::vector<zip_entry> entries_;
    bool has_checksums_{};
};

} // namespace zeroi2v
