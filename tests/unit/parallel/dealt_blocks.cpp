// dealt_blocks: every index once, in blocks that do not depend on who takes them; own blocks first, then those of others.
#include <zeroi2v/parallel/dealt_blocks.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <vector>

using zeroi2v::dealt_blocks;
using zeroi2v::index_range;

TEST_CASE("a part takes its home's blocks in order, then what is left of others'") {
    dealt_blocks blocks{788, 2, 192, 8}; // homes of 400 and 388 rows, in blocks of 136 and then 72
    CHECK(blocks.take(1) == index_range{400, 536});
    CHECK(blocks.take(0) == index_range{0, 136});
    CHECK(blocks.take(0) == index_range{136, 208});
    CHECK(blocks.take(0) == index_range{208, 280});
    CHECK(blocks.take(0) == index_range{280, 352});
    CHECK(blocks.take(0) == index_range{352, 400});
    CHECK(blocks.take(0) == index_range{536, 608}); // part 1 was slow
    CHECK(blocks.take(1) == index_range{608, 680});
    CHECK(blocks.take(0) == index_range{680, 752});
    CHECK(blocks.take(1) == index_range{752, 788});
    CHECK(blocks.take(0).empty());
    CHECK(blocks.take(1).empty());

    dealt_blocks alone{400, 1, 136, 8};
    CHECK(alone.take(0) == index_range{0, 136});
    CHECK(alone.take(0) == index_range{136, 272});
    CHECK(alone.take(0) == index_range{272, 400});
}

TEST_CASE("one part alone takes all blocks of every range, each index once, cut at multiples") {
    for (std::size_t const count : {0U, 1U, 7U, 8U, 130U, 788U})
        for (std::size_t const parts : {1U, 2U, 3U, 7U, 64U, 65U, 200U})
            for (std::size_t const most : {1U, 8U, 96U, 1000U})
                for (std::size_t const multiple : {1U, 8U}) {
                    if (most < multiple) continue;
                    for (std::size_t const part : {std::size_t{0}, parts - 1}) {
                        dealt_blocks blocks{count, parts, most, multiple};
                        std::vector<int> seen(count);
                        bool sound = true;
                        for (index_range at = blocks.take(part); !at.empty(); at = blocks.take(part)) {
                            sound = sound && at.end <= count && at.size() <= most && at.begin % multiple == 0;
                            for (std::size_t i = at.begin; i < std::min(at.end, count); ++i) ++seen[i];
                        }
                        sound = sound && std::ranges::all_of(seen, [](int times) { return times == 1; });
                        if (!sound) FAIL("count " << count << " parts " << parts << " most " << most << " multiple " << multiple << " part " << part);
                    }
                }
}

TEST_CASE("many threads take each index once") {
    zeroi2v::thread_team team{7};
    for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> seen(10'000);
        dealt_blocks blocks{seen.size(), 7, 3};
        team.run(7, [&](int part) {
            for (index_range at = blocks.take(static_cast<std::size_t>(part)); !at.empty(); at = blocks.take(static_cast<std::size_t>(part)))
                for (std::size_t i = at.begin; i < at.end; ++i) seen[i].fetch_add(1);
        });
        CHECK(std::ranges::all_of(seen, [](auto const& times) { return times.load() == 1; }));
    }
}
