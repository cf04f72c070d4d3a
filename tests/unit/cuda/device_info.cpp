#include <zeroi2v/cuda/device_info.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace zeroi2v;
using outcome = detail::device_probe::outcome;

namespace {

/// The code, the exit status and the sentence of what `call` throws.
template <class Call>
std::string refusal(Call&& call) {
    try {
        call();
    } catch (device_error const& e) {
        return std::string{e.code_name()} + " " + std::to_string(e.exit_status()) + " " + e.what();
    }
    return "nothing";
}
std::string probed(detail::device_probe const& probe, int wanted = 0) {
    return refusal([&] { detail::require_any_device(probe, wanted); });
}

} // namespace

TEST_CASE("cuda device_info: each reason why there is no device has its sentence") {
    detail::device_probe probe{.status = outcome::old_driver, .text = "words", .devices = 0, .driver_version = 0, .runtime_version = 13000, .visible = nullptr};
    CHECK(probed(probe) == "device_unavailable 8 cuda: no driver found, one for CUDA 13.0 expected (cudaGetDeviceCount: words)");
    probe.driver_version = 12080;
    CHECK(probed(probe) == "device_unavailable 8 cuda: a driver for CUDA 12.8 found, one for CUDA 13.0 expected (cudaGetDeviceCount: words)");
    probe.status = outcome::no_device;
    CHECK(probed(probe) == "device_unavailable 8 cuda: no device found (cudaGetDeviceCount: words)");
    probe.visible = "";
    CHECK(probed(probe) == "device_unavailable 8 cuda: no device found; CUDA_VISIBLE_DEVICES is \"\" (cudaGetDeviceCount: words)");
    probe.status = outcome::failed;
    CHECK(probed(probe) == "device_unavailable 8 cuda: the driver does not answer (cudaGetDeviceCount: words)");
    probe = {.status = outcome::ready, .text = {}, .devices = 2, .driver_version = 13000, .runtime_version = 13000, .visible = "1,2"};
    CHECK(probed(probe, 0) == "nothing");
    CHECK(probed(probe, 1) == "nothing");
    CHECK(probed(probe, 2) == "device_unavailable 8 cuda: device 2 asked for, 2 found; CUDA_VISIBLE_DEVICES is \"1,2\"");
    CHECK(probed(probe, -1) == "device_unavailable 8 cuda: device -1 asked for, 2 found; CUDA_VISIBLE_DEVICES is \"1,2\"");
    probe.devices = 0;
    CHECK(probed(probe) == "device_unavailable 8 cuda: no device found; CUDA_VISIBLE_DEVICES is \"1,2\"");
}

TEST_CASE("cuda device_info: architectures, memory, description, rate") {
    device_info device{.index = 1, .name = "card", .major = 7, .minor = 5, .multiprocessors = 132, .clock_khz = 1830000, .total_bytes = 2147483648U, .free_bytes = 1610612736U};
    CHECK(refusal([&] { detail::require_supported(device); }) == "unsupported_device 8 cuda: card of compute capability 7.5 found, 8.0 or newer expected");
    CHECK_FALSE(dense_half_rate(device).has_value());
    device.major = 9;
    device.minor = 0;
    CHECK(refusal([&] { detail::require_supported(device); }) == "nothing");
    CHECK(describe(device) == "card (device 1, sm_90, 1.5 of 2.0 GiB free)");
    CHECK(dense_half_rate(device).value() == doctest::Approx(989e12).epsilon(0.001)); // NVIDIA's figure for the H100 SXM
    device.clock_khz = 0;
    CHECK_FALSE(dense_half_rate(device).has_value());
    auto const error = detail::device_memory_error("cudaMalloc", "words", 100, 7);
    CHECK(refusal([&] { throw error; }) == "out_of_memory 8 cuda: cudaMalloc: words: 100 bytes wanted, 7 free");
}
