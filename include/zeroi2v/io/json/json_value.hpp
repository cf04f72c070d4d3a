// json_value: a JSON document in memory, read from a text and written as one.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/io/json/json_reader.hpp>
#include <zeroi2v/io/json/json_text.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace zeroi2v {

struct json_member;

/// Null, true or false, a number, a string, a list or an object; an object keeps its members in the order of the text.
///
/// Its destructor allocates nothing, so that a document may die where memory is short. Destruction recurses as deep as the
/// document is nested: `parse` bounds that.
/// Test    tests/unit/io/json/json_value.cpp
class json_value {
public:
    using array_type = std::vector<json_value>;
    struct object_type { ///< member i is names[i] and values[i]
        std::vector<std::string> names;
        array_type values;

        void append(std::string name, json_value value);
        friend bool operator==(object_type const&, object_type const&) = default;
    };

    json_value() noexcept = default;
    json_value(std::nullptr_t) noexcept {}
    json_value(std::same_as<bool> auto value) noexcept : value_{value} {}
    json_value(std::unsigned_integral auto value) noexcept
        requires(!std::same_as<decltype(value), bool>)
        : value_{static_cast<std::uint64_t>(value)} {}
    json_value(std::signed_integral auto value) noexcept {
        if (value < 0) value_ = static_cast<std::int64_t>(value);
        else value_ = static_cast<std::uint64_t>(value);
    }
    json_value(std::floating_point auto value) noexcept : value_{static_cast<double>(value)} {}
    json_value(std::string text) noexcept : value_{std::move(text)} {}
    json_value(std::string_view text) : value_{std::string{text}} {}
    json_value(char const* text) : value_{std::string{text}} {}
    /// Null where there is nothing.
    template <class T>
    json_value(std::optional<T> const& value) {
        if (value) *this = json_value{*value};
    }
    template <class T>
    json_value(std::vector<T> const& values) : value_{array_type(values.begin(), values.end())} {}
    json_value(array_type elements) noexcept : value_{std::move(elements)} {}
    json_value(object_type members) noexcept : value_{std::move(members)} {}

    [[nodiscard]] static json_value array(std::initializer_list<json_value> elements = {}) { return array_type{elements}; }
    [[nodiscard]] static json_value object(std::initializer_list<json_member> members = {});

    /// Reads `text`; `source` begins each message. A name that is given twice is there twice.
    /// Errors  no JSON, or one beyond `limits` -> checkpoint_error bad_json, header_not_utf8, too_deep, too_many_tensors or
    ///         name_too_long with line and column; a number beyond double -> the same with bad_config.
    [[nodiscard]] static json_value parse(std::string_view text, std::string_view source, json_limits const& limits = {});

    /// The document as text: in one line, or with `indent` blanks for each level.
    /// Numerics  a double has as few digits as read back the same bits; one that is not finite is `null`.
    /// Errors    bytes that are not UTF-8 become U+FFFD.
    [[nodiscard]] std::string dump(std::size_t indent = 0) const {
        std::string text;
        write(text, indent, 0);
        return text;
    }

    [[nodiscard]] bool is_null() const noexcept { return std::holds_alternative<std::nullptr_t>(value_); }
    [[nodiscard]] bool is_number() const noexcept { return as_number().has_value(); }

    // What the value is, or nothing where it is something else. An integer was written without point and exponent.
    [[nodiscard]] std::optional<bool> as_boolean() const noexcept { return copy_of<bool>(); }
    [[nodiscard]] std::optional<std::uint64_t> as_unsigned() const noexcept { return copy_of<std::uint64_t>(); }
    [[nodiscard]] std::optional<std::int64_t> as_integer() const noexcept {
        auto const whole = copy_of<std::uint64_t>();
        if (!whole) return copy_of<std::int64_t>();
        return std::in_range<std::int64_t>(*whole) ? std::optional{static_cast<std::int64_t>(*whole)} : std::nullopt;
    }
    [[nodiscard]] std::optional<double> as_number() const noexcept {
        if (auto const whole = copy_of<std::uint64_t>()) return static_cast<double>(*whole);
        if (auto const negative = copy_of<std::int64_t>()) return static_cast<double>(*negative);
        return copy_of<double>();
    }
    [[nodiscard]] std::string const* as_string() const noexcept { return std::get_if<std::string>(&value_); }
    [[nodiscard]] array_type const* as_array() const noexcept { return std::get_if<array_type>(&value_); }
    [[nodiscard]] object_type const* as_object() const noexcept { return std::get_if<object_type>(&value_); }

    /// The object's member of this name, the first of several; null where there is none, or no object.
    [[nodiscard]] json_value const* find(std::string_view name) const noexcept;
    /// Errors  none of this name, or no list -> checkpoint_error bad_json.
    [[nodiscard]] json_value const& at(std::string_view name) const {
        if (auto const* const found = find(name)) return *found;
        throw checkpoint_error{error_code::bad_json, std::string{noun()} + " found, an object with " + std::string{name} + " expected"};
    }
    [[nodiscard]] array_type const& elements() const {
        if (auto const* const found = as_array()) return *found;
        throw checkpoint_error{error_code::bad_json, std::string{noun()} + " found, a list expected"};
    }

