// The code of docs/cuda.md that nvcc compiles; tests/snippets/check.sh compares the two.
#include <zeroi2v/cuda/device.hpp>
#include <zeroi2v/cuda/engine_cuda.cuh>

#include <cstdio>
#include <span>

void clips_of_floats(zeroi2v::vit_weights<zeroi2v::no_adapters> const& model, zeroi2v::view<float const, 5> clips, zeroi2v::view<float, 2> logits) {
    using namespace zeroi2v;
    engine_cuda const engine{model, {.dtype = dtype::bf16}}; // vit_weights, adapted or merged; immutable, shared between threads
    auto workspace = engine.make_workspace(/*clips*/ 8);     // memory and streams of one caller
    engine.forward(clips, workspace, logits);                // (V,T,3,S,S) -> (V,K) in the host's memory, 8 clips at a time
}

void decode_the_next_video();

void decoded_frames(zeroi2v::engine_cuda<zeroi2v::no_adapters> const& engine, zeroi2v::pixel_views const& views, std::span<zeroi2v::pixel_frame const> frames,
                    std::span<std::size_t const> indices, zeroi2v::view<float, 2> logits) {
    auto workspace = engine.make_workspace(/*clips*/ 3, /*pixel_bytes*/ 8 * 1080 * 1920 * 3);
    engine.submit(views, frames, indices, workspace); // resized, cropped and normalised there; returns when the input is copied
    decode_the_next_video();
    engine.collect(workspace, logits);                // waits; two batches may be under way
}

void which_device() {
    using namespace zeroi2v;
    try {
        std::printf("%s\n", describe(require_device()).c_str()); // NVIDIA H100 80GB HBM3 (device 0, sm_90, 79.1 of 79.6 GiB free)
    } catch (device_error const& fault) {
        std::printf("%s\n", fault.what()); // cuda: no driver found, one for CUDA 13.0 expected (cudaGetDeviceCount: ...)
    }
}
