// What the compiler promises about frame maps: values, predicates, queries, and their algebra.
#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/stdha/row_bases.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

namespace {

using namespace zeroi2v;

// The first screen of the documentation.
constexpr auto map = frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};
static_assert(map.spatial_heads() == 10 && map.temporal_heads() == 2 && map.reach() == 1 && !map.is_identity());
static_assert(map.source(/*head*/ 0, /*frame*/ 3, /*frames*/ 8) == 2);
static_assert(map.source(0, 0, 8) == 0 && map.source(1, 7, 8) == 7);
static_assert(map.source(1, 6, 8) == 7 && map.source(5, 3, 8) == 3);

// A structural value: a template argument, different types for different maps.
template <frame_map Map>
struct layer {
    static constexpr std::size_t heads = Map.heads();
};
static_assert(layer<map>::heads == 12);
static_assert(std::is_same_v<layer<map>, layer<frame_map<12>{{.head = 1, .offset = 1}, {.head = 0, .offset = -1}}>>);
static_assert(!std::is_same_v<layer<map>, layer<frame_map<12>{}>>);
static_assert(sizeof(map) == 12 * sizeof(int) && std::is_trivially_copyable_v<frame_map<12>>);

// No entry, or offsets of zero: the plain image model.
static_assert(frame_map<12>{}.is_identity() && frame_map<12>{} == frame_map<12>{{.head = 3, .offset = 0}});

// The same template with a number of heads known at run time; equality sees values, not types.
static_assert(frame_map<>{12, {{.head = 0, .offset = -1}, {.head = 1, .offset = 1}}} == map);
static_assert(frame_map<>{map} == map && frame_map<12>{frame_map<>{map}} == map);
static_assert(frame_map<>{12} == frame_map<12>{} && frame_map<>{11} != frame_map<12>{});
static_assert(std::is_convertible_v<frame_map<12>, frame_map<>> && !std::is_convertible_v<frame_map<>, frame_map<12>>);
static_assert(std::is_constructible_v<frame_map<12>, frame_map<> const&>);
static_assert(std::is_copy_constructible_v<frame_map<>> && std::is_nothrow_move_constructible_v<frame_map<>>);
static_assert(!std::is_default_constructible_v<frame_map<>>);

// From the list of a configuration file.
constexpr std::array<int, 4> listed{-1, 1, 0, -2};
static_assert(frame_map<4>{std::span<int const>{listed}} == frame_map<4>::from_offsets({-1, 1, 0, -2}));
static_assert(frame_map<>{std::span<int const>{listed}}.offset(3) == -2);

// The predicates, at their edges.
namespace is = frame_map_predicates;
static_assert(!is::valid_head_count(0) && is::valid_head_count(1) && is::valid_head_count(65535)
              && !is::valid_head_count(65536));
static_assert(is::valid_head(11, 12) && !is::valid_head(12, 12) && !is::valid_head(0, 0));
static_assert(is::valid_offset(32767) && is::valid_offset(-32767));
static_assert(!is::valid_offset(32768) && !is::valid_offset(-32768));
constexpr std::array<head_offset, 3> twice{{{0, 1}, {2, 1}, {0, 1}}};
static_assert(!is::no_duplicate_head(twice) && is::no_duplicate_head(std::span{twice}.first(2))
              && is::no_duplicate_head(std::span{twice}.first(0)));

// Which heads look at an offset.
consteval std::size_t sum_of_heads_at(int offset) {
    std::size_t sum = 0;
    constexpr auto six = frame_map<6>::from_offsets({-1, 0, 2, -1, 0, -1});
    for (std::size_t const head : six.heads_at(offset)) sum += head;
    return sum;
}
static_assert(sum_of_heads_at(-1) == 0 + 3 + 5 && sum_of_heads_at(0) == 1 + 4 && sum_of_heads_at(2) == 2
              && sum_of_heads_at(1) == 0);
static_assert(map.heads_at(-1).size() == 1 && map.heads_at(7).empty() && *map.heads_at(1).begin() == 1);

// The boundary rule, from its definition, for every offset, frame and length; the table holds the same.
consteval bool follows_the_rule() {
    for (int d = -9; d <= 9; ++d) {
        auto const m = frame_map<>::from_offsets({0, d});
        for (int frames = 1; frames <= 7; ++frames) {
            auto const table = row_bases(m, static_cast<std::size_t>(frames));
            for (int t = 0; t < frames; ++t) {
                int const wanted = t + d;
                auto const expected = static_cast<std::size_t>(0 <= wanted && wanted < frames ? wanted : t);
                auto const frame = static_cast<std::size_t>(t);
                if (m.source(1, frame, static_cast<std::size_t>(frames)) != expected) return false;
                if (table[frame * 2 + 1] != expected || table[frame * 2] != frame) return false;
            }
        }
    }
    return true;
}
static_assert(follows_the_rule());

// readers is the inverse of source.
consteval bool readers_invert_source() {
    for (int d = -6; d <= 6; ++d) {
        auto const m = frame_map<>::from_offsets({d});
        for (std::size_t frames = 1; frames <= 5; ++frames)
            for (std::size_t s = 0; s < frames; ++s) {
                auto const readers = m.readers(0, s, frames);
                std::size_t next = 0;
                for (std::size_t t = 0; t < frames; ++t)
                    if (m.source(0, t, frames) == s && (next == readers.size() || readers[next++] != t)) return false;
                if (next != readers.size()) return false;
            }
    }
    return true;
}
static_assert(readers_invert_source());

// Nothing overflows at the ends of the ranges.
constexpr auto far = frame_map<2>::from_offsets({-32767, 32767});
constexpr std::size_t top = dynamic;
static_assert(far.source(0, 32767, 32768) == 0 && far.source(0, 32766, 32768) == 32766);
static_assert(far.source(1, 0, 32768) == 32767);
static_assert(far.source(1, top - 2, top) == top - 2 && far.source(0, top - 1, top) == top - 1 - 32767);

// The released maps, by the table of row bases of their own clip lengths.
constexpr auto ssv2_16 = frame_map<12>::from_offsets({-1, 1, -2, 2, 0, 0, 0, 0, 0, 0, 0, 0});
constexpr auto& bases = static_row_bases<ssv2_16, 16>;
static_assert(bases.size() == 16 * 12);
static_assert(bases[1 * 12 + 2] == 1 && bases[2 * 12 + 2] == 0 && bases[14 * 12 + 3] == 14 && bases[13 * 12 + 3] == 15);
constexpr auto l14_ssv2_32 = frame_map<16>::from_offsets({-1, -1, 1, 1, -2, 2, -3, 0, 0, 0, 0, 0, 0, 0, 0, 0});
static_assert(l14_ssv2_32.reach() == 3 && l14_ssv2_32.spatial_heads() == 9);
static_assert(static_row_bases<l14_ssv2_32, 32>[2 * 16 + 6] == 2 && static_row_bases<l14_ssv2_32, 32>[3 * 16 + 6] == 0);

} // namespace
