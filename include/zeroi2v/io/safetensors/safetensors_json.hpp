// safetensors_json: the JSON in front of a safetensors file, entry by entry, as it stands there.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/files/utf8.hpp>
#include <zeroi2v/io/json/json_reader.hpp>
#include <zeroi2v/io/json/json_text.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Limits of a safetensors file; the reference implementation has the first one.
inline constexpr std::uint64_t safetensors_max_header = 100'000'000;
inline constexpr std::size_t safetensors_max_tensors = 65'536;
inline constexpr std::size_t safetensors_max_name = 1'024;
inline constexpr std::uint64_t safetensors_max_size = (std::uint64_t{1} << 48U) - 1; ///< of one dimension

/// Where a tensor's bytes lie, counted from the end of the header.
struct safetensors_range {
    std::uint64_t begin{};
    std::uint64_t end{};
    friend bool operator==(safetensors_range const&, safetensors_range const&) noexcept = default;
};

namespace detail {

/// What a header says, each entry judged alone: the fields it must have, the dtypes and sizes it may have. Whether the
/// entries fit together and fit the data is `check_safetensors_layout`'s question.
class safetensors_json {
public:
    std::vector<tensor_info> tensors;
    std::vector<safetensors_range> ranges;
    std::map<std::string, std::string> metadata;

    /// `file` begins each message.
    safetensors_json(std::string_view text, std::string_view file)
        : text_{text}, file_{file}, reader_{text, file, "header"} {
        if (auto const at = find_invalid_utf8(text)) reader_.fail(error_code::header_not_utf8, *at, "not UTF-8");
        try {
            read_header();
        } catch (checkpoint_error const&) {
            refuse_beyond_limits();
            throw;
        }
    }

private:
    static constexpr unsigned dtype_field = 1, shape_field = 2, offsets_field = 4, all_fields = 7;

    [[noreturn]] void fail(error_code code, std::string const& sentence) const {
        throw checkpoint_error{code, std::string{file_} + ": " + sentence};
    }
    [[nodiscard]] std::string the_tensor() const { return "tensor " + quoted_name(entry_.name) + ": "; }
    [[noreturn]] void fail_tensor(error_code code, std::string const& sentence) const {
        fail(code, the_tensor() + sentence);
    }

    /// A header with more entries or nesting than any may have is refused as such, whatever else is wrong with it.
    void refuse_beyond_limits() const {
        constexpr std::size_t enough = 8'000'000; // for one entry more than allowed, each of a hundred bytes
        auto const fault =
            find_json_fault(text_.substr(0, enough), {.depth = 8, .members = safetensors_max_tensors + 1});
        if (fault && (fault->code == error_code::too_deep || fault->code == error_code::too_many_tensors))
            reader_.fail(fault->code, fault->position, fault->sentence);
    }

    void read_header() {
        bool metadata_seen = false;
        reader_.expect('{');
        for (bool more = !reader_.accept('}'); more; more = next_member()) {
            auto name = reader_.string("the name of a tensor", safetensors_max_name);
            if (!name)
                reader_.fail(error_code::name_too_long, reader_.position(),
                             "the name of a tensor has more than " + std::to_string(safetensors_max_name) + " bytes");
            reader_.expect(':');
            if (*name != "__metadata__") {
                entry_ = {};
                entry_.name = std::move(*name);
                read_tensor();
            } else if (std::exchange(metadata_seen, true)) {
                fail(error_code::duplicate_key, "header: __metadata__ stands there twice");
            } else {
                read_metadata();
            }
        }
        reader_.expect_end();
    }

    /// Behind a member: whether another one follows.
    [[nodiscard]] bool next_member() {
        if (reader_.accept(',')) return true;
        if (!reader_.accept('}')) reader_.unexpected("',' or '}'");
        return false;
    }

    void read_metadata() {
        if (!reader_.accept('{')) reader_.unexpected("__metadata__ as an object of strings");
        for (bool more = !reader_.accept('}'); more; more = next_member()) {
            auto key = reader_.string("a name in __metadata__", text_.size());
            reader_.expect(':');
            auto value = reader_.string("a string in __metadata__", text_.size());
            if (metadata.size() == safetensors_max_tensors)
                fail(error_code::too_many_tensors,
                     "__metadata__: more than " + std::to_string(safetensors_max_tensors) + " entries");
            if (metadata.contains(*key))
                fail(error_code::duplicate_key, "__metadata__: the name " + quoted_name(*key) + " stands there twice");
            metadata.emplace(std::move(*key), std::move(*value));
        }
    }

