// bilinear_taps: weights that sum to 2048, borders, and a window of pixels.
#include <zeroi2v/ops/bilinear_taps.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

using namespace zeroi2v;

TEST_CASE("weights are shares of 2048, rounded to nearest even") {
    CHECK((detail::bilinear_weight(0.0F) == 0 && detail::bilinear_weight(1.0F) == 2048 && detail::bilinear_weight(0.25F) == 512));
    CHECK(detail::bilinear_weight(0.5F / 2048) == 0);  // ties
    CHECK(detail::bilinear_weight(1.5F / 2048) == 2);
    CHECK(detail::bilinear_weight(2.5F / 2048) == 2);
    CHECK(detail::bilinear_weight(1.25F / 2048) == 1);
    CHECK(detail::bilinear_weight(1.75F / 2048) == 2);
}

TEST_CASE("the taps of every pixel lie where the formula says") {
    for (std::size_t const in : {1U, 2U, 7U, 16U, 100U})
        for (std::size_t const out : {1U, 3U, 7U, 20U, 224U})
            for (bool const whole : {false, true}) {
                auto const taps = bilinear_taps(in, out, 0, out, whole);
                REQUIRE(taps.size() == out);
                for (std::size_t i = 0; i < out; ++i) {
                    auto const& tap = taps[i];
                    double const position = (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
                    long const left = static_cast<long>(std::floor(position)), last = static_cast<long>(in) - 1;
                    auto const inside = [&](long at) { return static_cast<std::uint32_t>(at < 0 ? 0 : at > last ? last : at); };
                    CAPTURE(in);
                    CAPTURE(out);
                    CAPTURE(i);
                    if (std::fabs(position - std::nearbyint(position)) > 1e-4) CHECK((tap.first == inside(left) && tap.second == inside(left + 1)));
                    CHECK(std::abs(tap.first_weight + tap.second_weight - 2048) <= 1);
                    double const value = (tap.first * static_cast<double>(tap.first_weight) + tap.second * static_cast<double>(tap.second_weight)) / 2048;
                    double const wanted = position < 0 ? 0 : position > static_cast<double>(last) ? static_cast<double>(last) : position;
                    CHECK(std::fabs(value - wanted) <= 0.001 * static_cast<double>(in));
                    if (tap.first == tap.second && whole) CHECK((tap.first_weight == 2048 && tap.second_weight == 0));
                    if (tap.first == tap.second && !whole && std::fabs(position - std::nearbyint(position)) > 0.01) CHECK(tap.second_weight != 0);
                }
                auto const some = bilinear_taps(in, out, out / 2, out - out / 2, whole);
                for (std::size_t i = 0; i < some.size(); ++i) CHECK(some[i] == taps[out / 2 + i]);
            }
}
