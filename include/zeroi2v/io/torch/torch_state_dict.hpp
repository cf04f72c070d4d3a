// torch_state_dict: finds the tensors in what a PyTorch pickle describes, and their names.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/utf8.hpp>
#include <zeroi2v/io/keys/key_schemes.hpp>
#include <zeroi2v/io/torch/pickle_graph.hpp>
#include <zeroi2v/io/torch/torch_tensor.hpp>
#include <zeroi2v/io/torch/torch_weight_sets.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace zeroi2v::detail {

/// A tensor and how it is made, or what stands in its place.
struct named_torch_tensor {
    std::string name;
    std::optional<torch_rebuild> rebuild;
    std::string obstacle{}; ///< where it is not made
};

/// Walks dicts, and in a TorchScript archive the attributes of modules, to tensors with dotted names.
///
/// The state dict is the one whose tensors have the names of an encoder, wherever it is (`torch_weight_search`). Where there
/// is none it is the dict under `state_dict`, else under `model`, else the root itself. Passed over are keys that are no
/// text, the state of an optimizer, and values that are neither tensors nor dicts; those that stand under the name of a
/// model's tensor, and tuples of tensors, are named with what they are. A key set twice is refused: no pickler writes one.
/// Bounds  65 536 tensors, names of 1 024 bytes and of 4 MB and the pickle's length together, 64 levels, 10^6 steps: a
///         pickle can share one dict from many places.
class torch_state_dict_walker {
public:
    static constexpr std::size_t max_tensors = 65'536, max_name = 1'024, max_steps = 1'000'000;

    torch_state_dict_walker(pickle_graph const& graph, std::string_view where, bool torchscript)
        : graph_{graph}, where_{where}, torchscript_{torchscript} {}

    /// Errors  checkpoint_error unsupported_layout, too_many_tensors, name_too_long, bad_pickle, duplicate_key.
    [[nodiscard]] std::vector<named_torch_tensor> walk() {
        enter(top());
        while (!levels_.empty()) {
            level& here = levels_.back();
            if (here.next == here.entries.size()) {
                name_.resize(here.prefix);
                levels_.pop_back();
                continue;
            }
            auto const [key, value] = here.entries[here.next++];
            name_.resize(here.prefix);
            if (levels_.size() > 1) name_ += '.';
            name_ += key;
            visit(key, value);
        }
        std::vector<std::string_view> names;
        for (auto const& found : found_) names.push_back(found.name);
        std::ranges::sort(names);
        auto const twice = std::ranges::adjacent_find(names);
        if (twice != names.end())
            fail(error_code::duplicate_key, "tensor " + quoted_name(*twice) + ": two paths lead to this name");
        return std::move(found_);
    }

private:
    struct level {
        std::vector<std::pair<std::string_view, pickle_value>> entries;
        std::size_t next{};
        std::size_t prefix{}; ///< of the name, in bytes
    };

    [[noreturn]] void fail(error_code code, std::string const& sentence) const {
        throw checkpoint_error{code, std::string{where_} + ": " + sentence};
    }
    [[noreturn]] void fail_at(pickle_value value, std::string const& sentence) const {
        fail(error_code::bad_pickle, "byte " + std::to_string(graph_.position(value)) + ": " + sentence);
    }

    [[nodiscard]] bool is_dict(pickle_value v) const noexcept { return is_torch_dict(graph_, v); }
    [[nodiscard]] std::string class_name(pickle_value object) const {
        auto const global = graph_.global(graph_.callable(object));
        return global ? printable(global->first, 128) + "." + printable(global->second, 128) : "unknown";
    }

    [[nodiscard]] pickle_value top() const {
        pickle_value const root = graph_.root();
        if (torchscript_) {
            if (!is_dict(graph_.state(root)))
                fail(error_code::unsupported_layout, "a TorchScript archive whose module has no attributes");
            return graph_.state(root);
        }
        if (!is_dict(root)) {
            if (root.kind() == pickle_kind::call && !as_torch_tensor(graph_, root))
                fail(error_code::unsupported_layout,
                     "a whole object of class " + class_name(root)
                         + ", expected a state dict; re-save it: torch.save(torch.load(f).state_dict(), g)");
            fail(error_code::no_tensors, "no dict at its root, expected a state dict");
        }
        auto const sets = torch_weight_search{graph_}.find(root);
        if (sets.size() > 1)
            fail(error_code::unsupported_layout, std::to_string(sets.size()) + " sets of weights, under " + quoted_name(sets[0].path) + " and "
                                                     + quoted_name(sets[1].path) + ", expected one; re-save it with one of them: torch.save(torch.load(f)[KEY], g)");
        if (sets.size() == 1) return sets[0].dict;
        for (std::string_view const key : {"state_dict", "model"})
            if (pickle_value const chosen = value_of_torch_key(graph_, root, key); is_dict(chosen)) return chosen;
        return root;
    }

