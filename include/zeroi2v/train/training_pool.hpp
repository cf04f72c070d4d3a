// training_pool: an attention-pooling head made ready for both directions.
#pragma once

#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/train/training_linear.hpp>

#include <cstddef>
#include <vector>

namespace zeroi2v {

/// Embeddings widened, and where their gradient goes.
struct training_embedding {
    std::vector<float> values;
    std::size_t first = trained_tensors::none; ///< in a flat gradient

    training_embedding(stored_tensor const& source, trained_tensors const& trained)
        : values(source.count()), first{trained.first_of(source)}, source_{&source} {
        source.widen(0, values);
    }
    [[nodiscard]] bool trains() const noexcept { return first != trained_tensors::none; }
    void refresh() {
        if (trains()) source_->widen(0, values);
    }

private:
    stored_tensor const* source_;
};

/// The weights of stored_attention_pool, and what of them trains.
struct training_pool {
    training_embedding probe;                                   // (C)
    training_linear query, keys_values, out_proj, c_fc, c_proj; // (C,C), (2C,C), (C,C), (F,C), (C,F)
    training_norm ln;

    training_pool(stored_attention_pool const& weights, trained_tensors const& trained, kernel_table const& kernels, float epsilon)
        : probe{weights.probe, trained}, ln{weights.ln, trained, epsilon} {
        std::size_t const width = probe.values.size();
        auto const make = [&](stored_linear const& layer, packing const& part = {}) { return training_linear{kernels, layer.weight, &layer.bias, trained, true, part}; };
        query = make(weights.in_proj, {.first_row = 0, .rows = width});
        keys_values = make(weights.in_proj, {.first_row = width, .rows = 2 * width});
        out_proj = make(weights.out_proj);
        c_fc = make(weights.c_fc);
        c_proj = make(weights.c_proj);
    }

    /// Whether anything of it trains: all of it does, or nothing.
    [[nodiscard]] bool trains() const noexcept { return out_proj.trains(); }
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = 0;
        for_each([&](training_linear const& each) { total += each.bytes(); });
        return total;
    }
    void pack() {
        for_each([](training_linear& each) { each.pack(); });
    }
    void refresh() {
        probe.refresh();
        ln.refresh();
        for_each([](training_linear& each) { each.refresh(); });
    }

private:
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (auto const* each : {&query, &keys_values, &out_proj, &c_fc, &c_proj}) visit(*each);
    }
    template <class Visit>
    void for_each(Visit&& visit) {
        for (auto* each : {&query, &keys_values, &out_proj, &c_fc, &c_proj}) visit(*each);
    }
};

} // namespace zeroi2v
