// canonical_source: a checkpoint of any project, seen as the tensors of a ZeroI2V model.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/keys/key_schemes.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The tensors of a checkpoint under their ZeroI2V names (`backbone....`, `cls_head....`), with the dtype of the file.
///
/// Reads from the checkpoint that it was resolved from, which must outlive it.
/// Errors  see `resolve`.     Test  tests/unit/io/checkpoints/canonical_source.cpp
class canonical_source {
public:
    /// Errors  as `resolve`.
    explicit canonical_source(checkpoint const& file) : file_{&file} {
        std::vector<entry_of_file> entries;
        for (auto const& info : file.tensors()) entries.push_back({without_transparent_words(info.name), info.name, &info, {}});
        for (auto const& each : file.unreadable()) entries.push_back({without_transparent_words(each.name), each.name, nullptr, each.kind});
        auto const text = text_towers(entries);
        require_names_differ(entries);
        for (auto const& entry : entries) sort_in(entry, text);
        for (auto const& each : unreadable_) recipes_.erase(each.name);
        require_complete();
        for (auto const& [canonical, entry] : recipes_) tensors_.push_back(describe(canonical, entry));
    }

    [[nodiscard]] checkpoint const& file() const noexcept { return *file_; }
    /// Whose names the file has.
    [[nodiscard]] key_scheme scheme() const noexcept { return scheme_; }
    /// The model's tensors, sorted by their canonical names.
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept { return tensors_; }
    /// Names in the file that no model of this kind uses: text tower, projections, counters.
    [[nodiscard]] std::span<std::string const> ignored() const noexcept { return ignored_; }
    /// Names in the file that mean nothing here.
    [[nodiscard]] std::span<std::string const> left_over() const noexcept { return left_over_; }
    /// The model's tensors that the file has and that cannot be read: canonical names, with what they are.
    [[nodiscard]] std::span<unreadable_tensor const> unreadable() const noexcept { return unreadable_; }
    /// Errors  layers that no ZeroI2V model has, AIM's adapters or LoRA pairs -> model_error unexpected_tensors, saying which
    ///         they are; a tensor of the model, or one inside a block, that cannot be read -> checkpoint_error
    ///         unsupported_dtype, saying what it is.
    void refuse_other_kinds() const {
        refuse_foreign(left_over_, file_->path());
        if (!unreadable_.empty()) refuse_unreadable(unreadable_[0].name, unreadable_[0].kind);
        for (auto const& each : file_->unreadable())
            if (std::ranges::find(left_over_, each.name) != left_over_.end() && is_inside_block(without_transparent_words(each.name)))
                refuse_unreadable(each.name, each.kind);
    }

    /// The tensor with this canonical name; null where there is none.
    [[nodiscard]] tensor_info const* find(std::string_view canonical) const noexcept {
        auto const place = std::ranges::lower_bound(tensors_, canonical, {},
                                                    [](tensor_info const& t) { return std::string_view{t.name}; });
        return place == tensors_.end() || place->name != canonical ? nullptr : &*place;
    }

    /// Names in the file that make the tensor: one, or those of query, key and value.
    [[nodiscard]] std::vector<std::string> names_in_file(std::string_view canonical) const {
        std::vector<std::string> names;
        for (auto const* const part : recipe_of(canonical).parts)
            if (part != nullptr) names.push_back(part->name);
        return names;
    }

    /// Errors  no such name -> model_error missing_tensors; those of `checkpoint::read`.
    [[nodiscard]] stored_tensor read(std::string_view canonical) const {
        static_cast<void>(recipe_of(canonical));
        auto const& info = *find(canonical);
        stored_tensor result{info.type, info.sizes};
        read_into(canonical, result.bytes());
        return result;
    }

