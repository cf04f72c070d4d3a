// basic_engine: a video ViT on a device, for any machine that has memory, a queue of launches, and products.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/basic_workspace.hpp>
#include <zeroi2v/cuda/cuda_options.hpp>
#include <zeroi2v/cuda/device_weights.hpp>
#include <zeroi2v/cuda/forward_pass.hpp>
#include <zeroi2v/cuda/frame_offsets.hpp>
#include <zeroi2v/cuda/kernel_choice.hpp>
#include <zeroi2v/cuda/pixel_views.hpp>
#include <zeroi2v/cuda/workspace_layout.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/bilinear_taps.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v::detail {

/// The engine behind engine_cuda, which documents it. What computes is Machine's: a CUDA device, or, in tests, emulated thread blocks.
template <class Adapters, class Machine>
class basic_engine {
public:
    using workspace = basic_workspace<Machine>;

    explicit basic_engine(vit_weights<Adapters> const& weights, cuda_options options = {})
        : basic_engine{weights, weights.config, options, [](std::size_t) {}, [](stored_tensor const&) {}} {}

    template <class Read>
        requires std::invocable<Read&, std::string const&, stored_tensor&>
    basic_engine(vit_config config, adapter_layout const& layout, Read&& read, cuda_options options = {})
        : basic_engine{vit_weights<Adapters>{std::move(config), layout}, read, options} {}

    [[nodiscard]] vit_config const& config() const noexcept { return config_; }
    [[nodiscard]] zeroi2v::dtype dtype() const noexcept { return options_.dtype; }
    [[nodiscard]] auto const& device() const noexcept { return machine_.info(); }
    [[nodiscard]] std::string device_name() const { return machine_.info().name; }
    /// Bytes of weights on the device.
    [[nodiscard]] std::size_t weight_bytes() const noexcept { return weights_.bytes; }

    [[nodiscard]] workspace make_workspace(std::size_t clips = 1, std::size_t pixel_bytes = 0) const {
        ZEROI2V_REQUIRE(clips > 0, "zeroi2v::engine_cuda::make_workspace: at least one clip");
        machine_.activate();
        return {machine_, workspace_layout{config_, options_.dtype, clips, rank_, separate_, machine_.scratch_bytes(), pixel_bytes}, memory_.data()};
    }

    void forward(view<float const, 4> clip, workspace& w, std::span<float> logits) const {
        ZEROI2V_REQUIRE(logits.size() == config_.classes(), "zeroi2v::engine_cuda::forward: logits must be (K)");
        forward(as_batch(clip), w, view<float, 2>{logits.data(), 1, logits.size()});
    }

    void forward(view<float const, 5> clips, workspace& w, view<float, 2> logits) const {
        ZEROI2V_REQUIRE(logits.extent(0) == clips.extent(0) && logits.extent(1) == config_.classes(), "zeroi2v::engine_cuda::forward: logits must be (V,K)");
        in_batches(clips.extent(0), w, logits.data(), result::logits,
                   [&](std::size_t first, std::size_t count) { submit(part_of(clips, first, count), w, result::logits); });
    }

    void forward(pixel_views const& views, std::span<pixel_frame const> frames, std::span<std::size_t const> indices, workspace& w, view<float, 2> logits) const {
        std::size_t const count = views_of(views, indices);
        ZEROI2V_REQUIRE(logits.extent(0) == count && logits.extent(1) == config_.classes(), "zeroi2v::engine_cuda::forward: logits must be (crops*clips,K)");
        in_batches(count, w, logits.data(), result::logits, [&](std::size_t first, std::size_t batch) { submit(views, frames, indices, first, batch, w); });
    }

    void features(view<float const, 4> clip, workspace& w, view<float, 2> out) const {
        features(as_batch(clip), w, view<float, 3>{out.data(), 1, out.extent(0), out.extent(1)});
    }

    void features(view<float const, 5> clips, workspace& w, view<float, 3> out) const {
        ZEROI2V_REQUIRE(out.extent(0) == clips.extent(0) && out.extent(1) == config_.frames() && out.extent(2) == config_.width(),
                        "zeroi2v::engine_cuda::features: out must be (V,T,C)");
        in_batches(clips.extent(0), w, out.data(), result::features,
                   [&](std::size_t first, std::size_t count) { submit(part_of(clips, first, count), w, result::features); });
    }

