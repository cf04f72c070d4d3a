// rotary_angles: the formula in double, and a rotation that can be undone.
#include <zeroi2v/ops/rotary.hpp>

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <vector>

using namespace zeroi2v;

TEST_CASE("rotary_angles: rows turn by the first half of the frequencies, columns by the second") {
    constexpr std::size_t grid = 3, dim = 8;
    rotary_angles const angles{grid, dim, 100};
    REQUIRE(angles.cos.size() == grid * grid * dim / 2);
    REQUIRE(angles.sin.size() == angles.cos.size());
    for (std::size_t patch = 0; patch < grid * grid; ++patch)
        for (std::size_t i = 0; i < dim / 2; ++i) {
            double const at = static_cast<double>(i < dim / 4 ? patch / grid : patch % grid);
            double const angle = 2 * std::acos(-1.0) * ((at + 0.5) / 1.5 - 1) * std::pow(100.0, -static_cast<double>(i % (dim / 4)) / 2);
            CHECK(angles.cos[patch * dim / 2 + i] == doctest::Approx(std::cos(angle)).epsilon(1e-6));
            CHECK(std::abs(static_cast<double>(angles.sin[patch * dim / 2 + i]) - std::sin(angle)) < 1e-7);
        }
    CHECK_THROWS_AS((rotary_angles{grid, 6, 100}), error);
}

TEST_CASE("rotary_angles: pairs of channels are turned, and turned back") {
    constexpr std::size_t heads = 2, dim = 4;
    rotary_angles const angles{2, dim, 100};
    std::vector<float> const x{1, 2, 3, 4, -1, 0.5F, 0.25F, 7};
    auto turned = x;
    angles.rotate(turned.data(), heads, 3);
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t i = 0; i < 2; ++i) {
            double const c = static_cast<double>(angles.cos[3 * 2 + i]), s = static_cast<double>(angles.sin[3 * 2 + i]);
            double const a = static_cast<double>(x[h * dim + i]), b = static_cast<double>(x[h * dim + 2 + i]);
            CHECK(turned[h * dim + i] == doctest::Approx(a * c - b * s).epsilon(1e-6));
            CHECK(turned[h * dim + 2 + i] == doctest::Approx(b * c + a * s).epsilon(1e-6));
        }
    CHECK(turned != x);
    angles.rotate(turned.data(), heads, 3, -1);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(turned[i] == doctest::Approx(static_cast<double>(x[i])).epsilon(1e-6));
}
