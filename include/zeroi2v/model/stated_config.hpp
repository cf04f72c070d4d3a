// stated_config: what one source (a preset, a file, the shapes of tensors) says about a model; sources must agree.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_form.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace zeroi2v {

/// An activation as sources state it: one, or that there is doubt about it, which any other statement settles.
struct stated_activation {
    std::optional<activation> which{}; ///< empty: in doubt

    friend constexpr bool operator==(stated_activation, stated_activation) = default;
};

inline constexpr std::string_view activation_in_doubt = "unstated"; ///< as configurations spell it

[[nodiscard]] constexpr std::string_view to_string(stated_activation stated) noexcept { return stated.which ? to_string(*stated.which) : activation_in_doubt; }

/// A configuration of which any part may be unsaid, with the name of who says it.
///
/// Checkpoints hold shapes but neither head count, head offsets nor adapter scale; presets and configuration files hold
/// those. `agree` joins two sources and `complete` makes a vit_config of the result; nothing unsaid is ever guessed.
struct stated_config {
    std::string source{}; ///< as error messages name it
    std::optional<std::size_t> image_size{}, patch_size{}, frames{}, width{}, layers{}, heads{}, mlp_width{}, classes{};
    std::optional<double> adapter_scale{};
    std::optional<std::vector<int>> head_offsets{};
    // The form; what is unsaid is CLIP's.
    std::optional<stated_activation> activation{};
    std::optional<double> norm_epsilon{};
    std::optional<bool> pre_norm{}, class_token{};
    std::optional<std::size_t> registers{};
    std::optional<frame_pooling> pooling{};
    std::optional<pool_norm_place> pool_norm{};
    std::optional<double> rope_theta{};
    bool patch_bias = false; ///< of conv1; said by its tensor alone
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
    visit("activation", &stated_config::activation);
    visit("norm_epsilon", &stated_config::norm_epsilon);
    visit("pre_norm", &stated_config::pre_norm);
    visit("class_token", &stated_config::class_token);
    visit("registers", &stated_config::registers);
    visit("pooling", &stated_config::pooling);
    visit("pool_norm", &stated_config::pool_norm);
    visit("rope_theta", &stated_config::rope_theta);
}

/// Whether a model needs the field to be said: those of the form have CLIP's value where nobody says another.
[[nodiscard]] constexpr bool must_be_stated(std::string_view name, bool adapters) noexcept {
    for (std::string_view const form : {"activation", "norm_epsilon", "pre_norm", "class_token", "registers", "pooling", "pool_norm", "rope_theta"})
        if (name == form) return false;
    return adapters || name != "adapter_scale";
}

[[nodiscard]] inline std::string field_text(std::size_t value) { return std::to_string(value); }
[[nodiscard]] inline std::string field_text(double value) {
    std::array<char, 32> digits;
    auto const [end, fault] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    std::string text{digits.data(), fault == std::errc{} ? end : digits.data()};
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}
[[nodiscard]] inline std::string field_text(bool value) { return value ? "true" : "false"; }
template <class Enum>
    requires std::is_enum_v<Enum> || std::is_same_v<Enum, stated_activation>
[[nodiscard]] std::string field_text(Enum value) { return std::string{to_string(value)}; }
[[nodiscard]] inline std::string field_text(std::vector<int> const& values) {
    std::string text = "[";
    for (std::size_t i = 0; i < values.size(); ++i) text.append(i == 0 ? "" : ",").append(std::to_string(values[i]));
    return text + "]";
}

[[nodiscard]] inline vit_form form_of(stated_config const& stated) {
    vit_form const clip;
    return {.act = stated.activation ? stated.activation->which.value() : clip.act,
            .norm_epsilon = stated.norm_epsilon.value_or(clip.norm_epsilon),
            .pre_norm = stated.pre_norm.value_or(clip.pre_norm),
            .class_token = stated.class_token.value_or(clip.class_token),
            .registers = stated.registers.value_or(clip.registers),
            .pooling = stated.pooling.value_or(clip.pooling),
            .pool_norm = stated.pool_norm.value_or(clip.pool_norm),
            .rope_theta = stated.rope_theta,
            .patch_bias = stated.patch_bias};
}

