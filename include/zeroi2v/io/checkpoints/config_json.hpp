// config_json: configurations as JSON text, strictly read: every entry known, of the right type, and there once.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/io/files/nearest_name.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/text_file.hpp>
#include <zeroi2v/io/json/json_text.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/stated_input.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace zeroi2v {

namespace detail {

inline constexpr std::size_t config_bytes = std::size_t{1} << 20U; ///< of a text that says what a model or an input is
inline constexpr std::size_t config_elements = 65'535;             ///< of one list in it: heads

/// The object that `text` holds, its names unique.
/// Cost    memory of a few times `bytes`, whatever the text is: a longer one is refused by its size.
/// Errors  not JSON -> checkpoint_error bad_json (or header_not_utf8, too_deep, name_too_long) with line and column; a text or
///         list that is too long, no object, a name given twice, a number beyond double -> model_error bad_config.
[[nodiscard]] inline json_value parse_config_object(std::string_view text, std::string const& source, std::size_t bytes = config_bytes,
                                                    std::size_t elements = config_elements) {
    auto const refuse = [&](std::string const& sentence) { throw model_error{error_code::bad_config, source + ": " + sentence}; };
    if (text.size() > bytes) refuse(std::to_string(text.size()) + " bytes found, a text of at most " + std::to_string(bytes) + " expected");
    json_value document;
    try {
        document = json_value::parse(text, source, {.depth = 8, .members = 4096, .name_bytes = 1024, .elements = elements});
    } catch (checkpoint_error const& fault) {
        if (fault.code() == error_code::too_many_tensors || fault.code() == error_code::bad_config) throw model_error{error_code::bad_config, fault.what()};
        throw;
    }
    auto const* const object = document.as_object();
    if (object == nullptr) refuse(std::string{document.noun()} + " found, an object expected");
    std::set<std::string_view> names;
    for (auto const& name : object->names)
        if (!names.insert(name).second) refuse(printable(name) + ": given twice");
    return document;
}

[[noreturn]] inline void refuse_json_value(std::string const& source, std::string_view name, json_value const& value,
                                           std::string const& expected) {
    std::string found = value.noun();
    if (value.is_number() || value.as_string() != nullptr) found = printable(value.dump(), 80);
    throw model_error{error_code::bad_config, source + ": " + std::string{name} + ": " + found + " found, " + expected + " expected"};
}

[[nodiscard]] inline std::size_t json_size(std::string const& source, std::string_view name, json_value const& value) {
    std::uint64_t const largest = name == "clips" ? input_limits::clips : name == "resize" ? input_limits::resize : std::uint64_t{1} << 20U;
    std::uint64_t const smallest = name == "registers" ? 0 : 1;
    auto const whole = value.as_unsigned();
    if (!whole || *whole < smallest || *whole > largest)
        refuse_json_value(source, name, value, "a whole number from " + std::to_string(smallest) + " to " + std::to_string(largest));
    return static_cast<std::size_t>(*whole);
}

inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<std::size_t>& out) {
    out = json_size(source, name, value);
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<bool>& out) {
    out = value.as_boolean();
    if (!out) refuse_json_value(source, name, value, "true or false");
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<double>& out) {
    auto const number = value.as_number();
    if (!number || !is_finite(*number)) refuse_json_value(source, name, value, "a number");
    out = *number;
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value,
                            std::optional<std::vector<int>>& out) {
    auto const* const entries = value.as_array();
    if (entries == nullptr) refuse_json_value(source, name, value, "a list of one whole number per head");
    std::vector<int> numbers;
    numbers.reserve(entries->size());
    for (auto const& entry : *entries) {
        constexpr std::int64_t limit = 1 << 15;
        auto const whole = entry.as_integer();
        if (!whole || *whole >= limit || *whole <= -limit)
            refuse_json_value(source, std::string{name} + "[" + std::to_string(numbers.size()) + "]", entry, "a whole number from -32767 to 32767");
        numbers.push_back(static_cast<int>(*whole));
    }
    out = std::move(numbers);
}

