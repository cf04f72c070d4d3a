// The definitions of vit_engine.hpp.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/packed_vit.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/model/vit_forward.hpp>
#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v {

template <class Adapters>
vit_engine<Adapters>::vit_engine(model_ptr model, std::size_t threads) : model_{std::move(model)}, threads_{std::max<std::size_t>(threads, 1)} {}

template <class Adapters>
auto vit_engine<Adapters>::packed(vit_weights<Adapters> const& weights, engine_options const& options) -> model_ptr {
    return std::make_shared<detail::packed_vit<Adapters> const>(weights, options.dtype, *options.kernels, [](stored_tensor const&) {}, [](std::size_t) {});
}

template <class Adapters>
auto vit_engine<Adapters>::packed(vit_weights<Adapters>&& weights, engine_options const& options) -> model_ptr {
    return packed(std::move(weights), options, [](std::string const&, stored_tensor&) {});
}

template <class Adapters>
auto vit_engine<Adapters>::packed(vit_weights<Adapters>&& weights, engine_options const& options, read_ref read) -> model_ptr {
    vit_weights<Adapters> own{std::move(weights)};
    auto const fill = [&](std::size_t part) {
        for_each_tensor_of_part(own, part, [&](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { read(name, tensor); });
    };
    return std::make_shared<detail::packed_vit<Adapters> const>(own, options.dtype, *options.kernels, [](stored_tensor& tensor) { tensor = stored_tensor{}; }, fill);
}

template <class Adapters>
vit_config const& vit_engine<Adapters>::config() const noexcept { return model_->config; }
template <class Adapters>
kernel_table const& vit_engine<Adapters>::kernels() const noexcept { return *model_->kernels; }
template <class Adapters>
dtype vit_engine<Adapters>::dtype() const noexcept { return model_->type; }
template <class Adapters>
std::size_t vit_engine<Adapters>::weight_bytes() const noexcept { return model_->bytes(); }

template <class Adapters>
vit_workspace vit_engine<Adapters>::make_workspace(std::size_t clips) const { return {sizes_for(clips), threads_}; }
template <class Adapters>
vit_workspace vit_engine<Adapters>::make_workspace(std::size_t clips, executor& workers) const { return {sizes_for(clips), workers}; }

namespace detail {

[[nodiscard]] inline view<float const, 5> as_batch(view<float const, 4> clip) noexcept {
    return view<float const, 5>{clip.data(), 1, clip.extent(0), clip.extent(1), clip.extent(2), clip.extent(3)};
}

[[nodiscard]] inline std::size_t checked_size(std::size_t a, std::size_t b) {
    auto const product = checked_mul(a, b);
    if (!product) throw model_error{error_code::bad_config, "workspace: the number of clips is too large"};
    return *product;
}

} // namespace detail

template <class Adapters>
void vit_engine<Adapters>::require_clip(view<float const, 4> clip) const {
    ZEROI2V_REQUIRE(clip.extent(0) == config().frames() && clip.extent(1) == 3 && clip.extent(2) == config().image_size()
                        && clip.extent(3) == config().image_size(),
                    "zeroi2v::vit_engine: clip must be (T,3,S,S)");
}

template <class Adapters>
workspace_sizes vit_engine<Adapters>::sizes_for(std::size_t clips) const {
    ZEROI2V_REQUIRE(clips > 0, "zeroi2v::vit_engine::make_workspace: at least one clip");
    using detail::checked_size;
    vit_config const& c = config();
    std::size_t const frames = checked_size(clips, c.frames());
    std::size_t const rows = checked_size(frames, c.tokens());
    workspace_sizes sizes{.clips = clips,
                          .tokens = checked_size(rows, c.width()),
                          .wide = std::max(checked_size(rows, 3 * c.width()), checked_size(frames, c.patches() * c.patch_values())),
                          .features = checked_size(frames, c.width()),
                          .rows = std::min(rows, kernels().matmul(dtype())->row_block),
                          .narrow = c.width(),
                          .hidden = c.mlp_width(),
                          .attention = kernels().attention_scratch(c.tokens(), c.head_dim())};
    for (auto const& block : model_->blocks) {
        sizes.rank = std::max(sizes.rank, block.rank());
        if (block.adapts_parts()) sizes.adapted = c.width();
        block.for_each_matrix([&](packed_matrix const& matrix) { sizes.matmul_bytes = std::max(sizes.matmul_bytes, matmul_scratch_bytes(matrix, sizes.rows)); });
    }
    return sizes;
}

/// use(the forward of these clips, after `layers` blocks).
template <class Adapters>
template <class Use>
void vit_engine<Adapters>::with_forward(view<float const, 5> clips, vit_workspace& workspace, std::size_t layers, bool all_tokens, Use&& use) const {
    require_clip(view<float const, 4>{clips.data(), clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)});
    ZEROI2V_REQUIRE(clips.extent(0) <= workspace.clips() && workspace.sizes() == sizes_for(workspace.clips()),
                    "zeroi2v::vit_engine: the workspace was made for another model or fewer clips");
    detail::vit_forward<Adapters> pass{*model_, workspace, clips.extent(0)};
    pass.run(clips, layers, all_tokens);
    use(pass);
}

