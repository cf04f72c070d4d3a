// A linear of one row and an adapter before it whose product cancels from 1e10 to about 1: what double keeps of it depends on the order.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

/// Weights (1,C) and (3,C), (C,3), biases zero. Each rank takes away what the ranks before it left.
inline std::pair<zeroi2v::stored_linear, zeroi2v::stored_linear_adapter> cancelling_merge(std::size_t width) {
    using namespace zeroi2v;
    auto const zeros = [](shape sizes) { return stored_tensor::zeros(dtype::f32, sizes); };
    stored_linear layer{zeros({1, width}), zeros({1})};
    stored_linear_adapter adapter{{zeros({3, width}), zeros({3})}, {zeros({width, 3}), zeros({width})}};
    auto const w = layer.weight.as<float>(), down = adapter.D_fc1.weight.as<float>(), up = adapter.D_fc2.weight.as<float>();
    counter_rng const rng{21};
    for (std::size_t c = 0; c < width; ++c) {
        w[c] = 1 + 0.3F * rng.normal(c);
        down[c] = 1e5F * rng.normal(1000 + c);
        for (std::size_t r = 0; r < 3; ++r) up[c * 3 + r] = (r == 2 ? 1.0F : 1e5F) * rng.normal(2000 + 3 * c + r);
    }
    std::vector<double> hidden(3, 0.0);
    for (std::size_t c = 0; c < width; ++c)
        for (std::size_t r = 0; r < 3; ++r) hidden[r] += static_cast<double>(w[c]) * static_cast<double>(up[c * 3 + r]);
    for (std::size_t c = 0; c < width; ++c) {
        double left = hidden[0] * static_cast<double>(down[c]);
        for (std::size_t r = 1; r < 3; ++r) {
            down[r * width + c] = static_cast<float>(-left / hidden[r]);
            left += hidden[r] * static_cast<double>(down[r * width + c]);
        }
    }
    return {std::move(layer), std::move(adapter)};
}