    /// The bytes of a tensor into `out`, whose size must be the tensor's.
    void read_into(std::string_view canonical, std::span<std::byte> out) const {
        auto const& entry = recipe_of(canonical);
        ZEROI2V_REQUIRE(out.size() == find(canonical)->byte_size(),
                        "zeroi2v::canonical_source::read_into: out must have as many bytes as the tensor");
        for (auto const* const part : entry.parts) { // row-major: rows of q, then of k, then of v
            if (part == nullptr) continue;
            file_->read_into(part->name, out.first(part->byte_size()));
            out = out.subspan(part->byte_size());
        }
    }

    /// Errors  names are left over -> model_error unexpected_tensors, with the first 20 of them.
    void refuse_left_over() const {
        if (!left_over_.empty())
            throw model_error{error_code::unexpected_tensors,
                              file_->path() + ": " + std::to_string(left_over_.size())
                                  + " tensors that no ZeroI2V model has: " + list_names(left_over_)};
    }

private:
    struct recipe {
        std::array<tensor_info const*, 3> parts{}; // the whole tensor first, or query, key, value
        bool in_parts{};
        bool drop_leading_ones{};
    };
    using prefix_set = std::set<std::string_view>;

    /// A tensor of the file, which can be read or not.
    struct entry_of_file {
        std::string plain; ///< its name without transparent words
        std::string_view name;
        tensor_info const* info{};
        std::string_view kind; ///< where it cannot be read
    };

    static void refuse_foreign(std::span<std::string const> names, std::string const& file) {
        std::array<std::vector<std::string>, 3> foreign;
        for (auto const& name : names) foreign[static_cast<std::size_t>(foreign_kind_of(name))].push_back(name);
        auto const refuse = [&](foreign_kind kind, std::string const& what) {
            auto const& found = foreign[static_cast<std::size_t>(kind)];
            if (!found.empty())
                throw model_error{error_code::unexpected_tensors, file + ": " + what + ": " + list_names(found, 3) + " found, a model without them expected"};
        };
        refuse(foreign_kind::aim_adapter, "AIM's adapters have a GELU inside: they cannot be merged");
        refuse(foreign_kind::lora, "LoRA pairs: merge them into their layers first");
    }
    [[noreturn]] void refuse_unreadable(std::string const& name, std::string const& kind) const {
        throw checkpoint_error{error_code::unsupported_dtype, file_->path() + ": tensor " + quoted_name(name) + ": " + kind};
    }

    /// What stands in front of the names of a text tower, whose blocks and positions have the names of the image
    /// encoder's, but no patch convolution and no class token stand with them.
    [[nodiscard]] prefix_set text_towers(std::span<entry_of_file const> entries) const {
        prefix_set text;
        prefix_set vision;
        for (auto const& entry : entries) {
            auto const [prefix, name] = split_wrappers(entry.plain);
            auto const match = match_key(name);
            if (match && match->only_vision) vision.insert(prefix);
            if (is_text_tower_key(name)) text.insert(prefix);
        }
        if (vision.empty()) refuse_unknown();
        for (auto const prefix : vision) text.erase(prefix);
        return text;
    }
    [[noreturn]] void refuse_unknown() const {
        std::vector<std::string> names;
        for (auto const& info : file_->tensors()) names.push_back(info.name);
        bool const only_pairs = std::ranges::any_of(names, [](std::string const& name) { return foreign_kind_of(name) == foreign_kind::lora; });
        throw model_error{error_code::missing_tensors,
                          file_->path()
                              + ": no image or video encoder with the names of ZeroI2V, OpenAI CLIP, HF CLIP "
                                "or timm is in it, but "
                              + (only_pairs ? "LoRA pairs, which have to be merged into the layers of their model first: " : "") + list_names(names, 3)};
    }

