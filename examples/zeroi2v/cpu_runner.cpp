#include "cpu_runner.hpp"

#include "console.hpp"

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <algorithm>

namespace zeroi2v::program {
namespace {

/// Views are computed together while their activations fit into this: a small model's rows are too few for its threads, a
/// large one's fill the caches alone.
constexpr std::size_t activation_bytes = std::size_t{32} << 20U;

/// views [first, first + count) of clips (V,T,3,S,S).
view<float const, 5> part_of(view<float const, 5> clips, std::size_t first, std::size_t count) {
    std::size_t const each = clips.extent(1) * clips.extent(2) * clips.extent(3) * clips.extent(4);
    return view<float const, 5>{clips.data() + first * each, count, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
}

} // namespace

cpu_runner::cpu_runner(any_engine engine) : engine_{std::move(engine)}, workspace_{make(1)}, bytes_per_clip_{workspace_->bytes()} {}

std::string cpu_runner::description() const {
    return std::visit([&](auto const& each) {
        return std::string{to_option(each.dtype())} + ", " + std::to_string(threads()) + (threads() == 1 ? " thread, " : " threads, ")
               + std::string{to_string(each.kernels().level)};
    }, engine_);
}

std::size_t cpu_runner::bytes() const {
    return std::visit([](auto const& each) { return each.weight_bytes(); }, engine_) + workspace_->bytes();
}

std::unique_ptr<vit_workspace> cpu_runner::make(std::size_t clips) const {
    return std::visit([clips](auto const& each) { return std::unique_ptr<vit_workspace>{new vit_workspace{each.make_workspace(clips)}}; }, engine_);
}

void cpu_runner::make_room(std::size_t views) {
    std::size_t const clips = std::clamp<std::size_t>(views, 1, std::max<std::size_t>(activation_bytes / bytes_per_clip_, 1));
    if (workspace_->clips() >= clips) return;
    workspace_.reset(); // before the next one is there
    workspace_ = make(clips);
}

/// compute(first, count) for all views, as many at a time as the workspace holds.
void cpu_runner::for_each_batch(std::size_t views, progress* shown, std::function<void(std::size_t, std::size_t)> const& compute) {
    make_room(views);
    for (std::size_t first = 0; first < views; first += workspace_->clips()) {
        std::size_t const count = std::min(workspace_->clips(), views - first);
        compute(first, count);
        if (shown != nullptr) shown->step(first + count);
    }
}

void cpu_runner::forward(view<float const, 5> clips, view<float, 2> logits, progress* shown) {
    std::size_t const classes = logits.extent(1);
    for_each_batch(clips.extent(0), shown, [&](std::size_t first, std::size_t count) {
        view<float, 2> const part{logits.data() + first * classes, count, classes};
        std::visit([&](auto const& each) { each.forward(part_of(clips, first, count), *workspace_, part); }, engine_);
    });
}

void cpu_runner::features(view<float const, 5> clips, view<float, 3> out, progress* shown) {
    std::size_t const frames = out.extent(1), width = out.extent(2);
    for_each_batch(clips.extent(0), shown, [&](std::size_t first, std::size_t count) {
        view<float, 3> const part{out.data() + first * frames * width, count, frames, width};
        std::visit([&](auto const& each) { each.features(part_of(clips, first, count), *workspace_, part); }, engine_);
    });
}

void cpu_runner::forward(sampled_video const&, input_config const&, view<float, 2>) {
    ZEROI2V_REQUIRE(false, "zeroi2v::program::cpu_runner::forward: views expected, which read_video makes of a video for the CPU");
}

} // namespace zeroi2v::program
