// pack: every operation against plain floats, lane by lane; partial loads and stores touch only their lanes.
#include <zeroi2v/simd/pack.hpp>

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include <sys/mman.h>
#include <unistd.h>

using namespace zeroi2v;

namespace {

using floats = pack<float, default_arch>;
using ints = pack<std::int32_t, default_arch>;
constexpr std::size_t size = floats::size;
using lanes = std::array<float, size>;

lanes values_of(floats value) {
    lanes out;
    value.store(out.data());
    return out;
}
lanes filled(float first, float step) {
    lanes out;
    for (std::size_t i = 0; i < size; ++i) out[i] = first + step * static_cast<float>(i);
    return out;
}
floats load(lanes const& from) { return floats::load(from.data()); }

} // namespace

TEST_CASE("the arch of this translation unit has a name and a width") {
    CHECK(isa_name() == to_string(default_arch::level));
    CHECK((size == 4 || size == 8 || size == 16));
}

TEST_CASE("arithmetic, lane by lane") {
    lanes const a = filled(1.5F, -0.75F), b = filled(3, 2.25F), c = filled(-7, 0.5F);
    for (std::size_t i = 0; i < size; ++i) {
        CHECK(values_of(load(a) + load(b))[i] == a[i] + b[i]);
        CHECK(values_of(load(a) - load(b))[i] == a[i] - b[i]);
        CHECK(values_of(load(a) * load(b))[i] == a[i] * b[i]);
        CHECK(values_of(load(a) / load(b))[i] == a[i] / b[i]);
        CHECK(values_of(fma(load(a), load(b), load(c)))[i] == a[i] * b[i] + c[i]); // exact: few bits
        CHECK(values_of(fnma(load(a), load(b), load(c)))[i] == c[i] - a[i] * b[i]);
        CHECK(values_of(min(load(a), load(c)))[i] == std::fmin(a[i], c[i]));
        CHECK(values_of(max(load(a), load(c)))[i] == std::fmax(a[i], c[i]));
        CHECK(values_of(abs(load(a)))[i] == std::fabs(a[i]));
        CHECK(values_of(sqrt(abs(load(a))))[i] == std::sqrt(std::fabs(a[i])));
        CHECK(values_of(barrier(load(a)))[i] == a[i]);
        CHECK(values_of(floats::broadcast(2.5F))[i] == 2.5F);
        CHECK(values_of(floats::zero())[i] == 0.0F);
    }
    float const nan = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t i = 0; i < size; ++i) {
        CHECK(values_of(where_less(load(a), load(c), load(a), load(b)))[i] == (a[i] < c[i] ? a[i] : b[i]));
        CHECK(values_of(where_less(load(a), load(a), load(a), load(b)))[i] == b[i]);
    }
    CHECK(values_of(where_less(floats::broadcast(nan), floats::zero(), load(a), load(b)))[0] == b[0]);
    CHECK(values_of(where_less(floats::zero(), floats::broadcast(nan), load(a), load(b)))[0] == b[0]);
    CHECK(std::isnan(values_of(max(floats::zero(), floats::broadcast(nan)))[0]));
    CHECK(values_of(max(floats::broadcast(nan), floats::zero()))[0] == 0.0F);
    CHECK(std::bit_cast<std::uint32_t>(values_of(abs(floats::broadcast(-0.0F)))[0]) == 0U);
}

TEST_CASE("reductions") {
    lanes const a = filled(-3, 1);
    float sum = 0;
    for (float const value : a) sum += value;
    CHECK(reduce_add(load(a)) == sum);
    for (std::size_t i = 0; i < size; ++i) {
        lanes spike{};
        spike.fill(-5);
        spike[i] = 2;
        CHECK(reduce_max(load(spike)) == 2.0F);
        CHECK(reduce_add(load(spike)) == 2.0F - 5.0F * static_cast<float>(size - 1));
    }
}

TEST_CASE("partial loads and stores at the end of a page") {
    auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    auto* const memory = static_cast<std::byte*>(::mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory != MAP_FAILED);
    REQUIRE(::mprotect(memory + page, page, PROT_READ | PROT_WRITE) == 0);
    for (std::size_t count = 0; count <= size; ++count)
        for (bool const at_end : {false, true}) {
            auto* const place = reinterpret_cast<float*>(memory + page + (at_end ? page - count * sizeof(float) : 0));
            lanes const source = filled(1, 1);
            load(source).store_partial(place, count);
            lanes const back = values_of(floats::load_partial(place, count));
            lanes const chosen = values_of(first_or(load(source), count, floats::broadcast(-1)));
            for (std::size_t i = 0; i < size; ++i) {
                CHECK(back[i] == (i < count ? source[i] : 0.0F));
                CHECK(chosen[i] == (i < count ? source[i] : -1.0F));
            }
            std::array<std::int32_t, size> whole{};
            ints::load_partial(reinterpret_cast<std::int32_t*>(place), count).store(whole.data());
            for (std::size_t i = 0; i < size; ++i) CHECK(whole[i] == (i < count ? std::bit_cast<std::int32_t>(source[i]) : 0));
        }
    ::munmap(memory, 3 * page);
    lanes target = filled(-1, 0);
    load(filled(1, 1)).store_partial(target.data(), size - 1);
    CHECK(target[size - 1] == -1.0F);
}

TEST_CASE("integers") {
    std::array<std::int32_t, size> a{}, b{}, out{};
    for (std::size_t i = 0; i < size; ++i) {
        a[i] = static_cast<std::int32_t>(i) * 1000003 - 5;
        b[i] = 7 - static_cast<std::int32_t>(i);
    }
    (ints::load(a.data()) + ints::load(b.data())).store(out.data());
    for (std::size_t i = 0; i < size; ++i) CHECK(out[i] == a[i] + b[i]);
    (ints::load(a.data()) - ints::load(b.data())).store(out.data());
    for (std::size_t i = 0; i < size; ++i) CHECK(out[i] == a[i] - b[i]);
    (ints::load(b.data()) << 7).store(out.data());
    for (std::size_t i = 0; i < size; ++i) CHECK(out[i] == b[i] * 128);
    ints::zero().store(out.data());
    for (std::int32_t const value : out) CHECK(value == 0);
    CHECK(values_of(ints::load(b.data()).to_float())[0] == 7.0F);
    for (auto const& [x, n] : {std::pair{0.5F, 0}, {1.5F, 2}, {2.5F, 2}, {-0.5F, 0}, {-1.5F, -2}, {2.4999F, 2}, {-7.9F, -8}}) {
        ints::nearest(floats::broadcast(x)).store(out.data());
        CHECK(out[size - 1] == n);
    }
}

TEST_CASE("times a power of two, rounded once, to the subnormal and the infinite") {
    std::array<std::int32_t, size> power{};
    for (int n = -151; n <= 130; ++n)
        for (float const x : {1.0F, 1.3333334F, 0.7071F, 1.9999999F}) {
            power.fill(n);
            CHECK(values_of(scale_by_power(floats::broadcast(x), ints::load(power.data())))[0] == std::ldexp(x, n));
        }
}

TEST_CASE("four rows become four columns") {
    alignas(16) std::array<float, 4 * 6> from{};
    alignas(16) std::array<float, 4 * 8> to{};
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
    transpose_4x4(from.data() + 1, 6, to.data(), 8);
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < 4; ++c) CHECK(to[c * 8 + r] == from[1 + r * 6 + c]);
}
