// partition: the parts cover the range in order, nothing twice, cut at multiples only.
#include <zeroi2v/parallel/partition.hpp>

#include <doctest/doctest.h>

#include <algorithm>

using zeroi2v::index_range;
using zeroi2v::partition;

static_assert(partition(10, 3, 0) == index_range{0, 4});
static_assert(partition(10, 3, 2) == index_range{7, 10});
static_assert(partition(10, 3, 0, 4) == index_range{0, 4});
static_assert(partition(10, 3, 2, 4) == index_range{8, 10});
static_assert(partition(0, 3, 1).empty());

static_assert(zeroi2v::even_block(788, 96, 8) == 88);
static_assert(zeroi2v::even_block(96, 96, 8) == 96);
static_assert(zeroi2v::even_block(97, 96, 8) == 56);
static_assert(zeroi2v::even_block(5, 96, 8) == 8);
static_assert(zeroi2v::even_block(5, 3, 8) == 3);
static_assert(zeroi2v::even_block(0, 96, 8) == 1);

TEST_CASE("parts of every range") {
    for (std::size_t count = 0; count <= 130; ++count)
        for (std::size_t parts = 1; parts <= 66; ++parts)
            for (std::size_t const multiple : {std::size_t{1}, std::size_t{2}, std::size_t{6}, std::size_t{7}, std::size_t{64}, std::size_t{200}}) {
                std::size_t next = 0, least = ~std::size_t{0}, most = 0;
                bool sound = true;
                for (std::size_t part = 0; part < parts; ++part) {
                    index_range const range = partition(count, parts, part, multiple);
                    sound = sound && range.begin == next && range.end >= range.begin && (range.end == count || range.end % multiple == 0);
                    next = range.end;
                    std::size_t const units = (range.size() + multiple - 1) / multiple;
                    least = std::min(least, units);
                    most = std::max(most, units);
                }
                sound = sound && next == count && most - least <= 1;
                if (!sound) FAIL("count " << count << " parts " << parts << " multiple " << multiple);
            }
}
