// device_info: what is known of a CUDA device, and the sentences that say why there is none to use. Needs no CUDA.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

namespace zeroi2v {

/// One CUDA device, as it was when it was asked.
struct device_info {
    int index{};                  ///< among those that CUDA_VISIBLE_DEVICES shows
    std::string name;             ///< "NVIDIA H100 80GB HBM3"
    int major{}, minor{};         ///< compute capability
    int multiprocessors{};
    int clock_khz{};              ///< highest clock of the multiprocessors; 0: not told
    std::size_t total_bytes{}, free_bytes{};
    int driver_version{}, runtime_version{}; ///< as CUDA counts: 13000 is 13.0

    /// Whether the kernels have code for it: mma of bf16 and asynchronous copies came with 8.0.
    [[nodiscard]] bool supported() const noexcept { return major >= 8; }
};

/// "NVIDIA H100 80GB HBM3 (device 0, sm_90, 79.1 of 79.6 GiB free)".
[[nodiscard]] inline std::string describe(device_info const& device) {
    auto const gib = [](std::size_t bytes) {
        char text[32];
        std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) / 0x1p30);
        return std::string{text};
    };
    return device.name + " (device " + std::to_string(device.index) + ", sm_" + std::to_string(device.major) + std::to_string(device.minor) + ", "
           + gib(device.free_bytes) + " of " + gib(device.total_bytes) + " GiB free)";
}

/// Floating point operations per second of dense bf16 or f16 products with fp32 accumulation at the highest clock; nothing
/// for a card that is not in the table.
///
///   rate = multiprocessors * clock * operations per multiprocessor and cycle
///
/// Source  operations per cycle: NVIDIA's architecture papers (A100 2048, GA10x 1024, AD10x 1024, H100 4096, B200 8192).
///         Not checked on a device.
[[nodiscard]] inline std::optional<double> dense_half_rate(device_info const& device) noexcept {
    double each = 0;
    switch (device.major * 10 + device.minor) {
    case 80: each = 2048; break;
    case 86: case 89: each = 1024; break;
    case 90: each = 4096; break;
    case 100: each = 8192; break;
    default: return std::nullopt;
    }
    if (device.clock_khz <= 0) return std::nullopt;
    return each * static_cast<double>(device.multiprocessors) * static_cast<double>(device.clock_khz) * 1e3;
}

namespace detail {

/// "13.0" of 13000; "none" of 0.
[[nodiscard]] inline std::string cuda_version_text(int version) {
    return version == 0 ? "none" : std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// What the first question to CUDA was answered.
struct device_probe {
    enum class outcome { ready, old_driver, no_device, failed };

    outcome status = outcome::ready;
    std::string text;                ///< CUDA's words for the answer
    int devices = 0;
    int driver_version = 0, runtime_version = 0;
    char const* visible = nullptr;   ///< CUDA_VISIBLE_DEVICES, or null where it is not set
};

/// Throws where the probe found no device, or not the one asked for.
inline void require_any_device(device_probe const& probe, int wanted) {
    auto const refuse = [&](std::string const& what) -> void {
        throw device_error{error_code::device_unavailable, "cuda: " + what + (probe.text.empty() ? "" : " (cudaGetDeviceCount: " + probe.text + ")")};
    };
    std::string const runtime = cuda_version_text(probe.runtime_version);
    std::string const visible = probe.visible != nullptr ? std::string{"; CUDA_VISIBLE_DEVICES is \""} + probe.visible + "\"" : std::string{};
    using outcome = device_probe::outcome;
    if (probe.status == outcome::old_driver && probe.driver_version == 0) refuse("no driver found, one for CUDA " + runtime + " expected");
    if (probe.status == outcome::old_driver)
        refuse("a driver for CUDA " + cuda_version_text(probe.driver_version) + " found, one for CUDA " + runtime + " expected");
    if (probe.status == outcome::no_device || (probe.status == outcome::ready && probe.devices == 0)) refuse("no device found" + visible);
    if (probe.status == outcome::failed) refuse("the driver does not answer");
    if (wanted < 0 || wanted >= probe.devices)
        refuse("device " + std::to_string(wanted) + " asked for, " + std::to_string(probe.devices) + " found" + visible);
}

/// Throws where the kernels have no code for the device.
inline void require_supported(device_info const& device) {
    if (!device.supported())
        throw device_error{error_code::unsupported_device, "cuda: " + device.name + " of compute capability " + std::to_string(device.major) + "."
                                                               + std::to_string(device.minor) + " found, 8.0 or newer expected"};
}

/// The error of memory that `call` did not get; `free` is what the device said to have left.
[[nodiscard]] inline device_error device_memory_error(std::string const& call, std::string const& text, std::size_t bytes, std::size_t free) {
    return device_error{error_code::out_of_memory, "cuda: " + call + ": " + text + ": " + std::to_string(bytes) + " bytes wanted, " + std::to_string(free) + " free"};
}

} // namespace detail

} // namespace zeroi2v
