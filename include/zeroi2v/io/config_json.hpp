// config_json: configurations as JSON text, strictly read: every entry known, of the right type, and there once.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/json_text.hpp>
#include <zeroi2v/io/nearest_name.hpp>
#include <zeroi2v/io/printable.hpp>
#include <zeroi2v/io/text_file.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

namespace detail {

[[nodiscard]] inline char const* json_noun(nlohmann::ordered_json const& value) noexcept {
    switch (value.type()) {
    case nlohmann::ordered_json::value_t::object: return "an object";
    case nlohmann::ordered_json::value_t::array: return "a list";
    case nlohmann::ordered_json::value_t::string: return "a string";
    case nlohmann::ordered_json::value_t::boolean: return "true or false";
    case nlohmann::ordered_json::value_t::number_float: return "a fraction";
    case nlohmann::ordered_json::value_t::number_integer: return "a negative number";
    case nlohmann::ordered_json::value_t::number_unsigned: return "a whole number";
    default: return "null";
    }
}

/// The object that `text` holds, its names unique.
/// Errors  not JSON -> checkpoint_error bad_json (or header_not_utf8) with line and column; no object, a name given
///         twice, a number beyond double -> model_error bad_config.
[[nodiscard]] inline nlohmann::ordered_json parse_config_object(std::string_view text, std::string const& source) {
    using nlohmann::ordered_json;
    auto const refuse = [&](std::string const& sentence) { throw model_error{error_code::bad_config, source + ": " + sentence}; };
    if (auto const fault = find_json_fault(text, {.depth = 8, .members = 4096, .name_bytes = 1024}))
        throw checkpoint_error{fault->code, source + ": " + line_and_column(text, fault->position) + ": " + fault->sentence};
    std::set<std::string> names;
    std::string twice;
    ordered_json::parser_callback_t const see_names = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
        if (depth == 1 && event == ordered_json::parse_event_t::key && !names.insert(parsed.get<std::string>()).second && twice.empty())
            twice = parsed.get<std::string>();
        return true;
    };
    ordered_json object;
    try {
        object = ordered_json::parse(text, see_names);
    } catch (ordered_json::parse_error const& fault) {
        throw checkpoint_error{error_code::bad_json, source + ": " + line_and_column(text, fault.byte == 0 ? 0 : fault.byte - 1)
                                                         + ": not JSON"};
    } catch (ordered_json::out_of_range const&) {
        refuse("a number too large for a double found");
    }
    if (!object.is_object()) refuse(std::string{json_noun(object)} + " found, an object expected");
    if (!twice.empty()) refuse(printable(twice) + ": given twice");
    return object;
}

[[noreturn]] inline void refuse_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value,
                                           std::string const& expected) {
    std::string found = json_noun(value);
    if (value.is_number() || value.is_string()) found = printable(value.dump(), 80);
    throw model_error{error_code::bad_config, source + ": " + std::string{name} + ": " + found + " found, " + expected + " expected"};
}

[[nodiscard]] inline std::size_t json_size(std::string const& source, std::string_view name, nlohmann::ordered_json const& value) {
    std::uint64_t const largest = name == "clips" ? input_limits::clips : name == "resize" ? input_limits::resize : std::uint64_t{1} << 20U;
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 || value.get<std::uint64_t>() > largest)
        refuse_json_value(source, name, value, "a whole number from 1 to " + std::to_string(largest));
    return value.get<std::size_t>();
}

inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<std::size_t>& out) {
    out = json_size(source, name, value);
}
inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<double>& out) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse_json_value(source, name, value, "a number");
    out = value.get<double>();
}
inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value,
                            std::optional<std::vector<int>>& out) {
    if (!value.is_array()) refuse_json_value(source, name, value, "a list of one whole number per head");
    std::vector<int> numbers;
    for (auto const& entry : value) {
        constexpr std::int64_t limit = 1 << 15;
        bool const sound = entry.is_number_integer() && (!entry.is_number_unsigned() || entry.get<std::uint64_t>() < limit);
        if (!sound || entry.get<std::int64_t>() <= -limit)
            refuse_json_value(source, std::string{name} + "[" + std::to_string(numbers.size()) + "]", entry, "a whole number from -32767 to 32767");
        numbers.push_back(entry.get<int>());
    }
    out = std::move(numbers);
}

