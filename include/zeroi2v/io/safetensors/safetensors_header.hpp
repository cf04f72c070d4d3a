// safetensors_header: the JSON in front of a safetensors file, parsed and proven sound, or refused with its fault.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file_kind.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/safetensors/safetensors_json.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// A header that holds what a reader relies on.
///
/// Post-condition  the tensors stand in the order of their data; ranges[i] is where tensor i's bytes lie behind the
///                 header; ranges[0].begin == 0, ranges[i].end == ranges[i + 1].begin, the last end is the data's size;
///                 ranges[i].end - ranges[i].begin == tensors[i].byte_size(); names differ; by_name sorts them.
struct safetensors_header {
    std::vector<tensor_info> tensors;
    std::vector<safetensors_range> ranges;
    std::vector<std::uint32_t> by_name; ///< indices of tensors, in the order of their names
    std::map<std::string, std::string> metadata;

    /// The index of the tensor with this name, if there is one.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const noexcept {
        auto const less = [&](std::uint32_t i, std::string_view wanted) { return tensors[i].name < wanted; };
        auto const place = std::lower_bound(by_name.begin(), by_name.end(), name, less);
        if (place == by_name.end() || tensors[*place].name != name) return std::nullopt;
        return *place;
    }
};

namespace detail {

/// The order of indices by a key, ties by index.
template <class Less>
[[nodiscard]] std::vector<std::uint32_t> sorted_indices(std::size_t count, Less less) {
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return less(a, b) || (!less(b, a) && a < b); });
    return order;
}

[[nodiscard]] inline std::string byte_range(std::uint64_t begin, std::uint64_t end) {
    return "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
}

/// Judges all tensors of a header together: names, sizes, and that their ranges tile the data.
inline void check_safetensors_layout(safetensors_header const& header, std::uint64_t data_size, std::string_view file) {
    auto const fail = [&](error_code code, std::string const& sentence) {
        throw checkpoint_error{code, std::string{file} + ": " + sentence};
    };
    auto const fail_tensor = [&](std::size_t i, error_code code, std::string const& sentence) {
        fail(code, "tensor " + quoted_name(header.tensors[i].name) + ": " + sentence);
    };
    auto const& tensors = header.tensors;
    auto const& ranges = header.ranges;
    auto const& by_name = header.by_name;
    for (std::size_t i = 1; i < by_name.size(); ++i)
        if (auto const& name = tensors[by_name[i]].name; name == tensors[by_name[i - 1]].name)
            fail(error_code::duplicate_key, "header: the name " + quoted_name(name) + " stands there twice");

    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto const& [name, type, sizes] = tensors[i];
        auto const [begin, end] = ranges[i];
        auto const count = checked_product(std::span<std::size_t const>{sizes.begin(), sizes.rank()});
        auto const units = count ? checked_mul(*count, is_packed(type) ? bits_of(type) : size_of(type)) : std::nullopt;
        if (!units)
            fail_tensor(i, error_code::bad_shape, "shape " + to_string(sizes) + ": the number of bytes overflows");
        auto const bytes = bytes_of(type, *count);
        if (!bytes)
            fail_tensor(i, error_code::size_mismatch, std::string{dtype_name(type)} + " of shape " + to_string(sizes) + " takes "
                                                          + std::to_string(*units) + " bits, whole bytes expected");
        if (begin > end)
            fail_tensor(i, error_code::bad_offsets,
                        "data_offsets begin at " + std::to_string(begin) + " and end at " + std::to_string(end));
        if (end - begin != *bytes)
            fail_tensor(i, error_code::size_mismatch,
                        "data_offsets span " + std::to_string(end - begin) + " bytes, " + std::string{dtype_name(type)}
                            + " of shape " + to_string(sizes) + " takes " + std::to_string(*bytes) + " bytes");
    }

    std::uint64_t reached = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto const [begin, end] = ranges[i];
        if (begin != reached) {
            auto const neighbour =
                i == 0 ? std::string{"the data begin at 0"}
                       : "tensor " + quoted_name(tensors[i - 1].name) + " ends at " + std::to_string(reached);
            auto const which = begin > reached ? byte_range(reached, begin) + " belong to no tensor"
                                               : byte_range(begin, std::min(end, reached)) + " belong to both";
            fail_tensor(i, error_code::bad_offsets,
                        "begins at " + std::to_string(begin) + ", but " + neighbour + ": bytes " + which);
        }
        reached = end;
    }
    if (reached < data_size)
        fail(error_code::size_mismatch, std::to_string(data_size - reached)
                                            + " extra bytes behind the last tensor, which ends at "
                                            + std::to_string(reached) + " of " + std::to_string(data_size));
    if (reached > data_size)
        fail(error_code::size_mismatch, std::to_string(reached - data_size) + " bytes missing, the last tensor ends at "
                                            + std::to_string(reached) + " of " + std::to_string(data_size));
}

} // namespace detail

