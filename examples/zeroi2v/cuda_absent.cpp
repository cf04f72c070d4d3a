// What a build without CUDA says of it.
#include "cuda_runner.hpp"

#include <zeroi2v/core/error.hpp>

namespace zeroi2v::program {
namespace {

[[noreturn]] void refuse() {
    throw device_error{error_code::device_unavailable, "cuda: a build without CUDA found, one with ZEROI2V_CUDA=ON expected"};
}

} // namespace

void require_cuda() { refuse(); }
std::unique_ptr<model_runner> cuda_runner_of(vit_config const&, adapter_layout const&, bool, std::function<void(std::string const&, stored_tensor&)> const&, dtype) { refuse(); }
std::unique_ptr<model_runner> cuda_runner_of(vit_weights<with_adapters> const&, dtype) { refuse(); }
std::unique_ptr<model_runner> cuda_runner_of(vit_weights<no_adapters> const&, dtype) { refuse(); }

} // namespace zeroi2v::program
