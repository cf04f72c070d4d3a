// presets: the released models, their sizes, inputs and frame maps.
#include "commands.hpp"
#include "options.hpp"

#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/stdha/draw.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <string>

namespace zeroi2v::program {
namespace {

std::string describe(preset const& p) {
    auto const number = [](std::size_t value) { return std::to_string(value); };
    auto const& s = p.sizes;
    std::string text = std::string{p.name} + "\n";
    text += "  model   " + number(s.layers) + " layers, width " + number(s.width) + ", " + number(s.heads) + " heads, patch " + number(s.patch_size)
            + ", image " + number(s.image_size) + ", " + number(s.frames) + " frames, " + number(s.classes) + " classes ("
            + std::string{p.labels} + "), adapter scale " + fixed(p.adapter_scale, 1) + "\n";
    text += "  input   " + std::string{to_string(p.input.sampling)};
    if (p.input.sampling == sampling_method::dense) text += ", interval " + number(p.input.interval);
    text += ", " + number(p.input.clips) + (p.input.clips == 1 ? " clip, " : " clips, ") + number(p.input.crops)
            + (p.input.crops == 1 ? " crop" : " crops") + ", resize " + number(p.input.resize) + ", normalize "
            + std::string{to_string(p.input.normalize)} + ", average " + std::string{to_string(p.input.average)} + "\n";
    std::string const picture = draw(frame_map<>{p.offsets()}, s.frames);
    for (std::size_t at = 0; at < picture.size();) {
        auto const end = picture.find('\n', at);
        text += "  " + picture.substr(at, end - at) + "\n";
        at = end == std::string::npos ? picture.size() : end + 1;
    }
    return text;
}

int run_presets(arguments const&, console const& out) {
    std::string text = "Rows are heads, columns the frames of a clip; a number is the frame whose keys and values the head reads,\n"
                       "a dot its own.\n";
    for (auto const& each : presets::all) text.append("\n").append(describe(each));
    out.print(text);
    return 0;
}

} // namespace

command presets_command() {
    return {{"presets", "lists the released models and draws their frame maps", {}, {common_group()}, {}}, run_presets};
}

} // namespace zeroi2v::program
