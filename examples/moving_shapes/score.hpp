// score: how well one trained model answered the test videos, which come in pairs: a video, then its reverse.
#pragma once

#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace moving_shapes {

/// Shares are of all videos, but `direction`.
struct score {
    std::size_t videos = 0;
    double right = 0;               ///< outline, motion and its direction
    double right_but_direction = 0; ///< outline and motion, forwards or backwards
    double direction = 0;           ///< of the latter: with the right direction
    double pair_difference = 0;     ///< largest |logit of a video - logit of its reverse|
    std::optional<double> merge_difference{}; ///< largest |logit merged - logit unmerged|; none where nothing is to be merged
    std::size_t merge_changed = 0;            ///< answers that merging changed
};

/// Shapes  logits (V,K) f32, labels (V); videos 2i and 2i+1 are each other's reverse.
/// Errors  other shapes -> std::runtime_error.
[[nodiscard]] score score_of(zeroi2v::stored_tensor const& logits, std::span<std::int64_t const> labels);

/// The score of FOLDER/NAME.logits.safetensors, with FOLDER/NAME.merged.logits.safetensors where it is there. The answers were given
/// a second time by `zeroi2v eval`, from the files: FOLDER/NAME.json.
/// Errors  as score_of; where the two disagree -> std::runtime_error.
[[nodiscard]] score read_score(std::filesystem::path const& folder, std::string const& name, std::span<std::int64_t const> labels);

} // namespace moving_shapes
