// trainer: a model in training: batches in, steps of AdamW, and a state that can be put away and taken up again.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/ops/default_kernels.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/function_ref.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>
#include <zeroi2v/train/adamw.hpp>
#include <zeroi2v/train/batch_sum.hpp>
#include <zeroi2v/train/clip_pass.hpp>
#include <zeroi2v/train/gradient_exchange.hpp>
#include <zeroi2v/train/gradient_tree.hpp>
#include <zeroi2v/train/loss.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/train/training_model.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

struct trainer_options {
    trainable_set trainable{};
    double weight_decay = 0.05;
    double backbone_lr_scale = 1;  ///< of everything but the head
    double label_smoothing = 0;
    double adapter_dropout = 0.1;
    double head_dropout = 0.5;
    adamw_options adam{};
    std::uint64_t seed = 0;        ///< of the dropped values
    std::vector<std::size_t> label_groups{}; ///< classes of each label set; none: one set of all classes
    bool recompute = false;        ///< keep only what enters each block, and run the block again for its backward pass
    std::size_t threads = 1;
    std::size_t clips_at_once = 0; ///< clips computed side by side, each by one thread; 0: as many as threads where clips are small, else 1
    kernel_table const* kernels = nullptr; ///< null: those of the compiler's flags
    gradient_exchange* exchange = nullptr; ///< the other ranks of the run, which outlive the trainer; null: there are none
};

/// Bytes that training takes, each part for itself.
struct training_memory {
    std::size_t weights{};     ///< as loaded
    std::size_t packed{};      ///< forward, and on their side for the backward pass
    std::size_t optimizer{};   ///< two moments per trained parameter
    std::size_t gradients{};
    std::size_t activations{};

    [[nodiscard]] std::size_t total() const noexcept { return weights + packed + optimizer + gradients + activations; }
};

/// What one step did.
struct step_result {
    std::uint64_t step{}; ///< its number, from 0 on
    double loss{};        ///< mean over the clips
};

/// All that a run needs to go on in the same bits: steps done, trained tensors, and both moments of each as `adam.m.NAME`
/// and `adam.v.NAME`. Dropped values depend on seed, step and sample only: there is no generator to save.
struct training_state {
    std::uint64_t step{};
    std::vector<std::pair<std::string, stored_tensor>> tensors;
};

/// Trains `options.trainable` of a video ViT by AdamW on the cross entropy of its clips.
///
///     trainer training{std::move(weights), {.threads = 2}};
///     auto const [step, loss] = training.step(clips, labels, 3e-4);   // clips (M,T,3,S,S), labels (M) or (M,G)
///
/// A batch may also come in pieces: begin(samples), add(...) until all are there, end(lr): gradient accumulation is a
/// larger batch, since each clip is computed for itself.
///
/// With an `exchange` each rank's trainer computes the clips of the batch that `share` names and adds those only; each ends
/// with the same step. The sums of a block's tensors travel while the blocks before it are still run backward, where
/// clips are computed one at a time.
///
/// Numerics  The gradient of each clip is made alone, and they are summed in a binary tree over the clips' numbers: the same
///           bits for every number of ranks, threads, clips at once, pieces, and with or without `recompute`.
/// Errors    training_error nonfinite_loss with step and tensor where a loss, a gradient, or a parameter or moment after the
///           step would not be finite; bad_state from `restore`. Parameters, moments and step are then as before.
///           Of several ranks all throw alike; rank_lost where one of them no longer answers.
///           model_error bad_config: nothing trains, adapters without a scale, label groups that do not make up the classes.
/// Cost      `memory(batch)` bytes; the packed weights, moments and activations are made at the first step.
/// Test      tests/unit/train/trainer.cpp, tests/unit/train/golden_training.cpp, tests/unit/train/exchange.cpp
class trainer {
public:
    trainer(adapted_vit weights, trainer_options options)
        : weights_{std::move(weights)}, options_{std::move(options)}, trained_{weights_, options_.trainable},
          model_{weights_, trained_, options_.kernels != nullptr ? *options_.kernels : default_kernels<>()},
          team_{static_cast<int>(std::max<std::size_t>(options_.threads, 1))} {
        if (options_.label_groups.empty()) options_.label_groups = {config().classes()};
        std::size_t classes = 0;
        for (std::size_t const each : options_.label_groups) {
            if (each == 0 || each > config().classes()) refuse_groups();
            classes += each;
        }
        if (classes != config().classes()) refuse_groups();
        auto const threads = static_cast<std::size_t>(team_.concurrency());
        constexpr std::size_t small_clip = std::size_t{32} << 20U; // beyond it the threads' caches are better spent on one clip
        lanes_ = options_.clips_at_once != 0 ? options_.clips_at_once
                 : clip_pass::bytes(model_, 1, options_.recompute) <= small_clip ? threads : 1;
    }
    trainer(trainer const&) = delete;
    trainer& operator=(trainer const&) = delete;