    void read_tensor() {
        if (tensors.size() == safetensors_max_tensors)
            fail(error_code::too_many_tensors,
                 "header: more than " + std::to_string(safetensors_max_tensors) + " tensors");
        if (!reader_.accept('{')) reader_.unexpected(the_tensor() + "an object with dtype, shape and data_offsets");
        unsigned seen = 0;
        safetensors_range range;
        for (bool more = !reader_.accept('}'); more; more = next_member()) {
            constexpr std::size_t longest_field = 12;
            auto const name = reader_.string("the name of a field", longest_field).value_or("of more than 12 bytes");
            unsigned const field = name == "dtype"          ? dtype_field
                                   : name == "shape"        ? shape_field
                                   : name == "data_offsets" ? offsets_field
                                                            : 0U;
            if (field == 0)
                fail_tensor(error_code::unknown_field,
                            "field " + quoted_name(name) + ", expected dtype, shape and data_offsets");
            if ((seen & field) != 0) fail_tensor(error_code::duplicate_key, quoted_name(name) + " stands there twice");
            seen |= field;
            reader_.expect(':');
            if (field == dtype_field)
                read_dtype();
            else if (field == shape_field)
                read_shape();
            else
                range = read_offsets();
        }
        if (seen != all_fields)
            reader_.fail(error_code::bad_json, reader_.position(),
                         the_tensor()
                             + ((seen & dtype_field) == 0   ? "dtype"
                                : (seen & shape_field) == 0 ? "shape"
                                                            : "data_offsets")
                             + " is missing");
        tensors.push_back(std::move(entry_));
        ranges.push_back(range);
    }

    void read_dtype() {
        constexpr std::size_t longest_dtype = 64;
        if (reader_.peek() != '"') reader_.unexpected(the_tensor() + "its dtype as a string");
        auto const name = reader_.string("a dtype", longest_dtype).value_or("of more than 64 bytes");
        auto const type = dtype_from_name(name);
        if (!type)
            fail_tensor(error_code::unknown_dtype, "dtype " + quoted_name(name) + ", expected one of " + dtype_names());
        entry_.type = *type;
    }

    /// The elements of an array of numbers, one after the other; `take` gets each with its characters.
    template <class Take>
    void read_numbers(char const* what, error_code wrong, Take take) {
        if (!reader_.accept('[')) reader_.unexpected(the_tensor() + what + " as an array of non-negative integers");
        for (bool more = !reader_.accept(']'); more;) {
            auto const position = reader_.position();
            auto const token = reader_.number();
            auto const value = parse_json_unsigned(token);
            if (!value && wrong == error_code::bad_json)
                reader_.fail(wrong, position,
                             the_tensor() + what + " holds " + found(token) + ", expected non-negative integers");
            if (!value) fail_tensor(wrong, what + (" holds " + found(token)) + ", expected non-negative integers");
            take(*value);
            more = reader_.accept(',');
            if (!more && !reader_.accept(']')) reader_.unexpected("',' or ']'");
        }
    }
    [[nodiscard]] std::string found(std::string_view token) {
        if (!token.empty()) return "the number " + printable(token, 64);
        auto const next = reader_.peek();
        return next ? std::string{'\''} + printable(std::string_view{&*next, 1}) + '\'' : "nothing";
    }

    void read_shape() {
        std::array<std::size_t, shape::max_rank> sizes{};
        std::size_t rank = 0;
        read_numbers("shape", error_code::bad_json, [&](std::uint64_t value) {
            if (rank == sizes.size())
                fail_tensor(error_code::bad_shape, "shape has more than " + std::to_string(rank) + " dimensions");
            if (value > safetensors_max_size || !std::in_range<std::size_t>(value))
                fail_tensor(error_code::bad_shape, "shape has a dimension of " + std::to_string(value) + ", at most "
                                                       + std::to_string(safetensors_max_size) + " is allowed");
            sizes[rank++] = static_cast<std::size_t>(value);
        });
        entry_.sizes = shape{std::span{sizes}.first(rank)};
    }

    [[nodiscard]] safetensors_range read_offsets() {
        std::array<std::uint64_t, 2> offsets{};
        std::size_t count = 0;
        read_numbers("data_offsets", error_code::bad_offsets, [&](std::uint64_t value) {
            if (count == offsets.size()) fail_tensor(error_code::bad_offsets, "data_offsets holds more than 2 numbers");
            offsets[count++] = value;
        });
        if (count != offsets.size())
            fail_tensor(error_code::bad_offsets,
                        "data_offsets holds " + std::to_string(count) + " numbers, expected 2");
        return {offsets[0], offsets[1]};
    }

    [[nodiscard]] static std::string dtype_names() {
        std::string all;
        for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
            all.append(i == 0 ? "" : ", ").append(dtype_name(static_cast<dtype>(i)));
        return all;
    }

    std::string_view text_;
    std::string_view file_;
    json_reader reader_;
    tensor_info entry_;
};

} // namespace detail

} // namespace zeroi2v