template <class Enum>
void read_json_name(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<Enum>& out,
                    std::optional<Enum> (*from_name)(std::string_view) noexcept, std::string const& expected) {
    if (value.is_string()) out = from_name(value.get_ref<std::string const&>());
    if (!out) refuse_json_value(source, name, value, expected);
}
inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<sampling_method>& out) {
    read_json_name<sampling_method>(source, name, value, out, sampling_from_name, "\"dense\" or \"uniform\"");
}
inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<normalization>& out) {
    read_json_name<normalization>(source, name, value, out, normalization_from_name, "\"zeroi2v\" or \"clip\"");
}
inline void read_json_value(std::string const& source, std::string_view name, nlohmann::ordered_json const& value, std::optional<view_average>& out) {
    read_json_name<view_average>(source, name, value, out, average_from_name, "\"prob\" or \"score\"");
}

/// Fills the fields of `out` that `text` names. `for_each` lists them as visit(name, member pointer).
template <class Stated, class ForEach>
void read_fields(std::string_view text, std::string const& source, Stated& out, ForEach for_each) {
    auto const object = parse_config_object(text, source);
    std::vector<std::string_view> known;
    for_each([&](char const* name, auto) { known.emplace_back(name); });
    for (auto const& [key, value] : object.items()) {
        bool found = false;
        for_each([&, &key = key, &value = value](char const* name, auto member) {
            if (key != name) return;
            found = true;
            read_json_value(source, name, value, out.*member);
        });
        if (!found) throw model_error{error_code::bad_config, source + ": " + printable(key) + ": unknown entry" + did_you_mean(key, known)};
    }
}

inline void append_field(nlohmann::ordered_json& object, char const* name, std::size_t value) { object[name] = value; }
inline void append_field(nlohmann::ordered_json& object, char const* name, double value) { object[name] = value; }
inline void append_field(nlohmann::ordered_json& object, char const* name, std::vector<int> const& value) { object[name] = value; }
template <class Enum>
    requires std::is_enum_v<Enum>
void append_field(nlohmann::ordered_json& object, char const* name, Enum value) { object[name] = std::string{to_string(value)}; }

} // namespace detail

/// What a model configuration in JSON says. `source` names it in messages and in comparisons with other sources.
///
///   {"image_size":224,"patch_size":16,"frames":8,"width":768,"layers":12,"heads":12,"mlp_width":3072,"classes":400,
///    "adapter_scale":0.5,"head_offsets":[-1,1,0,0,0,0,0,0,0,0,0,0]}
///
/// Errors  not JSON -> checkpoint_error bad_json; an unknown entry (with the nearest known one), one given twice, or one
///         of a wrong type or range -> model_error bad_config.
/// Test    tests/unit/io/config_json.cpp
[[nodiscard]] inline stated_config config_from_json(std::string_view text, std::string source) {
    stated_config stated;
    stated.source = std::move(source);
    detail::read_fields(text, stated.source, stated, [](auto&& visit) { detail::for_each_field(visit); });
    return stated;
}

/// What an input configuration in JSON says.
///
///   {"sampling":"dense","interval":16,"clips":3,"crops":1,"resize":224,"normalize":"zeroi2v","average":"prob"}
///
/// Errors, Test  as config_from_json.
[[nodiscard]] inline stated_input input_from_json(std::string_view text, std::string const& source) {
    stated_input stated;
    detail::read_fields(text, source, stated, [](auto&& visit) { detail::for_each_input_field(visit); });
    if (stated.crops && *stated.crops != 1 && *stated.crops != 3)
        throw model_error{error_code::bad_config, source + ": crops: " + std::to_string(*stated.crops) + " found, 1 or 3 expected"};
    return stated;
}

/// The JSON of all that is stated, in one line.
/// Post-condition  config_from_json(to_json(c), c.source) states the same.
[[nodiscard]] inline nlohmann::ordered_json to_json(stated_config const& stated) {
    auto object = nlohmann::ordered_json::object();
    detail::for_each_field([&](char const* name, auto member) {
        if (stated.*member) detail::append_field(object, name, *(stated.*member));
    });
    return object;
}
[[nodiscard]] inline nlohmann::ordered_json to_json(stated_input const& stated) {
    auto object = nlohmann::ordered_json::object();
    detail::for_each_input_field([&](char const* name, auto member) {
        if (stated.*member) detail::append_field(object, name, *(stated.*member));
    });
    return object;
}

/// What a configuration file says.
/// Errors  unreadable, UTF-16 or not JSON -> usage_error; otherwise as config_from_json.
[[nodiscard]] inline stated_config read_config_file(std::filesystem::path const& path) {
    auto const text = read_text_file(path, error_code::bad_json, std::size_t{1} << 20U);
    try {
        return config_from_json(text, printable(path.native(), 4096));
    } catch (checkpoint_error const& fault) {
        throw usage_error{fault.code(), fault.what()};
    }
}

} // namespace zeroi2v
