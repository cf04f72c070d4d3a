// vit_io: weights of a model from a checkpoint, whole and checked or not at all, and back into a file.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/canonical_source.hpp>
#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/io/checkpoints/vit_shapes.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace zeroi2v {

/// What a caller accepts beyond the rules.
struct load_options {
    bool allow_extra = false;     ///< tensors outside the blocks that are no part of the model are left out, not refused
    bool allow_nonfinite = false; ///< NaN and infinity among the weights
};

namespace detail {

template <class Word>
[[nodiscard]] std::optional<std::size_t> first_nonfinite(std::span<std::byte const> bytes, Word exponent, std::size_t& count) {
    std::optional<std::size_t> first;
    count = 0;
    for (std::size_t i = 0; i < bytes.size() / sizeof(Word); ++i) {
        Word word;
        std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
        if ((word & exponent) != exponent) continue;
        if (!first) first = i;
        ++count;
    }
    return first;
}

} // namespace detail

/// Refuses a weight whose dtype weights do not have, or with values that are not finite (judged by their bits).
/// Errors  checkpoint_error unsupported_dtype; nonfinite_weight with the number of such values and the first one's index.
inline void require_sound_weight(std::string const& file, std::string_view name, stored_tensor const& tensor, load_options options) {
    std::size_t count = 0;
    std::optional<std::size_t> first;
    switch (tensor.type()) {
    case dtype::f32: first = detail::first_nonfinite<std::uint32_t>(tensor.bytes(), 0x7f800000U, count); break;
    case dtype::f16: first = detail::first_nonfinite<std::uint16_t>(tensor.bytes(), 0x7c00U, count); break;
    case dtype::bf16: first = detail::first_nonfinite<std::uint16_t>(tensor.bytes(), 0x7f80U, count); break;
    default:
        throw checkpoint_error{error_code::unsupported_dtype, file + ": tensor " + quoted_name(name) + ": dtype " + std::string{dtype_name(tensor.type())}
                                                                  + " found, F32, F16 or BF16 expected"};
    }
    if (first && !options.allow_nonfinite)
        throw checkpoint_error{error_code::nonfinite_weight, file + ": tensor " + quoted_name(name) + ": " + std::to_string(count) + " of "
                                                                 + std::to_string(tensor.count()) + " values are not finite, the first at index "
                                                                 + std::to_string(*first) + ", finite ones expected"};
}

/// A checkpoint seen as a model: what it says of itself, and its weights on demand.
///
///     auto const file = load_checkpoint("epoch_40.pth");
///     vit_file const source{file};
///     auto const weights = source.load<with_adapters>(source.config(stated_by(presets::clip_b16_k400_8f)));
///
/// Opening reads no tensor; the checkpoint must outlive this. Const members may run concurrently.
/// Errors  of the constructor: as `resolve` and read_vit_metadata.
/// Test    tests/unit/io/checkpoints/vit_io.cpp
class vit_file {
public:
    explicit vit_file(checkpoint const& file)
        : source_{file}, shapes_{source_.tensors(), file.path()}, metadata_{read_vit_metadata(file.metadata(), file.path())} {}

    [[nodiscard]] canonical_source const& source() const noexcept { return source_; }
    [[nodiscard]] std::string const& name() const noexcept { return shapes_.file(); }
    [[nodiscard]] vit_shapes const& shapes() const noexcept { return shapes_; }
    [[nodiscard]] vit_metadata const& metadata() const noexcept { return metadata_; }
    [[nodiscard]] adapter_layout const& layout() const noexcept { return shapes_.layout(); }
    [[nodiscard]] bool has_adapters() const noexcept { return shapes_.has_adapters(); }

    /// What `chosen`, the file's metadata and its shapes say together, in the name of the first of them.
    /// Errors  two of them differ -> model_error config_mismatch (adapter_scale does not count without adapters).
    [[nodiscard]] stated_config stated(std::optional<stated_config> chosen = std::nullopt) const {
        stated_config joined;
        bool first = true;
        std::optional<double> scale;
        for (std::optional<stated_config> each : {std::move(chosen), metadata_.config, std::optional{shapes_.stated()}}) {
            if (!each) continue;
            if (!has_adapters()) {
                if (!scale) scale = each->adapter_scale;
                each->adapter_scale.reset();
            }
            joined = std::exchange(first, false) ? std::move(*each) : agree(std::move(joined), *each);
        }
        if (scale) joined.adapter_scale = scale;
        return joined;
    }

    /// The model that `chosen` and the file make.
    /// Errors  tensors missing or left over, as `load`; config_mismatch; something needed that nobody states -> bad_config.
    [[nodiscard]] vit_config config(std::optional<stated_config> chosen = std::nullopt, load_options options = {}) const {
        require_consistent();
        require_names(expected_names(chosen), options);
        return complete(stated(std::move(chosen)), has_adapters());
    }

