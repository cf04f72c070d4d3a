// trainable: which tensors of a model train, and how each of them is stepped.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// What of a model trains; everything else is frozen: it gets neither a gradient nor optimizer state.
struct trainable_set {
    bool adapters = true;
    bool temporal_embedding = true;
    bool ln_post = true;
    bool head = true;
    bool rest = false; ///< the image model: its Linears, norms, patch, class and positional embedding

    /// ZeroI2V's: adapters, temporal embedding, ln_post, head.
    [[nodiscard]] static constexpr trainable_set only_adapters() noexcept { return {}; }
    /// A linear probe.
    [[nodiscard]] static constexpr trainable_set only_head() noexcept { return {false, false, false, true, false}; }
    /// Full fine-tuning.
    [[nodiscard]] static constexpr trainable_set all() noexcept { return {true, true, true, true, true}; }

    [[nodiscard]] constexpr bool contains(std::string_view name, parameter_role role) const noexcept {
        using r = parameter_role;
        if (role == r::adapter_in_weight || role == r::adapter_in_bias || role == r::adapter_out_weight || role == r::adapter_out_bias)
            return adapters;
        if (role == r::head_weight || role == r::head_bias) return head;
        if (name == "backbone.temporal_embedding") return temporal_embedding;
        if (name.starts_with("backbone.ln_post.")) return ln_post;
        return rest;
    }
    friend constexpr bool operator==(trainable_set, trainable_set) noexcept = default;
};

/// Whether weight decay pulls at a parameter: at all, biases too, but embeddings and layer norms.
[[nodiscard]] constexpr bool decays(parameter_role role) noexcept {
    return role != parameter_role::embedding && role != parameter_role::norm_weight && role != parameter_role::norm_bias;
}

/// One tensor that trains: where it is, and its place in a flat gradient.
struct trained_tensor {
    std::string name;
    parameter_role role{};
    stored_tensor* tensor{};
    std::size_t first{}; ///< of its elements in a flat gradient
    std::size_t count{};
};

/// The tensors of a model that train, in the visitor's order, numbered through.
///
/// The constructor brings them to f32 (exact for f16 and bf16). The weights must outlive the table and stay where they are.
/// Errors  nothing trains -> model_error bad_config.     Test  tests/unit/train/trainer.cpp
class trained_tensors {
public:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    template <vit_weights_type Weights>
    trained_tensors(Weights& weights, trainable_set set) {
        for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const& sizes, parameter_role role) {
            if (!set.contains(name, role)) return;
            if (tensor.type() != dtype::f32) {
                stored_tensor wide{dtype::f32, sizes};
                tensor.widen(0, wide.as<float>());
                tensor = std::move(wide);
            }
            all_.push_back({name, role, &tensor, floats_, tensor.count()});
            floats_ += tensor.count();
        });
        if (all_.empty()) throw model_error{error_code::bad_config, "trainable: the model has no such tensor, at least one expected"};
    }

    [[nodiscard]] auto begin() const noexcept { return all_.begin(); }
    [[nodiscard]] auto end() const noexcept { return all_.end(); }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] trained_tensor const& operator[](std::size_t i) const noexcept { return all_[i]; }
    /// Elements of all tensors: the length of a flat gradient.
    [[nodiscard]] std::size_t floats() const noexcept { return floats_; }

    /// The place of a tensor in a flat gradient, or `none` where it is frozen.
    [[nodiscard]] std::size_t first_of(stored_tensor const& tensor) const noexcept {
        for (auto const& each : all_)
            if (each.tensor == &tensor) return each.first;
        return none;
    }

private:
    std::vector<trained_tensor> all_;
    std::size_t floats_{};
};

} // namespace zeroi2v
