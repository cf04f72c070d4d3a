#include <zeroi2v/tensor/concepts.hpp>
#include <zeroi2v/tensor/static_tensor.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace zeroi2v;

TEST_CASE("the concepts accept what holds elements by index, and nothing else") {
    static_assert(matrix_like<dynamic_tensor<float, 2>> && matrix_like<view<f16, 2>>
                  && matrix_like<static_tensor<int, 2, 3>>);
    static_assert(vector_like<dynamic_tensor<float, 1>> && vector_like<static_tensor<bf16, 4>>);
    static_assert(matrix_like<tensor_view<float const, dims<2>, strided<2>>>);
    static_assert(matrix_like<dynamic_tensor<float, 2> const&>);
    static_assert(!matrix_like<dynamic_tensor<float, 1>> && !vector_like<dynamic_tensor<float, 2>>);
    static_assert(!matrix_like<dynamic_tensor<float, 3>> && tensor_like<dynamic_tensor<float, 3>>);
    static_assert(!tensor_like<std::vector<float>> && !tensor_like<float*> && !tensor_like<stored_tensor>);
    static_assert(static_shape<static_tensor<float, 2>> && static_shape<tensor_view<float, extents<2, 3>>>);
    static_assert(!static_shape<view<float, 2>> && !static_shape<tensor<float, extents<2, dynamic>>>);
    CHECK(true);
}
