// safetensors_events: what may stand in the JSON header of a safetensors file, event by event.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/json_text.hpp>
#include <zeroi2v/io/printable.hpp>
#include <zeroi2v/io/tensor_info.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
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

/// Bytes of a text that tell how far a parser has come.
class counting_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = char const*;
    using reference = char const&;

    counting_iterator(char const* at, char const** farthest) noexcept : at_{at}, farthest_{farthest} {}
    reference operator*() const noexcept { return *at_; }
    counting_iterator& operator++() noexcept {
        *farthest_ = ++at_;
        return *this;
    }
    counting_iterator operator++(int) noexcept {
        auto const before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(counting_iterator const& a, counting_iterator const& b) noexcept { return a.at_ == b.at_; }

private:
    char const* at_;
    char const** farthest_;
};

/// Takes the events of the JSON parser, keeps what a header may hold, and throws at the first thing that it may not.
class safetensors_events {
    using json = nlohmann::json;

public:
    safetensors_events(std::string_view text, std::string_view file, char const* const& farthest)
        : text_{text}, file_{file}, farthest_{farthest} {}

    std::vector<tensor_info> tensors;
    std::vector<safetensors_range> ranges;
    std::map<std::string, std::string> metadata;

    [[noreturn]] void fail_json(std::string const& sentence, std::size_t position) const {
        fail(error_code::bad_json, "header, " + line_and_column(text_, position) + ": " + sentence);
    }

    bool start_object(std::size_t) {
        switch (place_) {
        case place::before: place_ = place::header; return true;
        case place::entry_value: place_ = place::entry; seen_ = 0; return true;
        case place::metadata_value_object: place_ = place::metadata; return true;
        default: unexpected("an object");
        }
    }
    bool end_object() {
        if (place_ == place::entry) finish_entry();
        place_ = place_ == place::header ? place::after : place::header;
        return true;
    }
    bool start_array(std::size_t) {
        if (place_ == place::shape_value) place_ = place::shape;
        else if (place_ == place::offsets_value) place_ = place::offsets;
        else unexpected("an array");
        return true;
    }
    bool end_array() {
        if (place_ == place::offsets && offset_count_ != 2)
            fail_tensor(error_code::bad_offsets, "data_offsets holds " + std::to_string(offset_count_) + " numbers, expected 2");
        place_ = place::entry;
        return true;
    }

    bool key(std::string& text) {
        switch (place_) {
        case place::header: begin_member(text); return true;
        case place::entry: begin_field(text); return true;
        case place::metadata: metadata_key_ = std::move(text); place_ = place::metadata_value; return true;
        default: unexpected("a name");
        }
    }

    bool string(std::string& text) {
        if (place_ == place::metadata_value) {
            if (metadata.size() == safetensors_max_tensors)
                fail(error_code::too_many_tensors, "__metadata__: more than " + std::to_string(safetensors_max_tensors) + " entries");
            if (metadata.contains(metadata_key_))
                fail(error_code::duplicate_key, "__metadata__: the name " + quoted_name(metadata_key_) + " stands there twice");
            metadata.emplace(std::move(metadata_key_), std::move(text));
            place_ = place::metadata;
            return true;
        }
        if (place_ != place::dtype_value) unexpected("a string");
        auto const type = dtype_from_name(text);
        if (!type) fail_tensor(error_code::unknown_dtype, "dtype " + quoted_name(text, 64) + ", expected one of " + dtype_names());
        entry_.type = *type;
        place_ = place::entry;
        return true;
    }

    bool number_unsigned(std::uint64_t value) {
        if (place_ == place::shape) {
            if (rank_ == shape::max_rank)
                fail_tensor(error_code::bad_shape, "shape has more than " + std::to_string(shape::max_rank) + " dimensions");
            if (value > safetensors_max_size || !std::in_range<std::size_t>(value))
                fail_tensor(error_code::bad_shape, "shape has a dimension of " + std::to_string(value) + ", at most "
                                                       + std::to_string(safetensors_max_size) + " is allowed");
            sizes_[rank_++] = static_cast<std::size_t>(value);
        } else if (place_ == place::offsets) {
            if (offset_count_ == 2) fail_tensor(error_code::bad_offsets, "data_offsets holds more than 2 numbers");
            offsets_[offset_count_++] = value;
        } else {
            unexpected("a number");
        }
        return true;
    }
    bool number_integer(std::int64_t) { not_a_size("a negative number"); }
    bool number_float(double, std::string const& text) { not_a_size("the number " + printable(text, 64)); }
    bool null() { unexpected("null"); }
    bool boolean(bool) { unexpected("a truth value"); }
    bool binary(json::binary_t&) { unexpected("binary data"); }

