// Small models in training: weights that make every derivative show, batches, and their loss in plain double.
#pragma once

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/train/trainer.hpp>

#include "../model/reference_vit.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace zeroi2v::test {

inline constexpr adapter_site_set shared_sites{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out};
inline constexpr adapter_site_set separate_sites{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter,
                                                 adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out};

/// Weights far from their beginnings, so that every derivative is there.
inline adapted_vit lively(vit_config const& config, adapter_layout const& layout, std::uint64_t seed) {
    adapted_vit weights{config, layout};
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const& sizes, parameter_role role) {
        tensor = stored_tensor::zeros(dtype::f32, sizes);
        auto const values = tensor.as<float>();
        detail::draw_normal(values, 0.3F, seed, detail::name_hash(name));
        if (role == parameter_role::norm_weight)
            for (float& value : values) value += 1;
    });
    return weights;
}

/// The same numbers in double.
inline adapted_vit in_double(adapted_vit const& weights) {
    adapted_vit wide{weights.config, weights.layout};
    std::map<std::string, stored_tensor const*> all;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const&, parameter_role) { all[name] = &tensor; });
    for_each_tensor(wide, [&](std::string const& name, stored_tensor& tensor, shape const& sizes, parameter_role) {
        tensor = stored_tensor::zeros(dtype::f64, sizes);
        for (std::size_t i = 0; i < tensor.count(); ++i) tensor.as<double>()[i] = all[name]->value(i);
    });
    return wide;
}

struct batch {
    std::vector<float> values;
    std::size_t count;
    vit_config const& config;
    std::vector<std::int64_t> labels;

    batch(vit_config const& of, std::size_t clips, std::vector<std::size_t> const& groups, std::uint64_t seed) : values(clips * of.clip_values()), count{clips}, config{of} {
        detail::draw_normal(values, 1, seed, 1);
        for (std::size_t i = 0; i < clips * groups.size(); ++i) labels.push_back(static_cast<std::int64_t>((i * 7 + seed) % groups[i % groups.size()]));
    }
    [[nodiscard]] view<float const, 5> clips(std::size_t first = 0, std::size_t n = 0) const {
        return view<float const, 5>{values.data() + first * config.clip_values(), n == 0 ? count : n, config.frames(), 3, config.image_size(), config.image_size()};
    }
    [[nodiscard]] view<float const, 4> clip(std::size_t i) const {
        return view<float const, 4>{values.data() + i * config.clip_values(), config.frames(), 3, config.image_size(), config.image_size()};
    }
};

/// Mean cross entropy in plain double.
inline double loss_of(adapted_vit const& weights, batch const& of, std::vector<std::size_t> const& groups, double smoothing,
                      activation act = activation::quick_gelu) {
    double total = 0;
    for (std::size_t i = 0; i < of.count; ++i) {
        auto const logits = reference::logits(weights, of.clip(i), act);
        std::size_t first = 0;
        for (std::size_t g = 0; g < groups.size(); first += groups[g], ++g) {
            double sum = 0;
            for (std::size_t k = 0; k < groups[g]; ++k) sum += std::exp(logits[first + k]);
            for (std::size_t k = 0; k < groups[g]; ++k)
                total -= (smoothing / static_cast<double>(groups[g]) + (static_cast<std::int64_t>(k) == of.labels[i * groups.size() + g] ? 1 - smoothing : 0))
                         * (logits[first + k] - std::log(sum));
        }
    }
    return total / static_cast<double>(of.count);
}

inline std::map<std::string, stored_tensor*> named(adapted_vit& weights) {
    std::map<std::string, stored_tensor*> all;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { all[name] = &tensor; });
    return all;
}

/// All parameters equal in every bit.
inline bool same(trainer const& a, trainer const& b) {
    bool equal = a.trained().size() == b.trained().size() && a.trained().size() != 0;
    for (std::size_t i = 0; equal && i < a.trained().size(); ++i)
        equal = std::memcmp(a.trained()[i].tensor->bytes().data(), b.trained()[i].tensor->bytes().data(), a.trained()[i].tensor->byte_size()) == 0;
    return equal;
}

inline vit_config small_config() {
    return {{.image_size = 12, .patch_size = 4, .frames = 4, .width = 24, .layers = 3, .heads = 4, .mlp_width = 50, .classes = 7},
            frame_map<>{4, {{.head = 0, .offset = -1}, {.head = 1, .offset = 1}, {.head = 3, .offset = 2}}}, 0.5};
}

} // namespace zeroi2v::test
