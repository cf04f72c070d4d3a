// safetensors_writer: a safetensors file written tensor by tensor, in place only when it is complete.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/json/json_text.hpp>
#include <zeroi2v/io/safetensors/named_tensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_json.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// What else a written file holds, and what it must not replace.
struct safetensors_options {
    std::map<std::string, std::string> metadata{};
    std::vector<std::filesystem::path> inputs{}; ///< files that are being read; none of them may be the target
    output_guard guard{};                        ///< asked right before a file is replaced
};

namespace detail {

/// The order of the reference writer: wide elements first, so that each tensor is aligned to its element; then by name.
[[nodiscard]] inline bool safetensors_before(tensor_info const& a, tensor_info const& b) noexcept {
    return a.type != b.type ? a.type > b.type : a.name < b.name;
}

/// The length, the JSON and the padding in front of the data, and how many bytes of data follow.
struct safetensors_prefix {
    std::string bytes;
    std::uint64_t data_size{};
};

[[nodiscard]] inline safetensors_prefix make_safetensors_prefix(std::span<tensor_info const> tensors,
                                                                std::map<std::string, std::string> const& metadata,
                                                                std::string const& file) {
    auto const fail = [&](error_code code, std::string const& sentence) {
        throw checkpoint_error{code, file + ": " + sentence};
    };
    auto const require_utf8 = [&](std::string_view text) {
        if (auto const at = find_invalid_utf8(text))
            fail(error_code::header_not_utf8, quoted_name(text) + ": byte " + std::to_string(*at) + " is not UTF-8");
    };
    if (tensors.size() > safetensors_max_tensors)
        fail(error_code::too_many_tensors,
             std::to_string(tensors.size()) + " tensors, at most " + std::to_string(safetensors_max_tensors));

    std::string json = "{";
    if (!metadata.empty()) {
        json += R"("__metadata__":{)";
        for (auto const& [key, value] : metadata) {
            require_utf8(key);
            require_utf8(value);
            if (json.back() != '{') json += ',';
            append_json_string(json, key);
            json += ':';
            append_json_string(json, value);
        }
        json += '}';
    }
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto const& [name, type, sizes] = tensors[i];
        require_utf8(name);
        if (i > 0 && name == tensors[i - 1].name)
            fail(error_code::duplicate_key, "the name " + quoted_name(name) + " stands there twice");
        if (name == "__metadata__")
            fail(error_code::duplicate_key, "tensor \"__metadata__\": the name is the format's own");
        if (name.size() > safetensors_max_name)
            fail(error_code::name_too_long, "tensor " + quoted_name(name, 64) + ": more than 1024 bytes");
        auto const count = checked_product(std::span<std::size_t const>{sizes.begin(), sizes.rank()});
        auto const bytes = count ? bytes_of(type, *count) : std::nullopt;
        auto const end = bytes ? checked_add<std::uint64_t>(offset, *bytes) : std::nullopt;
        bool const too_long =
            std::any_of(sizes.begin(), sizes.end(), [](std::uint64_t n) { return n > safetensors_max_size; });
        if (!end || too_long)
            fail(error_code::bad_shape, "tensor " + quoted_name(name) + ": shape " + to_string(sizes)
                                            + (count && is_packed(type) ? " is too large, or ends inside a byte" : " is too large"));

        if (json.size() > 1) json += ',';
        append_json_string(json, name);
        json.append(R"(:{"dtype":")").append(dtype_name(type)).append(R"(","shape":[)");
        for (std::size_t r = 0; r < sizes.rank(); ++r) json.append(r == 0 ? "" : ",").append(std::to_string(sizes[r]));
        json.append(R"(],"data_offsets":[)")
            .append(std::to_string(offset))
            .append(",")
            .append(std::to_string(*end))
            .append("]}");
        offset = *end;
    }
    json += '}';
    json.append((8 - json.size() % 8) % 8, ' ');
    if (json.size() > safetensors_max_header)
        fail(error_code::header_too_large, "a header of " + std::to_string(json.size()) + " bytes, at most "
                                               + std::to_string(safetensors_max_header));

    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((std::uint64_t{json.size()} >> (8 * i)) & 0xFFU);
    return {length + json, offset};
}

} // namespace detail

/// Writes a safetensors file whose tensors are declared first and whose elements follow one tensor after the other,
/// so that no more than one of them need be in memory.
///
///     safetensors_writer writer{"out.safetensors", {{"a", dtype::f32, {2, 3}}, {"b", dtype::bf16, {4}}}};
///     for (auto const& info : writer.tensors()) writer.append(info.name, bytes_of(info));
///     writer.commit();
///
/// Post-condition  after `commit` a reader finds exactly the declared tensors; before it the target is untouched. The
///                 same tensors and metadata give the same bytes, in whatever order they were declared.
/// Errors          usage_error and resource_error as `atomic_file`; checkpoint_error duplicate_key, name_too_long,
///                 header_not_utf8, too_many_tensors, header_too_large, bad_shape for what the format cannot hold.
/// Source          huggingface/safetensors: order of tensors, padding of the header to a multiple of 8.
/// Test            tests/unit/io/safetensors/safetensors.cpp
class safetensors_writer {
public:
    safetensors_writer(std::filesystem::path const& target, std::vector<tensor_info> declared,
                       safetensors_options const& options = {})
        : tensors_{sorted(std::move(declared))}, file_{target, options.inputs, options.guard} {
        // Equal names of different dtypes are not neighbours in the order of the data.
        require_names_differ();
        auto const prefix = detail::make_safetensors_prefix(tensors_, options.metadata, file_.name());
        file_.reserve(prefix.bytes.size() + prefix.data_size);
        file_.write(std::string_view{prefix.bytes});
    }