[[nodiscard]] inline vit_config config_of(stated_config const& stated, bool adapters) {
    return {{*stated.image_size, *stated.patch_size, *stated.frames, *stated.width, *stated.layers, *stated.heads,
             *stated.mlp_width, *stated.classes},
            frame_map<>{std::span<int const>{*stated.head_offsets}},
            adapters ? stated.adapter_scale : std::nullopt, form_of(stated)};
}

} // namespace detail

/// What a form says, into `stated`.
inline void state_form(stated_config& stated, vit_form const& form) {
    stated.activation = stated_activation{form.act};
    stated.norm_epsilon = form.norm_epsilon;
    stated.pre_norm = form.pre_norm;
    stated.class_token = form.class_token;
    stated.registers = form.registers;
    stated.pooling = form.pooling;
    stated.pool_norm = form.pool_norm;
    stated.rope_theta = form.rope_theta;
    stated.patch_bias = form.patch_bias;
}

/// All that a preset says.
[[nodiscard]] inline stated_config stated_by(preset const& p) {
    stated_config stated{.source = "preset " + std::string{p.name}, .image_size = p.sizes.image_size, .patch_size = p.sizes.patch_size,
            .frames = p.sizes.frames, .width = p.sizes.width, .layers = p.sizes.layers, .heads = p.sizes.heads,
            .mlp_width = p.sizes.mlp_width, .classes = p.sizes.classes, .adapter_scale = p.adapter_scale,
            .head_offsets = std::vector<int>(p.offsets().begin(), p.offsets().end())};
    state_form(stated, p.form);
    return stated;
}

/// All that a configuration says.
[[nodiscard]] inline stated_config stated_by(vit_config const& c, std::string source = "config") {
    auto const offsets = c.map().offsets();
    stated_config stated{.source = std::move(source), .image_size = c.image_size(), .patch_size = c.patch_size(), .frames = c.frames(),
            .width = c.width(), .layers = c.layers(), .heads = c.heads(), .mlp_width = c.mlp_width(), .classes = c.classes(),
            .adapter_scale = c.adapter_scale(), .head_offsets = std::vector<int>(offsets.begin(), offsets.end())};
    state_form(stated, c.form());
    return stated;
}

/// What `first` or `second` says. The result speaks in the name of `first`.
/// Errors  a field that both state, differently -> model_error config_mismatch naming field, values and sources.
[[nodiscard]] inline stated_config agree(stated_config first, stated_config const& second) {
    detail::for_each_field([&](char const* name, auto member) {
        auto& mine = first.*member;
        auto const& theirs = second.*member;
        if (!theirs) return;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(*mine)>, stated_activation>) {
            if (mine && !theirs->which) return; // their doubt is settled, or mine is by what follows
            if (mine && !mine->which) mine.reset();
        }
        if (mine && *mine != *theirs)
            throw model_error{error_code::config_mismatch, second.source + ": " + name + ": " + detail::field_text(*theirs) + " found, "
                                                               + first.source + " says " + detail::field_text(*mine)};
        mine = theirs;
    });
    first.patch_bias = first.patch_bias || second.patch_bias;
    return first;
}

/// The configuration that `stated` makes.
/// Errors  a field that is missing -> model_error bad_config naming it and how to say it (`adapter_scale` is needed only
///         with adapters); a configuration that is not sound -> as vit_config.
[[nodiscard]] inline vit_config complete(stated_config const& stated, bool adapters) {
    std::string missing;
    detail::for_each_field([&](std::string_view name, auto member) {
        if (!(stated.*member) && detail::must_be_stated(name, adapters)) missing.append(missing.empty() ? "" : ", ").append(name);
    });
    if (!missing.empty())
        throw model_error{error_code::bad_config, stated.source + ": " + missing
                              + (missing.find(", ") == std::string::npos ? " is" : " are")
                              + " not stated; give a preset or a config file: the weights alone do not say it"};
    if (stated.activation && !stated.activation->which)
        throw model_error{error_code::bad_config, stated.source + ": activation: not stated; --activation quick_gelu, gelu or gelu_tanh (or a config file) says it: the weights alone do not"};
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
