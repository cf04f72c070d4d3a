// batch_sum: the losses and gradients of one batch's clips, summed on one rank or over several.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/train/gradient_exchange.hpp>
#include <zeroi2v/train/gradient_tree.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace zeroi2v {

/// What the clips of a batch give, in order, and their sum: of all ranks, where there are several.
///
///     sum.begin(samples);                       // this rank has clips sum.share() of them
///     ... fill sum.leaf(i); sum.push(workers, i) ...
///     sum.finish(losses)                        // (floats); losses: of this rank's clips before, of all clips after
///
/// The last clip of a share may be announced before it is computed, so that its sums travel meanwhile: begin_last(i), then
/// written(workers, first) as its floats from `first` on are there, at last with 0.
/// Numerics, memory  as gradient_tree.    Test  tests/unit/train/exchange.cpp
class batch_sum {
public:
    /// `exchange` null: there is no other rank.
    batch_sum(std::size_t floats, std::size_t leaves, gradient_exchange* exchange) : floats_{floats}, tree_{floats, leaves}, exchange_{exchange} {}
    batch_sum(batch_sum const&) = delete;
    batch_sum& operator=(batch_sum const&) = delete;
    ~batch_sum() { cancel(); }

    [[nodiscard]] static std::size_t ranks(gradient_exchange const* exchange) noexcept { return exchange == nullptr ? 1 : exchange->ranks(); }
    [[nodiscard]] static index_range share(std::uint64_t samples, gradient_exchange const* exchange) noexcept {
        return partition(static_cast<std::size_t>(samples), ranks(exchange), exchange == nullptr ? 0 : exchange->rank());
    }
    /// Gradients that a batch needs at most.
    [[nodiscard]] static std::size_t buffers(std::uint64_t samples, std::size_t leaves, gradient_exchange const* exchange) noexcept {
        std::size_t const own = std::max<std::size_t>(share(samples, exchange).size(), 1);
        return ranks(exchange) > 1 ? gradient_tree::buffers_of_range(own, leaves) : gradient_tree::buffers(own, leaves);
    }

    void begin(std::uint64_t samples) {
        cancel();
        samples_ = static_cast<std::size_t>(samples);
        share_ = share(samples, exchange_);
        tree_.begin(samples_, share_);
    }
    [[nodiscard]] std::size_t samples() const noexcept { return samples_; }
    [[nodiscard]] index_range share() const noexcept { return share_; }
    [[nodiscard]] bool several_ranks() const noexcept { return ranks(exchange_) > 1; }

    [[nodiscard]] float* leaf(std::size_t i) { return tree_.leaf(i); }
    void push(executor& workers, std::size_t i) { tree_.push(workers, i); }

    void begin_last(std::size_t i) {
        tree_.place(i);
        launch();
    }
    void written(executor& workers, std::size_t first) {
        tree_.add(workers, first);
        exchange_->ready(first);
    }

    /// The sum, valid until the next `begin`; `losses`, of this rank's clips, become those of all.
    [[nodiscard]] std::span<float> finish(std::vector<double>& losses) {
        if (!several_ranks()) return {tree_.nodes().front().sum, floats_};
        if (!launched_) {
            launch();
            exchange_->ready(0);
        }
        exchange_->wait();
        launched_ = false;
        auto const own = std::as_bytes(std::span{losses});
        auto const all = exchange_->gather({reinterpret_cast<char const*>(own.data()), own.size()});
        losses.clear();
        for (auto const& each : all) {
            std::size_t const first_loss = losses.size();
            losses.resize(first_loss + each.size() / sizeof(double));
            if (!each.empty()) std::memcpy(losses.data() + first_loss, each.data(), each.size());
        }
        ZEROI2V_REQUIRE(losses.size() == samples_, "zeroi2v::batch_sum::finish: the ranks have other batches");
        return sum_;
    }

private:
    void launch() {
        auto const nodes = tree_.nodes();
        sum_ = {nodes.empty() ? tree_.leaf(0) : nodes.front().sum, floats_};
        exchange_->begin(tree_joins(samples_, exchange_->ranks(), exchange_->rank(), nodes), sum_);
        launched_ = true;
    }
    void cancel() noexcept {
        if (launched_) exchange_->cancel();
        launched_ = false;
    }

    std::size_t floats_, samples_{};
    gradient_tree tree_;
    gradient_exchange* exchange_;
    index_range share_{};
    std::span<float> sum_;
    bool launched_{}; // begun with the other ranks and not waited for
};

} // namespace zeroi2v
