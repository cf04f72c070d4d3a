#include "answers.hpp"

#include "labels.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/text_file.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>

namespace zeroi2v::program {
namespace {

// By bit pattern, so that no compiler flag can decide that there are no such values.
bool is_finite(float value) noexcept { return (std::bit_cast<std::uint32_t>(value) & 0x7f800000U) != 0x7f800000U; }

void softmax(std::vector<double>& values) {
    double const largest = *std::ranges::max_element(values);
    double sum = 0;
    for (double& value : values) sum += value = std::exp(value - largest);
    for (double& value : values) value /= sum;
}

/// The names of a text, one per line, without the empty lines at its end; nothing where there are more than `most`, beyond
/// which no line is looked at but for the first one that is not empty.
std::optional<std::vector<std::string>> names_in(std::string_view text, std::size_t most) {
    std::vector<std::string> names;
    text_lines lines{text};
    while (names.size() < most && lines.next()) names.emplace_back(lines.line());
    auto const rest = names.size() < most ? std::string_view{} : text.substr(lines.end());
    if (std::ranges::any_of(rest, [](char c) { return c != '\n' && c != '\r'; })) return std::nullopt;
    while (!names.empty() && names.back().empty()) names.pop_back();
    return names;
}

} // namespace

void require_finite(view<float const, 2> logits, std::string const& what) {
    auto const bad = std::count_if(logits.begin(), logits.end(), [](float value) { return !is_finite(value); });
    if (bad == 0) return;
    auto const first = static_cast<std::size_t>(std::find_if_not(logits.begin(), logits.end(), is_finite) - logits.begin());
    throw model_error{error_code::nonfinite_logits, what + ": " + std::to_string(bad) + " of " + std::to_string(logits.size())
                                                        + " logits are not finite, first view " + std::to_string(first / logits.extent(1))
                                                        + " class " + std::to_string(first % logits.extent(1)) + ", finite ones expected"};
}

std::vector<double> join_views(view<float const, 2> logits, view_average average) {
    std::size_t const views = logits.extent(0), classes = logits.extent(1);
    std::vector<double> joined(classes, 0.0), one(classes);
    for (std::size_t v = 0; v < views; ++v) {
        for (std::size_t k = 0; k < classes; ++k) one[k] = static_cast<double>(logits(v, k));
        if (average == view_average::prob) softmax(one);
        for (std::size_t k = 0; k < classes; ++k) joined[k] += one[k] / static_cast<double>(views);
    }
    if (average == view_average::score) softmax(joined);
    return joined;
}

std::vector<ranked_class> most_probable(std::vector<double> const& probabilities, std::size_t count) {
    std::vector<std::size_t> order(probabilities.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    auto const middle = order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size()));
    std::partial_sort(order.begin(), middle, order.end(), [&](std::size_t a, std::size_t b) {
        return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a < b;
    });
    std::vector<ranked_class> result;
    for (auto at = order.begin(); at != middle; ++at) result.push_back({*at, probabilities[*at]});
    return result;
}

class_names class_names::from_file(std::filesystem::path const& path, std::size_t classes) {
    auto names = names_in(read_text_file(path, error_code::bad_labels), classes);
    if (!names || names->size() != classes)
        throw model_error{error_code::bad_labels, printable(path.native(), 4096) + ": " + (names ? std::to_string(names->size()) : "more than " + std::to_string(classes))
                                                      + " class names found, one for each of the " + std::to_string(classes) + " classes expected"};
    class_names result;
    result.names_ = std::move(*names);
    return result;
}

class_names class_names::built_in(std::string_view data_set, std::size_t classes) {
    class_names result;
    for (auto const& set : all_labels())
        if (set.name == data_set)
            if (auto names = names_in(set.text, classes); names && names->size() == classes) result.names_ = std::move(*names);
    return result;
}

std::string class_names::shown(std::size_t index) const {
    return index < names_.size() ? names_[index] : "class " + std::to_string(index);
}

} // namespace zeroi2v::program
