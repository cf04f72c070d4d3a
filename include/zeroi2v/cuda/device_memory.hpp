// device_memory: memory on a device and pinned memory on the host, each freed with its owner.
#pragma once

#include <zeroi2v/cuda/device.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

namespace zeroi2v::detail {

struct free_device_memory {
    void operator()(std::byte* p) const noexcept { static_cast<void>(cudaFree(p)); }
};
struct free_pinned_memory {
    void operator()(std::byte* p) const noexcept { static_cast<void>(cudaFreeHost(p)); }
};

/// Memory on the current device, aligned to 256. Moves.
/// Errors  none left -> device_error out_of_memory with the bytes wanted and free.
class device_memory {
public:
    device_memory(std::size_t bytes, char const* what) {
        void* p = nullptr;
        check_cuda(cudaMalloc(&p, bytes), (std::string{"cudaMalloc for "} + what).c_str(), bytes);
        data_.reset(static_cast<std::byte*>(p));
    }
    [[nodiscard]] std::byte* data() const noexcept { return data_.get(); }

private:
    std::unique_ptr<std::byte, free_device_memory> data_;
};

/// Memory on the host that the device copies from and to while the host works on. Moves.
class pinned_memory {
public:
    explicit pinned_memory(std::size_t bytes) {
        void* p = nullptr;
        check_cuda(cudaHostAlloc(&p, bytes, cudaHostAllocDefault), "cudaHostAlloc", bytes);
        data_.reset(static_cast<std::byte*>(p));
    }
    [[nodiscard]] std::byte* data() const noexcept { return data_.get(); }

private:
    std::unique_ptr<std::byte, free_pinned_memory> data_;
};

} // namespace zeroi2v::detail