    [[nodiscard]] vit_config const& config() const noexcept { return weights_.config; }
    [[nodiscard]] trainer_options const& options() const noexcept { return options_; }
    [[nodiscard]] trained_tensors const& trained() const noexcept { return trained_; }
    /// The weights as they are after the last step; what trains is f32, the rest as it came.
    [[nodiscard]] adapted_vit const& weights() const noexcept { return weights_; }
    /// Steps done.
    [[nodiscard]] std::uint64_t steps() const noexcept { return step_; }
    [[nodiscard]] std::size_t clips_at_once() const noexcept { return lanes_; }
    [[nodiscard]] std::size_t threads() const noexcept { return static_cast<std::size_t>(team_.concurrency()); } ///< that the system gave
    [[nodiscard]] executor& workers() noexcept { return team_; }
    /// The gradient of the last step, tensors as `trained()` numbers them; nothing before the first.
    [[nodiscard]] std::span<float const> gradient() const noexcept { return gradient_; }

    /// What training on batches of `batch` clips takes; allocates nothing.
    [[nodiscard]] training_memory memory(std::size_t batch) const {
        training_memory result;
        for_each_tensor(weights_, [&](std::string const&, stored_tensor const& tensor, shape const&, parameter_role) { result.weights += tensor.byte_size(); });
        std::size_t const floats = trained_.floats() * sizeof(float);
        result.packed = model_.bytes();
        result.optimizer = 2 * floats;
        result.gradients = batch_sum::buffers(std::max<std::size_t>(batch, 1), lanes_, options_.exchange) * floats;
        result.activations = lanes_ * clip_pass::bytes(model_, lanes_ == 1 ? team_.concurrency() : 1, options_.recompute);
        return result;
    }