/// use(first, the forward of the clips from there on) until all clips are computed.
template <class Adapters>
template <class Use>
void vit_engine<Adapters>::for_each_batch(view<float const, 5> clips, vit_workspace& workspace, Use&& use) const {
    std::size_t const count = clips.extent(0);
    for (std::size_t first = 0; first < count; first += workspace.clips()) {
        std::size_t const batch = std::min(workspace.clips(), count - first);
        view<float const, 5> const part{clips.data() + first * config().clip_values(), batch, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
        with_forward(part, workspace, config().layers(), false, [&](detail::vit_forward<Adapters>& pass) {
            pass.features();
            use(first, batch, pass);
        });
    }
}

template <class Adapters>
void vit_engine<Adapters>::forward(view<float const, 4> clip, vit_workspace& workspace, std::span<float> logits) const {
    require_clip(clip);
    ZEROI2V_REQUIRE(logits.size() == config().classes(), "zeroi2v::vit_engine::forward: logits must be (K)");
    forward(detail::as_batch(clip), workspace, view<float, 2>{logits.data(), 1, logits.size()});
}

template <class Adapters>
void vit_engine<Adapters>::forward(view<float const, 5> clips, vit_workspace& workspace, view<float, 2> logits) const {
    ZEROI2V_REQUIRE(logits.extent(0) == clips.extent(0) && logits.extent(1) == config().classes(), "zeroi2v::vit_engine::forward: logits must be (V,K)");
    for_each_batch(clips, workspace, [&](std::size_t first, std::size_t, detail::vit_forward<Adapters>& pass) {
        pass.head(logits.data() + first * config().classes());
    });
}

template <class Adapters>
void vit_engine<Adapters>::features(view<float const, 4> clip, vit_workspace& workspace, view<float, 2> out) const {
    require_clip(clip);
    features(detail::as_batch(clip), workspace, view<float, 3>{out.data(), 1, out.extent(0), out.extent(1)});
}

template <class Adapters>
void vit_engine<Adapters>::features(view<float const, 5> clips, vit_workspace& workspace, view<float, 3> out) const {
    std::size_t const each = config().frames() * config().width();
    ZEROI2V_REQUIRE(out.extent(0) == clips.extent(0) && out.extent(1) == config().frames() && out.extent(2) == config().width(),
                    "zeroi2v::vit_engine::features: out must be (V,T,C)");
    for_each_batch(clips, workspace, [&](std::size_t first, std::size_t batch, detail::vit_forward<Adapters>&) {
        std::copy_n(workspace.features(), batch * each, out.data() + first * each);
    });
}

template <class Adapters>
void vit_engine<Adapters>::hidden_states(view<float const, 4> clip, std::size_t layers, vit_workspace& workspace, view<float, 3> out) const {
    require_clip(clip);
    ZEROI2V_REQUIRE(layers <= config().layers(), "zeroi2v::vit_engine::hidden_states: no such layer");
    ZEROI2V_REQUIRE(out.extent(0) == config().frames() && out.extent(1) == config().tokens() && out.extent(2) == config().width(),
                    "zeroi2v::vit_engine::hidden_states: out must be (T,N,C)");
    with_forward(detail::as_batch(clip), workspace, layers, true, [&](detail::vit_forward<Adapters>&) { std::copy_n(workspace.tokens(), out.size(), out.data()); });
}

template <class Adapters>
dynamic_tensor<float, 1> vit_engine<Adapters>::operator()(view<float const, 4> clip) const {
    dynamic_tensor<float, 1> logits{config().classes()};
    vit_workspace workspace = make_workspace();
    forward(clip, workspace, {logits.data(), logits.size()});
    return logits;
}

} // namespace zeroi2v