    [[nodiscard]] dynamic_tensor<float, 1> operator()(view<float const, 4> clip) const {
        dynamic_tensor<float, 1> logits{config_.classes()};
        workspace w = make_workspace();
        forward(clip, w, {logits.data(), logits.size()});
        return logits;
    }

    void submit(view<float const, 5> clips, workspace& w) const { submit(clips, w, result::logits); }

    void submit(pixel_views const& views, std::span<pixel_frame const> frames, std::span<std::size_t const> indices, workspace& w) const {
        submit(views, frames, indices, 0, views_of(views, indices), w);
    }

    void collect(workspace& w, view<float, 2> logits) const {
        ZEROI2V_REQUIRE(w.in_flight() > 0, "zeroi2v::engine_cuda::collect: nothing was submitted");
        ZEROI2V_REQUIRE(logits.extent(0) == w.batch_[w.collected_ % workspace_layout::slots] && logits.extent(1) == config_.classes(),
                        "zeroi2v::engine_cuda::collect: logits must be (V,K) of the oldest batch");
        collect(w, logits.data(), result::logits);
    }

private:
    enum class result { logits, features };

    template <class Read>
    basic_engine(vit_weights<Adapters> weights, Read& read, cuda_options options)
        : basic_engine{weights, weights.config, options,
                       [&](std::size_t part) {
                           for_each_tensor_of_part(weights, part, [&read](std::string const& name, stored_tensor& tensor, shape const&, parameter_role) { read(name, tensor); });
                       },
                       [](stored_tensor& tensor) { tensor = stored_tensor{}; }} {}

