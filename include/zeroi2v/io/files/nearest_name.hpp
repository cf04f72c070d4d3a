// nearest_name: the known name that a mistyped one most likely meant.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// The fewest insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
/// Cost  O(|a| |b|) time, O(|b|) memory.    Test  tests/unit/io/files/nearest_name.cpp
[[nodiscard]] inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> older(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
    std::iota(previous.begin(), previous.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        current[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            current[j + 1] = std::min({previous[j + 1] + 1, current[j] + 1, previous[j] + (a[i] == b[j] ? 0U : 1U)});
            if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j]) current[j + 1] = std::min(current[j + 1], older[j - 1] + 1);
        }
        std::swap(older, previous);
        std::swap(previous, current);
    }
    return previous[b.size()];
}

/// The name in `known` that is nearest to `typed`, or nothing where none is near: more than a third of the letters, and
/// more than two, would have to change, unless one is the beginning of the other.
[[nodiscard]] inline std::string nearest_name(std::string_view typed, std::ranges::input_range auto const& known) {
    constexpr std::size_t longest = 64; // of a name worth comparing: the cost is quadratic
    if (typed.empty() || typed.size() > longest) return {};
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(2, typed.size() / 3) + 1;
    for (std::string_view const name : known) {
        bool const begins = typed.size() >= 3 && (name.starts_with(typed) || typed.starts_with(name));
        std::size_t const distance = begins ? 1 : edit_distance(typed, name);
        if (distance < best_distance && distance < std::max(typed.size(), name.size())) {
            best_distance = distance;
            best = name;
        }
    }
    return best;
}

/// ` (did you mean X?)`, or nothing.
[[nodiscard]] inline std::string did_you_mean(std::string_view typed, std::ranges::input_range auto const& known) {
    auto const name = nearest_name(typed, known);
    return name.empty() ? std::string{} : " (did you mean " + name + "?)";
}

} // namespace zeroi2v
