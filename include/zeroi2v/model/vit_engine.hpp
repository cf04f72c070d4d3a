// vit_engine: a video ViT ready to compute: weights packed for one dtype and instruction set, immutable, shareable.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/model/vit_workspace.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/function_ref.hpp>
#include <zeroi2v/simd/default_arch.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v {

struct engine_options {
    zeroi2v::dtype dtype = zeroi2v::dtype::f32; ///< of the packed Linear weights: f32, bf16 or i8
    std::size_t threads = 1;                    ///< of each workspace's own team
    kernel_table const* kernels = nullptr;      ///< null: those of the compiler's flags
};

namespace detail {
template <class Adapters>
struct packed_vit; // model/packed_vit.hpp
} // namespace detail

/// The forward pass of vit_weights<Adapters>, at the cost of the image model where Adapters is no_adapters.
///
/// Attention reads keys and values through the frame map's row bases, so a shifted head costs what any head costs; of the
/// last block only the class tokens' queries, projection and MLP are computed, since nothing else of it is used.
/// Patch embedding, head, norms and attention compute in float whatever the dtype of the Linears.
///
/// Threads   const calls may run at the same time, each with a workspace of its own.
/// Numerics  the same bits for every number of threads and clips.
/// Errors    another dtype than f32, bf16, i8 -> device_error unsupported_dtype; adapters without a scale -> model_error
///           bad_config; clip, workspace or result of another shape -> ZEROI2V_REQUIRE.
/// Cost      config().flops() less what the last block leaves out; forward allocates nothing. Copies share the packed weights.
/// Source    ZeroI2V, CLIP.   Test  tests/unit/model/vit_engine.cpp, tests/unit/golden/golden.cpp
template <class Adapters>
class vit_engine {
public:
    /// Packs copies of the weights.
    template <class Arch = default_arch>
    explicit vit_engine(vit_weights<Adapters> const& weights, engine_options const& options = {}) : vit_engine{packed(weights, with_kernels<Arch>(options)), options.threads} {}

    /// Packs the weights and frees each matrix as soon as it is packed.
    template <class Arch = default_arch>
    explicit vit_engine(vit_weights<Adapters>&& weights, engine_options const& options = {})
        : vit_engine{packed(std::move(weights), with_kernels<Arch>(options)), options.threads} {}

    /// Packs weights as they come: read(name, tensor) is called once for each tensor of for_each_tensor's list, block by
    /// block, and must fill it; each matrix is freed as soon as it is packed.
    /// Cost  memory: the packed weights, and one block as it is read.
    template <class Read, class Arch = default_arch>
        requires std::invocable<Read&, std::string const&, stored_tensor&>
    vit_engine(vit_config config, adapter_layout const& layout, Read&& read, engine_options const& options = {})
        : vit_engine{packed(vit_weights<Adapters>{std::move(config), layout}, with_kernels<Arch>(options), read), options.threads} {}

    [[nodiscard]] vit_config const& config() const noexcept;
    [[nodiscard]] kernel_table const& kernels() const noexcept;
    [[nodiscard]] zeroi2v::dtype dtype() const noexcept;
    [[nodiscard]] std::size_t threads() const noexcept { return threads_; }
    /// Bytes of packed weights.
    [[nodiscard]] std::size_t weight_bytes() const noexcept;

    /// A workspace for `clips` clips at once, with its own team of options.threads threads.
    [[nodiscard]] vit_workspace make_workspace(std::size_t clips = 1) const;
    /// The same with the caller's executor, which must outlive it.
    [[nodiscard]] vit_workspace make_workspace(std::size_t clips, executor& workers) const;

    /// logits (K) of one clip (T,3,S,S), already normalised.
    void forward(view<float const, 4> clip, vit_workspace& workspace, std::span<float> logits) const;

    /// logits (V,K) of clips (V,T,3,S,S), computed `workspace.clips()` at a time.
    void forward(view<float const, 5> clips, vit_workspace& workspace, view<float, 2> logits) const;

    /// features (T,C) of one clip: ln_post of the class token of every frame.
    void features(view<float const, 4> clip, vit_workspace& workspace, view<float, 2> out) const;

    /// features (V,T,C) of clips (V,T,3,S,S).
    void features(view<float const, 5> clips, vit_workspace& workspace, view<float, 3> out) const;

    /// All tokens (T,N,C) of one clip after `layers` blocks; 0: what enters the first block, after ln_pre.
    void hidden_states(view<float const, 4> clip, std::size_t layers, vit_workspace& workspace, view<float, 3> out) const;

    /// Convenience: logits (K) of one clip in a workspace made for the call.
    [[nodiscard]] dynamic_tensor<float, 1> operator()(view<float const, 4> clip) const;

private:
    using model_ptr = std::shared_ptr<detail::packed_vit<Adapters> const>;
    using read_ref = function_ref<void(std::string const&, stored_tensor&)>;

    vit_engine(model_ptr model, std::size_t threads);

    template <class Arch>
    [[nodiscard]] static engine_options with_kernels(engine_options options) noexcept {
        if (options.kernels == nullptr) options.kernels = &default_kernels<Arch>();
        return options;
    }
    [[nodiscard]] static model_ptr packed(vit_weights<Adapters> const& weights, engine_options const& options);
    [[nodiscard]] static model_ptr packed(vit_weights<Adapters>&& weights, engine_options const& options);
    [[nodiscard]] static model_ptr packed(vit_weights<Adapters>&& weights, engine_options const& options, read_ref read);

    [[nodiscard]] workspace_sizes sizes_for(std::size_t clips) const;
    void require_clip(view<float const, 4> clip) const;
    template <class Use>
    void for_each_batch(view<float const, 5> clips, vit_workspace& workspace, Use&& use) const;
    template <class Use>
    void with_forward(view<float const, 5> clips, vit_workspace& workspace, std::size_t layers, bool all_tokens, Use&& use) const;

    model_ptr model_;
    std::size_t threads_;
};

template <class Adapters>
vit_engine(vit_weights<Adapters> const&, engine_options) -> vit_engine<Adapters>;
template <class Adapters>
vit_engine(vit_weights<Adapters> const&) -> vit_engine<Adapters>;

} // namespace zeroi2v

#if ZEROI2V_DISPATCH
extern template class zeroi2v::vit_engine<zeroi2v::with_adapters>;
extern template class zeroi2v::vit_engine<zeroi2v::no_adapters>;
#else
#include <zeroi2v/model/vit_engine_impl.hpp>
#endif
