#include "report.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/text_file.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>

namespace moving_shapes {
namespace {

namespace fs = std::filesystem;

std::string number(char const* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

/// "96.2" of one seed, "96.2 (95.8 to 96.5)" of several.
std::string percent(spread const& s, std::size_t seeds) {
    std::string const mean = number("%.1f", 100 * s.mean);
    return seeds < 2 ? mean : mean + " (" + number("%.1f", 100 * s.least) + " to " + number("%.1f", 100 * s.most) + ")";
}

std::string merging(scored const& row) {
    double difference = 0;
    std::size_t changed = 0;
    for (score const& each : row.seeds) {
        if (!each.merge_difference) return "-";
        difference = std::max(difference, *each.merge_difference);
        changed += each.merge_changed;
    }
    return std::to_string(changed) + " answers, " + number("%.1e", difference);
}

std::string row_of(scored const& row) {
    auto const column = [&](double score::* figure) { return percent(spread_of(row.seeds, figure), row.seeds.size()) + " | "; };
    return "| " + row.what.title + " | " + column(&score::right) + column(&score::right_but_direction) + column(&score::direction)
           + number("%.1e", spread_of(row.seeds, &score::pair_difference).most) + " | " + merging(row) + " | " + std::to_string(row.seeds.size()) + " |\n";
}

constexpr std::string_view heading = "| right, % | right but for the direction, % | of these the right direction, % | a video and its reverse: largest difference of logits | "
                                     "merging changes | seeds |\n|---|---|---|---|---|---|---|\n";

/// Rows of `also` begin the table: where the other table's variants belong as well.
std::string table_of(std::span<scored const> results, std::string_view table, std::span<std::string_view const> also, char const* first_column) {
    std::string rows;
    for (scored const& each : results)
        if (each.what.table == table || std::find(also.begin(), also.end(), each.what.name) != also.end()) rows += row_of(each);
    return rows.empty() ? "" : "| " + std::string{first_column} + " " + std::string{heading} + rows + "\n";
}

std::optional<zeroi2v::json_value> read_json(fs::path const& path) {
    if (!fs::exists(path)) return std::nullopt;
    return zeroi2v::json_value::parse(zeroi2v::read_text_file(path, zeroi2v::error_code::bad_json), path.string());
}

std::string few_shot_table(std::span<fs::path const> folders) {
    std::map<std::size_t, std::vector<double>> draws; // shots -> top-1 of every draw of every seed
    for (auto const& folder : folders)
        if (auto const few = read_json(folder / "few_shot.json"))
            for (auto const& row : few->at("rows").elements())
                for (auto const& value : row.at("top1").at("draws").elements()) draws[row.at("shots").as_unsigned().value()].push_back(value.as_number().value());
    std::string rows;
    for (auto const& [shots, values] : draws) {
        auto const [least, most] = std::minmax_element(values.begin(), values.end());
        double sum = 0;
        for (double const value : values) sum += value;
        rows += "| " + std::to_string(shots) + " | " + percent({*least, sum / static_cast<double>(values.size()), *most}, values.size()) + " | " + std::to_string(values.size()) + " |\n";
    }
    return rows.empty() ? "" : "| videos of each class | right, % | draws |\n|---|---|---|\n" + rows;
}

// ---- the chart: units are pixels ------------------------------------------------------------------------------------------

constexpr double left = 230, width = 360, thickness = 18, pitch = 28, top = 34;

std::string text_at(double x, double y, char const* anchor, std::string const& text) {
    return "<text x=\"" + number("%.1f", x) + "\" y=\"" + number("%.1f", y) + "\" text-anchor=\"" + anchor + "\">" + text + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, char const* style) {
    return "<line x1=\"" + number("%.1f", x1) + "\" y1=\"" + number("%.1f", y1) + "\" x2=\"" + number("%.1f", x2) + "\" y2=\"" + number("%.1f", y2) + "\" " + style + "/>\n";
}

std::string bar_of(scored const& row, double y) {
    auto const right = spread_of(row.seeds, &score::right);
    double const middle = y + thickness / 2;
    std::string svg = text_at(left - 8, middle + 4, "end", row.what.title);
    svg += "<rect x=\"" + number("%.1f", left) + "\" y=\"" + number("%.1f", y) + "\" width=\"" + number("%.1f", width * right.mean) + "\" height=\"" + number("%.1f", thickness) + "\" fill=\""
           + (row.what.has_map() ? "#0072b2" : "#999999") + "\"/>\n";
    if (row.seeds.size() > 1) svg += line(left + width * right.least, middle, left + width * right.most, middle, "stroke=\"#000000\" stroke-width=\"2\"");
    return svg + text_at(left + width * right.most + 6, middle + 4, "start", number("%.1f", 100 * right.mean));
}

} // namespace

spread spread_of(std::span<score const> seeds, double score::* figure) {
    spread result{.least = seeds.front().*figure, .mean = 0, .most = seeds.front().*figure};
    for (score const& each : seeds) {
        result.least = std::min(result.least, each.*figure);
        result.most = std::max(result.most, each.*figure);
        result.mean += each.*figure / static_cast<double>(seeds.size());
    }
    return result;
}

std::vector<scored> read_scores(std::span<variant const> variants, std::span<fs::path const> folders) {
    std::vector<scored> results;
    for (variant const& each : variants) results.push_back({each, {}});
    for (auto const& folder : folders) {
        auto const labels = zeroi2v::safetensors_file{folder / "videos" / "clips.safetensors"}.read("labels");
        for (scored& each : results)
            if (fs::exists(folder / (each.what.name + ".json"))) each.seeds.push_back(read_score(folder, each.what.name, labels.as<std::int64_t>()));
    }
    std::erase_if(results, [](scored const& each) { return each.seeds.empty(); });
    return results;
}

std::string tables_of(std::span<scored const> results, std::span<fs::path const> folders) {
    constexpr std::string_view also[] = {"adapters", "both"}; // no temporal head, and four of them
    return "## Ablation\n\n" + table_of(results, "ablation", {}, "what is trained") + "## Head offsets\n\n" + table_of(results, "offsets", also, "map, with adapters")
           + "## Few shots\n\n" + few_shot_table(folders);
}

std::string chart_of(std::span<scored const> results) {
    std::string bars;
    double y = top;
    for (scored const& each : results)
        if (each.what.table == "ablation") {
            bars += bar_of(each, y);
            y += pitch;
        }
    std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 " + number("%.0f", y + 34) + "\" font-family=\"sans-serif\" font-size=\"13\">\n";
    svg += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" + text_at(left, 18, "start", "unseen videos answered right, % (blue: heads read other frames)") + bars;
    svg += line(left + width / 2, top - 4, left + width / 2, y, "stroke=\"#d55e00\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\"");
    svg += line(left, top - 4, left, y, "stroke=\"#000000\"");
    return svg + text_at(left + width / 2, y + 18, "middle", "50: the most that frames without order allow") + "</svg>\n";
}

} // namespace moving_shapes