    /// Errors  two names are one without the wrappers' words -> checkpoint_error duplicate_key.
    void require_names_differ(std::span<entry_of_file const> entries) const {
        std::vector<entry_of_file const*> order;
        for (auto const& entry : entries) order.push_back(&entry);
        std::ranges::stable_sort(order, {}, [](entry_of_file const* entry) -> std::string const& { return entry->plain; });
        auto const twice = std::ranges::adjacent_find(order, {}, [](entry_of_file const* entry) -> std::string const& { return entry->plain; });
        if (twice != order.end())
            throw checkpoint_error{error_code::duplicate_key, file_->path() + ": tensors " + quoted_name((*twice)->name) + " and " + quoted_name((*std::next(twice))->name)
                                                                  + ": both are " + quoted_name((*twice)->plain) + " without their wrappers, one of them expected"};
    }

    void sort_in(entry_of_file const& entry, prefix_set const& text) {
        auto const [prefix, name] = split_wrappers(entry.plain);
        auto const match = match_key(name);
        bool const head = match && match->canonical.starts_with("cls_head.");
        bool const of_text = !head && text.contains(prefix);
        if (match && !of_text) {
            if (entry.info == nullptr) unreadable_.push_back({match->canonical, std::string{entry.kind}});
            else add(*entry.info, *match);
            // The official code's encoder has OpenAI's names and lies in `backbone.`.
            bool const official =
                match->scheme == key_scheme::openai_clip && prefix.find("backbone.") != std::string_view::npos;
            if (official || match->scheme == key_scheme::zeroi2v)
                scheme_ = key_scheme::zeroi2v;
            else if (scheme_ != key_scheme::zeroi2v)
                scheme_ = match->scheme;
        } else if (match || is_ignored_key(name) || (of_text && is_inside_block(name))) {
            ignored_.emplace_back(entry.name); // `match`: the text tower's blocks and positions
        } else {
            left_over_.emplace_back(entry.name);
        }
    }

    void add(tensor_info const& info, key_match const& match) {
        auto& entry = recipes_[match.canonical];
        bool const in_parts = match.part != key_part::whole;
        auto const index = in_parts ? static_cast<std::size_t>(match.part) - 1 : 0;
        bool const taken = entry.parts[index] != nullptr || (entry.in_parts != in_parts && !is_new(entry));
        if (taken)
            throw checkpoint_error{
                error_code::bad_tensor,
                file_->path() + ": tensor " + quoted_name(match.canonical) + ": both "
                    + quoted_name((entry.parts[index] != nullptr ? entry.parts[index] : first_of(entry))->name)
                    + " and " + quoted_name(info.name) + " are this tensor, expected one of them"};
        entry.parts[index] = &info;
        entry.in_parts = in_parts;
        entry.drop_leading_ones = match.drop_leading_ones;
    }
    [[nodiscard]] static bool is_new(recipe const& entry) noexcept { return first_of(entry) == nullptr; }
    [[nodiscard]] static tensor_info const* first_of(recipe const& entry) noexcept {
        for (auto const* const part : entry.parts)
            if (part != nullptr) return part;
        return nullptr;
    }

    void require_complete() const {
        constexpr std::array<std::string_view, 3> letters{"q_proj", "k_proj", "v_proj"};
        std::vector<std::string> missing;
        for (auto const& [canonical, entry] : recipes_) {
            if (!entry.in_parts) continue;
            for (std::size_t i = 0; i < letters.size(); ++i)
                if (entry.parts[i] == nullptr) missing.push_back(std::string{letters[i]} + " of " + canonical);
        }
        if (!missing.empty())
            throw model_error{error_code::missing_tensors, file_->path() + ": " + std::to_string(missing.size())
                                                               + " tensors are missing: " + list_names(missing)};
    }

