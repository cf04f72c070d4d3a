// device: finding a CUDA device that can be used, or the reason why there is none; and the check of every CUDA call.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/device_info.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

namespace zeroi2v {

namespace detail {

/// "cudaErrorNoDevice, no CUDA-capable device is detected".
[[nodiscard]] inline std::string cuda_text(cudaError_t status) {
    return std::string{cudaGetErrorName(status)} + ", " + cudaGetErrorString(status);
}

/// Throws where `status` is an error: memory (code out_of_memory, with the bytes), or anything else (device_failed).
/// An error that the device can recover from is forgotten by CUDA, so that the next call is judged by itself.
inline void check_cuda(cudaError_t status, char const* call, std::size_t bytes = 0) {
    if (status == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());
    if (status == cudaErrorMemoryAllocation) {
        std::size_t free = 0, total = 0;
        if (cudaMemGetInfo(&free, &total) != cudaSuccess) free = 0;
        throw device_memory_error(call, cuda_text(status), bytes, free);
    }
    throw device_error{error_code::device_failed, std::string{"cuda: "} + call + ": " + cuda_text(status)
                                                      + (bytes != 0 ? ", " + std::to_string(bytes) + " bytes" : std::string{})};
}

[[nodiscard]] inline device_probe probe_devices() {
    device_probe probe;
    if (cudaDriverGetVersion(&probe.driver_version) != cudaSuccess) probe.driver_version = 0;
    if (cudaRuntimeGetVersion(&probe.runtime_version) != cudaSuccess) probe.runtime_version = 0;
    probe.visible = std::getenv("CUDA_VISIBLE_DEVICES");
    cudaError_t const status = cudaGetDeviceCount(&probe.devices);
    if (status == cudaSuccess) return probe;
    static_cast<void>(cudaGetLastError());
    probe.devices = 0;
    probe.text = cuda_text(status);
    using outcome = device_probe::outcome;
    probe.status = status == cudaErrorInsufficientDriver ? outcome::old_driver : status == cudaErrorNoDevice ? outcome::no_device : outcome::failed;
    return probe;
}

[[nodiscard]] inline device_info describe_device(int index, device_probe const& probe) {
    device_info device;
    device.index = index;
    device.driver_version = probe.driver_version;
    device.runtime_version = probe.runtime_version;
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    device.name = properties.name;
    device.major = properties.major;
    device.minor = properties.minor;
    device.multiprocessors = properties.multiProcessorCount;
    device.total_bytes = properties.totalGlobalMem;
    if (cudaDeviceGetAttribute(&device.clock_khz, cudaDevAttrClockRate, index) != cudaSuccess) device.clock_khz = 0;
    return device;
}

} // namespace detail

/// The device with this index, made current for the calling thread and asked for its free memory.
///
/// Errors  device_error device_unavailable: no driver, one older than this build's CUDA, no device, none that
///         CUDA_VISIBLE_DEVICES shows, no such index; unsupported_device: older than compute capability 8.0; device_failed or
///         out_of_memory: the device does not start, as when another process holds its memory. Each names the call and CUDA's words.
/// Cost    the first call of a process starts CUDA on the device: some 0.1 s and some 100 MB there.
/// Test    tests/unit/cuda/device_info.cpp; without a driver end to end: tests/cuda/device.cu
[[nodiscard]] inline device_info require_device(int index = 0) {
    detail::device_probe const probe = detail::probe_devices();
    detail::require_any_device(probe, index);
    device_info device = detail::describe_device(index, probe);
    detail::require_supported(device);
    detail::check_cuda(cudaSetDevice(index), "cudaSetDevice");
    detail::check_cuda(cudaMemGetInfo(&device.free_bytes, &device.total_bytes), "cudaMemGetInfo");
    return device;
}

/// All devices, without starting any: free_bytes is 0.
/// Errors  device_unavailable as above where there is none.
[[nodiscard]] inline std::vector<device_info> list_devices() {
    detail::device_probe const probe = detail::probe_devices();
    detail::require_any_device(probe, 0);
    std::vector<device_info> devices;
    for (int index = 0; index < probe.devices; ++index) devices.push_back(detail::describe_device(index, probe));
    return devices;
}

/// Throws before the work where `bytes` will not fit on the device. `what` names them: "weights", "workspace".
/// Errors  device_error out_of_memory with the bytes wanted and free.
inline void require_device_memory(std::size_t bytes, std::string const& what) {
    std::size_t free = 0, total = 0;
    detail::check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    if (bytes > free) throw detail::device_memory_error("cudaMemGetInfo", what, bytes, free);
}

} // namespace zeroi2v
