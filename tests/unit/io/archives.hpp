// ZIP archives and pickles made by hand, sound or in one respect unsound.
#pragma once

#include <zeroi2v/io/files/crc32.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

[[nodiscard]] inline std::span<std::byte const> bytes_of(std::string_view text) {
    return {reinterpret_cast<std::byte const*>(text.data()), text.size()};
}

template <class T>
[[nodiscard]] std::string le(T value) {
    std::string text;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        text += static_cast<char>(static_cast<unsigned char>(static_cast<std::uint64_t>(value) >> (8 * i)));
    return text;
}

/// Overwrites bytes of `text` at `position`.
inline void patch(std::string& text, std::size_t position, std::string_view with) {
    text.replace(position, with.size(), with);
}

struct zip_part {
    std::string name;
    std::string content;
    std::uint16_t method{0};
    std::uint16_t flags{0};
    bool zip64{false};                  ///< its numbers stand in ZIP64 extra fields
    std::optional<std::uint32_t> crc{}; ///< instead of the true one
    std::string padding{};              ///< an extra field of the local header, as PyTorch aligns with
};

/// An archive, and where its records begin.
struct built_zip {
    std::string bytes;
    std::vector<std::size_t> local, central;
    std::size_t directory{}, end64{}, locator{}, end{};
};

/// Flag 8 (sizes follow the content) leaves the numbers of the local header zero, as PyTorch does.
[[nodiscard]] inline built_zip build_zip(std::vector<zip_part> const& parts, bool zip64_end = false,
                                         std::string_view comment = {}) {
    built_zip zip;
    std::string directory;
    for (auto const& part : parts) {
        zip.local.push_back(zip.bytes.size());
        zip.central.push_back(directory.size());
        auto const size = static_cast<std::uint32_t>(part.content.size());
        auto const offset = static_cast<std::uint32_t>(zip.bytes.size());
        std::uint32_t const crc = part.crc.value_or(zeroi2v::crc32::of(bytes_of(part.content)));
        bool const deferred = (part.flags & 8U) != 0;
        constexpr std::uint32_t elsewhere = 0xFFFFFFFF;
        std::string const sizes64 = le<std::uint64_t>(size) + le<std::uint64_t>(size);

        std::string extra = part.padding;
        if (part.zip64 && !deferred) extra += le<std::uint16_t>(1) + le<std::uint16_t>(16) + sizes64;
        std::uint32_t const shown = deferred ? 0 : part.zip64 ? elsewhere : size;
        zip.bytes += "PK\x03\x04" + le<std::uint16_t>(45) + le(part.flags) + le(part.method) + le<std::uint32_t>(0)
                     + le<std::uint32_t>(deferred ? 0 : crc) + le(shown) + le(shown)
                     + le(static_cast<std::uint16_t>(part.name.size())) + le(static_cast<std::uint16_t>(extra.size()))
                     + part.name + extra + part.content;
        if (deferred) zip.bytes += "PK\x07\x08" + le(crc) + le(size) + le(size);

        std::string const wide =
            part.zip64 ? le<std::uint16_t>(1) + le<std::uint16_t>(24) + sizes64 + le<std::uint64_t>(offset) : "";
        std::uint32_t const kept = part.zip64 ? elsewhere : size;
        directory += "PK\x01\x02" + le<std::uint16_t>(0) + le<std::uint16_t>(45) + le(part.flags) + le(part.method)
                     + le<std::uint32_t>(0) + le(crc) + le(kept) + le(kept)
                     + le(static_cast<std::uint16_t>(part.name.size())) + le(static_cast<std::uint16_t>(wide.size()))
                     + le<std::uint16_t>(0) + le<std::uint16_t>(0) + le<std::uint16_t>(0) + le<std::uint32_t>(0)
                     + le(part.zip64 ? elsewhere : offset) + part.name + wide;
    }
    zip.directory = zip.bytes.size();
    for (auto& at : zip.central) at += zip.directory;
    zip.bytes += directory;
    auto const count = static_cast<std::uint16_t>(parts.size());
    if (zip64_end) {
        zip.end64 = zip.bytes.size();
        zip.bytes += "PK\x06\x06" + le<std::uint64_t>(44) + le<std::uint16_t>(45) + le<std::uint16_t>(45)
                     + le<std::uint32_t>(0) + le<std::uint32_t>(0) + le<std::uint64_t>(count) + le<std::uint64_t>(count)
                     + le<std::uint64_t>(directory.size()) + le<std::uint64_t>(zip.directory);
        zip.locator = zip.bytes.size();
        zip.bytes += "PK\x06\x07" + le<std::uint32_t>(0) + le<std::uint64_t>(zip.end64) + le<std::uint32_t>(1);
    }
    zip.end = zip.bytes.size();
    zip.bytes += "PK\x05\x06" + le<std::uint32_t>(0) + le(count) + le(count)
                 + le(static_cast<std::uint32_t>(directory.size())) + le(static_cast<std::uint32_t>(zip.directory))
                 + le(static_cast<std::uint16_t>(comment.size())) + std::string{comment};
    return zip;
}

