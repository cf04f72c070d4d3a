// cpu_runner: a model on the CPU.
#pragma once

#include "model_runner.hpp"

#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/model/vit_workspace.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace zeroi2v::program {

/// An engine for either kind of weights, with one workspace.
class cpu_runner final : public model_runner {
public:
    using any_engine = std::variant<vit_engine<with_adapters>, vit_engine<no_adapters>>;

    explicit cpu_runner(any_engine engine);

    [[nodiscard]] device_kind device() const noexcept override { return device_kind::cpu; }
    [[nodiscard]] std::string description() const override;
    [[nodiscard]] std::size_t bytes() const override;
    [[nodiscard]] std::size_t threads() const noexcept { return workspace_->threads(); } ///< that the system gave

    void forward(view<float const, 5> clips, view<float, 2> logits, progress* shown = nullptr) override;
    void features(view<float const, 5> clips, view<float, 3> out, progress* shown = nullptr) override;
    void forward(sampled_video const& video, input_config const& input, view<float, 2> logits) override;

    /// The next forward measures its groups of operations; afterwards, their seconds, those of the threads added up.
    void measure() { workspace_->measure(); }
    [[nodiscard]] per_op_group times() const { return workspace_->times(); }

private:
    [[nodiscard]] std::unique_ptr<vit_workspace> make(std::size_t clips) const;
    void make_room(std::size_t views);
    void for_each_batch(std::size_t views, progress* shown, std::function<void(std::size_t first, std::size_t count)> const& compute);

    any_engine engine_;
    std::unique_ptr<vit_workspace> workspace_;
    std::size_t bytes_per_clip_;
};

} // namespace zeroi2v::program
