#include "answers.hpp"

#include "labels.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/config_json.hpp>
#include <zeroi2v/io/printable.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>

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

std::vector<std::string> lines_of(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::vector<std::string> lines;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines.emplace_back(line);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
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
    class_names result;
    result.names_ = lines_of(read_text_file(path));
    if (result.names_.size() != classes)
        throw model_error{error_code::bad_labels, printable(path.native(), 4096) + ": " + std::to_string(result.names_.size())
                                                      + " class names found, one for each of the " + std::to_string(classes) + " classes expected"};
    return result;
}

class_names class_names::built_in(std::string_view data_set, std::size_t classes) {
    class_names result;
    for (auto const& set : all_labels())
        if (set.name == data_set) result.names_ = lines_of(set.text);
    if (result.names_.size() != classes) result.names_.clear();
    return result;
}

std::string class_names::shown(std::size_t index) const {
    return index < names_.size() ? names_[index] : "class " + std::to_string(index);
}

} // namespace zeroi2v::program
