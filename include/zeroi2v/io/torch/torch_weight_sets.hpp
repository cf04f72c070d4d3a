// torch_weight_sets: where among the dicts of a PyTorch checkpoint the weights of an encoder are.
#pragma once

#include <zeroi2v/io/keys/key_schemes.hpp>
#include <zeroi2v/io/torch/pickle_graph.hpp>
#include <zeroi2v/io/torch/torch_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
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
/// A dict that is a set is not looked into, and neither is an optimizer's state. Beside a set in `state_dict` or `model` a dict
/// counts too where it has a tensor of the blocks that the set lacks: adapters that were saved apart belong to the model.
/// Bounds  64 levels, 200 000 steps; beyond them there are none, as where no dict has such names.     Test  tests/unit/io/torch/torch_file.cpp
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
            if (sets_.size() == before + 1) add_what_lacks(dict, path, sets_.back().dict, depth);
            if (sets_.size() != before) return;
        }
        if (is_set(dict, depth)) {
            sets_.push_back({path, dict});
            return;
        }
        for_each_entry(dict, [&](std::string_view key, pickle_value value) {
            bool const looked_into = std::ranges::find(first_keys, key) != first_keys.end();
            if (!looked_into && is_torch_dict(graph_, value) && !is_optimizer_state(graph_, key, value, steps_)) enter(key, value);
            return true;
        });
    }

    /// Adds the dicts beside `set` in `dict` that have a tensor of an image's blocks which is not in it.
    void add_what_lacks(pickle_value dict, std::string const& path, pickle_value set, std::size_t depth) {
        std::set<std::string> known;
        std::string name;
        for_each_match(set, name, depth + 1, [&](key_match const& match) {
            known.insert(match.canonical);
            return true;
        });
        for_each_entry(dict, [&](std::string_view key, pickle_value value) {
            bool const is_first = std::ranges::find(first_keys, key) != first_keys.end();
            if (is_first || !is_torch_dict(graph_, value) || is_optimizer_state(graph_, key, value, steps_)) return true;
            bool lacking = false;
            name.clear();
            for_each_match(value, name, depth + 1, [&](key_match const& match) {
                lacking = match.only_vision && is_of_a_block(match) && !known.contains(match.canonical);
                return !lacking;
            });
            if (lacking) sets_.push_back({path.empty() ? std::string{key} : path + '.' + std::string{key}, value});
            return true;
        });
    }

    /// Whether a dict under this key is a model of its own, not a part of the one around it.
    [[nodiscard]] static bool is_whole_model(std::string_view key) noexcept {
        constexpr std::array<std::string_view, 8> words{"state_dict", "net", "network", "student", "teacher", "ema_model", "model_ema", "_forward_module"};
        return std::ranges::find(words, key) != words.end() || std::ranges::find(transparent_words, key) != transparent_words.end();
    }

    /// Calls `use(match)` for a dict's tensors whose names a scheme knows, those of its parts with the part's name in front, until
    /// it gives false; says whether it never did.
    template <class Use>
    bool for_each_match(pickle_value dict, std::string& name, std::size_t depth, Use use) {
        if (depth >= pickle_graph::max_depth) return true;
        bool going = true;
        for_each_entry(dict, [&](std::string_view key, pickle_value value) {
            auto const front = name.size();
            if (as_torch_tensor(graph_, value)) {
                auto const plain = without_transparent_words(name.append(key));
                if (auto const match = match_key(split_wrappers(plain).name)) going = use(*match);
            } else if (is_torch_dict(graph_, value) && !is_whole_model(key) && !is_optimizer_state(graph_, key, value, steps_)) {
                name.append(key).append(1, '.');
                going = for_each_match(value, name, depth + 1, use);
            }
            name.resize(front);
            return going;
        });
        return going;
    }

    [[nodiscard]] static bool is_of_a_block(key_match const& match) { return match.canonical.starts_with("backbone.transformer.resblocks."); }

    [[nodiscard]] bool is_set(pickle_value dict, std::size_t depth) {
        bool of_a_block = false, only_vision = false;
        std::string name;
        for_each_match(dict, name, depth, [&](key_match const& match) {
            of_a_block = of_a_block || is_of_a_block(match);
            only_vision = only_vision || match.only_vision;
            return !(of_a_block && only_vision);
        });
        return of_a_block && only_vision;
    }

    pickle_graph const& graph_;
    std::size_t steps_{};
    std::vector<torch_weight_set> sets_;
};

} // namespace zeroi2v::detail
