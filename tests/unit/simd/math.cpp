// exp and exp_of_difference on a pack of this translation unit's own arch.
#include <zeroi2v/simd/math.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include <xmmintrin.h>

using namespace zeroi2v;

namespace {

using floats = pack<float, default_arch>;
constexpr float infinity = std::numeric_limits<float>::infinity();

float first(floats value) {
    std::array<float, floats::size> out;
    value.store(out.data());
    return out[0];
}
double ulps(float got, double want) {
    return std::fabs(static_cast<double>(got) - want) / std::max(std::ldexp(1.0, std::ilogb(want) - 23), 0x1p-149);
}

} // namespace

TEST_CASE("exp on a grid, and the differences that a subtraction would round") {
    double worst = 0, worst_difference = 0;
    for (int i = -103999; i <= 88720; ++i) {
        float const x = static_cast<float>(i) * 0.001F;
        worst = std::max(worst, ulps(first(exp(floats::broadcast(x))), std::exp(static_cast<double>(x))));
        float const b = 3.14159F + 0.37F * static_cast<float>(i % 100);
        float const a = b - std::fabs(x) * 0.8F;
        double const exact = std::exp(static_cast<double>(a) - static_cast<double>(b));
        worst_difference = std::max(worst_difference, ulps(first(exp_of_difference(floats::broadcast(a), floats::broadcast(b))), exact));
    }
    CHECK(worst <= 1.1);
    CHECK(worst_difference <= 1.2);
    MESSAGE("exp: " << worst << " ulp, exp_of_difference: " << worst_difference << " ulp");
}

TEST_CASE("special values") {
    float const nan = std::numeric_limits<float>::quiet_NaN();
    auto const e = [](float x) { return first(exp(floats::broadcast(x))); };
    CHECK((e(0.0F) == 1 && e(-0.0F) == 1 && e(infinity) == infinity && e(-infinity) == 0 && std::isnan(e(nan))));
    CHECK((e(1e30F) == infinity && e(-1e30F) == 0 && e(88.72283F) < infinity && e(88.72284F) == infinity));
    CHECK((e(-103.0F) > 0 && e(-104.0F) == 0));
    auto const d = [](float a, float b) { return first(exp_of_difference(floats::broadcast(a), floats::broadcast(b))); };
    CHECK((d(5, 5) == 1 && d(-infinity, 3) == 0 && d(-3e38F, 3e38F) == 0 && std::isnan(d(infinity, infinity)) && std::isnan(d(nan, 1))));
    CHECK((d(-infinity, -3.4028235e38F) == 0 && d(-3.4028235e38F, -3.4028235e38F) == 1));
}

TEST_CASE("the control register stays as it is, and flushing subnormals changes nothing but them") {
    unsigned const before = _mm_getcsr();
    float const normal = first(exp(floats::broadcast(-3.0F)));
    float const tiny = first(exp(floats::broadcast(-100.0F)));
    CHECK((_mm_getcsr() & ~0x3fU) == (before & ~0x3fU)); // without the flags of what happened
    CHECK((_mm_getcsr() & 0x10U) != 0);                  // exp(-100) underflows
    _mm_setcsr(before & ~0x3fU);
    _mm_setcsr(before | 0x8040U);                        // flush to zero, denormals are zero
    CHECK(first(exp(floats::broadcast(-3.0F))) == normal);
    float const flushed = first(exp(floats::broadcast(-100.0F)));
    unsigned const during = _mm_getcsr();
    _mm_setcsr(before);
    CHECK((during & 0x8040U) == 0x8040U);
    CHECK((flushed == 0 || flushed == tiny));
}
