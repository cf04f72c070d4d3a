// cuda_runner: a model on a CUDA device. Needs no CUDA: cuda_runner.cu is behind it, or cuda_absent.cpp in a build without.
#pragma once

#include "model_runner.hpp"

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <functional>
#include <memory>
#include <string>

namespace zeroi2v::program {

/// Starts the device, the first that CUDA_VISIBLE_DEVICES shows.
/// Errors  none that can be used -> device_error with the reason.
void require_cuda();

/// A model whose weights come from `read`, called once for each tensor of for_each_tensor's list.
/// Errors  as require_cuda; too little memory -> device_error out_of_memory; what `read` throws.
[[nodiscard]] std::unique_ptr<model_runner> cuda_runner_of(vit_config const& config, adapter_layout const& layout, bool has_adapters,
                                                           std::function<void(std::string const&, stored_tensor&)> const& read, dtype type);
[[nodiscard]] std::unique_ptr<model_runner> cuda_runner_of(vit_weights<with_adapters> const& weights, dtype type);
[[nodiscard]] std::unique_ptr<model_runner> cuda_runner_of(vit_weights<no_adapters> const& weights, dtype type);

} // namespace zeroi2v::program