// ---- pickles: each function gives the opcodes that push one value ---------------------------------------------------

inline std::string const mark = "(", stop = ".";

[[nodiscard]] inline std::string p_int(std::int64_t value) { return "\x8a\x08" + le(value); }
[[nodiscard]] inline std::string p_text(std::string_view text) {
    return "X" + le(static_cast<std::uint32_t>(text.size())) + std::string{text};
}
[[nodiscard]] inline std::string p_global(std::string_view module, std::string_view name) {
    return "c" + std::string{module} + "\n" + std::string{name} + "\n";
}
[[nodiscard]] inline std::string p_tuple(std::vector<std::string> const& items) {
    std::string text = mark;
    for (auto const& item : items) text += item;
    return text + "t";
}
[[nodiscard]] inline std::string p_ints(std::vector<std::int64_t> const& values) {
    std::vector<std::string> items;
    for (auto const v : values) items.push_back(p_int(v));
    return p_tuple(items);
}
[[nodiscard]] inline std::string p_call(std::string const& callable, std::vector<std::string> const& arguments) {
    return callable + p_tuple(arguments) + "R";
}
[[nodiscard]] inline std::string p_dict(std::vector<std::pair<std::string, std::string>> const& entries) {
    std::string text = "}" + mark;
    for (auto const& [key, value] : entries) text += p_text(key) + value;
    return text + "u";
}
[[nodiscard]] inline std::string p_storage(std::string_view key, std::int64_t count,
                                           std::string_view type = "FloatStorage") {
    return p_tuple({p_text("storage"), p_global("torch", type), p_text(key), p_text("cpu"), p_int(count)}) + "Q";
}
[[nodiscard]] inline std::string p_tensor(std::string const& storage, std::int64_t offset,
                                          std::vector<std::int64_t> const& sizes,
                                          std::vector<std::int64_t> const& strides) {
    return p_call(p_global("torch._utils", "_rebuild_tensor_v2"),
                  {storage, p_int(offset), p_ints(sizes), p_ints(strides), "\x89",
                   p_call(p_global("collections", "OrderedDict"), {})});
}
[[nodiscard]] inline std::string p_file(std::string const& value) { return "\x80\x02" + value + stop; }

/// What torch.save would have written: one pickle and float storages `data/0`, `data/1`, ...
[[nodiscard]] inline std::vector<zip_part> torch_parts(std::string pickle,
                                                       std::vector<std::vector<float>> const& storages) {
    std::vector<zip_part> parts{{"m/data.pkl", std::move(pickle), 0, 0x0808}, {"m/byteorder", "little", 0, 0x0808}};
    for (std::size_t i = 0; i < storages.size(); ++i)
        parts.push_back({"m/data/" + std::to_string(i),
                         {reinterpret_cast<char const*>(storages[i].data()), storages[i].size() * sizeof(float)},
                         0,
                         0x0808});
    parts.push_back({"m/version", "3\n", 0, 0x0808});
    return parts;
}

} // namespace test
