// What the compiler promises about extents, views and static tensors.
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <type_traits>

namespace {

using namespace zeroi2v;

// Static sizes cost no bytes.
static_assert(sizeof(extents<2, dynamic, 3, dynamic>) == 2 * sizeof(std::size_t));
static_assert(std::is_empty_v<extents<2, 3, 5>>);
static_assert(sizeof(tensor_view<float, extents<197, 768>>) == sizeof(float*));
static_assert(sizeof(tensor_view<float, extents<dynamic, 768>>) == sizeof(float*) + sizeof(std::size_t));
static_assert(sizeof(static_tensor<float, 4, 5>) == 20 * sizeof(float));
static_assert(std::is_trivially_copyable_v<view<float, 3>> && std::is_trivially_copyable_v<extents<2, dynamic>>);

// Sizes are constants where they are static.
static_assert(extents<2, dynamic, 3>{2, 7, 3}.size() == 42);
static_assert(extents<2, 3>{} == dims<2>{2, 3} && !(extents<2, 3>{} == dims<3>{2, 3, 1}));
static_assert(std::is_same_v<decltype(tensor_view{static_cast<float*>(nullptr), 2, 3}), view<float, 2>>);

// A view becomes a view of const and of dynamic sizes, never the reverse.
template <class From, class To>
concept converts = std::is_convertible_v<From, To>;
static_assert(converts<view<float, 2>, view<float const, 2>> && !converts<view<float const, 2>, view<float, 2>>);
static_assert(converts<tensor_view<float, extents<2, 3>>, view<float, 2>>);
static_assert(!converts<view<float, 2>, tensor_view<float, extents<2, 3>>>);
static_assert(!converts<view<float, 2>, view<float, 3>> && !converts<view<float, 2>, view<double, 2>>);

// A static tensor is a value: computed on, compared, and given as a template argument.
consteval auto counted() {
    static_tensor<double, 2, 3> t{};
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) t(i, j) = static_cast<double>(3 * i + j);
    return t;
}
static_assert(counted()(1, 2) == 5. && counted().view()(1, 0) == 3. && counted() == counted());

template <static_tensor<int, 2> Value>
inline constexpr int first_of = Value(0);
static_assert(first_of<static_tensor<int, 2>{{7, 8}}> == 7);

// The concepts accept and refuse.
static_assert(extents_type<extents<1>> && extents_type<dims<0>> && !extents_type<int> && !extents_type<row_major>);
static_assert(is_static_tensor<static_tensor<int, 2> const> && !is_static_tensor<dynamic_tensor<int, 1>>);

// A tensor moves without copying and without a way to throw.
static_assert(std::is_nothrow_move_constructible_v<
                  dynamic_tensor<float, 2>> && std::is_copy_constructible_v<dynamic_tensor<float, 2>>);

} // namespace