    /// One whole step on clips (M,T,3,S,S) with labels (M,G); every rank is given all of them.
    step_result step(view<float const, 5> clips, std::span<std::int64_t const> labels, double lr) {
        begin(clips.extent(0));
        ZEROI2V_REQUIRE(labels.size() == clips.extent(0) * options_.label_groups.size(), "zeroi2v::trainer::step: one label per clip and label set");
        require_clips(clips);
        auto const [first, last] = sum_->share();
        view<float const, 5> const own{clips.data() + first * config().clip_values(), last - first, clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
        add(own, labels.subspan(first * options_.label_groups.size(), (last - first) * options_.label_groups.size()));
        return end(lr);
    }

    /// The clips of a batch of `samples` that this rank adds: all of them where there is no other.
    [[nodiscard]] index_range share(std::uint64_t samples) const noexcept { return batch_sum::share(samples, options_.exchange); }

    /// Starts a batch of `samples` clips, all ranks' together.
    void begin(std::uint64_t samples) {
        ZEROI2V_REQUIRE(samples > 0, "zeroi2v::trainer::begin: at least one clip");
        prepare();
        sum_->begin(samples);
        losses_.clear();
        begun_ = true;
    }

    /// The next clips of the batch, or of this rank's share of it.
    void add(view<float const, 5> clips, std::span<std::int64_t const> labels) {
        std::size_t const count = clips.extent(0), groups = options_.label_groups.size();
        require_clips(clips);
        auto const share = sum_ ? sum_->share() : index_range{};
        ZEROI2V_REQUIRE(begun_ && losses_.size() + count <= share.size(), "zeroi2v::trainer::add: more clips than the batch was begun for");
        ZEROI2V_REQUIRE(labels.size() == count * groups, "zeroi2v::trainer::add: one label per clip and label set");
        for (std::size_t first = 0; first < count; first += lanes_) {
            std::size_t const here = std::min(lanes_, count - first);
            std::size_t const done = losses_.size();
            losses_.resize(done + here);
            leaves_.resize(here);
            for (std::size_t lane = 0; lane < here; ++lane) leaves_[lane] = sum_->leaf(lane);
            auto const one = [&](std::size_t lane, function_ref<void(std::size_t)> written) {
                clip_options const how{options_.adapter_dropout, options_.head_dropout, options_.label_smoothing, options_.label_groups, options_.seed, step_,
                                       share.begin + done + lane, 1.0 / static_cast<double>(sum_->samples())};
                losses_[done + lane] = passes_[lane]->loss_and_gradient(clip(clips, first + lane), labels.subspan((first + lane) * groups, groups), how, leaves_[lane], written);
            };
            if (lanes_ == 1 && sum_->several_ranks() && done + 1 == share.size()) {
                sum_->begin_last(0);
                one(0, [&](std::size_t block) { sum_->written(team_, model_.first_floats()[block]); });
                sum_->written(team_, 0);
                continue;
            }
            auto const unseen = [](std::size_t) {};
            if (lanes_ == 1) one(0, unseen);
            else team_.run(static_cast<int>(here), [&](int lane) { one(static_cast<std::size_t>(lane), unseen); });
            if (!sum_->several_ranks()) require_finite_losses(done);
            for (std::size_t lane = 0; lane < here; ++lane) sum_->push(team_, lane);
        }
    }

    /// The step itself, when all clips of the batch are there.
    step_result end(double lr) {
        ZEROI2V_REQUIRE(begun_ && losses_.size() == sum_->share().size(), "zeroi2v::trainer::end: the batch is not complete");
        gradient_ = sum_->finish(losses_);
        begun_ = false;
        require_finite_losses(0);
        double const loss = tree_sum(std::span<double const>{losses_}) / static_cast<double>(losses_.size());
        for (auto const& each : trained_)
            for (float const value : gradient_.subspan(each.first, each.count))
                if (!is_finite(value)) stop("gradient of " + each.name);
        adamw const stepper{options_.adam, step_ + 1};
        for (auto const& each : trained_)
            if (!stepper.stays_finite(team_, part_of(each, lr))) stop(each.name + " after the step");
        for (auto const& each : trained_) stepper.apply(team_, part_of(each, lr));
        model_.refresh(team_);
        return {step_++, loss};
    }

    /// logits (M,K) of clips (M,T,3,S,S), nothing dropped.
    void logits(view<float const, 5> clips, view<float, 2> out) {
        prepare();
        require_clips(clips);
        std::size_t const count = clips.extent(0), classes = config().classes();
        ZEROI2V_REQUIRE(out.extent(0) == count && out.extent(1) == classes, "zeroi2v::trainer::logits: out must be (M,K)");
        for (std::size_t first = 0; first < count; first += lanes_) {
            auto const one = [&](std::size_t lane) { passes_[lane]->logits(clip(clips, first + lane), {out.data() + (first + lane) * classes, classes}); };
            if (lanes_ == 1) one(0);
            else team_.run(static_cast<int>(std::min(lanes_, count - first)), [&](int lane) { one(static_cast<std::size_t>(lane)); });
        }
    }

    /// Takes up what rank 0 has: step, parameters and moments. Nothing where there is no other rank.
    void share_state() {
        if (batch_sum::ranks(options_.exchange) == 1) return;
        auto own = state();
        options_.exchange->broadcast(std::as_writable_bytes(std::span{&own.step, 1}));
        for (auto& [name, tensor] : own.tensors) options_.exchange->broadcast(tensor.bytes());
        restore(own);
    }

    /// A copy of all that `restore` needs.
    [[nodiscard]] training_state state() {
        prepare();
        training_state result{step_, {}};
        for (auto const& each : trained_) {
            result.tensors.emplace_back(each.name, each.tensor->clone());
            result.tensors.emplace_back("adam.m." + each.name, copy(m_.data() + each.first, each.tensor->sizes()));
            result.tensors.emplace_back("adam.v." + each.name, copy(v_.data() + each.first, each.tensor->sizes()));
        }
        return result;
    }

    /// Takes up a state of a trainer of the same model and trainable set.
    /// Errors  a tensor missing, left over, not f32 or of another shape -> training_error bad_state; nothing is changed.
    void restore(training_state const& from) {
        auto const find = [&](std::string const& name, shape const& sizes) -> stored_tensor const& {
            for (auto const& [stored, tensor] : from.tensors) {
                if (stored != name) continue;
                if (tensor.type() != dtype::f32 || tensor.sizes() != sizes)
                    throw training_error{error_code::bad_state, "state: tensor " + name + ": " + std::string{dtype_name(tensor.type())} + " " + to_string(tensor.sizes())
                                                                    + " found, F32 " + to_string(sizes) + " expected"};
                return tensor;
            }
            throw training_error{error_code::bad_state, "state: tensor " + name + ": not found"};
        };
        for (auto const& each : trained_)
            for (char const* const prefix : {"", "adam.m.", "adam.v."}) static_cast<void>(find(prefix + each.name, each.tensor->sizes()));
        if (from.tensors.size() != 3 * trained_.size())
            throw training_error{error_code::bad_state, "state: " + std::to_string(from.tensors.size()) + " tensors found, " + std::to_string(3 * trained_.size()) + " expected"};
        prepare();
        for (auto const& each : trained_) {
            auto const bytes = each.count * sizeof(float);
            auto const take = [&](char const* prefix, void* to) { std::memcpy(to, find(prefix + each.name, each.tensor->sizes()).bytes().data(), bytes); };
            take("", each.tensor->bytes().data());
            take("adam.m.", m_.data() + each.first);
            take("adam.v.", v_.data() + each.first);
        }
        model_.refresh(team_);
        step_ = from.step;
        begun_ = false;
    }

private:
    void prepare() {
        if (sum_) return;
        model_.pack();
        while (passes_.size() < lanes_) {
            executor& workers = lanes_ == 1 ? static_cast<executor&>(team_) : alone_;
            passes_.push_back(std::make_unique<clip_pass>(model_, workers, options_.recompute));
        }
        m_.assign(trained_.floats(), 0.0F);
        v_.assign(trained_.floats(), 0.0F);
        sum_.emplace(trained_.floats(), lanes_, options_.exchange);
    }

    void require_finite_losses(std::size_t first) {
        for (std::size_t i = first; i < losses_.size(); ++i)
            if (!is_finite(static_cast<float>(losses_[i]))) stop("loss of clip " + std::to_string(i) + " of the batch");
    }

    [[nodiscard]] adamw_tensor part_of(trained_tensor const& each, double lr) {
        bool const head = each.role == parameter_role::head_weight || each.role == parameter_role::head_bias;
        return {each.tensor->as<float>().data(), gradient_.data() + each.first, m_.data() + each.first, v_.data() + each.first, each.count,
                head ? lr : lr * options_.backbone_lr_scale, decays(each.role) ? options_.weight_decay : 0.0};
    }

    [[nodiscard]] view<float const, 4> clip(view<float const, 5> clips, std::size_t i) const noexcept {
        return view<float const, 4>{clips.data() + i * config().clip_values(), clips.extent(1), clips.extent(2), clips.extent(3), clips.extent(4)};
    }
    void require_clips(view<float const, 5> clips) const {
        ZEROI2V_REQUIRE(clips.extent(1) == config().frames() && clips.extent(2) == 3 && clips.extent(3) == config().image_size()
                            && clips.extent(4) == config().image_size(),
                        "zeroi2v::trainer: clips must be (M,T,3,S,S)");
    }
    [[nodiscard]] static stored_tensor copy(float const* from, shape const& sizes) {
        stored_tensor result{dtype::f32, sizes};
        std::memcpy(result.bytes().data(), from, result.byte_size());
        return result;
    }
    [[noreturn]] void stop(std::string const& what) {
        begun_ = false;
        throw training_error{error_code::nonfinite_loss, "step " + std::to_string(step_) + ": " + what + " is not finite, finite values expected"};
    }
    [[noreturn]] void refuse_groups() const {
        throw model_error{error_code::bad_config, "label_groups: their classes must be at least 1 each and " + std::to_string(config().classes()) + " together, as the model has"};
    }

    adapted_vit weights_;
    trainer_options options_;
    trained_tensors trained_;
    training_model model_;
    thread_team team_;
    serial_executor alone_;
    std::size_t lanes_{1};
    std::vector<std::unique_ptr<clip_pass>> passes_;
    std::vector<float> m_, v_;
    std::optional<batch_sum> sum_;
    std::span<float> gradient_;
    std::vector<double> losses_;
    std::vector<float*> leaves_;
    bool begun_{}; // a batch, and it has not ended
    std::uint64_t step_{};
};

} // namespace zeroi2v
