#include "score.hpp"

#include "scene.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/text_file.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace moving_shapes {
namespace {

namespace fs = std::filesystem;

std::span<float const> row_of(zeroi2v::stored_tensor const& logits, std::size_t video) { return logits.as<float>().subspan(video * classes, classes); }

std::size_t answer_of(zeroi2v::stored_tensor const& logits, std::size_t video) {
    auto const row = row_of(logits, video);
    return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

double largest_difference(std::span<float const> a, std::span<float const> b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return largest;
}

zeroi2v::stored_tensor read_logits(fs::path const& path) { return zeroi2v::safetensors_file{path}.read("logits"); }

void require_shape(zeroi2v::stored_tensor const& logits, std::size_t videos) {
    if (logits.sizes() != zeroi2v::shape{videos, classes} || videos == 0 || videos % 2 != 0)
        throw std::runtime_error{"logits of another number of videos or classes than the labels; pairs of videos expected"};
}

void require_same_right(fs::path const& evaluated, double right) {
    double const found = zeroi2v::json_value::parse(zeroi2v::read_text_file(evaluated, zeroi2v::error_code::bad_json), evaluated.string()).at("top1").as_number().value();
    if (std::abs(found - right) > 1e-9) throw std::runtime_error{evaluated.string() + ": top-1 of the files is not that of the clips"};
}

} // namespace

score score_of(zeroi2v::stored_tensor const& logits, std::span<std::int64_t const> labels) {
    require_shape(logits, labels.size());
    std::size_t right = 0, otherwise = 0;
    score result{.videos = labels.size()};
    for (std::size_t video = 0; video < labels.size(); ++video) {
        std::size_t const answer = answer_of(logits, video), truth = static_cast<std::size_t>(labels[video]);
        right += answer == truth ? 1 : 0;
        otherwise += answer == reversed(truth) ? 1 : 0;
        if (video % 2 == 1) result.pair_difference = std::max(result.pair_difference, largest_difference(row_of(logits, video - 1), row_of(logits, video)));
    }
    auto const share = [](std::size_t part, std::size_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole); };
    result.right = share(right, labels.size());
    result.right_but_direction = share(right + otherwise, labels.size());
    result.direction = share(right, right + otherwise);
    return result;
}

score read_score(fs::path const& folder, std::string const& name, std::span<std::int64_t const> labels) {
    auto const logits = read_logits(folder / (name + ".logits.safetensors"));
    score result = score_of(logits, labels);
    require_same_right(folder / (name + ".json"), result.right);
    auto const merged_path = folder / (name + ".merged.logits.safetensors");
    if (!fs::exists(merged_path)) return result;
    auto const merged = read_logits(merged_path);
    require_shape(merged, labels.size());
    require_same_right(folder / (name + ".merged.json"), score_of(merged, labels).right);
    result.merge_difference = largest_difference(logits.as<float>(), merged.as<float>());
    for (std::size_t video = 0; video < labels.size(); ++video) result.merge_changed += answer_of(logits, video) != answer_of(merged, video) ? 1 : 0;
    return result;
}

} // namespace moving_shapes
