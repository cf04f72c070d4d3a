// file_kind: what a file is by its first bytes, whatever its name says.
#pragma once

#include <zeroi2v/io/files/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace zeroi2v {

/// Kinds of files that people hand over as checkpoints.
enum class file_kind : std::uint8_t {
    unknown,
    empty,
    safetensors,
    zip,
    pickle,
    tar,
    gguf,
    hdf5,
    numpy,
    onnx_or_protobuf,
    gzip,
    zstd,
    xz,
    bzip2,
    seven_zip,
    git_lfs_pointer,
    html,
    json,
    text,
    elf,
    png,
    jpeg,
    riff,
    iso_media,
    matroska,
    pdf
};

/// A noun for messages: `a ZIP archive`, `a Git LFS pointer (the file itself was not downloaded)`.
[[nodiscard]] constexpr std::string_view describe(file_kind kind) noexcept {
    switch (kind) {
    case file_kind::unknown: return "an unknown kind of file";
    case file_kind::empty: return "an empty file";
    case file_kind::safetensors: return "a safetensors file";
    case file_kind::zip: return "a ZIP archive (PyTorch .pth since 1.6, TorchScript)";
    case file_kind::pickle: return "a pickle (PyTorch .pth before 1.6)";
    case file_kind::tar: return "a tar archive";
    case file_kind::gguf: return "a GGUF file";
    case file_kind::hdf5: return "an HDF5 file";
    case file_kind::numpy: return "a NumPy array file";
    case file_kind::onnx_or_protobuf: return "an ONNX or protobuf file";
    case file_kind::gzip: return "a gzip stream";
    case file_kind::zstd: return "a Zstandard stream";
    case file_kind::xz: return "an xz stream";
    case file_kind::bzip2: return "a bzip2 stream";
    case file_kind::seven_zip: return "a 7z archive";
    case file_kind::git_lfs_pointer: return "a Git LFS pointer (the file itself was not downloaded: git lfs pull)";
    case file_kind::html: return "an HTML page";
    case file_kind::json: return "a JSON text";
    case file_kind::text: return "a text file";
    case file_kind::elf: return "an ELF program";
    case file_kind::png: return "a PNG image";
    case file_kind::jpeg: return "a JPEG image";
    case file_kind::riff: return "a RIFF file (AVI, WAV, WebP)";
    case file_kind::iso_media: return "an MP4 or MOV file";
    case file_kind::matroska: return "a Matroska or WebM file";
    case file_kind::pdf: return "a PDF document";
    }
    return "an unknown kind of file";
}

/// The bytes that `detect_kind` can use; fewer are enough where the file is shorter.
inline constexpr std::size_t detect_kind_bytes = 512;

namespace detail {

[[nodiscard]] constexpr bool starts_with(std::span<std::byte const> head, std::string_view magic,
                                         std::size_t at = 0) noexcept {
    if (head.size() < at || head.size() - at < magic.size()) return false;
    for (std::size_t i = 0; i < magic.size(); ++i)
        if (head[at + i] != static_cast<std::byte>(magic[i])) return false;
    return true;
}

/// A header length that fits the file, and an object where the header begins.
[[nodiscard]] constexpr bool looks_like_safetensors(std::span<std::byte const> head, std::uint64_t size) noexcept {
    if (head.size() < 9) return false;
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8; ++i) length |= std::to_integer<std::uint64_t>(head[i]) << (8 * i);
    if (length > 100'000'000 || length > size - 8) return false;
    for (std::byte const b : head.subspan(8)) {
        auto const c = static_cast<char>(b);
        if (c == '{') return true;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return false;
    }
    return false;
}

/// PROTO 2..5 followed by an opcode that can open a pickle of a container, a global, a number or a frame.
[[nodiscard]] constexpr bool looks_like_pickle(std::span<std::byte const> head) noexcept {
    if (head.size() < 3 || head[0] != std::byte{0x80}) return false;
    auto const protocol = std::to_integer<unsigned>(head[1]);
    if (protocol < 2 || protocol > 5) return false;
    constexpr std::string_view openers = "}](c)lXUKMJN\x8a\x8c\x8f\x95";
    return openers.find(static_cast<char>(head[2])) != std::string_view::npos;
}

