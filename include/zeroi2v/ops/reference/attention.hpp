// reference::attention: the formula in double, one loop per index.
#pragma once

#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/ops/reference/softmax.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

namespace zeroi2v::reference {

/// y[t,n,h,:] = softmax(q[t,n,h,:] . k[s,:,h,:]^T / sqrt(D)) v[s,:,h,:],  s = source(h, t).
template <class T, frame_source Source>
void attention(attention_shape const& shape, token_rows<T const> q, token_rows<T const> k, token_rows<T const> v,
               token_rows<double> y, Source const& source) {
    double const scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
    std::vector<double> scores(shape.keys);
    for (std::size_t t = 0; t < shape.frames; ++t)
        for (std::size_t h = 0; h < shape.heads; ++h) {
            auto const s = static_cast<std::size_t>(source(h, t));
            for (std::size_t n = 0; n < shape.queries; ++n) {
                for (std::size_t j = 0; j < shape.keys; ++j) {
                    scores[j] = 0;
                    for (std::size_t d = 0; d < shape.head_dim; ++d)
                        scores[j] += static_cast<double>(q.head(t, h)[n * q.token_stride + d])
                                     * static_cast<double>(k.head(s, h)[j * k.token_stride + d]);
                    scores[j] *= scale;
                }
                matrix_view<double> const row{scores.data(), 1, shape.keys};
                softmax(matrix_view<double const>{row}, row);
                for (std::size_t d = 0; d < shape.head_dim; ++d) {
                    double sum = 0;
                    for (std::size_t j = 0; j < shape.keys; ++j)
                        sum += scores[j] * static_cast<double>(v.head(s, h)[j * v.token_stride + d]);
                    y.head(t, h)[n * y.token_stride + d] = sum;
                }
            }
        }
}

} // namespace zeroi2v::reference
