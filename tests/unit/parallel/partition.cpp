// partition: the parts cover the range in order, nothing twice, cut at multiples only.
#include <zeroi2v/parallel/partition.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>

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

TEST_CASE("even blocks are as few as can be, as even as multiples allow, and never longer than the most") {
    for (std::size_t count = 0; count <= 200; ++count)
        for (std::size_t const most : {1U, 2U, 3U, 7U, 8U, 16U, 60U, 96U, 500U})
            for (std::size_t const multiple : {1U, 2U, 3U, 8U}) {
                std::size_t const block = zeroi2v::even_block(count, most, multiple);
                std::size_t const fewest = count == 0 ? 1 : (count + most - 1) / most;
                std::size_t const even = (count + fewest - 1) / fewest; // of as many blocks, if there were no multiples
                bool sound = block >= 1 && block <= most && (block == most || count == 0 || block % multiple == 0);
                sound = sound && (count == 0 || block >= std::min(even, most)) && block < std::max<std::size_t>(even, 1) + multiple;
                if (!sound) FAIL("count " << count << " most " << most << " multiple " << multiple << ": " << block);
            }
    CHECK(zeroi2v::even_block(10, 8, 1) == 5);
    CHECK(zeroi2v::even_block(788, 96, 8) == 88);
    CHECK(zeroi2v::even_block(5, 3, 8) == 3);
    CHECK(zeroi2v::even_block(0, 96, 8) == 1);
    CHECK(zeroi2v::even_block(7, 0, 1) == 1);
    CHECK((index_range{2, 5}.size() == 3 && index_range{2, 2}.empty() && !index_range{2, 5}.empty() && !(index_range{2, 5} == index_range{2, 6})));
}