/// UTF-8 without control characters; a character may be cut where `head` ends.
[[nodiscard]] constexpr bool looks_like_text(std::span<std::byte const> head) noexcept {
    std::array<char, 512> characters{};
    auto const count = std::min(head.size(), characters.size());
    for (std::size_t i = 0; i < count; ++i) {
        auto const c = std::to_integer<unsigned char>(head[i]);
        if (c == 0x7F || (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f')) return false;
        characters[i] = static_cast<char>(c);
    }
    auto const fault = find_invalid_utf8({characters.data(), count});
    return !fault || (head.size() >= characters.size() && *fault + 4 > count);
}

} // namespace detail

/// What a file of `size` bytes that begins with `head` is.
/// Post-condition  an answer other than `unknown` and `text` rests on a signature of that format.
/// Test            tests/unit/io/files/file.cpp
[[nodiscard]] constexpr file_kind detect_kind(std::span<std::byte const> head, std::uint64_t size) noexcept {
    using detail::starts_with;
    using namespace std::string_view_literals;
    if (size == 0 || head.empty()) return file_kind::empty;
    if (detail::looks_like_safetensors(head, size)) return file_kind::safetensors;

    struct signature {
        std::string_view magic;
        std::size_t at;
        file_kind kind;
    };
    constexpr std::array signatures{
        signature{"PK\x03\x04"sv, 0, file_kind::zip},
        signature{"PK\x05\x06"sv, 0, file_kind::zip},
        signature{"PK\x06\x06"sv, 0, file_kind::zip},
        signature{"ustar"sv, 257, file_kind::tar},
        signature{"GGUF"sv, 0, file_kind::gguf},
        signature{"\x89HDF\r\n\x1a\n"sv, 0, file_kind::hdf5},
        signature{"\x93NUMPY"sv, 0, file_kind::numpy},
        signature{"\x1f\x8b"sv, 0, file_kind::gzip},
        signature{"\x28\xb5\x2f\xfd"sv, 0, file_kind::zstd},
        signature{"\xfd"
                  "7zXZ\0"sv,
                  0, file_kind::xz},
        signature{"BZh"sv, 0, file_kind::bzip2},
        signature{"7z\xbc\xaf\x27\x1c"sv, 0, file_kind::seven_zip},
        signature{"version https://git-lfs"sv, 0, file_kind::git_lfs_pointer},
        signature{"<!DOCTYPE"sv, 0, file_kind::html},
        signature{"<!doctype"sv, 0, file_kind::html},
        signature{"<html"sv, 0, file_kind::html},
        signature{"\x7f"
                  "ELF"sv,
                  0, file_kind::elf},
        signature{"\x89PNG\r\n\x1a\n"sv, 0, file_kind::png},
        signature{"\xff\xd8\xff"sv, 0, file_kind::jpeg},
        signature{"RIFF"sv, 0, file_kind::riff},
        signature{"ftyp"sv, 4, file_kind::iso_media},
        signature{"\x1a\x45\xdf\xa3"sv, 0, file_kind::matroska},
        signature{"%PDF-"sv, 0, file_kind::pdf},
        signature{"\x08\x07\x12\x07pytorch"sv, 0, file_kind::onnx_or_protobuf},
    };
    for (auto const& s : signatures)
        if (starts_with(head, s.magic, s.at)) return s.kind;
    if (detail::looks_like_pickle(head)) return file_kind::pickle;
    if (!detail::looks_like_text(head)) return file_kind::unknown;
    auto const first = std::ranges::find_if(head, [](std::byte b) { return std::to_integer<unsigned>(b) > ' '; });
    bool const bracket = first != head.end() && (*first == std::byte{'{'} || *first == std::byte{'['});
    return bracket ? file_kind::json : file_kind::text;
}

} // namespace zeroi2v