    /// All weights, each in the dtype of the file.
    /// Errors  model_error missing_tensors (all names: the first 20 and a count), unexpected_tensors, bad_shape with both
    ///         shapes; checkpoint_error no_adapters where Adapters asks for some and there are none, and as
    ///         require_sound_weight; unexpected_tensors where there are some and none were asked for.
    template <class Adapters>
    [[nodiscard]] vit_weights<Adapters> load(vit_config const& config, load_options options = {}) const {
        require_model<Adapters>(config, options);
        vit_weights<Adapters> weights{config, layout()};
        for_each_tensor(weights, [&](std::string const& tensor, stored_tensor& into, shape const&, parameter_role) {
            into = read_weight(tensor, options);
        });
        return weights;
    }

    /// Nothing but the checks of `load` that need no weight's values.
    template <class Adapters>
    void require_model(vit_config const& config, load_options options = {}) const {
        require_consistent();
        if constexpr (Adapters::present) {
            if (!has_adapters()) throw checkpoint_error{error_code::no_adapters, name() + ": no adapters found, a model with adapters expected"};
        } else if (has_adapters()) {
            throw model_error{error_code::unexpected_tensors, name() + ": adapters found, a model without expected: merge it first"};
        }
        require_names(expected_names(stated_by(config)), options);
        vit_weights<Adapters> const like{config, layout()};
        for_each_tensor(like, [&](std::string const& tensor, stored_tensor const&, shape const& expected, parameter_role) { require_fit(tensor, expected); });
    }

    /// One weight by its official name, in the dtype of the file.
    /// Errors  as require_sound_weight.
    [[nodiscard]] stored_tensor read_weight(std::string const& tensor, load_options options = {}) const {
        stored_tensor read = source_.read(tensor);
        require_sound_weight(name(), tensor, read, options);
        return read;
    }

    /// The names that a model of these adapters and layers has, in the visitor's order, in the form that `chosen` or else the file states.
    [[nodiscard]] std::vector<std::string> expected_names(std::optional<stated_config> const& chosen = std::nullopt) const {
        std::vector<std::string> names;
        vit_sizes const any{.image_size = 1, .patch_size = 1, .frames = 1, .width = 1, .layers = std::max<std::size_t>(shapes_.layers(), 1),
                            .heads = 1, .mlp_width = 1, .classes = 1};
        vit_form form; // of it only what names depend on
        for (stated_config const* each : {metadata_.config ? &*metadata_.config : nullptr, chosen ? &*chosen : nullptr}) {
            if (each == nullptr) continue;
            form.pre_norm = each->pre_norm.value_or(form.pre_norm);
            form.class_token = each->class_token.value_or(form.class_token);
            form.pooling = each->pooling.value_or(form.pooling);
            if (each->rope_theta) form.rope_theta = each->rope_theta;
        }
        form.registers = shapes_.find("backbone.register_tokens") != nullptr ? 1 : 0;
        form.patch_bias = shapes_.find("backbone.conv1.bias") != nullptr;
        vit_sizes const sizes = form.rope_theta ? vit_sizes{any.image_size, any.patch_size, any.frames, 4, any.layers, any.heads, any.mlp_width, any.classes} : any;
        vit_weights<with_adapters> const like{vit_config{sizes, frame_map<>{1}, std::nullopt, form}, layout()};
        for_each_tensor(like, [&](std::string const& tensor, stored_tensor const&, shape const&, parameter_role) { names.push_back(tensor); });
        return names;
    }

    /// Errors  as `load`: what kind of model it is, if not ZeroI2V's; which of `expected` are missing, and what is left over
    ///         beside them.
    void require_names(std::vector<std::string> const& expected, load_options options) const {
        source_.refuse_other_kinds();
        std::vector<std::string> missing;
        for (auto const& tensor : expected)
            if (shapes_.find(tensor) == nullptr) missing.push_back(tensor);
        if (!missing.empty())
            throw model_error{error_code::missing_tensors, name() + ": " + gaps() + count_of(missing.size()) + " missing: " + list_names(missing)};
        require_no_others(expected, options);
    }

    /// Errors  as `load`: what is left over beside `expected`. Inside the blocks nothing may be, whatever the options.
    void require_no_others(std::vector<std::string> const& expected, load_options options) const {
        auto extra = others(expected);
        if (options.allow_extra) std::erase_if(extra, [](std::string const& name) { return !is_inside_block(without_transparent_words(name)); });
        if (!extra.empty())
            throw model_error{error_code::unexpected_tensors, name() + ": " + count_of(extra.size()) + " left over: " + list_names(extra)
                                                                  + (options.allow_extra ? ", none inside a block expected: what is there is never left out"
                                                                                         : ", none beside the model's expected (allow_extra leaves out what is outside its blocks)")};
    }

    /// What `allow_extra` leaves out beside `expected`.
    [[nodiscard]] std::vector<std::string> others(std::vector<std::string> const& expected) const {
        std::set<std::string_view> const known(expected.begin(), expected.end());
        std::vector<std::string> extra(source_.left_over().begin(), source_.left_over().end());
        for (auto const& tensor : source_.tensors())
            if (!known.contains(tensor.name)) extra.push_back(tensor.name);
        return extra;
    }