    void visit(std::string_view key, pickle_value value) {
        if (auto const rebuild = as_torch_tensor(graph_, value))
            found(value, {name_, rebuild});
        else if (is_dict(value)) {
            if (torchscript_ || levels_.size() > 1 || !is_optimizer_state(graph_, key, value, steps_)) enter(value);
        } else if (torchscript_) {
            if (is_dict(graph_.state(value))) enter(graph_.state(value));
        } else if (auto obstacle = kind_of(value); !obstacle.empty())
            found(value, {name_, std::nullopt, std::move(obstacle)});
    }

    /// What a value that is no tensor is; nothing where it is in no tensor's place.
    [[nodiscard]] std::string kind_of(pickle_value value) const {
        static constexpr std::string_view tail = " found, a plain dense tensor expected";
        static constexpr std::size_t longest_tuple = 16; // of tensors: a quantized Linear's has two
        auto const items = graph_.items(value);
        if (items.size() <= longest_tuple && std::ranges::any_of(items, [&](pickle_value item) { return as_torch_tensor(graph_, item).has_value(); })) return "a tuple of tensors" + std::string{tail};
        if (name_.size() > max_name || !match_key(split_wrappers(without_transparent_words(name_)).name)) return {};
        switch (value.kind()) {
        case pickle_kind::none: return "None" + std::string{tail};
        case pickle_kind::call: return "an object of class " + class_name(value) + std::string{tail};
        case pickle_kind::persistent: return "a storage without a tensor" + std::string{tail};
        case pickle_kind::sequence: return "a list" + std::string{tail};
        case pickle_kind::tuple: return "a tuple" + std::string{tail};
        default: return "a number or text" + std::string{tail};
        }
    }

    void enter(pickle_value dict) {
        if (levels_.size() >= pickle_graph::max_depth) fail_at(dict, "nests deeper than 64 levels");
        level inside;
        inside.prefix = name_.size();
        std::unordered_set<std::string_view> seen;
        for (auto i = graph_.first_entry(dict); i != pickle_graph::no_entry; i = graph_.at(i).next) {
            if (++steps_ > max_steps) fail_at(dict, "more than 1000000 entries to walk");
            auto const key = graph_.text(graph_.at(i).key);
            if (!key) continue;
            if (!seen.insert(*key).second) fail_at(dict, "key " + quoted_name(*key, 64) + " is set twice, no name twice expected");
            inside.entries.emplace_back(*key, graph_.at(i).value);
        }
        levels_.push_back(std::move(inside));
    }

    void found(pickle_value value, named_torch_tensor tensor) {
        // CLIP's archives keep three numbers of their configuration as tensors.
        if (torchscript_ && (name_ == "input_resolution" || name_ == "context_length" || name_ == "vocab_size")) return;
        if (name_.size() > max_name)
            fail(error_code::name_too_long, "tensor " + quoted_name(name_, 64) + ": the name has "
                                                + std::to_string(name_.size()) + " bytes, at most "
                                                + std::to_string(max_name) + " are allowed");
        if (find_invalid_utf8(name_)) fail_at(value, "the name of a tensor is not UTF-8: " + quoted_name(name_, 64));
        name_bytes_ += name_.size();
        if (found_.size() == max_tensors || name_bytes_ > 4'000'000 + graph_.bytes().size())
            fail(error_code::too_many_tensors, "more than " + std::to_string(found_.size()) + " tensors");
        found_.push_back(std::move(tensor));
    }

    pickle_graph const& graph_;
    std::string_view where_;
    bool torchscript_;
    std::string name_;
    std::size_t name_bytes_{};
    std::size_t steps_{};
    std::vector<level> levels_;
    std::vector<named_torch_tensor> found_;
};

} // namespace zeroi2v::detail