/// Parses the JSON of a header and proves what `safetensors_header` promises about `data_size` bytes of data behind it.
///
/// Errors  checkpoint_error, each with `file` in front: header_not_utf8, bad_json (line and column), too_deep,
///         too_many_tensors, name_too_long, duplicate_key, unknown_field, unknown_dtype, bad_shape,
///         bad_offsets, size_mismatch.
/// Cost    time and memory linear in the text; nothing is allocated by a number that the text states.
/// Source  huggingface/safetensors, README "Format"; names that stand twice are refused here and not there.
/// Test    tests/unit/io/safetensors/safetensors_header.cpp
[[nodiscard]] inline safetensors_header parse_safetensors_header(std::string_view text, std::uint64_t data_size,
                                                                 std::string_view file) {
    detail::safetensors_json parsed{text, file};
    auto const& ranges = parsed.ranges;
    auto const by_offset = detail::sorted_indices(ranges.size(), [&](std::uint32_t a, std::uint32_t b) {
        return ranges[a].begin != ranges[b].begin ? ranges[a].begin < ranges[b].begin : ranges[a].end < ranges[b].end;
    });
    safetensors_header header;
    header.tensors.reserve(ranges.size());
    header.ranges.reserve(ranges.size());
    for (auto const i : by_offset) {
        header.tensors.push_back(std::move(parsed.tensors[i]));
        header.ranges.push_back(ranges[i]);
    }
    header.by_name = detail::sorted_indices(ranges.size(), [&](std::uint32_t a, std::uint32_t b) {
        return header.tensors[a].name < header.tensors[b].name;
    });
    header.metadata = std::move(parsed.metadata);
    detail::check_safetensors_layout(header, data_size, file);
    return header;
}

/// The length of the header as the first eight bytes of a file of `size` bytes state it.
/// Errors  checkpoint_error not_safetensors (naming what the file is), header_too_small,
///         header_too_large, bad_header_length.
[[nodiscard]] inline std::uint64_t safetensors_header_length(std::span<std::byte const> head, std::uint64_t size,
                                                             std::string_view file) {
    auto const fail = [&](error_code code, std::string const& sentence) {
        throw checkpoint_error{code, std::string{file} + ": " + sentence};
    };
    if (size < 8 || head.size() < 8)
        fail(error_code::header_too_small,
             "has " + std::to_string(size) + " bytes, a safetensors file begins with a length of 8");
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8; ++i) length |= std::to_integer<std::uint64_t>(head[i]) << (8 * i);
    auto const kind = detect_kind(head, size);
    if (kind != file_kind::safetensors && kind != file_kind::unknown)
        fail(error_code::not_safetensors, "is " + std::string{describe(kind)} + ", expected a safetensors file");
    if (length > safetensors_max_header)
        fail(error_code::header_too_large, "states a header of " + std::to_string(length) + " bytes, at most "
                                               + std::to_string(safetensors_max_header) + " are allowed");
    if (length > size - 8)
        fail(error_code::bad_header_length, "states a header of " + std::to_string(length) + " bytes, the file has "
                                                + std::to_string(size) + ", 8 of them for the length");
    return length;
}

/// Parses a whole safetensors file in memory; the elements stay where they are, behind the header.
/// Test  tests/unit/io/safetensors/safetensors_header.cpp, tests/fuzz/fuzz_safetensors.cpp
[[nodiscard]] inline safetensors_header parse_safetensors(std::span<std::byte const> bytes, std::string_view file) {
    auto const length =
        safetensors_header_length(bytes.first(std::min(bytes.size(), detect_kind_bytes)), bytes.size(), file);
    auto const text = bytes.subspan(8, static_cast<std::size_t>(length));
    return parse_safetensors_header({reinterpret_cast<char const*>(text.data()), text.size()},
                                    bytes.size() - 8 - length, file);
}

} // namespace zeroi2v
