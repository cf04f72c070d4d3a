// draw: a frame map as a picture in text, heads as rows, frames as columns.
#pragma once

#include <zeroi2v/stdha/frame_map.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

namespace zeroi2v {

/// One line per head: its offset, an arrow that says where it looks, and the source of every frame of the clip.
/// Neighbouring heads with the same offset share a line. `.` marks a frame that reads its own keys and values.
///
///     head   offset  frame 0 1 2 3 4 5 6 7
///     0       -1 <-        . 0 1 2 3 4 5 6
///     1       +1 ->        1 2 3 4 5 6 7 .
///     2..11    0 ==        . . . . . . . .
///
/// Errors  none.    Test  tests/unit/stdha/draw.cpp
template <std::size_t Heads>
[[nodiscard]] std::string draw(frame_map<Heads> const& map, std::size_t frames) {
    auto const left = [](std::string text, std::size_t width) {
        text.append(width - std::min(width, text.size()), ' ');
        return text;
    };
    auto const right = [](std::string const& text, std::size_t width) {
        return std::string(width - std::min(width, text.size()), ' ') + text;
    };
    auto const heads_text = [](std::size_t first, std::size_t last) {
        return first == last ? std::to_string(first) : std::to_string(first) + ".." + std::to_string(last);
    };
    auto const offset_text = [](int offset) { return std::string{offset > 0 ? "+" : ""}.append(std::to_string(offset)); };

    std::size_t const cell = 1 + std::to_string(frames == 0 ? 0 : frames - 1).size();
    std::size_t head_width = 4;
    std::size_t offset_width = 6;
    auto const last_of = [&map](std::size_t first) {
        std::size_t last = first;
        while (last + 1 < map.heads() && map.offset(last + 1) == map.offset(first)) ++last;
        return last;
    };
    for (std::size_t h = 0; h < map.heads(); h = last_of(h) + 1) {
        head_width = std::max(head_width, heads_text(h, last_of(h)).size());
        offset_width = std::max(offset_width, offset_text(map.offset(h)).size() + 3);
    }

    std::string picture = left("head", head_width) + "  " + left("offset", offset_width) + "  frame";
    for (std::size_t t = 0; t < frames; ++t) picture += right(std::to_string(t), cell);
    picture += '\n';
    for (std::size_t h = 0; h < map.heads(); h = last_of(h) + 1) {
        int const d = map.offset(h);
        char const* const arrow = d < 0 ? " <-" : d > 0 ? " ->" : " ==";
        picture += left(heads_text(h, last_of(h)), head_width) + "  "
                   + left(right(offset_text(d), offset_width - 3) + arrow, offset_width);
        if (frames != 0) picture.append(7, ' ');
        for (std::size_t t = 0; t < frames; ++t) {
            std::size_t const s = map.source(h, t, frames);
            picture += right(s == t ? "." : std::to_string(s), cell);
        }
        picture += '\n';
    }
    return picture;
}

} // namespace zeroi2v
