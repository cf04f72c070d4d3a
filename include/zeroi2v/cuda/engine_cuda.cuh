// engine_cuda: a video ViT ready to compute on a CUDA device: weights there once, immutable, shared by several workspaces.
#pragma once

#include <zeroi2v/cuda/basic_engine.hpp>
#include <zeroi2v/cuda/cuda_machine.cuh>
#include <zeroi2v/cuda/cuda_options.hpp>
#include <zeroi2v/cuda/pixel_views.hpp>
#include <zeroi2v/model/vit_weights.hpp>

namespace zeroi2v {

/// Memory and streams of one concurrent caller: see basic_workspace. Made by engine_cuda::make_workspace, and used with that engine.
using cuda_workspace = detail::basic_workspace<detail::cuda_machine>;

/// The forward pass of vit_weights<Adapters> on a CUDA device, at the cost of the image model where Adapters is no_adapters.
///
/// Attention reads keys and values where the frame map says, so a shifted head costs what any head costs. Products are cuBLASLt's, with
/// the bias in their epilogue; attention, QuickGELU, residual + layer norm, patches, embedding and head are kernels of cuda/kernels/. From
/// the third batch of a size on, a forward is one replayed graph behind the kernel that cuts the patches.
///
///     engine_cuda const engine{model, {.dtype = dtype::bf16}};
///     auto workspace = engine.make_workspace(8);          // for 8 clips at once
///     engine.forward(clips, workspace, logits);           // (V,T,3,S,S) -> (V,K), 8 clips at a time
///
/// Two halves of forward, so that the caller decodes while the device computes: submit returns as soon as the input is copied to pinned
/// memory, collect waits for the oldest batch; two may be in flight. Both also take decoded 8-bit frames, which are resized, cropped and
/// normalised on the device (pixel_views.hpp) to the bits that video/ makes; such a workspace has room for them: make_workspace(clips,
/// pixel_bytes), where pixel_bytes is the bytes of as many decoded frames as shall travel together, at least one.
///
/// Device    device() tells which one, device_name() its name. Calls make it current for the calling thread.
/// Threads   const calls may run at the same time, each with a workspace of its own.
/// Numerics  Linears, conv1 and attention in the engine's dtype with fp32 accumulation, biases rounded to it; residual stream, norms,
///           softmax, mean and head fp32. The same bits in every run on the same device. dtype f32: without TF32 unless options.tf32.
/// Errors    another dtype than f32, bf16, f16 -> device_error unsupported_dtype; head_dim over 128, width over 4096, more than 1024 heads
///           -> unsupported_device; no device, too old a driver or device -> as require_device; no memory -> out_of_memory with the
///           bytes; any other CUDA or cuBLASLt error -> device_failed with the call: the workspace is then of no more use.
///           Adapters without a scale -> model_error bad_config; shapes -> ZEROI2V_REQUIRE. Nothing is retried on the CPU.
/// Cost      config().flops() less what the last block leaves out; memory once per engine and once per workspace.
/// Source    ZeroI2V, CLIP.
/// Test      tests/unit/cuda/engine.cpp, on emulated thread blocks; tests/cuda/device.cu, needs a device: NOT YET RUN ON ONE
template <class Adapters>
class engine_cuda : public detail::basic_engine<Adapters, detail::cuda_machine> {
public:
    using detail::basic_engine<Adapters, detail::cuda_machine>::basic_engine;
};

template <class Adapters>
engine_cuda(vit_weights<Adapters> const&, cuda_options) -> engine_cuda<Adapters>;
template <class Adapters>
engine_cuda(vit_weights<Adapters> const&) -> engine_cuda<Adapters>;

} // namespace zeroi2v
