#include <zeroi2v/stdha/row_bases.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

using namespace zeroi2v;

TEST_CASE("the table holds source of every frame and head, and nothing beside it is written") {
    auto const map = frame_map<5>::from_offsets({0, -1, 2, 7, -9});
    for (std::size_t frames = 0; frames <= 9; ++frames) {
        std::vector<std::size_t> guarded(frames * 5 + 2, 77);
        fill_row_bases(map, frames, std::span{guarded}.subspan(1, frames * 5));
        CHECK(guarded.front() == 77);
        CHECK(guarded.back() == 77);
        for (std::size_t t = 0; t < frames; ++t)
            for (std::size_t h = 0; h < 5; ++h) CHECK(guarded[1 + t * 5 + h] == map.source(h, t, frames));
        std::vector<std::size_t> const table = row_bases(frame_map<>{map}, frames);
        CHECK(std::equal(table.begin(), table.end(), guarded.begin() + 1, guarded.end() - 1));
    }
}

TEST_CASE("a table of another size, and sizes that overflow, are errors") {
    frame_map<> const map{2};
    std::vector<std::size_t> table(7);
    CHECK_THROWS_AS(fill_row_bases(map, 4, table), precondition_error);
    CHECK_THROWS_AS(fill_row_bases(map, 3, table), precondition_error);
    CHECK_THROWS_AS((void)row_bases(map, std::numeric_limits<std::size_t>::max()), model_error);
}
