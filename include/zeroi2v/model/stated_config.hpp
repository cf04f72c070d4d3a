// stated_config: what one source (a preset, a file, the shapes of tensors) says about a model; sources must agree.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// A configuration of which any part may be unsaid, with the name of who says it.
///
/// Checkpoints hold shapes but neither head count, head offsets nor adapter scale; presets and configuration files hold
/// those. `agree` joins two sources and `complete` makes a vit_config of the result; nothing unsaid is ever guessed.
struct stated_config {
    std::string source{}; ///< as error messages name it
    std::optional<std::size_t> image_size{}, patch_size{}, frames{}, width{}, layers{}, heads{}, mlp_width{}, classes{};
    std::optional<double> adapter_scale{};
    std::optional<std::vector<int>> head_offsets{};
};

namespace detail {

/// Calls visit(name, member pointer) for every field: the one list of them.
template <class Visit>
constexpr void for_each_field(Visit&& visit) {
    visit("image_size", &stated_config::image_size);
    visit("patch_size", &stated_config::patch_size);
    visit("frames", &stated_config::frames);
    visit("width", &stated_config::width);
    visit("layers", &stated_config::layers);
    visit("heads", &stated_config::heads);
    visit("mlp_width", &stated_config::mlp_width);
    visit("classes", &stated_config::classes);
    visit("adapter_scale", &stated_config::adapter_scale);
    visit("head_offsets", &stated_config::head_offsets);
}

[[nodiscard]] inline std::string field_text(std::size_t value) { return std::to_string(value); }
[[nodiscard]] inline std::string field_text(double value) {
    std::string text = std::to_string(value);
    while (text.size() > 1 && text.back() == '0' && text[text.size() - 2] != '.') text.pop_back();
    return text;
}
[[nodiscard]] inline std::string field_text(std::vector<int> const& values) {
    std::string text = "[";
    for (std::size_t i = 0; i < values.size(); ++i) text.append(i == 0 ? "" : ",").append(std::to_string(values[i]));
    return text + "]";
}

[[nodiscard]] inline vit_config config_of(stated_config const& stated, bool adapters) {
    return {{*stated.image_size, *stated.patch_size, *stated.frames, *stated.width, *stated.layers, *stated.heads,
             *stated.mlp_width, *stated.classes},
            frame_map<>{std::span<int const>{*stated.head_offsets}},
            adapters ? stated.adapter_scale : std::nullopt};
}

} // namespace detail

/// All that a preset says.
[[nodiscard]] inline stated_config stated_by(preset const& p) {
    return {.source = "preset " + std::string{p.name}, .image_size = p.sizes.image_size, .patch_size = p.sizes.patch_size,
            .frames = p.sizes.frames, .width = p.sizes.width, .layers = p.sizes.layers, .heads = p.sizes.heads,
            .mlp_width = p.sizes.mlp_width, .classes = p.sizes.classes, .adapter_scale = p.adapter_scale,
            .head_offsets = std::vector<int>(p.offsets().begin(), p.offsets().end())};
}

/// All that a configuration says.
[[nodiscard]] inline stated_config stated_by(vit_config const& c, std::string source = "config") {
    auto const offsets = c.map().offsets();
    return {.source = std::move(source), .image_size = c.image_size(), .patch_size = c.patch_size(), .frames = c.frames(),
            .width = c.width(), .layers = c.layers(), .heads = c.heads(), .mlp_width = c.mlp_width(), .classes = c.classes(),
            .adapter_scale = c.adapter_scale(), .head_offsets = std::vector<int>(offsets.begin(), offsets.end())};
}

/// What `first` or `second` says. The result speaks in the name of `first`.
/// Errors  a field that both state, differently -> model_error config_mismatch naming field, values and sources.
[[nodiscard]] inline stated_config agree(stated_config first, stated_config const& second) {
    detail::for_each_field([&](char const* name, auto member) {
        auto& mine = first.*member;
        auto const& theirs = second.*member;
        if (!theirs) return;
        if (mine && *mine != *theirs)
            throw model_error{error_code::config_mismatch, second.source + ": " + name + ": " + detail::field_text(*theirs) + " found, "
                                                               + first.source + " says " + detail::field_text(*mine)};
        mine = theirs;
    });
    return first;
}

/// The configuration that `stated` makes.
/// Errors  a field that is missing -> model_error bad_config naming it and how to say it (`adapter_scale` is needed only
///         with adapters); a configuration that is not sound -> as vit_config.
[[nodiscard]] inline vit_config complete(stated_config const& stated, bool adapters) {
    std::string missing;
    detail::for_each_field([&](std::string_view name, auto member) {
        if (!(stated.*member) && (adapters || name != "adapter_scale")) missing.append(missing.empty() ? "" : ", ").append(name);
    });
    if (!missing.empty())
        throw model_error{error_code::bad_config, stated.source + ": " + missing
                              + (missing.find(", ") == std::string::npos ? " is" : " are")
                              + " not stated; give a preset or a config file: the weights alone do not say it"};
    std::size_t const listed = stated.head_offsets->size();
    if (!frame_map_predicates::valid_head_count(listed))
        throw model_error{error_code::bad_config, stated.source + ": head_offsets: " + std::to_string(listed) + " found, one per head ("
                                                      + std::to_string(*stated.heads) + ") expected"};
    try {
        return detail::config_of(stated, adapters);
    } catch (model_error const& fault) { // in the name of who states it
        constexpr std::string_view unnamed = "config: ";
        std::string_view const sentence = fault.what();
        if (!sentence.starts_with(unnamed)) throw;
        throw model_error{fault.code(), stated.source + ": " + std::string{sentence.substr(unnamed.size())}};
    }
}
} // namespace zeroi2v