    bool parse_error(std::size_t position, std::string const&, json::exception const& reason) {
        if (reason.id == 406) not_a_size("a number beyond all floating-point numbers"); // 1e999
        std::string_view sentence = reason.what();
        constexpr std::string_view introduction = "syntax error ";
        if (auto const at = sentence.find(introduction); at != std::string_view::npos) sentence.remove_prefix(at + introduction.size());
        fail_json("not JSON: " + printable(sentence), position == 0 ? 0 : position - 1);
    }

private:
    enum class place : std::uint8_t { before, header, entry_value, entry, dtype_value, shape_value, shape, offsets_value, offsets,
                                      metadata_value_object, metadata, metadata_value, after };
    enum field : unsigned { dtype_field = 1, shape_field = 2, offsets_field = 4, all_fields = 7 };

    [[noreturn]] void fail(error_code code, std::string const& sentence) const {
        throw checkpoint_error{code, std::string{file_} + ": " + sentence};
    }
    [[noreturn]] void fail_tensor(error_code code, std::string const& sentence) const {
        fail(code, "tensor " + quoted_name(entry_.name) + ": " + sentence);
    }
    /// The last byte that the parser has read belongs to what is found.
    [[nodiscard]] std::size_t position() const noexcept {
        auto const read = static_cast<std::size_t>(farthest_ - text_.data());
        return read == 0 ? 0 : read - 1;
    }

    [[nodiscard]] std::string_view expected() const noexcept {
        switch (place_) {
        case place::before: return "'{'";
        case place::entry_value: return "an object with dtype, shape and data_offsets";
        case place::dtype_value: return "the dtype as a string";
        case place::shape_value: return "the shape as an array";
        case place::shape: return "non-negative integers in the shape";
        case place::offsets_value: return "data_offsets as an array of two integers";
        case place::offsets: return "two non-negative integers in data_offsets";
        case place::metadata_value_object: return "__metadata__ as an object of strings";
        case place::metadata_value: return "a string in __metadata__";
        default: return "a name";
        }
    }
    [[noreturn]] void unexpected(std::string const& found) const {
        if (place_ == place::offsets) fail_tensor(error_code::bad_offsets, found + ", expected " + std::string{expected()});
        bool const of_tensor = place_ == place::entry_value || place_ == place::dtype_value || place_ == place::shape_value
                            || place_ == place::shape || place_ == place::offsets_value;
        fail_json((of_tensor ? "tensor " + quoted_name(entry_.name) + ": " : "") + found + ", expected " + std::string{expected()}, position());
    }
    [[noreturn]] void not_a_size(std::string const& found) const { unexpected(found); }

    void begin_member(std::string& name) {
        if (name == "__metadata__") {
            if (std::exchange(metadata_seen_, true)) fail(error_code::duplicate_key, "header: __metadata__ stands there twice");
            place_ = place::metadata_value_object;
            return;
        }
        if (name.size() > safetensors_max_name)
            fail(error_code::name_too_long, "tensor " + quoted_name(name, 64) + ": the name has " + std::to_string(name.size())
                                                + " bytes, at most " + std::to_string(safetensors_max_name) + " are allowed");
        if (tensors.size() == safetensors_max_tensors)
            fail(error_code::too_many_tensors, "header: more than " + std::to_string(safetensors_max_tensors) + " tensors");
        entry_.name = std::move(name);
        place_ = place::entry_value;
    }

    void begin_field(std::string const& name) {
        unsigned which = 0;
        if (name == "dtype") which = dtype_field, place_ = place::dtype_value;
        else if (name == "shape") which = shape_field, place_ = place::shape_value, rank_ = 0;
        else if (name == "data_offsets") which = offsets_field, place_ = place::offsets_value, offset_count_ = 0;
        else fail_tensor(error_code::unknown_field, "field " + quoted_name(name, 64) + ", expected dtype, shape and data_offsets");
        if ((seen_ & which) != 0) fail_tensor(error_code::duplicate_key, "\"" + name + "\" stands there twice");
        seen_ |= which;
    }

    void finish_entry() {
        if (seen_ != all_fields) {
            auto const* const missing = (seen_ & dtype_field) == 0 ? "dtype" : (seen_ & shape_field) == 0 ? "shape" : "data_offsets";
            fail_json("tensor " + quoted_name(entry_.name) + ": " + missing + " is missing", position());
        }
        entry_.sizes = shape{std::span{sizes_}.first(rank_)};
        tensors.push_back(std::move(entry_));
        ranges.push_back({offsets_[0], offsets_[1]});
        entry_ = {};
    }

    [[nodiscard]] static std::string dtype_names() {
        std::string all;
        for (int i = 0; i <= static_cast<int>(dtype::u64); ++i) all.append(i == 0 ? "" : ", ").append(dtype_name(static_cast<dtype>(i)));
        return all;
    }

    std::string_view text_;
    std::string_view file_;
    char const* const& farthest_;
    place place_{place::before};
    tensor_info entry_;
    std::array<std::size_t, shape::max_rank> sizes_{};
    std::size_t rank_{};
    std::array<std::uint64_t, 2> offsets_{};
    std::size_t offset_count_{};
    unsigned seen_{};
    std::string metadata_key_;
    bool metadata_seen_{};
};

} // namespace detail

} // namespace zeroi2v
