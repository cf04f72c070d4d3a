// Scores, tables and the list of variants.
#include "report.hpp"
#include "scene.hpp"
#include "score.hpp"
#include "variants.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

using namespace moving_shapes;

namespace {

/// Logits that answer as told.
zeroi2v::stored_tensor answering(std::span<std::size_t const> answers) {
    auto logits = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f32, zeroi2v::shape{answers.size(), classes});
    for (std::size_t video = 0; video < answers.size(); ++video) logits.as<float>()[video * classes + answers[video]] = 2;
    return logits;
}

} // namespace

TEST_CASE("a score counts directions among the videos whose outline and motion are right") {
    std::array<std::int64_t, 4> const labels{0, 1, 10, 11};
    auto const right = score_of(answering(std::array<std::size_t, 4>{0, 1, 10, 11}), labels);
    CHECK(right.right == 1);
    CHECK(right.direction == 1);
    CHECK(right.pair_difference == 2);
    auto const alike = score_of(answering(std::array<std::size_t, 4>{0, 0, 10, 10}), labels); // as without order
    CHECK(alike.right == 0.5);
    CHECK(alike.right_but_direction == 1);
    CHECK(alike.direction == 0.5);
    CHECK(alike.pair_difference == 0);
    auto const mixed = score_of(answering(std::array<std::size_t, 4>{1, 1, 2, 3}), labels);
    CHECK(mixed.right == 0.25);
    CHECK(mixed.right_but_direction == 0.5);
    CHECK(mixed.direction == 0.5);
    auto const wrong = score_of(answering(std::array<std::size_t, 4>{5, 5, 5, 5}), labels);
    CHECK(wrong.right == 0);
    CHECK(wrong.direction == 0);
    CHECK_THROWS(static_cast<void>(score_of(answering(std::array<std::size_t, 2>{0, 1}), labels)));
    CHECK_THROWS(static_cast<void>(score_of(answering(std::array<std::size_t, 3>{0, 1, 2}), std::array<std::int64_t, 3>{0, 1, 2}))); // not in pairs
}

TEST_CASE("tables and chart have a row for each variant, and the range of its seeds") {
    variant const both{"ablation", "both", "-1,1,0", "zero", "adapters", "", "both"}, one{"offsets", "heads_1", "-1,0,0", "zero", "adapters", "", "1 head"};
    score low{.videos = 2, .right = 0.9, .right_but_direction = 1, .direction = 0.9, .pair_difference = 3, .merge_difference = 1e-6, .merge_changed = 0};
    score high = low;
    high.right = 1;
    std::array<scored, 2> const results{scored{both, {low, high}}, scored{one, {low}}};
    auto const tables = tables_of(results, {});
    CHECK(tables.find("| both | 95.0 (90.0 to 100.0) | 100.0 (100.0 to 100.0) | 90.0 (90.0 to 90.0) | 3.0e+00 | 0 answers, 1.0e-06 | 2 |\n") != std::string::npos);
    CHECK(tables.find("| 1 head | 90.0 | 100.0 | 90.0 | 3.0e+00 | 0 answers, 1.0e-06 | 1 |\n") != std::string::npos);
    auto const chart = chart_of(results);
    CHECK(chart.starts_with("<svg "));
    CHECK(chart.ends_with("</svg>\n"));
    CHECK(chart.find(">both<") != std::string::npos);
    CHECK(chart.find(">1 head<") == std::string::npos);
}

TEST_CASE("variants.txt: names differ, and each says what a model needs") {
    std::set<std::string> names;
    for (auto const& each : read_variants(ZEROI2V_SHAPE_VARIANTS)) {
        CAPTURE(each.name);
        names.insert(each.name);
        CHECK((each.table == "ablation" || each.table == "offsets"));
        CHECK((each.adapters == "none" || each.adapters == "zero"));
        CHECK(std::count(each.offsets.begin(), each.offsets.end(), ',') == 7);
        CHECK(each.has_map() == (each.name != "head" && each.name != "temporal" && !each.name.starts_with("adapters")));
    }
    CHECK(names.size() == 13);
    CHECK_THROWS(static_cast<void>(read_variants("no such file")));
}
