// stated_input: what options, a preset or a file say about the input of a model; the first who says a thing is heard.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/input_config.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace zeroi2v {

/// An input configuration of which any part may be unsaid.
struct stated_input {
    std::optional<sampling_method> sampling;
    std::optional<std::size_t> interval, clips, crops, resize;
    std::optional<normalization> normalize;
    std::optional<view_average> average;

    friend bool operator==(stated_input const&, stated_input const&) = default;
};

namespace detail {

/// Calls visit(name, member pointer) for every field: the one list of them.
template <class Visit>
constexpr void for_each_input_field(Visit&& visit) {
    visit("sampling", &stated_input::sampling);
    visit("interval", &stated_input::interval);
    visit("clips", &stated_input::clips);
    visit("crops", &stated_input::crops);
    visit("resize", &stated_input::resize);
    visit("normalize", &stated_input::normalize);
    visit("average", &stated_input::average);
}

} // namespace detail

/// All that a whole configuration says.
[[nodiscard]] inline stated_input stated_by(input_config const& c) {
    return {c.sampling, c.interval, c.clips, c.crops, c.resize, c.normalize, c.average};
}

/// What `first` says and, where it is silent, `second`.
[[nodiscard]] inline stated_input or_else(stated_input first, stated_input const& second) {
    detail::for_each_input_field([&](char const*, auto member) {
        if (!(first.*member)) first.*member = second.*member;
    });
    return first;
}

/// What an input is needed for: cutting views needs no way to average their answers.
enum class input_use { views, answers };

/// The configuration that `stated` makes.
/// Errors  a field that is missing -> model_error bad_config naming all of them (`interval` is needed by dense sampling
///         only, `average` by answers only).
[[nodiscard]] inline input_config complete(stated_input const& stated, input_use use = input_use::answers) {
    std::string missing;
    detail::for_each_input_field([&](std::string_view name, auto member) {
        if (stated.*member) return;
        if (name == "interval" && stated.sampling == sampling_method::uniform) return;
        if (name == "average" && use == input_use::views) return;
        missing.append(missing.empty() ? "" : ", ").append(name);
    });
    if (!missing.empty())
        throw model_error{error_code::bad_config, "input: " + missing + (missing.find(", ") == std::string::npos ? " is" : " are")
                                                      + " not stated by option (--" + missing.substr(0, missing.find(',')) + "), preset or file"};
    input_config const unsaid{};
    return {stated.sampling.value_or(unsaid.sampling), stated.interval.value_or(unsaid.interval), stated.clips.value_or(unsaid.clips),
            stated.crops.value_or(unsaid.crops), stated.resize.value_or(unsaid.resize), stated.normalize.value_or(unsaid.normalize),
            stated.average.value_or(unsaid.average)};
}

} // namespace zeroi2v
