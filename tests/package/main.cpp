// What the package tests build: a small program that uses every library it was linked with.
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/stdha/frame_map.hpp>
#if CONSUMER_io
#include <zeroi2v/io/checkpoint.hpp>
#endif
#if CONSUMER_mpi
#include <zeroi2v/mpi/mpi_exchange.hpp>
#endif
#if CONSUMER_cuda
#include <zeroi2v/cuda/device.hpp>
#endif
#if CONSUMER_video
#include <zeroi2v/video/ffmpeg.hpp>
#include <zeroi2v/video/frame_sampler.hpp>
#endif
#if CONSUMER_dispatch
#include <zeroi2v/dispatch/dispatch.hpp>
#endif

#include <cstdio>

constexpr auto map = zeroi2v::frame_map<12>{{.head = 0, .offset = -1}, {.head = 1, .offset = +1}};
static_assert(map.source(0, 3, 8) == 2);

int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
    std::printf("zeroi2v %s\n", zeroi2v::version_string);
#if CONSUMER_io
    if (argc < 2) return 2;
    auto const file = zeroi2v::load_checkpoint(argv[1]);
    std::printf("%zu tensors\n", file.tensors().size());
    if (file.tensors().empty()) return 1;
#endif
#if CONSUMER_mpi
    if (argc > 99) std::printf("%zu ranks\n", zeroi2v::mpi_exchange{}.ranks()); // linked, not run
#endif
#if CONSUMER_cuda
    try {
        std::printf("%zu CUDA devices\n", zeroi2v::list_devices().size());
    } catch (zeroi2v::device_error const& fault) {
        std::printf("no CUDA device: %s\n", fault.what());
    }
#endif
#if CONSUMER_dispatch
    std::printf("%zu instruction sets\n", zeroi2v::built_isas().size());
    if (!zeroi2v::supported(zeroi2v::best_kernels().level)) return 1;
#endif
    return 0;
}