    [[nodiscard]] tensor_info describe(std::string const& canonical, recipe const& entry) const {
        auto const& first = *entry.parts[0];
        if (!entry.in_parts)
            return {canonical, first.type,
                    entry.drop_leading_ones ? without_leading_ones(canonical, first.sizes) : first.sizes};
        for (auto const* const part : entry.parts) {
            if (part->type != first.type)
                throw checkpoint_error{error_code::bad_tensor,
                                       file_->path() + ": tensor " + quoted_name(canonical) + ": "
                                           + quoted_name(first.name) + " is " + std::string{dtype_name(first.type)}
                                           + " and " + quoted_name(part->name) + " is "
                                           + std::string{dtype_name(part->type)} + ", expected one dtype"};
            if (part->sizes != first.sizes || first.sizes.rank() == 0)
                throw model_error{error_code::bad_shape,
                                  file_->path() + ": tensor " + quoted_name(canonical) + ": " + quoted_name(first.name)
                                      + " has shape " + to_string(first.sizes) + " and " + quoted_name(part->name)
                                      + " has " + to_string(part->sizes) + ", expected the same rows and columns"};
        }
        std::array<std::size_t, shape::max_rank> sizes{};
        std::copy(first.sizes.begin(), first.sizes.end(), sizes.begin());
        auto const rows = checked_mul(sizes[0], entry.parts.size());
        auto const bytes = checked_mul(first.byte_size(), entry.parts.size());
        if (!rows || !bytes)
            throw model_error{error_code::bad_shape,
                              file_->path() + ": tensor " + quoted_name(canonical) + ": too large"};
        sizes[0] = *rows;
        return {canonical, first.type, shape{std::span{sizes}.first(first.sizes.rank())}};
    }

    /// (1,1,C) -> (C) for the class token, (1,N,C) -> (N,C) for positions; other shapes stay, and the model
    /// refuses them.
    [[nodiscard]] static shape without_leading_ones(std::string const& canonical, shape const& sizes) {
        std::size_t const wanted = canonical == "backbone.class_embedding" ? 1 : 2;
        std::span<std::size_t const> rest{sizes.begin(), sizes.rank()};
        while (rest.size() > wanted && rest.front() == 1) rest = rest.subspan(1);
        return rest.size() == wanted ? shape{rest} : sizes;
    }

    [[nodiscard]] recipe const& recipe_of(std::string_view canonical) const {
        auto const place = recipes_.find(canonical);
        if (place == recipes_.end())
            throw model_error{error_code::missing_tensors,
                              file_->path() + ": tensor " + quoted_name(canonical) + " is not in the file"};
        return place->second;
    }

    checkpoint const* file_;
    key_scheme scheme_{key_scheme::openai_clip};
    std::map<std::string, recipe, std::less<>> recipes_;
    std::vector<tensor_info> tensors_;
    std::vector<std::string> ignored_;
    std::vector<std::string> left_over_;
    std::vector<unreadable_tensor> unreadable_;
};

/// Recognises the names of a checkpoint, with whatever wrappers in front.
///
///     auto const file = load_checkpoint("ViT-B-16.pt");
///     auto const source = resolve(file);
///     auto const qkv = source.read("backbone.transformer.resblocks.0.attn.in_proj_weight");
///
/// Errors  nothing is recognised, or one of query, key and value is absent -> model_error missing_tensors; two names are
///         one without the wrappers' words -> checkpoint_error duplicate_key; two tensors of the file are the same one of
///         the model, or q, k, v differ in dtype -> checkpoint_error bad_tensor; they differ in shape -> model_error
///         bad_shape. Names left over are listed and not judged: `refuse_left_over`, `refuse_other_kinds`.
[[nodiscard]] inline canonical_source resolve(checkpoint const& file) { return canonical_source{file}; }
canonical_source resolve(checkpoint&&) = delete; ///< the checkpoint must outlive its source

/// Writes the model's tensors under their canonical names, each with its own dtype, one in memory at a time.
/// Errors  as `safetensors_writer`, `canonical_source::read_into`.     Test  tests/unit/io/checkpoints/canonical_source.cpp
inline void write_canonical(canonical_source const& source, std::filesystem::path target,
                            safetensors_options options = {}) {
    options.inputs.push_back(source.file().source().path());
    safetensors_writer writer{std::move(target), {source.tensors().begin(), source.tensors().end()}, options};
    for (auto const& info : writer.tensors()) writer.append(info.name, source.read(info.name));
    writer.commit();
}

} // namespace zeroi2v
