// cuda_machine: a CUDA device as a machine for basic_engine: memory, two streams, graphs, cuBLASLt.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/device.hpp>
#include <zeroi2v/cuda/device_block.cuh>
#include <zeroi2v/cuda/device_memory.hpp>
#include <zeroi2v/cuda/products.hpp>
#include <zeroi2v/cuda/workspace_layout.hpp>

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v::detail {

/// Deletes a CUDA object of type Object.
template <class Object, cudaError_t (*Destroy)(Object)>
struct destroy_cuda {
    using pointer = Object;
    void operator()(Object object) const noexcept { static_cast<void>(Destroy(object)); }
};
template <class Object, cudaError_t (*Destroy)(Object)>
using cuda_owner = std::unique_ptr<Object, destroy_cuda<Object, Destroy>>;

using cuda_stream = cuda_owner<cudaStream_t, cudaStreamDestroy>;
using cuda_event = cuda_owner<cudaEvent_t, cudaEventDestroy>;
using cuda_graph = cuda_owner<cudaGraph_t, cudaGraphDestroy>;
using cuda_graph_exec = cuda_owner<cudaGraphExec_t, cudaGraphExecDestroy>;

/// A device that is there and can be used.
/// Errors  as require_device.
class cuda_machine {
public:
    using memory = device_memory;
    using pinned = pinned_memory;

    /// The work of one workspace: copies to the device on one stream, all else on another, in order.
    class queue {
    public:
        queue(cublasLtHandle_t handle, bool tf32, void* scratch, std::size_t scratch_bytes)
            : products_{handle, tf32, scratch, scratch_bytes}, compute_{make_stream()}, copies_{make_stream()} {
            for (auto* events : {&copied_, &used_, &done_})
                for (cuda_event& each : *events) {
                    cudaEvent_t event{};
                    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                    each.reset(event);
                }
        }
        queue(queue&&) noexcept = default;
        queue& operator=(queue&&) = delete;
        ~queue() {
            if (compute_) static_cast<void>(cudaStreamSynchronize(compute_.get()));
            if (copies_) static_cast<void>(cudaStreamSynchronize(copies_.get()));
        }

        template <class Kernel>
        void launch(std::size_t blocks, unsigned threads, std::size_t shared_bytes, typename Kernel::arguments const& arguments) {
            constexpr std::size_t most_blocks = (std::size_t{1} << 31) - 1, shared_without_asking = std::size_t{48} << 10;
            if (blocks == 0) return;
            if (blocks > most_blocks)
                throw device_error{error_code::device_failed, std::string{"cuda: launch of "} + Kernel::name + ": " + std::to_string(blocks) + " blocks wanted, at most 2^31 - 1 expected"};
            auto const* const function = reinterpret_cast<void const*>(&cuda_kernels::run_on_device<Kernel>);
            if (shared_bytes > shared_without_asking && asked_.insert(function).second)
                check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
                           (std::string{"cudaFuncSetAttribute of "} + Kernel::name).c_str(), shared_bytes);
            void* parameters[]{const_cast<void*>(static_cast<void const*>(&arguments))};
            check_cuda(cudaLaunchKernel(function, dim3{static_cast<unsigned>(blocks)}, dim3{threads}, parameters, shared_bytes, compute_.get()),
                       (std::string{"cudaLaunchKernel of "} + Kernel::name).c_str());
        }

        void product(product_shape const& shape, product_operands const& operands) { products_.run(shape, operands, compute_.get()); }

        /// What record() launches, as one graph. The first time of a key it is launched as it is, so that plans are chosen and kernels
        /// loaded; the second time it is captured; from then on replayed.
        template <class Record>
        void replay(std::size_t key, Record&& record) {
            auto const [found, first] = graphs_.try_emplace(key);
            if (first) return record();
            if (!found->second) found->second = capture(record);
            check_cuda(cudaGraphLaunch(found->second.get(), compute_.get()), "cudaGraphLaunch");
        }

        void copy_in(void* to, void const* from, std::size_t bytes, std::size_t slot) {
            check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, copies_.get()), "cudaMemcpyAsync to the device", bytes);
            check_cuda(cudaEventRecord(copied_[slot].get(), copies_.get()), "cudaEventRecord");
            check_cuda(cudaStreamWaitEvent(compute_.get(), copied_[slot].get(), 0), "cudaStreamWaitEvent");
        }
        void uploaded(std::size_t slot) { check_cuda(cudaEventRecord(used_[slot].get(), compute_.get()), "cudaEventRecord"); }
        void await_upload(std::size_t slot) { check_cuda(cudaEventSynchronize(used_[slot].get()), "cudaEventSynchronize"); }

        void copy_out(void* to, void const* from, std::size_t bytes, std::size_t slot) {
            check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, compute_.get()), "cudaMemcpyAsync to the host", bytes);
            check_cuda(cudaEventRecord(done_[slot].get(), compute_.get()), "cudaEventRecord");
        }
        void await_result(std::size_t slot) { check_cuda(cudaEventSynchronize(done_[slot].get()), "cudaEventSynchronize"); }

        [[nodiscard]] cudaStream_t stream() const noexcept { return compute_.get(); }

    private:
        [[nodiscard]] static cuda_stream make_stream() {
            cudaStream_t stream{};
            check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
            return cuda_stream{stream};
        }

        template <class Record>
        [[nodiscard]] cuda_graph_exec capture(Record&& record) {
            check_cuda(cudaStreamBeginCapture(compute_.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
            cudaGraph_t captured{};
            try {
                record();
            } catch (...) {
                static_cast<void>(cudaStreamEndCapture(compute_.get(), &captured));
                cuda_graph const unfinished{captured};
                static_cast<void>(cudaGetLastError());
                throw;
            }
            check_cuda(cudaStreamEndCapture(compute_.get(), &captured), "cudaStreamEndCapture");
            cuda_graph const graph{captured};
            cudaGraphExec_t ready{};
            check_cuda(cudaGraphInstantiate(&ready, captured, 0), "cudaGraphInstantiate");
            return cuda_graph_exec{ready};
        }

        product_plans products_;
        cuda_stream compute_, copies_;
        std::array<cuda_event, workspace_layout::slots> copied_, used_, done_;
        std::set<void const*> asked_;                  ///< kernels that may use more than 48 KiB
        std::map<std::size_t, cuda_graph_exec> graphs_; ///< null: launched once
    };

    cuda_machine(int device, bool tf32) : info_{require_device(device)}, tf32_{tf32}, handle_{make_cublas_handle()} {}

    [[nodiscard]] device_info const& info() const noexcept { return info_; }
    /// Makes the device current for the calling thread.
    void activate() const { check_cuda(cudaSetDevice(info_.index), "cudaSetDevice"); }
    [[nodiscard]] std::size_t scratch_bytes() const noexcept { return product_plans::scratch_size; }
    [[nodiscard]] memory allocate(std::size_t bytes, char const* what) const { return {bytes, what}; }
    [[nodiscard]] pinned allocate_pinned(std::size_t bytes) const { return pinned{bytes}; }
    /// Copies and waits until the bytes are there for every stream.
    void upload(void* to, std::span<std::byte const> bytes) const {
        check_cuda(cudaMemcpy(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy to the device", bytes.size());
        check_cuda(cudaStreamSynchronize(cudaStreamLegacy), "cudaStreamSynchronize");
    }
    [[nodiscard]] queue make_queue(std::byte* scratch, std::size_t bytes) const { return {handle_.get(), tf32_, scratch, bytes}; }

private:
    device_info info_;
    bool tf32_;
    cublas_handle handle_;
};

} // namespace zeroi2v::detail
