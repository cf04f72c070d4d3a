// The entry point of the tests that need a CUDA device. Where there is none they end with 77, which ctest counts as
// skipped, and say how many cases that are and why.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/device.hpp>

#include <cstdio>

int main(int argc, char** argv) {
    try {
        std::printf("on %s\n", describe(zeroi2v::require_device()).c_str());
    } catch (zeroi2v::device_error const& fault) {
        std::printf("skipped for want of a device: %s\n", fault.what());
        std::fflush(stdout);
        char const* const counting[]{argv[0], "--count"};
        doctest::Context{2, counting}.run();
        return 77;
    }
    return doctest::Context{argc, argv}.run();
}
