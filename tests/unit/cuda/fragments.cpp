#include <zeroi2v/cuda/fragments.hpp>

#include <zeroi2v/cuda/frame_offsets.hpp>
#include <zeroi2v/cuda/kernels/attention.hpp>
#include <zeroi2v/cuda/kernels/patches.hpp>

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <utility>

using namespace zeroi2v;
using namespace zeroi2v::cuda_kernels;

namespace {

/// Whether `of(lane, reg, half)` names every place of (rows,columns) once.
template <class Of>
constexpr bool covers(int rows, int columns, int registers, int halves, Of of) {
    std::array<int, 256> seen{};
    for (int lane = 0; lane < 32; ++lane)
        for (int reg = 0; reg < registers; ++reg)
            for (int half = 0; half < halves; ++half) {
                place const p = of(lane, reg, half);
                if (p.row < 0 || p.row >= rows || p.column < 0 || p.column >= columns) return false;
                ++seen[static_cast<std::size_t>(p.row * columns + p.column)];
            }
    for (int i = 0; i < rows * columns; ++i)
        if (seen[static_cast<std::size_t>(i)] != 1) return false;
    return true;
}
constexpr auto a = [](int lane, int reg, int half) { return mma_fragment::a(lane, reg, half); };
constexpr auto b = [](int lane, int reg, int half) { return mma_fragment::b(lane, reg, half); };
constexpr auto c = [](int lane, int reg, int) { return mma_fragment::c(lane, reg); };
static_assert(covers(16, 16, 4, 2, a) && covers(16, 8, 2, 2, b) && covers(16, 8, 4, 1, c));
static_assert(!covers(16, 16, 4, 2, [](int lane, int reg, int half) { return mma_fragment::a(lane, reg & 2, half); }), "the check can fail");

/// Where element `half` of register `reg` comes from when lanes give ldmatrix the addresses of a (16,16) tile.
constexpr place loaded(int lane, int reg, int half, bool down_first, bool transposed) {
    place const within = ldmatrix_fragment::element(lane, half, transposed);
    place const row = ldmatrix_address(reg * 8 + within.row, down_first); // the lane that gave this row's address
    return {row.row, row.column * 8 + within.column};
}
/// ldmatrix gives what mma takes: of queries (rows, depth) A, of keys (columns, depth) two B, of values (depth, columns) two B.
constexpr bool loads_fit() {
    for (int lane = 0; lane < 32; ++lane)
        for (int reg = 0; reg < 4; ++reg)
            for (int half = 0; half < 2; ++half) {
                if (loaded(lane, reg, half, true, false) != mma_fragment::a(lane, reg, half)) return false;
                place const wanted = mma_fragment::b(lane, reg % 2, half); // depth, column; registers 2 and 3: columns 8 to 15
                place const key = loaded(lane, reg, half, false, false);
                if (key.row != wanted.column + reg / 2 * 8 || key.column != wanted.row) return false;
                place const value = loaded(lane, reg, half, true, true);
                if (value.row != wanted.row || value.column != wanted.column + reg / 2 * 8) return false;
            }
    return true;
}
static_assert(loads_fit());
/// The scores of 16 keys, as the first product leaves them in C of two mma, are A of the second.
constexpr bool scores_are_operands() {
    for (int lane = 0; lane < 32; ++lane)
        for (int reg = 0; reg < 4; ++reg)
            for (int half = 0; half < 2; ++half) {
                place const score = mma_fragment::c(lane, reg % 2 * 2 + half); // of the near mma for registers 0 and 1, else the far one
                if (place{score.row, score.column + reg / 2 * 8} != mma_fragment::a(lane, reg, half)) return false;
            }
    return true;
}
static_assert(scores_are_operands());

/// No two chunks in one place; of 8 rows that begin at a multiple of 8, the same chunk in 8 groups of 4 banks.
template <int D>
constexpr bool swizzle_holds(int rows) {
    using tile = swizzled_tile<D>;
    std::array<bool, 64 * 16> taken{};
    for (int row = 0; row < rows; ++row)
        for (int chunk = 0; chunk < tile::chunks; ++chunk) {
            int const at = tile::offset(row, chunk);
            if (at % 8 != 0 || at < row * D || at >= (row + 1) * D || taken[static_cast<std::size_t>(at / 8)]) return false;
            taken[static_cast<std::size_t>(at / 8)] = true;
        }
    for (int first = 0; first < rows; first += 8)
        for (int chunk = 0; chunk < tile::chunks; ++chunk) {
            unsigned groups = 0;
            for (int row = first; row < first + 8; ++row) groups |= 1U << (tile::offset(row, chunk) / 8 % 8);
            if (groups != 0xffU) return false;
        }
    return true;
}
static_assert(swizzle_holds<32>(64) && swizzle_holds<64>(64) && swizzle_holds<80>(64) && swizzle_holds<96>(64) && swizzle_holds<128>(64));

constexpr frame_map<5> map{{.head = 0, .offset = -2}, {.head = 3, .offset = 1}, {.head = 4, .offset = 32767}};

} // namespace