    /// Appends to a list; null becomes one.
    void push_back(json_value element);
    /// Gives the object's member of this name a value; a new one comes last. Null becomes an object.
    void set(std::string_view name, json_value value);

    /// `a list`, `a string`, `a fraction`: for messages.
    [[nodiscard]] char const* noun() const noexcept {
        constexpr std::array<char const*, 8> nouns{"null", "true or false", "a whole number", "a negative number",
                                                   "a fraction", "a string", "a list", "an object"};
        return nouns[value_.index()];
    }

    friend bool operator==(json_value const&, json_value const&) = default;

private:
    class parser;

    template <class T>
    [[nodiscard]] std::optional<T> copy_of() const noexcept {
        auto const* const found = std::get_if<T>(&value_);
        return found == nullptr ? std::nullopt : std::optional{*found};
    }

    void write(std::string& out, std::size_t indent, std::size_t depth) const;

    std::variant<std::nullptr_t, bool, std::uint64_t, std::int64_t, double, std::string, array_type, object_type> value_{nullptr};
};

/// What `json_value::object` takes.
struct json_member {
    std::string name;
    json_value value;
};

inline void json_value::object_type::append(std::string name, json_value value) {
    names.push_back(std::move(name));
    try {
        values.push_back(std::move(value));
    } catch (...) {
        names.pop_back();
        throw;
    }
}

inline json_value json_value::object(std::initializer_list<json_member> members) {
    object_type result;
    for (auto const& each : members) result.append(each.name, each.value);
    return result;
}

inline json_value const* json_value::find(std::string_view name) const noexcept {
    if (auto const* const members = as_object())
        for (std::size_t i = 0; i < members->names.size(); ++i)
            if (members->names[i] == name) return &members->values[i];
    return nullptr;
}

inline void json_value::push_back(json_value element) {
    if (is_null()) value_ = array_type{};
    std::get<array_type>(value_).push_back(std::move(element));
}

inline void json_value::set(std::string_view name, json_value value) {
    if (is_null()) value_ = object_type{};
    auto& members = std::get<object_type>(value_);
    for (std::size_t i = 0; i < members.names.size(); ++i) {
        if (members.names[i] != name) continue;
        members.values[i] = std::move(value);
        return;
    }
    members.append(std::string{name}, std::move(value));
}

namespace detail {

/// A finite double in the fewest digits that read back the same bits: `0.001`, `100.0`, `1e-05`, `1.5e+16`.
inline void append_json_double(std::string& out, double value) {
    std::array<char, 32> text{};
    auto const end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific).ptr;
    std::string_view rest{text.data(), static_cast<std::size_t>(end - text.data())}; // [-]d[.ddd]e+XX
    if (rest.front() == '-') {
        out += '-';
        rest.remove_prefix(1);
    }
    auto const e = rest.find('e');
    std::array<char, 24> digits{};
    std::size_t count = 0;
    for (char const c : rest.substr(0, e))
        if (c != '.') digits[count++] = c;
    std::string_view const all{digits.data(), count};
    int exponent = 0;
    auto const power = rest.substr(e + (rest[e + 1] == '+' ? 2 : 1));
    std::from_chars(power.data(), power.data() + power.size(), exponent);

    constexpr int most_before_point = 15, most_zeros_behind = 3;
    int const point = exponent + 1; // digits in front of the point
    if (point > most_before_point || point < -most_zeros_behind) {
        out += all.front();
        if (count > 1) out.append(1, '.').append(all.substr(1));
        out.append(rest.substr(e));
    } else if (point <= 0) {
        out.append("0.").append(static_cast<std::size_t>(-point), '0').append(all);
    } else if (auto const whole = static_cast<std::size_t>(point); whole >= count) {
        out.append(all).append(whole - count, '0').append(".0");
    } else {
        out.append(all.substr(0, whole)).append(1, '.').append(all.substr(whole));
    }
}

} // namespace detail

inline void json_value::write(std::string& out, std::size_t indent, std::size_t depth) const {
    auto const integer = [&](auto value) {
        std::array<char, 24> text{};
        out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
    };
    auto const line = [&](std::size_t level) {
        if (indent > 0) out.append(1, '\n').append(level * indent, ' ');
    };
    auto const list = [&](array_type const& values, char open, char close, std::vector<std::string> const* names) {
        out += open;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i > 0) out += ',';
            line(depth + 1);
            if (names != nullptr) {
                append_json_string(out, (*names)[i]);
                out += indent > 0 ? ": " : ":";
            }
            values[i].write(out, indent, depth + 1);
        }
        if (!values.empty()) line(depth);
        out += close;
    };
    if (auto const flag = as_boolean()) out += *flag ? "true" : "false";
    else if (auto const* const whole = std::get_if<std::uint64_t>(&value_)) integer(*whole);
    else if (auto const* const negative = std::get_if<std::int64_t>(&value_)) integer(*negative);
    else if (auto const* const fraction = std::get_if<double>(&value_); fraction != nullptr && is_finite(*fraction))
        detail::append_json_double(out, *fraction);
    else if (auto const* const text = as_string()) append_json_string(out, *text);
    else if (auto const* const elements = as_array()) list(*elements, '[', ']', nullptr);
    else if (auto const* const members = as_object()) list(members->values, '{', '}', &members->names);
    else out += "null";
}

