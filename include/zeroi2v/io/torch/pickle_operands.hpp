// pickle_operands: reads opcodes and their operands from a pickle, and knows where it stands.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/little_endian.hpp>
#include <zeroi2v/io/torch/pickle_graph.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace zeroi2v::detail {

/// A cursor over the bytes of a graph. Errors name the byte of the opcode that is being followed.
class pickle_operands {
public:
    pickle_operands(pickle_graph const& graph, std::string_view where)
        : graph_{graph}, rest_{graph.bytes()}, where_{where} {}

    [[noreturn]] void fail(std::string const& sentence) const {
        throw checkpoint_error{error_code::bad_pickle,
                               std::string{where_} + ": byte " + std::to_string(position_) + ": " + sentence};
    }

    /// Bytes that were not read yet.
    [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }
    /// Where the last opcode stands.
    [[nodiscard]] std::size_t position() const noexcept { return position_; }

    [[nodiscard]] std::uint8_t opcode() {
        position_ = offset();
        if (rest_.empty()) fail("the pickle ends without STOP");
        return number<std::uint8_t>();
    }

    [[nodiscard]] std::span<std::byte const> take(std::uint64_t count) {
        if (count > rest_.size())
            fail("the pickle ends " + std::to_string(rest_.size()) + " bytes into an operand of "
                 + std::to_string(count));
        auto const taken = rest_.first(static_cast<std::size_t>(count));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    template <std::unsigned_integral T>
    [[nodiscard]] T number() {
        return load_le<T>(take(sizeof(T)).data());
    }

    /// The length of what follows, then that as a slice.
    template <std::unsigned_integral Length>
    [[nodiscard]] pickle_value slice(pickle_kind kind) {
        std::uint64_t const size = number<Length>();
        std::size_t const begin = offset();
        static_cast<void>(take(size));
        return graph_.make_slice(kind, begin, static_cast<std::size_t>(size));
    }
    [[nodiscard]] pickle_value line() {
        std::size_t const begin = offset();
        std::size_t size = 0;
        while (size < rest_.size() && rest_[size] != std::byte{'\n'}) ++size;
        if (size == rest_.size()) fail("the pickle ends inside a line");
        static_cast<void>(take(size + 1));
        return graph_.make_slice(pickle_kind::text, begin, size);
    }
    [[nodiscard]] std::string_view line_text() { return *graph_.text(line()); }

    /// A line in Python's repr with its quotes, or raw-unicode-escaped without: kept where nothing is escaped.
    [[nodiscard]] pickle_value escaped_line(bool quoted) {
        std::size_t const begin = offset();
        std::string_view const all = line_text();
        std::string_view inner = all;
        if (quoted) {
            bool const closed =
                all.size() >= 2 && (all.front() == '\'' || all.front() == '"') && all.front() == all.back();
            if (!closed) fail("a string without its quotes");
            inner = all.substr(1, all.size() - 2);
        }
        if (inner.find('\\') != std::string_view::npos) return pickle_graph::make_opaque();
        return graph_.make_slice(pickle_kind::text, begin + (quoted ? 1 : 0), inner.size());
    }

    [[nodiscard]] pickle_value decimal(std::string_view digits) const {
        std::int64_t value = 0;
        if (parse(digits, value)) return pickle_graph::make_integer(value);
        if (digits.starts_with('-')) digits.remove_prefix(1);
        if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
            fail("a number expected");
        return pickle_graph::make_opaque();
    }
    [[nodiscard]] std::uint64_t memo_key_line() {
        std::uint64_t key = 0;
        if (!parse(line_text(), key)) fail("a memo key expected");
        return key;
    }

    /// Two's complement, least byte first, any length.
    [[nodiscard]] static pickle_value long_integer(std::span<std::byte const> bytes) noexcept {
        if (bytes.size() > 8) return pickle_graph::make_opaque();
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
        if (!bytes.empty() && bytes.size() < 8 && (std::to_integer<unsigned>(bytes.back()) & 0x80U) != 0)
            value |= ~std::uint64_t{0} << (8 * bytes.size());
        return pickle_graph::make_integer(static_cast<std::int64_t>(value));
    }

private:
    [[nodiscard]] std::size_t offset() const noexcept { return graph_.bytes().size() - rest_.size(); }

    template <std::integral T>
    [[nodiscard]] static bool parse(std::string_view digits, T& value) noexcept {
        auto const result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return result.ec == std::errc{} && result.ptr == digits.data() + digits.size();
    }

    pickle_graph const& graph_;
    std::span<std::byte const> rest_;
    std::string_view where_;
    std::size_t position_{};
};

} // namespace zeroi2v::detail
