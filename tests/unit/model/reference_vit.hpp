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

inline matrix layer_norm(matrix x, zeroi2v::stored_layer_norm const& layer, double epsilon = 1e-5) {
    for (auto& row : x) {
        double mean = 0, variance = 0;
        for (double const v : row) mean += v / static_cast<double>(row.size());
        for (double const v : row) variance += (v - mean) * (v - mean) / static_cast<double>(row.size());
        for (std::size_t c = 0; c < row.size(); ++c)
            row[c] = (row[c] - mean) / std::sqrt(variance + epsilon) * layer.weight.value(c) + layer.bias.value(c);
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

/// The rotary embedding of patch `patch` of the heads of one row.
inline void rotate(zeroi2v::vit_config const& config, std::size_t patch, std::vector<double>& row) {
    std::size_t const d = config.head_dim(), half = d / 2, quarter = d / 4, grid = config.grid();
    for (std::size_t h = 0; h < config.heads(); ++h)
        for (std::size_t i = 0; i < half; ++i) {
            std::size_t const at = i < quarter ? patch / grid : patch % grid;
            double const place = 2 * (static_cast<double>(at) + 0.5) / static_cast<double>(grid) - 1;
            double const angle = 2 * 3.14159265358979323846 * place * std::pow(*config.form().rope_theta, -4.0 * static_cast<double>(i % quarter) / static_cast<double>(d));
            double& a = row[h * d + i];
            double& b = row[h * d + half + i];
            double const first = a * std::cos(angle) - b * std::sin(angle), second = b * std::cos(angle) + a * std::sin(angle);
            a = first;
            b = second;
        }
}

template <class Adapters>
void block(zeroi2v::vit_weights<Adapters> const& weights, std::size_t i, matrix& x) {
    using enum zeroi2v::adapter_site;
    zeroi2v::vit_block const& b = weights.blocks[i];
    auto const& config = weights.config;
    double const epsilon = config.form().norm_epsilon;
    double const scale = config.adapter_scale().value_or(0);
    zeroi2v::block_adapters none;
    auto const& a = [&]() -> zeroi2v::block_adapters const& {
        if constexpr (Adapters::present) return weights.adapters.blocks[i];
        else return none;
    }();
    matrix const normed = layer_norm(x, b.ln_1, epsilon);
    matrix parts[3];
    std::optional<zeroi2v::stored_linear_adapter> const* const separate[3]{&a[T_Adapter_in_q], &a[T_Adapter_in_k], &a[T_Adapter_in_v]};
    for (std::size_t j = 0; j < 3; ++j) {
        matrix const all = linear(adapter(adapter(normed, a[T_Adapter_in], scale), *separate[j], scale), b.in_proj);
        for (auto const& row : all)
            parts[j].emplace_back(row.begin() + static_cast<long>(j * config.width()), row.begin() + static_cast<long>((j + 1) * config.width()));
    }
    if (config.form().rope_theta)
        for (std::size_t row = 0; row < x.size(); ++row) {
            std::size_t const token = row % config.tokens();
            if (token < config.form().prefix_tokens()) continue;
            for (matrix* each : {&parts[0], &parts[1]}) rotate(config, token - config.form().prefix_tokens(), (*each)[row]);
        }
    matrix const attended = adapter(linear(attention(config, parts[0], parts[1], parts[2]), b.out_proj), a[S_Adapter], scale);
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t c = 0; c < x[n].size(); ++c) x[n][c] += attended[n][c];
    matrix hidden = linear(adapter(layer_norm(x, b.ln_2, epsilon), a[MLP_Adapter], scale), b.c_fc);
    for (auto& row : hidden)
        for (double& v : row) v = activate(config.form().act, v);
    matrix const out = adapter(linear(hidden, b.c_proj), a[MLP_Adapter_out], scale);
    for (std::size_t n = 0; n < x.size(); ++n)
        for (std::size_t c = 0; c < x[n].size(); ++c) x[n][c] += out[n][c];
}

/// All tokens after `layers` blocks.
template <class Adapters>
matrix tokens(zeroi2v::vit_weights<Adapters> const& weights, zeroi2v::view<float const, 4> clip, std::size_t layers) {
    auto const& config = weights.config;
    auto const& form = config.form();
    std::size_t const p = config.patch_size(), width = config.width(), prefix = form.prefix_tokens(), class_tokens = form.class_token ? 1 : 0;
    matrix x;
    for (std::size_t t = 0; t < config.frames(); ++t)
        for (std::size_t n = 0; n < config.tokens(); ++n) {
            std::vector<double> row(width);
            for (std::size_t c = 0; c < width; ++c) {
                double sum = 0;
                if (n < class_tokens) {
                    sum = weights.class_embedding.value(c);
                } else if (n < prefix) {
                    sum = weights.register_tokens.value((n - class_tokens) * width + c);
                } else {
                    std::size_t const patch = n - prefix, top = patch / config.grid() * p, left = patch % config.grid() * p;
                    if (form.patch_bias) sum = weights.conv1.bias.value(c);
                    for (std::size_t channel = 0; channel < 3; ++channel)
                        for (std::size_t y = 0; y < p; ++y)
                            for (std::size_t z = 0; z < p; ++z)
                                sum += static_cast<double>(clip(t, channel, top + y, left + z)) * weights.conv1.weight.value(((c * 3 + channel) * p + y) * p + z);
                }
                if (form.positions() && (n < class_tokens || n >= prefix))
                    sum += weights.positional_embedding.value((n < class_tokens ? n : n - prefix + class_tokens) * width + c);
                row[c] = sum + weights.temporal_embedding.value(t * width + c);
            }
            x.push_back(row);
        }
    if (form.pre_norm) x = layer_norm(x, weights.ln_pre, form.norm_epsilon);
    for (std::size_t i = 0; i < layers; ++i) block(weights, i, x);
    return x;
}

/// The feature of each frame, (T,C).
template <class Adapters>
matrix features(zeroi2v::vit_weights<Adapters> const& weights, zeroi2v::view<float const, 4> clip) {
    auto const& config = weights.config;
    auto const& form = config.form();
    std::size_t const n = config.tokens(), width = config.width(), prefix = form.prefix_tokens(), d = config.head_dim();
    matrix const x = tokens(weights, clip, config.layers());
    matrix result;
    for (std::size_t t = 0; t < config.frames(); ++t) {
        matrix const frame(x.begin() + static_cast<long>(t * n), x.begin() + static_cast<long>((t + 1) * n));
        if (form.pooling == zeroi2v::frame_pooling::class_token) {
            result.push_back(layer_norm({frame[0]}, weights.ln_post, form.norm_epsilon)[0]);
            continue;
        }
        bool const before = form.pooling == zeroi2v::frame_pooling::attention || form.pool_norm == zeroi2v::pool_norm_place::before_mean;
        matrix const y = before ? layer_norm(frame, weights.ln_post, form.norm_epsilon) : frame;
        std::vector<double> pooled(width);
        if (form.pooling == zeroi2v::frame_pooling::mean) {
            for (std::size_t i = prefix; i < n; ++i)
                for (std::size_t c = 0; c < width; ++c) pooled[c] += y[i][c] / static_cast<double>(n - prefix);
            result.push_back(before ? pooled : layer_norm({pooled}, weights.ln_post, form.norm_epsilon)[0]);
            continue;
        }
        auto const& pool = weights.attnpool;
        matrix probe(1, std::vector<double>(width));
        for (std::size_t c = 0; c < width; ++c) probe[0][c] = pool.probe.value(c);
        auto const q = linear(probe, pool.in_proj)[0];
        matrix const kv = linear(y, pool.in_proj);
        for (std::size_t h = 0; h < config.heads(); ++h) {
            std::vector<double> weight(n);
            double sum = 0;
            for (std::size_t i = 0; i < n; ++i) {
                double dot = 0;
                for (std::size_t c = h * d; c < (h + 1) * d; ++c) dot += q[c] * kv[i][width + c];
                sum += weight[i] = std::exp(dot / std::sqrt(static_cast<double>(d)));
            }
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t c = h * d; c < (h + 1) * d; ++c) pooled[c] += weight[i] / sum * kv[i][2 * width + c];
        }
        matrix const z = linear({pooled}, pool.out_proj);
        matrix hidden = linear(layer_norm(z, pool.ln, form.norm_epsilon), pool.c_fc);
        for (double& v : hidden[0]) v = activate(form.act, v);
        matrix out = linear(hidden, pool.c_proj);
        for (std::size_t c = 0; c < width; ++c) out[0][c] += z[0][c];
        result.push_back(out[0]);
    }
    return result;
}

template <class Adapters>
std::vector<double> logits(zeroi2v::vit_weights<Adapters> const& weights, zeroi2v::view<float const, 4> clip) {
    matrix mean(1, std::vector<double>(weights.config.width()));
    for (auto const& frame : features(weights, clip))
        for (std::size_t c = 0; c < mean[0].size(); ++c) mean[0][c] += frame[c] / static_cast<double>(weights.config.frames());
    return linear(mean, weights.fc_cls)[0];
}

} // namespace zeroi2v::reference