template <class Enum>
void read_json_name(std::string const& source, std::string_view name, json_value const& value, std::optional<Enum>& out,
                    std::optional<Enum> (*from_name)(std::string_view) noexcept, std::string const& expected) {
    if (auto const* const text = value.as_string()) out = from_name(*text);
    if (!out) refuse_json_value(source, name, value, expected);
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<sampling_method>& out) {
    read_json_name<sampling_method>(source, name, value, out, sampling_from_name, "\"dense\" or \"uniform\"");
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<normalization>& out) {
    read_json_name<normalization>(source, name, value, out, normalization_from_name, "\"zeroi2v\" or \"clip\"");
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<view_average>& out) {
    read_json_name<view_average>(source, name, value, out, average_from_name, "\"prob\" or \"score\"");
}

inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<stated_activation>& out) {
    auto const* const text = value.as_string();
    auto const which = text != nullptr ? activation_from_name(*text) : std::nullopt;
    if ((!which || *which == activation::none) && (text == nullptr || *text != activation_in_doubt))
        refuse_json_value(source, name, value, "\"quick_gelu\", \"gelu\", \"gelu_tanh\" or \"unstated\"");
    out = stated_activation{which};
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<frame_pooling>& out) {
    read_json_name<frame_pooling>(source, name, value, out, pooling_from_name, "\"class\", \"mean\" or \"attention\"");
}
inline void read_json_value(std::string const& source, std::string_view name, json_value const& value, std::optional<pool_norm_place>& out) {
    read_json_name<pool_norm_place>(source, name, value, out, pool_norm_from_name, "\"before\" or \"after\"");
}

/// Fills the fields of `out` that `text` names. `for_each` lists them as visit(name, member pointer).
template <class Stated, class ForEach>
void read_fields(std::string_view text, std::string const& source, Stated& out, ForEach for_each) {
    auto const document = parse_config_object(text, source);
    auto const& object = *document.as_object();
    std::vector<std::string_view> known;
    for_each([&](char const* name, auto) { known.emplace_back(name); });
    for (std::size_t i = 0; i < object.names.size(); ++i) {
        auto const& key = object.names[i];
        bool found = false;
        for_each([&](char const* name, auto member) {
            if (key != name) return;
            found = true;
            read_json_value(source, name, object.values[i], out.*member);
        });
        if (!found) throw model_error{error_code::bad_config, source + ": " + printable(key) + ": unknown entry" + did_you_mean(key, known)};
    }
}

/// Everything that `stated` says, in the order of its fields.
template <class Stated, class ForEach>
[[nodiscard]] json_value fields_as_json(Stated const& stated, ForEach for_each) {
    auto object = json_value::object();
    for_each([&](char const* name, auto member) {
        auto const& value = stated.*member;
        if (!value) return;
        using type = std::remove_cvref_t<decltype(*value)>;
        if constexpr (std::is_enum_v<type> || std::is_same_v<type, stated_activation>) object.set(name, to_string(*value));
        else object.set(name, *value);
    });
    return object;
}

} // namespace detail

/// What a model configuration in JSON says. `source` names it in messages and in comparisons with other sources.
///
///   {"image_size":224,"patch_size":16,"frames":8,"width":768,"layers":12,"heads":12,"mlp_width":3072,"classes":400,
///    "adapter_scale":0.5,"head_offsets":[-1,1,0,0,0,0,0,0,0,0,0,0]}
///
/// Errors  not JSON -> checkpoint_error bad_json; a text of more than 1 MB or with more than 65535 heads, an unknown entry (with
///         the nearest known one), one given twice, or one of a wrong type or range -> model_error bad_config.
/// Test    tests/unit/io/checkpoints/config_json.cpp
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
[[nodiscard]] inline json_value to_json(stated_config const& stated) {
    return detail::fields_as_json(stated, [](auto&& visit) { detail::for_each_field(visit); });
}
[[nodiscard]] inline json_value to_json(stated_input const& stated) {
    return detail::fields_as_json(stated, [](auto&& visit) { detail::for_each_input_field(visit); });
}

/// What a configuration file says.
/// Errors  unreadable, UTF-16 or not JSON -> usage_error; otherwise as config_from_json.
[[nodiscard]] inline stated_config read_config_file(std::filesystem::path const& path) {
    auto const text = read_text_file(path, error_code::bad_json, detail::config_bytes);
    try {
        return config_from_json(text, printable(path.native(), 4096));
    } catch (checkpoint_error const& fault) {
        throw usage_error{fault.code(), fault.what()};
    }
}

} // namespace zeroi2v