    /// fill(i) is called before block i is read, fill(number of blocks) before all that stands around them; release(tensor) once it is on
    /// the device.
    template <vit_weights_type Weights, class Fill, class Release>
    basic_engine(Weights& weights, vit_config const& config, cuda_options options, Fill fill, Release release)
        : config_{config}, options_{checked(options, config)}, machine_{options.device, options.tf32}, map_{config.map()},
          rank_{Adapters::present ? weights.layout.rank : 0},
          separate_{Adapters::present && adapts_parts(weights.layout)},
          memory_{machine_.allocate(device_weights<Adapters>{config, weights.layout, options.dtype, nullptr}.bytes, "weights")},
          weights_{config, weights.layout, options.dtype, memory_.data()} {
        std::size_t const c = config_.width();
        auto const put = [&](auto& tensor, void* to, zeroi2v::dtype type, std::size_t columns, std::size_t padded, double scale = 1) {
            machine_.upload(to, device_bytes(tensor, type, columns, padded, scale));
            release(tensor);
        };
        auto const floats = [&](auto& tensor, float* to, std::size_t count) {
            ZEROI2V_REQUIRE(tensor.count() == count, "zeroi2v::engine_cuda: a weight must have the size that the configuration says");
            put(tensor, to, zeroi2v::dtype::f32, count, count);
        };
        auto const matrix = [&](auto& tensor, std::byte* to, std::size_t outputs, std::size_t inputs, std::size_t padded, double scale = 1) {
            ZEROI2V_REQUIRE(tensor.count() == outputs * inputs, "zeroi2v::engine_cuda: a weight must have the size that the configuration says");
            put(tensor, to, options_.dtype, inputs, padded, scale);
        };
        auto const norm = [&](auto& layer, device_norm const& to) {
            floats(layer.weight, to.weight, c);
            floats(layer.bias, to.bias, c);
        };
        auto const linear = [&](auto& layer, device_linear const& to, double scale = 1) {
            matrix(layer.weight, to.weight, to.outputs, to.inputs, to.inputs, scale);
            matrix(layer.bias, to.bias, 1, to.outputs, to.outputs, scale);
        };
        fill(weights.blocks.size());
        floats(weights.class_embedding, weights_.class_embedding, c);
        floats(weights.positional_embedding, weights_.positional, config_.tokens() * c);
        floats(weights.temporal_embedding, weights_.temporal, config_.frames() * c);
        matrix(weights.conv1.weight, weights_.conv1.weight, c, config_.patch_values(), weights_.conv1.inputs);
        norm(weights.ln_pre, weights_.ln_pre);
        norm(weights.ln_post, weights_.ln_post);
        floats(weights.fc_cls.weight, weights_.head_weight, config_.classes() * c);
        floats(weights.fc_cls.bias, weights_.head_bias, config_.classes());
        for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
            fill(i);
            auto& from = weights.blocks[i];
            auto const& to = weights_.blocks[i];
            norm(from.ln_1, to.ln_1);
            norm(from.ln_2, to.ln_2);
            linear(from.in_proj, to.in_proj);
            linear(from.out_proj, to.out_proj);
            linear(from.c_fc, to.c_fc);
            linear(from.c_proj, to.c_proj);
            if constexpr (Adapters::present)
                for (adapter_site_info const& each : adapter_sites) {
                    auto& source = weights.adapters.blocks[i][each.site];
                    if (!source) continue;
                    auto const& target = *to.adapters[each.site];
                    linear(source->D_fc1, target.down);
                    linear(source->D_fc2, target.up, *config_.adapter_scale());
                }
        }
    }

    /// Refuses before the device is asked for anything what its kernels have no instance for.
    [[nodiscard]] static cuda_options checked(cuda_options options, vit_config const& config) {
        with_device_element(options.dtype, [&]<class E>(E) { with_attention_dim<E>(config.head_dim(), [](auto) {}); });
        with_row_shape(config.width(), [](auto, auto) {});
        vit_form form = config.form();
        form.act = activation::quick_gelu;
        form.norm_epsilon = vit_form{}.norm_epsilon;
        if (form != vit_form{})
            throw device_error{error_code::unsupported_device, "cuda: the form of this transformer has no kernels on a device, which take CLIP's with any activation and epsilon; use the CPU"};
        if constexpr (Adapters::present)
            if (!config.adapter_scale()) throw model_error{error_code::bad_config, "adapter_scale: not stated, needed while adapters are present"};
        return options;
    }

    [[nodiscard]] static view<float const, 5> as_batch(view<float const, 4> clip) noexcept {
        return view<float const, 5>{clip.data(), 1, clip.extent(0), clip.extent(1), clip.extent(2), clip.extent(3)};
    }
    [[nodiscard]] static view<float const, 5> part_of(view<float const, 5> clips, std::size_t first, std::size_t count) noexcept {
        std::size_t const each = clips.extent(1) * clips.extent(2) * clips.extent(3) * clips.extent(4);
        return view<float const, 5>{clips.data() + first * each, count, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
    }

    [[nodiscard]] std::size_t views_of(pixel_views const& views, std::span<std::size_t const> indices) const {
        ZEROI2V_REQUIRE(!indices.empty() && indices.size() % config_.frames() == 0, "zeroi2v::engine_cuda: indices must be (clips,T)");
        ZEROI2V_REQUIRE(!views.windows.empty() && views.windows.size() <= workspace_layout::max_windows, "zeroi2v::engine_cuda: 1 to 8 windows");
        return indices.size() / config_.frames() * views.windows.size();
    }

    /// work(first, count) for `total` views, the next submitted while the one before is computed.
    template <class Work>
    void in_batches(std::size_t total, workspace& w, float* out, result what, Work&& work) const {
        ZEROI2V_REQUIRE(w.in_flight() == 0, "zeroi2v::engine_cuda: batches that were submitted must be collected first");
        std::size_t const each = what == result::logits ? config_.classes() : config_.frames() * config_.width();
        std::size_t done = 0;
        auto const take = [&] {
            std::size_t const count = w.batch_[w.collected_ % workspace_layout::slots];
            collect(w, out + done * each, what);
            done += count;
        };
        try {
            for (std::size_t first = 0; first < total; first += w.clips()) {
                if (w.in_flight() == workspace_layout::slots) take();
                work(first, std::min(w.clips(), total - first));
            }
            while (w.in_flight() > 0) take();
        } catch (...) {
            w.collected_ = w.submitted_; // nothing of a failed call is left to collect
            throw;
        }
    }

    void begin(workspace& w, std::size_t count) const {
        ZEROI2V_REQUIRE(w.engine_ == memory_.data(), "zeroi2v::engine_cuda: the workspace was made by another engine");
        ZEROI2V_REQUIRE(count > 0 && count <= w.clips(), "zeroi2v::engine_cuda: the workspace was made for fewer clips");
        ZEROI2V_REQUIRE(w.in_flight() < workspace_layout::slots, "zeroi2v::engine_cuda: two batches are in flight; collect one first");
        machine_.activate();
    }

    template <class Use>
    void with_pass(workspace& w, Use&& use) const {
        with_device_element(options_.dtype, [&]<class E>(E) {
            forward_pass<E, Adapters, typename Machine::queue> pass{config_, weights_, map_, w.layout_, w.memory_.data(), w.queue_};
            use(pass);
        });
    }

    /// fill(pinned memory, its twin on the device) puts data there and says how many bytes; then they are copied, and use(pass, twin) works
    /// with them.
    template <class Fill, class Use>
    void upload(workspace& w, Fill&& fill, Use&& use) const {
        std::size_t const slot = w.uploads_++ % workspace_layout::slots;
        w.queue_.await_upload(slot); // until the work that read this slot is done
        std::byte* const twin = w.memory_.data() + w.layout_.upload[slot].offset;
        std::size_t const bytes = fill(w.pinned_upload(slot));
        w.queue_.copy_in(twin, w.pinned_upload(slot), bytes, slot);
        with_pass(w, [&](auto& pass) { use(pass, twin); });
        w.queue_.uploaded(slot);
    }

    /// The forward of `count` views whose patches are gathered, and the way of its results to the host.
    void compute(workspace& w, std::size_t count, result what) const {
        with_pass(w, [&](auto& pass) { w.queue_.replay(count, [&] { pass.run(count); }); });
        std::size_t const slot = w.submitted_ % workspace_layout::slots;
        device_region const& from = what == result::logits ? w.layout_.logits : w.layout_.features;
        w.queue_.copy_out(w.pinned_result(slot), w.memory_.data() + from.offset, from.bytes / w.clips() * count, slot);
        w.batch_[slot] = count;
        ++w.submitted_;
    }

    void collect(workspace& w, float* out, result what) const {
        machine_.activate();
        std::size_t const slot = w.collected_ % workspace_layout::slots;
        w.queue_.await_result(slot);
        std::size_t const each = what == result::logits ? config_.classes() : config_.frames() * config_.width();
        std::copy_n(w.pinned_result(slot), w.batch_[slot] * each, out);
        ++w.collected_;
    }

    void submit(view<float const, 5> clips, workspace& w, result what) const {
        ZEROI2V_REQUIRE(clips.extent(1) == config_.frames() && clips.extent(2) == 3 && clips.extent(3) == config_.image_size()
                            && clips.extent(4) == config_.image_size(),
                        "zeroi2v::engine_cuda: clip must be (T,3,S,S)");
        begin(w, clips.extent(0));
        std::size_t const frame = 3 * config_.image_size() * config_.image_size(), frames = clips.extent(0) * config_.frames();
        std::size_t const each = std::max<std::size_t>(w.layout_.upload_data / (frame * sizeof(float)), 1);
        for (std::size_t first = 0; first < frames; first += each) {
            std::size_t const count = std::min(each, frames - first);
            upload(w,
                   [&](std::byte* pinned) {
                       std::memcpy(pinned, clips.data() + first * frame, count * frame * sizeof(float));
                       return count * frame * sizeof(float);
                   },
                   [&](auto& pass, std::byte* twin) { pass.gather(reinterpret_cast<float const*>(twin), count, first); });
        }
        compute(w, clips.extent(0), what);
    }

    void submit(pixel_views const& views, std::span<pixel_frame const> frames, std::span<std::size_t const> indices, std::size_t first, std::size_t count,
                workspace& w) const {
        begin(w, count);
        std::size_t const side = config_.image_size(), clips = indices.size() / config_.frames(), row = views.width * 3, picture = views.height * row;
        ZEROI2V_REQUIRE(picture > 0 && w.layout_.upload_head != 0 && picture <= w.layout_.upload_data,
                        "zeroi2v::engine_cuda: the workspace was made with pixel_bytes for smaller frames");
        for (pixel_window const& window : views.windows)
            ZEROI2V_REQUIRE(side <= views.resized_height && window.top <= views.resized_height - side && side <= views.resized_width
                                && window.left <= views.resized_width - side,
                            "zeroi2v::engine_cuda: the window must lie in the resized picture");
        std::vector<pixel_job> jobs; // by frame, so that each travels once
        for (std::size_t v = 0; v < count; ++v)
            for (std::size_t t = 0; t < config_.frames(); ++t) {
                std::size_t const at = indices[(first + v) % clips * config_.frames() + t];
                ZEROI2V_REQUIRE(at < frames.size(), "zeroi2v::engine_cuda: an index must name one of the frames");
                jobs.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>((first + v) / clips), static_cast<std::uint32_t>(v * config_.frames() + t)});
            }
        std::stable_sort(jobs.begin(), jobs.end(), [](pixel_job const& a, pixel_job const& b) { return a.frame < b.frame; });
        std::vector<std::byte> const tables = pixel_tables(views);
        std::size_t const capacity = w.layout_.upload_data / picture, jobs_bytes = device_aligned(w.clips() * config_.frames() * sizeof(pixel_job));
        for (std::size_t next = 0; next < jobs.size();) {
            std::size_t const begun = next;
            upload(w,
                   [&](std::byte* pinned) {
                       std::memcpy(pinned + jobs_bytes, tables.data(), tables.size());
                       std::size_t sent = 0;
                       std::uint32_t newest = 0;
                       std::byte* to = pinned + w.layout_.upload_head;
                       for (; next < jobs.size(); ++next) {
                           pixel_job job = jobs[next];
                           if (sent == 0 || job.frame != newest) {
                               if (sent == capacity) break;
                               newest = job.frame;
                               for (std::size_t y = 0; y < views.height; ++y) std::memcpy(to + y * row, frames[newest].data + y * frames[newest].row_bytes, row);
                               to += picture;
                               ++sent;
                           }
                           job.frame = static_cast<std::uint32_t>(sent - 1);
                           std::memcpy(pinned + (next - begun) * sizeof(pixel_job), &job, sizeof job);
                       }
                       return static_cast<std::size_t>(to - pinned);
                   },
                   [&]<class Pass>(Pass& pass, std::byte* twin) {
                       auto const* const columns = reinterpret_cast<bilinear_tap const*>(twin + jobs_bytes);
                       auto const* const lines = columns + workspace_layout::max_windows * side;
                       pass.gather({.frames = reinterpret_cast<std::uint8_t const*>(twin + w.layout_.upload_head),
                                    .jobs = reinterpret_cast<pixel_job const*>(twin), .columns = columns, .lines = lines,
                                    .table = reinterpret_cast<float const*>(lines + workspace_layout::max_windows * side), .rows = nullptr, .count = next - begun,
                                    .width = static_cast<int>(views.width), .height = static_cast<int>(views.height), .row_elements = 0, .grid = {}});
                   });
        }
        compute(w, count, result::logits);
    }

    using pixel_job = cuda_kernels::pixel_job;

    /// Taps along columns and lines of every window (max_windows,S each) and the normaliser's table (3,256).
    [[nodiscard]] std::vector<std::byte> pixel_tables(pixel_views const& views) const {
        std::size_t const side = config_.image_size(), taps = workspace_layout::max_windows * side * sizeof(bilinear_tap);
        std::vector<std::byte> tables(2 * taps + 3 * 256 * sizeof(float));
        for (std::size_t i = 0; i < views.windows.size(); ++i) {
            auto const columns = bilinear_taps(views.width, views.resized_width, views.windows[i].left, side, true);
            auto const lines = bilinear_taps(views.height, views.resized_height, views.windows[i].top, side, false);
            std::memcpy(tables.data() + i * side * sizeof(bilinear_tap), columns.data(), side * sizeof(bilinear_tap));
            std::memcpy(tables.data() + taps + i * side * sizeof(bilinear_tap), lines.data(), side * sizeof(bilinear_tap));
        }
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t value = 0; value < 256; ++value) {
                float const normal = (static_cast<float>(value) - views.mean[c]) / views.deviation[c];
                std::memcpy(tables.data() + 2 * taps + (c * 256 + value) * sizeof(float), &normal, sizeof normal);
            }
        return tables;
    }

    vit_config config_;
    cuda_options options_;
    Machine machine_;
    cuda_kernels::offset_table map_;
    std::size_t rank_;
    bool separate_;
    typename Machine::memory memory_;
    device_weights<Adapters> weights_;
};

} // namespace zeroi2v::detail