/// Recursive descent; `find_json_fault` has bounded the depth beforehand.
class json_value::parser {
public:
    parser(std::string_view text, std::string_view source, json_limits const& limits) noexcept
        : in_{text, source, ""}, elements_{limits.elements} {}

    [[nodiscard]] json_value document() {
        auto result = value();
        in_.expect_end();
        return result;
    }

private:
    [[nodiscard]] json_value value() {
        auto const next = in_.peek();
        if (next == '{') return object();
        if (next == '[') return array();
        if (next == '"') return string("a string");
        if (next == 't' && in_.accept_word("true")) return true;
        if (next == 'f' && in_.accept_word("false")) return false;
        if (next == 'n' && in_.accept_word("null")) return nullptr;
        if (next && (*next == '-' || (*next >= '0' && *next <= '9'))) return number();
        in_.unexpected("a value");
    }

    [[nodiscard]] std::string string(std::string_view expected) { return *in_.string(expected, static_cast<std::size_t>(-1)); }

    [[nodiscard]] json_value object() {
        object_type members;
        in_.expect('{');
        if (in_.accept('}')) return members;
        do {
            require_room(members.names.size());
            auto name = string("a name");
            in_.expect(':');
            members.append(std::move(name), value());
        } while (in_.accept(','));
        in_.expect('}');
        return members;
    }

    [[nodiscard]] json_value array() {
        array_type elements;
        in_.expect('[');
        if (in_.accept(']')) return elements;
        do {
            require_room(elements.size());
            elements.push_back(value());
        } while (in_.accept(','));
        in_.expect(']');
        return elements;
    }

    void require_room(std::size_t size) {
        if (size == elements_)
            in_.fail(error_code::too_many_tensors, in_.position(), "more than " + std::to_string(elements_) + " elements");
    }

    [[nodiscard]] json_value number() {
        auto const begin = in_.position();
        auto const token = in_.number();
        auto const refuse = [&](char const* sentence) { in_.fail(error_code::bad_json, begin, sentence); };
        bool const minus = token.front() == '-';
        auto const magnitude = token.substr(minus ? 1 : 0);
        auto const digits = [](std::string_view text) { return std::min(text.find_first_not_of("0123456789"), text.size()); };
        auto const whole = digits(magnitude);
        if (whole == 0 || (whole > 1 && magnitude.front() == '0')) refuse("not a number of JSON");
        auto const* const first = token.data();
        auto const* const last = first + token.size();
        if (whole == magnitude.size()) {
            if (std::uint64_t value = 0; !minus && std::from_chars(first, last, value).ec == std::errc{}) return value;
            if (std::int64_t value = 0; minus && std::from_chars(first, last, value).ec == std::errc{}) return negative(value);
        }
        auto rest = magnitude.substr(whole);
        if (rest.starts_with('.')) {
            auto const behind = digits(rest.substr(1));
            if (behind == 0) refuse("not a number of JSON");
            rest.remove_prefix(1 + behind);
        }
        bool const small = rest.starts_with("e-") || rest.starts_with("E-");
        if (!rest.empty()) {
            if (rest.front() != 'e' && rest.front() != 'E') refuse("not a number of JSON");
            rest.remove_prefix(1 + (rest.size() > 1 && (rest[1] == '-' || rest[1] == '+') ? 1U : 0U));
            if (rest.empty() || digits(rest) != rest.size()) refuse("not a number of JSON");
        }
        double value = 0;
        if (std::from_chars(first, last, value).ec == std::errc{}) return value;
        if (!small) in_.fail(error_code::bad_config, begin, "a number too large for a double");
        return minus ? -0.0 : 0.0;
    }

    [[nodiscard]] static json_value negative(std::int64_t value) {
        json_value result;
        result.value_ = value; // -0 too: a sign is no part of a whole number
        return result;
    }

    json_reader in_;
    std::size_t elements_;
};

inline json_value json_value::parse(std::string_view text, std::string_view source, json_limits const& limits) {
    if (auto const fault = find_json_fault(text, limits))
        throw checkpoint_error{fault->code, std::string{source} + ": " + line_and_column(text, fault->position) + ": " + fault->sentence};
    return parser{text, source, limits}.document();
}

} // namespace zeroi2v