    /// Errors  model_error bad_shape, checkpoint_error unsupported_dtype, before the tensor is read.
    void require_fit(std::string const& tensor, shape const& expected) const {
        auto const* const found = shapes_.find(tensor);
        if (found == nullptr) throw model_error{error_code::missing_tensors, name() + ": 1 tensor missing: " + tensor};
        if (found->sizes != expected)
            throw model_error{error_code::bad_shape, name() + ": tensor " + quoted_name(tensor) + ": shape " + to_string(found->sizes) + " found, "
                                                         + to_string(expected) + " expected"};
        if (!is_weight_dtype(found->type))
            throw checkpoint_error{error_code::unsupported_dtype, name() + ": tensor " + quoted_name(tensor) + ": dtype "
                                                                      + std::string{dtype_name(found->type)} + " found, F32, F16 or BF16 expected"};
    }

    /// Errors  layers of another kind of model, tensors of it that cannot be read -> as canonical_source::refuse_other_kinds;
    ///         metadata that says merged beside adapters among the tensors -> model_error config_mismatch.
    void require_consistent() const {
        source_.refuse_other_kinds();
        if (metadata_.merged && has_adapters())
            throw model_error{error_code::config_mismatch, name() + ": " + metadata_key::merged + ": true found, the tensors have adapters"};
    }

private:
    /// `block 2 is missing; `: where a number in the row of blocks is.
    [[nodiscard]] std::string gaps() const {
        std::vector<std::string> numbers;
        for (auto const number : shapes_.missing_blocks()) numbers.push_back(std::to_string(number));
        if (numbers.empty()) return {};
        return (numbers.size() == 1 ? "block " : "blocks ") + list_names(numbers) + " of 0 to " + std::to_string(shapes_.layers() - 1)
               + (numbers.size() == 1 ? " is not there; " : " are not there; ");
    }
    [[nodiscard]] static std::string count_of(std::size_t count) { return std::to_string(count) + (count == 1 ? " tensor" : " tensors"); }

    canonical_source source_;
    vit_shapes shapes_;
    vit_metadata metadata_;
};

/// The weights of a model with adapters.
///
///     auto const file    = load_checkpoint("epoch_40.pth");
///     auto const adapted = load_adapted_vit(file, presets::clip_b16_k400_8f);
///
/// Errors  as vit_file.     Cost  memory: the weights once.     Test  tests/unit/io/checkpoints/vit_io.cpp
[[nodiscard]] inline adapted_vit load_adapted_vit(checkpoint const& file, stated_config chosen, load_options options = {}) {
    vit_file const source{file};
    source.require_consistent();
    if (!source.has_adapters()) throw checkpoint_error{error_code::no_adapters, source.name() + ": no adapters found, a model with adapters expected"};
    return source.load<with_adapters>(source.config(std::move(chosen), options), options);
}
[[nodiscard]] inline adapted_vit load_adapted_vit(checkpoint const& file, preset const& chosen, load_options options = {}) {
    return load_adapted_vit(file, stated_by(chosen), options);
}
[[nodiscard]] inline adapted_vit load_adapted_vit(checkpoint const& file, vit_config const& chosen, load_options options = {}) {
    return load_adapted_vit(file, stated_by(chosen), options);
}

/// The weights of a model without adapters: merged, or never had any.
/// Errors, Cost, Test  as load_adapted_vit; a file with adapters -> model_error unexpected_tensors.
[[nodiscard]] inline merged_vit load_merged_vit(checkpoint const& file, std::optional<stated_config> chosen = std::nullopt, load_options options = {}) {
    vit_file const source{file};
    return source.load<no_adapters>(source.config(std::move(chosen), options), options);
}
[[nodiscard]] inline merged_vit load_merged_vit(checkpoint const& file, preset const& chosen, load_options options = {}) {
    return load_merged_vit(file, stated_by(chosen), options);
}
[[nodiscard]] inline merged_vit load_merged_vit(checkpoint const& file, vit_config const& chosen, load_options options = {}) {
    return load_merged_vit(file, stated_by(chosen), options);
}

/// Weights of either kind, as the file has them.
using any_vit = std::variant<adapted_vit, merged_vit>;

[[nodiscard]] inline any_vit load_vit(vit_file const& source, vit_config const& config, load_options options = {}) {
    if (source.has_adapters()) return source.load<with_adapters>(config, options);
    return source.load<no_adapters>(config, options);
}

/// Writes weights under their official names, tensor by tensor, atomically.
/// Errors  as safetensors_writer.     Test  tests/unit/io/checkpoints/vit_io.cpp
template <class Adapters>
void save_vit(std::filesystem::path const& target, vit_weights<Adapters> const& weights, safetensors_options const& options = {}) {
    std::vector<tensor_info> declared;
    std::map<std::string, stored_tensor const*, std::less<>> tensors;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const&, parameter_role) {
        declared.push_back({name, tensor.type(), tensor.sizes()});
        tensors.emplace(name, &tensor);
    });
    safetensors_writer writer{target, std::move(declared), options};
    for (auto const& info : writer.tensors()) writer.append(info.name, *tensors.find(info.name)->second);
    writer.commit();
}

} // namespace zeroi2v