    /// The declared tensors in the order in which their elements must come.
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept { return tensors_; }

    /// All elements of the next tensor.
    void append(std::string_view name, std::span<std::byte const> bytes) {
        ZEROI2V_REQUIRE(next_ < tensors_.size() && tensors_[next_].name == name,
                        "zeroi2v::safetensors_writer::append: the tensors must come in the order of tensors()");
        ZEROI2V_REQUIRE(bytes.size() == tensors_[next_].byte_size(),
                        "zeroi2v::safetensors_writer::append: as many bytes as declared must come");
        file_.write(bytes);
        ++next_;
    }
    void append(std::string_view name, stored_tensor const& tensor) {
        ZEROI2V_REQUIRE(next_ < tensors_.size() && tensors_[next_].type == tensor.type()
                            && tensors_[next_].sizes == tensor.sizes(),
                        "zeroi2v::safetensors_writer::append: dtype and shape must be as declared");
        append(name, tensor.bytes());
    }

    /// Puts the complete file in place.
    void commit(if_there what = if_there::replace) {
        ZEROI2V_REQUIRE(next_ == tensors_.size(),
                        "zeroi2v::safetensors_writer::commit: every declared tensor must have come");
        file_.commit(what);
    }

private:
    [[nodiscard]] static std::vector<tensor_info> sorted(std::vector<tensor_info> tensors) {
        std::sort(tensors.begin(), tensors.end(), detail::safetensors_before);
        return tensors;
    }
    void require_names_differ() const {
        std::vector<std::string_view> names;
        for (auto const& info : tensors_) names.push_back(info.name);
        std::sort(names.begin(), names.end());
        if (auto const twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
            throw checkpoint_error{error_code::duplicate_key,
                                   file_.name() + ": the name " + quoted_name(*twice) + " stands there twice"};
    }

    std::vector<tensor_info> tensors_;
    atomic_file file_;
    std::size_t next_{};
};

/// A tensor to be written: a name and elements that lie somewhere, row-major. Owns nothing.
struct tensor_ref {
    std::string_view name;
    dtype type{};
    shape sizes{};
    std::span<std::byte const> bytes{};

    tensor_ref(std::string_view its_name, stored_tensor const& tensor) noexcept
        : name{its_name}, type{tensor.type()}, sizes{tensor.sizes()}, bytes{tensor.bytes()} {}

    template <class T, extents_type Extents>
    tensor_ref(std::string_view its_name, tensor_view<T, Extents> elements)
        : name{its_name},
          type{dtype_of<T>},
          sizes{to_shape(elements.extents())},
          bytes{std::as_bytes(std::span{elements.data(), elements.size()})} {}

    template <class T, extents_type Extents>
    tensor_ref(std::string_view its_name, tensor<T, Extents> const& elements) : tensor_ref{its_name, elements.view()} {}

private:
    template <extents_type Extents>
    [[nodiscard]] static shape to_shape(Extents const& sizes) {
        auto const all = sizes.to_array();
        return shape{std::span<std::size_t const>{all}};
    }
};

/// Writes tensors and metadata as a safetensors file, atomically.
///
///     zeroi2v::write_safetensors("logits.safetensors", {{"logits", logits}}, {.metadata = {{"made by", "me"}}});
///
/// Errors  as `safetensors_writer`.     Test  tests/unit/io/safetensors/safetensors.cpp
inline void write_safetensors(std::filesystem::path target, std::span<tensor_ref const> tensors,
                              safetensors_options const& options = {}) {
    std::vector<tensor_info> declared;
    std::map<std::string_view, std::span<std::byte const>> bytes;
    for (auto const& tensor : tensors) {
        declared.push_back({std::string{tensor.name}, tensor.type, tensor.sizes});
        bytes.emplace(tensor.name, tensor.bytes);
    }
    safetensors_writer writer{std::move(target), std::move(declared), options};
    for (auto const& info : writer.tensors()) writer.append(info.name, bytes.at(info.name));
    writer.commit();
}
inline void write_safetensors(std::filesystem::path target, std::initializer_list<tensor_ref> tensors,
                              safetensors_options const& options = {}) {
    write_safetensors(std::move(target), std::span<tensor_ref const>{tensors.begin(), tensors.size()}, options);
}

/// Writes what `read_safetensors` gave; metadata of `options` is added and wins.
inline void write_safetensors(std::filesystem::path target, named_tensors const& content,
                              safetensors_options options = {}) {
    options.metadata.insert(content.metadata.begin(), content.metadata.end());
    std::vector<tensor_ref> tensors;
    for (auto const& [name, tensor] : content) tensors.emplace_back(name, tensor);
    write_safetensors(std::move(target), std::span<tensor_ref const>{tensors}, options);
}

} // namespace zeroi2v
