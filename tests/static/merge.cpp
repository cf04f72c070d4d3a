// What the compiler promises about merge: real numbers, up to 32x8x32 within the default limits.
#include <zeroi2v/core/random.hpp>
#include <zeroi2v/nn/merge_static.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace {

using namespace zeroi2v;

// By hand: W = (1 2; 3 4), b = (5, 6), W1 = (1 1), b1 = (1), W2 = (1, 2)^T, b2 = (0, 1), scale 1/2.
constexpr static_linear<float, 2, 2> two{{{1, 2, 3, 4}}, {{5, 6}}};
constexpr static_linear_adapter<float, 2, 1> one_rank{{{{1, 1}}, {{1}}}, {{{1, 2}}, {{0, 1}}}};
// A = I + 1/2 (1 1; 2 2) = (1.5 0.5; 1 2), a = 1/2 ((1, 2) + (0, 1)) = (0.5, 1.5)
static_assert(merge(two, one_rank, before, 0.5)
              == static_linear<float, 2, 2>{{{3.5F, 4.5F, 8.5F, 9.5F}}, {{8.5F, 13.5F}}});
static_assert(merge(two, one_rank, after, 0.5) == static_linear<float, 2, 2>{{{3, 5, 7, 10}}, {{11, 18.5F}}});

template <class T, std::size_t... Sizes>
consteval auto drawn(std::uint64_t seed, float scale = 1) {
    static_tensor<T, Sizes...> t{};
    counter_rng const rng{seed};
    for (std::size_t i = 0; i < t.size(); ++i) t.elements[i] = T{(rng.uniform(i) - 0.5F) * scale};
    return t;
}
template <class T, std::size_t Out, std::size_t In>
consteval static_linear<T, Out, In> drawn_linear(std::uint64_t seed) {
    return {drawn<T, Out, In>(seed), drawn<T, Out>(seed + 1)};
}

constexpr auto layer = drawn_linear<float, 32, 32>(1);
constexpr static_linear_adapter<float, 32, 8> adapter{drawn_linear<float, 8, 32>(3), drawn_linear<float, 32, 8>(5)};
constexpr auto merged_before = merge(layer, adapter, before, 0.5);
constexpr auto merged_after = merge(layer, adapter, after, 0.5);
static_assert(std::is_same_v<decltype(merged_before), static_linear<float, 32, 32> const>);

// The merged linear answers as linear and adapter do, in other arithmetic.
template <std::size_t N>
consteval bool close(static_tensor<float, 1, N> const& a, static_tensor<float, 1, N> const& b) {
    for (std::size_t i = 0; i < N; ++i)
        if (!(a.elements[i] - b.elements[i] < 2e-6F && b.elements[i] - a.elements[i] < 2e-6F)) return false;
    return true;
}
constexpr auto x = drawn<float, 1, 32>(7);
static_assert(close(apply(merged_before, x), apply(layer, apply(adapter, 0.5, x))));
static_assert(close(apply(merged_after, x), apply(adapter, 0.5, apply(layer, x))));
// The comparator sees a scale that is forgotten, and one that is applied to the weight only.
static_assert(!close(apply(merge(layer, adapter, before, 1), x), apply(layer, apply(adapter, 0.5, x))));
static_assert(!close(apply(linear{merged_before.weight, layer.bias}, x), apply(layer, apply(adapter, 0.5, x))));

// Each stored element is the double product's nearest: against (I + s W2 W1) W, which is another order of the sums.
template <bool Before>
consteval bool within_half_a_unit(static_linear<float, 32, 32> const& merged) {
    std::array<double, 32 * 32> a{};
    for (std::size_t i = 0; i < 32; ++i)
        for (std::size_t j = 0; j < 32; ++j) {
            double sum = 0;
            for (std::size_t r = 0; r < 8; ++r)
                sum += double(adapter.D_fc2.weight(i, r)) * double(adapter.D_fc1.weight(r, j));
            a[i * 32 + j] = (i == j ? 1 : 0) + 0.5 * sum;
        }
    for (std::size_t i = 0; i < 8; ++i) // a quarter of the rows, for the compilers' limits
        for (std::size_t j = 0; j < 32; ++j) {
            double sum = 0;
            for (std::size_t k = 0; k < 32; ++k)
                sum += Before ? double(layer.weight(4 * i, k)) * a[k * 32 + j]
                              : a[4 * i * 32 + k] * double(layer.weight(k, j));
            double const distance = double(merged.weight(4 * i, j)) - sum;
            if (distance > 0.5000001 * ulp<float>(sum) || distance < -0.5000001 * ulp<float>(sum)) return false;
        }
    return true;
}
static_assert(within_half_a_unit<true>(merged_before));
static_assert(within_half_a_unit<false>(merged_after));
static_assert(!within_half_a_unit<true>(merged_after));

// A fresh adapter, or a scale of zero, gives the linear bit for bit; a negative zero stays one.
constexpr static_linear<float, 1, 2> signed_zero{{{-0.0F, 1}}, {{-0.0F}}};
constexpr static_linear_adapter<float, 2, 3> fresh{drawn_linear<float, 3, 2>(9), {}};
constexpr auto kept = merge(signed_zero, fresh, before, 0.5);
static_assert(kept == signed_zero && std::bit_cast<std::uint32_t>(kept.weight(0, 0)) == 0x80000000U
              && std::bit_cast<std::uint32_t>(kept.bias(0)) == 0x80000000U);
static_assert(merge(layer, adapter, before, 0) == layer && merge(layer, adapter, after, -0.0) == layer);

// Rectangular shapes, rank 1, and the wider of two element types.
constexpr auto wide = merge(drawn_linear<bf16, 3, 5>(11),
                            static_linear_adapter<bf16, 5, 1>{drawn_linear<bf16, 1, 5>(13),
                                                               drawn_linear<bf16, 5, 1>(15)},
                            before, 1);
static_assert(std::is_same_v<decltype(wide), static_linear<bf16, 3, 5> const>);
static_assert(std::is_same_v<wider_element<f16, bf16>, float> && std::is_same_v<wider_element<f16, f16>, f16>
              && std::is_same_v<wider_element<bf16, float>, float>
              && std::is_same_v<wider_element<float, double>, double>);

} // namespace
