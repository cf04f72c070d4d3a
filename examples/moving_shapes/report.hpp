// report: the tables and the chart of an experiment, from what its models answered.
#pragma once

#include "score.hpp"
#include "variants.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace moving_shapes {

/// A variant and its scores, one for each seed that has it.
struct scored {
    variant what{};
    std::vector<score> seeds{};
};

/// Smallest, largest and mean of one figure of a variant over its seeds.
struct spread {
    double least = 0, mean = 0, most = 0;
};
[[nodiscard]] spread spread_of(std::span<score const> seeds, double score::* figure);

/// Reads what run.sh left in each folder, one folder per seed; variants that no folder has are left out.
/// Errors  as read_score.
[[nodiscard]] std::vector<scored> read_scores(std::span<variant const> variants, std::span<std::filesystem::path const> folders);

/// Markdown: the ablation, the head offsets, few shots where a folder has them.
[[nodiscard]] std::string tables_of(std::span<scored const> results, std::span<std::filesystem::path const> folders);

/// SVG: a bar for each variant of the ablation, the range of its seeds, and a line where guessing the direction ends.
[[nodiscard]] std::string chart_of(std::span<scored const> results);

} // namespace moving_shapes
