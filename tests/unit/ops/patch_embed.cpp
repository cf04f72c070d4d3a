// gather_patches: every element where the reference puts it; with a matmul it is the convolution.
#include <zeroi2v/ops/patch_embed.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/reference/patch_embed.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

TEST_CASE("patches of every size, for every number of threads") {
    for (std::size_t const frames : {0U, 1U, 3U})
        for (std::size_t const patch : {1U, 2U, 7U, 14U, 16U})
            for (std::size_t const down : {1U, 2U, 5U})
                for (std::size_t const across : {1U, 3U}) {
                    std::size_t const rows = frames * down * across;
                    std::size_t const length = 3 * patch * patch;
                    auto const pixels = normal_floats(rows * length, patch);
                    view<float const, 4> const clip{pixels.data(), frames, std::size_t{3}, down * patch, across * patch};
                    std::vector<float> want(rows * length);
                    reference::gather_patches(clip, patch, matrix_view<float>{want.data(), rows, length});
                    for (int const threads : {1, 2, 5}) {
                        thread_team team{threads};
                        std::vector<float> got(rows * length, -1.0F);
                        gather_patches(team, clip, patch, {got.data(), rows, length});
                        CHECK(got == want);
                    }
                    std::vector<float> spread(rows * (length + 2), -1.0F);
                    serial_executor serial;
                    gather_patches(serial, clip, patch, {spread.data(), rows, length, length + 2});
                    for (std::size_t i = 0; i < want.size(); ++i)
                        if (spread[i / length * (length + 2) + i % length] != want[i]) FAIL("element " << i);
                }
}

TEST_CASE("patches times a weight are the convolution with stride and kernel of a patch") {
    std::size_t const patch = 4, size = 12, width = 5;
    auto const pixels = normal_floats(2 * 3 * size * size, 1);
    auto const weight = normal_floats(width * 3 * patch * patch, 2);
    view<float const, 4> const clip{pixels.data(), std::size_t{2}, std::size_t{3}, size, size};
    view<float const, 4> const kernel{weight.data(), width, std::size_t{3}, patch, patch};
    std::vector<double> want(2 * 9 * width);
    for (std::size_t t = 0; t < 2; ++t)
        for (std::size_t p = 0; p < 9; ++p)
            for (std::size_t c = 0; c < width; ++c)
                for (std::size_t channel = 0; channel < 3; ++channel)
                    for (std::size_t y = 0; y < patch; ++y)
                        for (std::size_t x = 0; x < patch; ++x)
                            want[(t * 9 + p) * width + c] += static_cast<double>(clip(t, channel, p / 3 * patch + y, p % 3 * patch + x))
                                                             * static_cast<double>(kernel(c, channel, y, x));
    for (kernel_table const* table : tables()) {
        serial_executor serial;
        std::vector<float> rows(18 * 48), embedded(18 * width);
        gather_patches(serial, clip, patch, {rows.data(), 18, 48});
        packed_matrix const packed{*table, dtype::f32, matrix_view<float const>{weight.data(), width, 48}};
        matmul(*table, serial, {rows.data(), 18, 48}, packed, {}, {embedded.data(), 18, width});
        CHECK(relative_l2(embedded, want) <= 1e-6);
    }
}

TEST_CASE("frames that are no multiple of the patch are refused") {
    serial_executor serial;
    std::vector<float> const pixels(3 * 6 * 6);
    std::vector<float> rows(3 * 36);
    view<float const, 4> const clip{pixels.data(), std::size_t{1}, std::size_t{3}, std::size_t{6}, std::size_t{6}};
    CHECK_THROWS_AS(gather_patches(serial, clip, 4, {rows.data(), 1, 48}), precondition_error);
    CHECK_THROWS_AS(gather_patches(serial, clip, 0, {rows.data(), 1, 48}), precondition_error);
    CHECK_THROWS_AS(gather_patches(serial, clip, 3, {rows.data(), 3, 27}), precondition_error);
    gather_patches(serial, clip, 3, {rows.data(), 4, 27});
}

TEST_CASE("gather_patches: each size that does not fit is refused with its sentence") {
    serial_executor serial;
    std::vector<float> const pixels(3 * 6 * 9);
    std::vector<float> rows(3 * 6 * 9, -1.0F);
    view<float const, 4> const clip{pixels.data(), std::size_t{1}, std::size_t{3}, std::size_t{6}, std::size_t{9}};
    char const* const of_patch = "zeroi2v::gather_patches: the frame must be a multiple of the patch";
    char const* const of_rows = "zeroi2v::gather_patches: rows must be one per patch and as long as a patch";
    CHECK_THROWS_WITH_AS(gather_patches(serial, clip, 0, {rows.data(), 6, 27}), of_patch, precondition_error);
    CHECK_THROWS_WITH_AS(gather_patches(serial, clip, 2, {rows.data(), 12, 12}), of_patch, precondition_error); // 9 columns
    CHECK_THROWS_WITH_AS(gather_patches(serial, clip, 9, {rows.data(), 1, 243}), of_patch, precondition_error); // 6 lines
    CHECK_THROWS_WITH_AS(gather_patches(serial, clip, 3, {rows.data(), 5, 27}), of_rows, precondition_error);
    CHECK_THROWS_WITH_AS(gather_patches(serial, clip, 3, {rows.data(), 6, 26}), of_rows, precondition_error);
    CHECK(rows == std::vector<float>(3 * 6 * 9, -1.0F));
    CHECK_NOTHROW(gather_patches(serial, clip, 3, {rows.data(), 6, 27}));
}
