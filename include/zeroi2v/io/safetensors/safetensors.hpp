// safetensors_file: a safetensors file, validated when it is opened, its tensors read when they are asked for.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/safetensors/named_tensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_header.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace zeroi2v {

static_assert(std::endian::native == std::endian::little,
              "zeroi2v::io: files hold little-endian elements, and so must this machine");

namespace detail {

/// The JSON of a header, as long as the file says that it is.
/// Errors  checkpoint_error as `file` and `safetensors_header_length`.
[[nodiscard]] inline aligned_buffer read_safetensors_header_text(file const& source) {
    std::array<std::byte, detect_kind_bytes> first{};
    auto const head = std::span{first}.first(static_cast<std::size_t>(std::min<std::uint64_t>(source.size(), first.size())));
    source.read_at(0, head);
    aligned_buffer text{static_cast<std::size_t>(safetensors_header_length(head, source.size(), source.name()))};
    source.read_at(8, {text.data(), text.size()});
    return text;
}

/// What a header says beside the tensors, be the data behind it whole or cut off.
/// Errors  checkpoint_error as `safetensors_file`, layout aside.
[[nodiscard]] inline std::map<std::string, std::string> read_safetensors_metadata(file const& source) {
    auto const text = read_safetensors_header_text(source);
    return std::move(safetensors_json{{reinterpret_cast<char const*>(text.data()), text.size()}, source.name()}.metadata);
}

} // namespace detail

/// An open safetensors file. Moves only; const members may run concurrently.
///
/// The header is read and proven sound first (see `parse_safetensors_header`); then each tensor is read by pread on
/// demand. Nothing is mapped, so a file that shrinks meanwhile is an error and no signal.
/// Errors  checkpoint_error: those of `file`, `safetensors_header_length` and `parse_safetensors_header`.
/// Cost    opening: the header, which is released again. A read: one system call into the tensor's own memory.
/// Source  huggingface/safetensors.     Test  tests/unit/io/safetensors/safetensors.cpp
class safetensors_file {
public:
    explicit safetensors_file(file source) : file_{std::move(source)} {
        auto const text = detail::read_safetensors_header_text(file_);
        data_begin_ = 8 + text.size();
        header_ = parse_safetensors_header({reinterpret_cast<char const*>(text.data()), text.size()},
                                           file_.size() - data_begin_, file_.name());
    }
    explicit safetensors_file(std::filesystem::path path) : safetensors_file{file{std::move(path)}} {}

    [[nodiscard]] file const& source() const noexcept { return file_; }
    /// All tensors, in the order of their data.
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept { return header_.tensors; }
    [[nodiscard]] std::map<std::string, std::string> const& metadata() const noexcept { return header_.metadata; }

    /// The tensor with this name; null where there is none.
    [[nodiscard]] tensor_info const* find(std::string_view name) const noexcept {
        auto const index = header_.find(name);
        return index ? &header_.tensors[*index] : nullptr;
    }

    /// A tensor with the dtype that the file has.
    /// Errors  no such name -> model_error missing_tensors; checkpoint_error read_failed; resource_error out_of_memory.
    [[nodiscard]] stored_tensor read(std::string_view name) const {
        auto const index = index_of(name);
        stored_tensor result{header_.tensors[index].type, header_.tensors[index].sizes};
        read_range(index, result.bytes());
        return result;
    }

    /// The bytes of a tensor into `out`, whose size must be the tensor's.
    void read_into(std::string_view name, std::span<std::byte> out) const {
        auto const index = index_of(name);
        ZEROI2V_REQUIRE(out.size() == header_.tensors[index].byte_size(),
                        "zeroi2v::safetensors_file::read_into: out must have as many bytes as the tensor");
        read_range(index, out);
    }

    /// out.size() bytes of a tensor from its byte `first` on.
    void read_part(std::string_view name, std::uint64_t first, std::span<std::byte> out) const {
        auto const index = index_of(name);
        std::uint64_t const bytes = header_.tensors[index].byte_size();
        ZEROI2V_REQUIRE(first <= bytes && out.size() <= bytes - first, "zeroi2v::safetensors_file::read_part: the part must lie in the tensor");
        file_.read_at(data_begin_ + header_.ranges[index].begin + first, out);
    }

private:
    [[nodiscard]] std::size_t index_of(std::string_view name) const {
        auto const index = header_.find(name);
        if (!index)
            throw model_error{error_code::missing_tensors,
                              file_.name() + ": tensor " + quoted_name(name) + " is not in the file"};
        return *index;
    }
    void read_range(std::size_t index, std::span<std::byte> out) const {
        file_.read_at(data_begin_ + header_.ranges[index].begin, out);
    }

    file file_;
    std::uint64_t data_begin_{};
    safetensors_header header_;
};

/// All tensors of a safetensors file.
///
///     auto const clips = zeroi2v::read_safetensors("clips.safetensors");
///     auto const& clip = clips["clip"];
///
/// Errors  as `safetensors_file`.    Cost  memory: the file's size once.    Test  tests/unit/io/safetensors/safetensors.cpp
[[nodiscard]] inline named_tensors read_safetensors(std::filesystem::path path) {
    safetensors_file const source{std::move(path)};
    named_tensors result;
    for (auto const& info : source.tensors()) result.tensors.emplace(info.name, source.read(info.name));
    result.metadata = source.metadata();
    return result;
}

} // namespace zeroi2v
