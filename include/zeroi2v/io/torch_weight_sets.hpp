// torch_weight_sets: where among the dicts of a PyTorch checkpoint the weights of an encoder are.
#pragma once

#include <zeroi2v/io/key_schemes.hpp>
#include <zeroi2v/io/pickle_graph.hpp>
#include <zeroi2v/io/torch_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::detail {

/// A dict, or what behaves as one: an OrderedDict, an object that items were set in.
[[nodiscard]] inline bool is_torch_dict(pickle_graph const& graph, pickle_value v) noexcept {
    return v.kind() == pickle_kind::dict || graph.is_global(graph.callable(v), "collections", "OrderedDict") || graph.first_entry(v) != pickle_graph::no_entry;
}

/// The last value of a key.
[[nodiscard]] inline pickle_value value_of_torch_key(pickle_graph const& graph, pickle_value dict, std::string_view key) noexcept {
    pickle_value result;
    for (auto i = graph.first_entry(dict); i != pickle_graph::no_entry; i = graph.at(i).next)
        if (graph.text(graph.at(i).key) == key) result = graph.at(i).value;
    return result;
}

/// Whether the dict under `key` holds what an optimizer keeps beside the weights, under their names or its own. The entries
/// that were looked at are added to `steps`.
[[nodiscard]] inline bool is_optimizer_state(pickle_graph const& graph, std::string_view key, pickle_value dict, std::size_t& steps) noexcept {
    constexpr std::array<std::string_view, 3> parts{"optim", "exp_avg", "momentum"};
    constexpr std::array<std::string_view, 7> words{"opt", "opt_state", "mu", "nu", "grad", "grads", "gradients"};
    if (std::ranges::find(words, key) != words.end() || std::ranges::any_of(parts, [&](std::string_view part) { return key.find(part) != std::string_view::npos; })) return true;
    bool state = false, groups = false;
    for (auto i = graph.first_entry(dict); i != pickle_graph::no_entry && !(state && groups); i = graph.at(i).next, ++steps) {
        auto const name = graph.text(graph.at(i).key);
        state = state || name == "state";
        groups = groups || name == "param_groups";
    }
    return state && groups;
}

/// A dict of weights, and the keys that lead to it.
struct torch_weight_set {
    std::string path;
    pickle_value dict;
};

/// Finds the dicts whose tensors have the names of an encoder: one inside a block, and one that no text tower has, such as
/// the patch convolution or an adapter. Whatever the dict is called, the sets in `state_dict` come first, then those in `model`.
/// A dict that is a set is not looked into, and neither is an optimizer's state.
/// Bounds  64 levels, 200 000 steps; beyond them there are none, as where no dict has such names.     Test  tests/unit/io/torch_file.cpp
class torch_weight_search {
public:
    explicit torch_weight_search(pickle_graph const& graph) : graph_{graph} {}

    [[nodiscard]] std::vector<torch_weight_set> find(pickle_value root) {
        search(root, {}, 0);
        if (steps_ > max_steps) return {};
        return std::move(sets_);
    }

private:
    static constexpr std::size_t max_steps = 200'000, longest_key = 1'024;
    static constexpr std::array<std::string_view, 2> first_keys{"state_dict", "model"};

    struct evidence {
        bool inside_block{}, only_vision{};
        [[nodiscard]] bool enough() const noexcept { return inside_block && only_vision; }
    };

    /// Calls `use(key, value)` for each entry with a key of text, until it gives false.
    template <class Use>
    void for_each_entry(pickle_value dict, Use use) {
        for (auto i = graph_.first_entry(dict); i != pickle_graph::no_entry && ++steps_ <= max_steps; i = graph_.at(i).next)
            if (auto const key = graph_.text(graph_.at(i).key); key && key->size() <= longest_key && !use(*key, graph_.at(i).value)) return;
    }

    void search(pickle_value dict, std::string const& path, std::size_t depth) {
        if (depth >= pickle_graph::max_depth) return;
        auto const enter = [&](std::string_view key, pickle_value inner) { search(inner, path.empty() ? std::string{key} : path + '.' + std::string{key}, depth + 1); };
        for (auto const key : first_keys) {
            auto const before = sets_.size();
            if (auto const inner = value_of_torch_key(graph_, dict, key); is_torch_dict(graph_, inner)) enter(key, inner);
            if (sets_.size() != before) return;
        }
        evidence seen;
        std::string name;
        gather(dict, name, seen, depth);
        if (seen.enough()) {
            sets_.push_back({path, dict});
            return;
        }
        for_each_entry(dict, [&](std::string_view key, pickle_value value) {
            bool const looked_into = std::ranges::find(first_keys, key) != first_keys.end();
            if (!looked_into && is_torch_dict(graph_, value) && !is_optimizer_state(graph_, key, value, steps_)) enter(key, value);
            return true;
        });
    }

    /// Whether a dict under this key is a model of its own, not a part of the one around it.
    [[nodiscard]] static bool is_whole_model(std::string_view key) noexcept {
        constexpr std::array<std::string_view, 8> words{"state_dict", "net", "network", "student", "teacher", "ema_model", "model_ema", "_forward_module"};
        return std::ranges::find(words, key) != words.end() || std::ranges::find(transparent_words, key) != transparent_words.end();
    }

    /// Looks at the names of a dict's tensors, those of its parts with the part's name in front.
    void gather(pickle_value dict, std::string& name, evidence& seen, std::size_t depth) {
        if (depth >= pickle_graph::max_depth) return;
        for_each_entry(dict, [&](std::string_view key, pickle_value value) {
            auto const front = name.size();
            if (as_torch_tensor(graph_, value)) {
                judge(name.append(key), seen);
            } else if (is_torch_dict(graph_, value) && !is_whole_model(key) && !is_optimizer_state(graph_, key, value, steps_)) {
                name.append(key).append(1, '.');
                gather(value, name, seen, depth + 1);
            }
            name.resize(front);
            return !seen.enough();
        });
    }

    static void judge(std::string_view name, evidence& seen) {
        auto const plain = without_transparent_words(name);
        auto const match = match_key(split_wrappers(plain).name);
        if (!match) return;
        seen.inside_block = seen.inside_block || match->canonical.starts_with("backbone.transformer.resblocks.");
        seen.only_vision = seen.only_vision || match->only_vision;
    }

    pickle_graph const& graph_;
    std::size_t steps_{};
    std::vector<torch_weight_set> sets_;
};

} // namespace zeroi2v::detail
