// The forward pass of a video ViT in plain double loops, written from its formula: what the engine is tested against.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/reference/activation.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

namespace zeroi2v::reference {

using matrix = std::vector<std::vector<double>>;

inline matrix linear(matrix const& x, zeroi2v::stored_linear const& layer) {
    std::size_t const out = layer.bias.count();
    matrix y(x.size(), std::vector<double>(out));
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t o = 0; o < out; ++o) {
            double sum = layer.bias.value(o);
            for (std::size_t i = 0; i < x[n].size(); ++i) sum += x[n][i] * layer.weight.value(o * x[n].size() + i);
            y[n][o] = sum;
        }
    return y;
}

inline matrix adapter(matrix x, std::optional<zeroi2v::stored_linear_adapter> const& a, double scale) {
    if (!a) return x;
    matrix const detour = linear(linear(x, a->D_fc1), a->D_fc2);
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t c = 0; c < x[n].size(); ++c) x[n][c] += scale * detour[n][c];
    return x;
}

inline matrix layer_norm(matrix x, zeroi2v::stored_layer_norm const& layer) {
    for (auto& row : x) {
        double mean = 0, variance = 0;
        for (double const v : row) mean += v / static_cast<double>(row.size());
        for (double const v : row) variance += (v - mean) * (v - mean) / static_cast<double>(row.size());
        for (std::size_t c = 0; c < row.size(); ++c)
            row[c] = (row[c] - mean) / std::sqrt(variance + 1e-5) * layer.weight.value(c) + layer.bias.value(c);
    }
    return x;
}

/// y of attention over tokens of T frames, q, k, v (T*N,C); each head reads the frame that the map names.
inline matrix attention(zeroi2v::vit_config const& config, matrix const& q, matrix const& k, matrix const& v) {
    std::size_t const n = config.tokens(), d = config.head_dim();
    matrix y(q.size(), std::vector<double>(config.width()));
    for (std::size_t t = 0; t < config.frames(); ++t)
        for (std::size_t h = 0; h < config.heads(); ++h) {
            long const wanted = static_cast<long>(t) + config.map().offset(h);
            std::size_t const s = wanted < 0 || wanted >= static_cast<long>(config.frames()) ? t : static_cast<std::size_t>(wanted);
            for (std::size_t i = 0; i < n; ++i) {
                std::vector<double> weight(n);
                double sum = 0;
                for (std::size_t j = 0; j < n; ++j) {
                    double dot = 0;
                    for (std::size_t c = h * d; c < (h + 1) * d; ++c) dot += q[t * n + i][c] * k[s * n + j][c];
                    weight[j] = std::exp(dot / std::sqrt(static_cast<double>(d)));
                    sum += weight[j];
                }
                for (std::size_t j = 0; j < n; ++j)
                    for (std::size_t c = h * d; c < (h + 1) * d; ++c) y[t * n + i][c] += weight[j] / sum * v[s * n + j][c];
            }
        }
    return y;
}

template <class Adapters>
void block(zeroi2v::vit_weights<Adapters> const& weights, std::size_t i, matrix& x, zeroi2v::activation act) {
    using enum zeroi2v::adapter_site;
    zeroi2v::vit_block const& b = weights.blocks[i];
    auto const& config = weights.config;
    double const scale = config.adapter_scale().value_or(0);
    zeroi2v::block_adapters none;
    auto const& a = [&]() -> zeroi2v::block_adapters const& {
        if constexpr (Adapters::present) return weights.adapters.blocks[i];
        else return none;
    }();
    matrix const normed = layer_norm(x, b.ln_1);
    matrix parts[3];
    std::optional<zeroi2v::stored_linear_adapter> const* const separate[3]{&a[T_Adapter_in_q], &a[T_Adapter_in_k], &a[T_Adapter_in_v]};
    for (std::size_t j = 0; j < 3; ++j) {
        matrix const all = linear(adapter(adapter(normed, a[T_Adapter_in], scale), *separate[j], scale), b.in_proj);
        for (auto const& row : all)
            parts[j].emplace_back(row.begin() + static_cast<long>(j * config.width()), row.begin() + static_cast<long>((j + 1) * config.width()));
    }
    matrix const attended = adapter(linear(attention(config, parts[0], parts[1], parts[2]), b.out_proj), a[S_Adapter], scale);
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t c = 0; c < x[n].size(); ++c) x[n][c] += attended[n][c];
    matrix hidden = linear(adapter(layer_norm(x, b.ln_2), a[MLP_Adapter], scale), b.c_fc);
    for (auto& row : hidden)
        for (double& v : row) v = activate(act, v);
    matrix const out = adapter(linear(hidden, b.c_proj), a[MLP_Adapter_out], scale);
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t c = 0; c < x[n].size(); ++c) x[n][c] += out[n][c];
}

/// All tokens after `layers` blocks.
template <class Adapters>
matrix tokens(zeroi2v::vit_weights<Adapters> const& weights, zeroi2v::view<float const, 4> clip, std::size_t layers,
              zeroi2v::activation act = zeroi2v::activation::quick_gelu) {
    auto const& config = weights.config;
    std::size_t const p = config.patch_size(), width = config.width();
    matrix x;
    for (std::size_t t = 0; t < config.frames(); ++t)
        for (std::size_t n = 0; n < config.tokens(); ++n) {
            std::vector<double> row(width);
            for (std::size_t c = 0; c < width; ++c) {
                double sum = 0;
                if (n == 0) {
                    sum = weights.class_embedding.value(c);
                } else {
                    std::size_t const top = (n - 1) / config.grid() * p, left = (n - 1) % config.grid() * p;
                    for (std::size_t channel = 0; channel < 3; ++channel)
                        for (std::size_t y = 0; y < p; ++y)
                            for (std::size_t z = 0; z < p; ++z)
                                sum += static_cast<double>(clip(t, channel, top + y, left + z)) * weights.conv1.value(((c * 3 + channel) * p + y) * p + z);
                }
                row[c] = sum + weights.positional_embedding.value(n * width + c) + weights.temporal_embedding.value(t * width + c);
            }
            x.push_back(row);
        }
    x = layer_norm(x, weights.ln_pre);
    for (std::size_t i = 0; i < layers; ++i) block(weights, i, x, act);
    return x;
}

template <class Adapters>
std::vector<double> logits(zeroi2v::vit_weights<Adapters> const& weights, zeroi2v::view<float const, 4> clip,
                           zeroi2v::activation act = zeroi2v::activation::quick_gelu) {
    auto const& config = weights.config;
    matrix const x = tokens(weights, clip, config.layers(), act);
    matrix mean(1, std::vector<double>(config.width()));
    for (std::size_t t = 0; t < config.frames(); ++t) {
        matrix const f = layer_norm({x[t * config.tokens()]}, weights.ln_post);
        for (std::size_t c = 0; c < config.width(); ++c) mean[0][c] += f[0][c] / static_cast<double>(config.frames());
    }
    return linear(mean, weights.fc_cls)[0];
}

} // namespace zeroi2v::reference
