// Activations on a pack of this translation unit's own arch: special values, and no subnormal on the way.
#include <zeroi2v/simd/activations.hpp>

#include "../ops/activations.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>

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

/// use.operator()<A>() for every activation but `none`.
template <class Use>
void for_each_activation(Use use) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (use.template operator()<static_cast<activation>(I + 1)>(), ...);
    }(std::make_index_sequence<activation_count - 1>{});
}

} // namespace

TEST_CASE("special values of every activation") {
    for_each_activation([]<activation A>() {
        CAPTURE(to_string(A));
        auto const g = [](float x) { return first(activation_function<A>::value(floats::broadcast(x))); };
        auto const slope = [](float x) { return first(activation_function<A>::derivative(floats::broadcast(x))); };
        float const nan = std::numeric_limits<float>::quiet_NaN();
        CHECK((g(0.0F) == 0 && g(infinity) == infinity && std::isnan(g(-infinity)) && std::isnan(g(nan)) && g(1e30F) == 1e30F));
        CHECK((g(-1e30F) == 0 && std::signbit(g(-0.0F)) && !std::signbit(g(0.0F)) && g(100.0F) == 100.0F));
        CHECK((g(std::numeric_limits<float>::max()) == std::numeric_limits<float>::max() && g(-std::numeric_limits<float>::max()) == 0));
        CHECK((std::isnan(slope(nan)) && slope(0.0F) == 0.5F && slope(-0.0F) == 0.5F && slope(3e38F) == 1 && slope(-3e38F) == 0));
        for (float const x : {infinity, -infinity}) CHECK(test::derivative_error(A, x, slope(x)) == 0);
    });
}

TEST_CASE("no activation makes a subnormal number on the way: it would cost ten times the time of all else") {
    unsigned const before = _mm_getcsr();
    for_each_activation([&]<activation A>() {
        CAPTURE(to_string(A));
        for (float const x : {-60.0F, -9.0F, -1.0F, 0.0F, 1.0F, 9.0F, 13.5F, 60.0F, 1e4F, 1e30F}) {
            CAPTURE(x);
            _mm_setcsr(before & ~0x3fU);
            [[maybe_unused]] float volatile const y = first(activation_function<A>::value(floats::broadcast(x)));
            CHECK((_mm_getcsr() & 0x10U) == 0);
            _mm_setcsr(before & ~0x3fU);
            [[maybe_unused]] float volatile const slope = first(activation_function<A>::derivative(floats::broadcast(x)));
            CHECK((_mm_getcsr() & 0x10U) == 0);
        }
    });
    _mm_setcsr(before);
}
