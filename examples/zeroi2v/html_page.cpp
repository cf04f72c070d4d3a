#include "html_page.hpp"

#include "console.hpp"

#include <zeroi2v/io/files/utf8.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <algorithm>
#include <string_view>

namespace zeroi2v::program {
namespace {

/// Text between tags or in an attribute; control characters and bytes that are no UTF-8 become U+FFFD.
std::string escaped(std::string_view text) {
    constexpr std::string_view replacement = "\xEF\xBF\xBD";
    std::string out;
    while (!text.empty()) {
        auto const control = zeroi2v::detail::control_at(text);
        auto const length = control ? control->length : zeroi2v::detail::utf8_length(text);
        if (control || length == 0) out += replacement;
        else if (text[0] == '&') out += "&amp;";
        else if (text[0] == '<') out += "&lt;";
        else if (text[0] == '>') out += "&gt;";
        else if (text[0] == '"') out += "&quot;";
        else out += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

constexpr std::string_view style = R"(
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em;overflow-wrap:anywhere}
table{border-collapse:collapse}td,th{padding:.1em .6em;text-align:left}
.strip{display:flex;gap:2px;flex-wrap:wrap;margin:.3em 0}figure{margin:0}figcaption{font-size:.7em;color:#666;text-align:center}
img{display:block;image-rendering:auto}.bar{background:#4878a8;height:.8em;display:inline-block}
.p{text-align:right;font-variant-numeric:tabular-nums}.note{background:#fff3cd;padding:.5em 1em}.fault{background:#f8d7da;padding:.5em 1em}
.map td,.map th{font-size:.75em;padding:0 .35em;text-align:center;border:1px solid #ddd;font-variant-numeric:tabular-nums}
.own{color:#bbb}.past{background:#cfe2f3}.future{background:#fce5cd}
)";

/// Heads as rows, frames as columns; neighbouring heads with one offset share a row.
std::string map_table(frame_map<> const& map, std::size_t frames) {
    std::string html = "<table class=\"map\"><tr><th>head</th><th>offset</th>";
    for (std::size_t t = 0; t < frames; ++t) html += "<th>" + std::to_string(t) + "</th>";
    html += "</tr>\n";
    for (std::size_t first = 0; first < map.heads();) {
        std::size_t last = first;
        while (last + 1 < map.heads() && map.offset(last + 1) == map.offset(first)) ++last;
        int const offset = map.offset(first);
        html += "<tr><th>" + std::to_string(first) + (last > first ? "–" + std::to_string(last) : "") + "</th><td>"
                + (offset > 0 ? "+" : "") + std::to_string(offset) + "</td>";
        for (std::size_t t = 0; t < frames; ++t) {
            auto const source = map.source(first, t, frames);
            html += source == t ? "<td class=\"own\">" : source < t ? "<td class=\"past\">" : "<td class=\"future\">";
            html += std::to_string(source) + "</td>";
        }
        html += "</tr>\n";
        first = last + 1;
    }
    return html + "</table>\n";
}

std::string video_section(shown_video const& video) {
    std::string html = "<h2>" + escaped(video.name) + "</h2>\n";
    if (video.fault) return html + "<p class=\"fault\">" + escaped(video.fault->first) + ": " + escaped(video.fault->second) + "</p>\n";
    html += "<table>\n";
    for (auto const& [label, probability] : video.top)
        html += "<tr><td>" + escaped(label) + "</td><td class=\"p\">" + fixed(100 * probability, 2) + " %</td><td><span class=\"bar\" style=\"width:"
                + fixed(20 * probability, 2) + "em\"></span></td></tr>\n";
    html += "</table>\n<p>" + std::to_string(video.frames) + " frames, " + std::to_string(video.views.size())
            + (video.views.size() == 1 ? " view" : " views") + "; decoding " + fixed(video.decode_s, 3) + " s, preprocessing "
            + fixed(video.preprocess_s, 3) + " s, model " + fixed(video.model_s, 3) + " s</p>\n";
    for (auto const& view : video.views) {
        html += "<div class=\"strip\">";
        for (auto const& [index, picture] : view)
            html += "<figure><img alt=\"frame " + std::to_string(index) + "\" src=\"" + picture + "\"><figcaption>" + std::to_string(index)
                    + "</figcaption></figure>";
        html += "</div>\n";
    }
    return html;
}

} // namespace

std::string html_page(page_head const& head, vit_config const& config, std::vector<shown_video> const& videos) {
    std::string html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                       "<title>zeroi2v classify</title><style>";
    html += style;
    html += "</style></head><body>\n<h1>zeroi2v classify</h1>\n";
    if (head.untrained) html += "<p class=\"note\">These weights are not trained: the answers mean nothing.</p>\n";
    html += "<table>\n<tr><th>checkpoint</th><td>" + escaped(head.checkpoint) + (head.merged ? " (no adapters)" : " (with adapters)")
            + "</td></tr>\n<tr><th>model</th><td>" + std::to_string(config.layers()) + " layers, width " + std::to_string(config.width()) + ", "
            + std::to_string(config.heads()) + " heads, " + std::to_string(config.frames()) + " frames of " + std::to_string(config.image_size()) + "×"
            + std::to_string(config.image_size()) + ", " + std::to_string(config.classes()) + " classes</td></tr>\n<tr><th>input</th><td>"
            + escaped(head.input) + "</td></tr>\n<tr><th>run</th><td>" + escaped(head.run) + "</td></tr>\n</table>\n";
    for (auto const& video : videos) html += video_section(video);
    html += "<h2>Frame map</h2>\n<p>Which frame each head reads its keys and values from.</p>\n" + map_table(config.map(), config.frames());
    return html + "</body></html>\n";
}

} // namespace zeroi2v::program
