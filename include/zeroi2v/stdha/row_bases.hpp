// row_bases: the source frame of every (frame, head) as a table, the form in which kernels read a frame map.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace zeroi2v {

/// table[t * heads + h] = map.source(h, t, frames): the row base of K and V is table[..] * (stride of one frame).
///
/// Shapes  table: (T,H).   Errors  another size of the table -> ZEROI2V_REQUIRE.   Cost  T*H, no allocation.
/// Test    tests/unit/stdha/row_bases.cpp
template <std::size_t Heads>
constexpr void fill_row_bases(frame_map<Heads> const& map, std::size_t frames, std::span<std::size_t> table) {
    std::size_t const heads = map.heads();
    ZEROI2V_REQUIRE(table.size() == frames * heads, "zeroi2v::fill_row_bases: table must have frames * heads elements");
    for (std::size_t t = 0; t < frames; ++t)
        for (std::size_t h = 0; h < heads; ++h) table[t * heads + h] = map.source(h, t, frames);
}

/// The table in an own vector.
template <std::size_t Heads>
[[nodiscard]] constexpr std::vector<std::size_t> row_bases(frame_map<Heads> const& map, std::size_t frames) {
    auto const count = checked_mul(frames, map.heads());
    if (!count) throw model_error{error_code::bad_config, "row_bases: frames * heads overflows"};
    std::vector<std::size_t> table(*count, 0);
    fill_row_bases(map, frames, table);
    return table;
}

/// The table of a static map and a static number of frames: a constant of the program.
template <frame_map Map, std::size_t Frames>
inline constexpr auto static_row_bases = [] {
    std::array<std::size_t, Frames * Map.heads()> table{};
    fill_row_bases(Map, Frames, std::span<std::size_t>{table});
    return table;
}();

} // namespace zeroi2v
