// Small models in training: weights that make every derivative show, batches, and their loss in plain double.
#pragma once

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/train/trainer.hpp>

#include "../model/reference_vit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
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
inline double loss_of(adapted_vit const& weights, batch const& of, std::vector<std::size_t> const& groups, double smoothing) {
    double total = 0;
    for (std::size_t i = 0; i < of.count; ++i) {
        auto const logits = reference::logits(weights, of.clip(i));
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

/// The loss's derivative by every trained parameter, by central differences.
inline std::vector<double> differences_of(adapted_vit& wide, trained_tensors const& trained, batch const& data, std::vector<std::size_t> const& groups, double smoothing) {
    auto const tensors = named(wide);
    std::vector<double> all(trained.floats());
    for (auto const& each : trained)
        for (std::size_t i = 0; i < each.count; ++i) {
            double& value = tensors.at(each.name)->as<double>()[i];
            double const at = value, h = 1e-5;
            value = at + h;
            double const above = loss_of(wide, data, groups, smoothing);
            value = at - h;
            all[each.first + i] = (above - loss_of(wide, data, groups, smoothing)) / (2 * h);
            value = at;
        }
    return all;
}

/// By tensor ||found - wanted|| / ||wanted||; one that is no number, or compared with nothing at all, is 1e9.
inline std::map<std::string, double> errors_of(trained_tensors const& trained, std::span<float const> found, std::vector<double> const& wanted) {
    std::map<std::string, double> errors;
    double norm = 0;
    for (double const each : wanted) norm += each * each;
    for (auto const& each : trained) {
        double difference = 0, own = 0;
        for (std::size_t i = each.first; i < each.first + each.count; ++i) {
            double const d = static_cast<double>(found[i]) - wanted[i];
            difference += d * d;
            own += wanted[i] * wanted[i];
        }
        // What the softmax cannot see (a key's shift common to all keys) has no gradient: nothing relative to hold it to.
        double const error = std::sqrt(difference) / std::max(std::sqrt(own), 1e-3 * std::sqrt(norm));
        errors[each.name] = error == error && norm > 0 ? error : 1e9;
    }
    return errors;
}

} // namespace zeroi2v::test