TEST_CASE("cuda fragments: a warp's lanes hold every element once, and each step's registers are the next one's") {
    CHECK(covers(16, 16, 4, 2, a)); // what the static assertions above say
    CHECK(loads_fit());
    CHECK(scores_are_operands());
    CHECK(mma_fragment::a(5, 3, 1) == place{9, 11}); // PTX ISA: lane 5 is group 1, thread 1; a7 is row 9, column 2 + 1 + 8
    CHECK(mma_fragment::b(5, 1, 0) == place{10, 1});
    CHECK(mma_fragment::c(5, 2) == place{9, 2});
}

TEST_CASE("cuda frame offsets: a table and a static map name the frame of the map") {
    for (int frames : {1, 2, 3, 8})
        for (int t = 0; t < frames; ++t)
            for (int h = 0; h < 5; ++h) {
                auto const expected = static_cast<int>(map.source(static_cast<std::size_t>(h), static_cast<std::size_t>(t), static_cast<std::size_t>(frames)));
                CHECK(offset_table{map}.source(h, t, frames) == expected);
                CHECK(static_offsets<map>{}.source(h, t, frames) == expected);
            }
    static_assert(sizeof(static_offsets<map>) == 1);
    CHECK_NOTHROW(offset_table{frame_map<>{1024}});
    CHECK_THROWS_AS(offset_table{frame_map<>{1025}}, device_error);
}

TEST_CASE("cuda attention units: every query of every head and frame once, sources within the clip") {
    for (int queries : {1, 16, 17, 63, 64, 112, 113, 128, 197, 257}) {
        attention_arguments<bf16, offset_table> arguments{};
        arguments.frames = 6;
        arguments.clip_frames = 3;
        arguments.queries = queries;
        arguments.heads = 2;
        arguments.source = offset_table{frame_map<>{2, {{1, -1}}}};
        int const warps = attention_warps(queries);
        int const needed = (queries + 15) / 16;
        int wanted = 4;
        for (int each = 5; each <= 8 && needed > 4; ++each) // the fewest idle, of equals the largest
            if ((needed + each - 1) / each * each <= (needed + wanted - 1) / wanted * wanted) wanted = each;
        CHECK(warps == wanted);
        int const rows = warps * 16, tiles = (queries + rows - 1) / rows;
        std::set<std::array<int, 3>> units;
        for (unsigned block = 0; block < static_cast<unsigned>(tiles * 12); ++block) {
            auto const unit = attention_unit_of(block, rows, arguments);
            units.insert({unit.frame, unit.head, unit.first_query});
            CHECK(unit.first_query < queries);
            CHECK(unit.source / 3 == unit.frame / 3);
            CHECK(unit.source == (unit.head == 1 && unit.frame % 3 != 0 ? unit.frame - 1 : unit.frame));
        }
        CHECK(units.size() == static_cast<std::size_t>(tiles * 12));
    }
}

TEST_CASE("cuda patch grid: every pixel of an image is one element of one patch") {
    for (patch_grid const grid : {patch_grid{8, 4}, patch_grid{28, 14}, patch_grid{6, 6}}) {
        std::set<std::array<int, 3>> pixels;
        for (int row = 0; row < grid.patches(); ++row)
            for (int k = 0; k < grid.values(); ++k) {
                auto const p = grid.at(row, k);
                CHECK(p.channel < 3);
                CHECK(p.y < grid.image);
                CHECK(p.x < grid.image);
                pixels.insert({p.channel, p.y, p.x});
            }
        CHECK(pixels.size() == static_cast<std::size_t>(3 * grid.image * grid.image));
    }
    CHECK(patch_grid{8, 4}.at(3, 16 + 5) == patch_grid::pixel{1, 5, 5});
}
