// vit_shapes: what the names and shapes of a file's tensors say about the model, and nothing more.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The tensors of a file under their ZeroI2V names, looked at but not read.
///
/// Shapes are taken from vectors where there are any (class_embedding, biases, ...), so that a transposed matrix is found
/// later as a matrix of a wrong shape and does not pass for another model.
/// Test  tests/unit/io/checkpoints/vit_shapes.cpp
class vit_shapes {
public:
    /// `file` names it in messages. The tensors must outlive this.
    vit_shapes(std::span<tensor_info const> tensors, std::string file) : file_{std::move(file)} {
        for (auto const& tensor : tensors) {
            by_name_.emplace(tensor.name, &tensor);
            see_block(tensor.name);
        }
        for (adapter_site_info const& site : adapter_sites)
            if (adapters_.contains(site.name)) see_adapter(site);
    }

    [[nodiscard]] std::string const& file() const noexcept { return file_; }
    /// The adapters of any block, and the rank of the first one.
    [[nodiscard]] adapter_layout const& layout() const noexcept { return layout_; }
    [[nodiscard]] bool has_adapters() const noexcept { return layout_.any(); }
    /// Whether any tensor of an image model is there.
    [[nodiscard]] bool has_backbone() const noexcept { return layers_ > 0 || find("backbone.class_embedding") != nullptr || find("backbone.conv1.weight") != nullptr; }
    /// Whether what an image model lacks is there: temporal embedding and head.
    [[nodiscard]] bool has_video_parts() const noexcept {
        return find("backbone.temporal_embedding") != nullptr || find("cls_head.fc_cls.weight") != nullptr;
    }
    /// One more than the highest block number.
    [[nodiscard]] std::size_t layers() const noexcept { return layers_; }
    /// Numbers below the highest one that no block has.
    [[nodiscard]] std::vector<std::size_t> missing_blocks() const {
        std::vector<std::size_t> numbers;
        for (std::size_t i = 0; i < layers_; ++i)
            if (!blocks_.contains(i)) numbers.push_back(i);
        return numbers;
    }

    [[nodiscard]] tensor_info const* find(std::string_view name) const noexcept {
        auto const found = by_name_.find(name);
        return found == by_name_.end() ? nullptr : found->second;
    }

    /// All that the shapes say; never heads, head offsets or adapter scale.
    /// Errors  a tensor of another rank than its role has -> model_error bad_shape; position rows that are not one more than
    ///         a square -> model_error bad_config.
    [[nodiscard]] stated_config stated() const {
        stated_config result;
        result.source = file_ + " (shapes)";
        for (char const* const vector : {"backbone.class_embedding", "backbone.ln_pre.bias", "backbone.ln_post.bias"})
            if (!result.width) result.width = length(vector, {});
        if (auto const* const registers = ranked("backbone.register_tokens", 2, "(registers,C)")) result.registers = registers->sizes[0];
        result.patch_bias = find("backbone.conv1.bias") != nullptr;
        result.classes = length("cls_head.fc_cls.bias", {});
        result.mlp_width = length("backbone.transformer.resblocks.0.mlp.c_fc.bias", {});
        if (layers_ > 0) result.layers = layers_;
        if (auto const* const conv = ranked("backbone.conv1.weight", 4, "(C,3,p,p)")) result.patch_size = conv->sizes[3];
        if (auto const* const time = ranked("backbone.temporal_embedding", 3, "(1,T,C)")) result.frames = time->sizes[1];
        if (auto const* const places = ranked("backbone.positional_embedding", 2, "(N,C)"))
            if (result.patch_size && (!result.width || places->sizes[1] == *result.width)) result.image_size = side(*places) * *result.patch_size;
        return result;
    }

private:
    [[nodiscard]] tensor_info const* ranked(std::string_view name, std::size_t rank, std::string_view expected) const {
        auto const* const tensor = find(name);
        if (tensor != nullptr && (tensor->sizes.rank() != rank || tensor->sizes.count() == 0))
            throw model_error{error_code::bad_shape, file_ + ": tensor " + quoted_name(name) + ": shape " + to_string(tensor->sizes) + " found, "
                                                         + std::string{expected} + " expected"};
        return tensor;
    }
    [[nodiscard]] std::optional<std::size_t> length(std::string_view name, std::string_view otherwise) const {
        if (auto const* const tensor = ranked(name, 1, "a vector")) return tensor->sizes[0];
        if (otherwise.empty()) return std::nullopt;
        return length("backbone." + std::string{otherwise}, {});
    }
    [[nodiscard]] std::size_t side(tensor_info const& places) const {
        std::size_t const rows = places.sizes[0];
        auto const side_of = [](std::size_t patches) { // 0 where it is no square
            std::size_t low = 0, high = std::size_t{1} << 24U;
            while (low < high) { // the smallest side whose square is not below `patches`
                std::size_t const middle = low + (high - low) / 2;
                if (middle * middle < patches) low = middle + 1;
                else high = middle;
            }
            return low * low == patches ? low : 0;
        };
        bool const class_token = find("backbone.class_embedding") != nullptr; // its position comes first
        std::size_t found = class_token ? 0 : side_of(rows);
        if (found == 0) found = side_of(rows - 1); // without the token: it is missing, which is for others to say
        if (found == 0)
            throw model_error{error_code::bad_config, file_ + ": tensor " + quoted_name(places.name) + ": " + std::to_string(places.sizes[0])
                                                          + " rows found, " + (class_token ? "" : "a square number of patches, or ") + "one more than a square number of patches expected"};
        return found;
    }

    /// `backbone.transformer.resblocks.<i>.<adapter>.D_fc1.bias`
    void see_block(std::string_view name) {
        constexpr std::string_view front = "backbone.transformer.resblocks.";
        if (!name.starts_with(front)) return;
        name.remove_prefix(front.size());
        std::size_t index = 0;
        auto const [end, fault] = std::from_chars(name.data(), name.data() + name.size(), index);
        if (fault != std::errc{} || index >= most_layers) return;
        layers_ = std::max(layers_, index + 1);
        blocks_.insert(index);
        auto rest = name.substr(static_cast<std::size_t>(end - name.data()));
        if (!rest.starts_with('.')) return;
        rest.remove_prefix(1);
        auto const dot = rest.find('.');
        if (dot != std::string_view::npos && rest.substr(dot).starts_with(".D_fc"))
            adapters_.emplace(std::string{rest.substr(0, dot)}, std::string{front} + std::string{name.substr(0, static_cast<std::size_t>(end - name.data()))});
    }

    /// Of two that exclude each other the later one counts, with all that belong to it: the other's tensors are left over, and tensors are missing.
    void see_adapter(adapter_site_info const& site) {
        for (adapter_site_info const& other : adapter_sites) {
            if (exclude_each_other(site, other)) layout_.sites.erase(other.site);
            if (come_together(site, other)) layout_.sites.insert(other.site);
        }
        layout_.sites.insert(site.site);
        if (layout_.rank == 0)
            if (auto const* const bias = find(adapters_.find(site.name)->second + "." + std::string{site.name} + ".D_fc1.bias"))
                if (bias->sizes.rank() == 1) layout_.rank = bias->sizes[0];
    }

    static constexpr std::size_t most_layers = 4096; // as vit_config

    std::string file_;
    std::map<std::string_view, tensor_info const*, std::less<>> by_name_;
    std::map<std::string, std::string, std::less<>> adapters_; ///< adapter -> prefix of a block that has it
    adapter_layout layout_ = adapter_layout::none();
    std::size_t layers_ = 0;
    std::set<std::size_t> blocks_; ///< their numbers
};

} // namespace zeroi2v
