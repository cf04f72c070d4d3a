// training_block: one transformer block made ready for both directions.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/nn/adapter_sites.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/train/training_linear.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace zeroi2v {

/// What a training block is made for.
struct training_block_options {
    kernel_table const* kernels{};
    double adapter_scale{};
    std::size_t number{};       ///< of the block, for dropout
    bool class_only{};          ///< the last block: queries, projection and MLP for the class tokens only
    bool passes_gradient{};     ///< something before this block trains, so the gradient has to reach its input
    activation act = activation::quick_gelu; ///< between c_fc and c_proj
    float norm_epsilon = 1e-5F;
};

/// The weights of one block, and what of them trains. Planned by the constructor, packed by `pack`.
///
/// in_proj is cut into parts: of the last block the queries stand alone, and with an adapter each for q, k and v all three do.
/// What adapts a Linear elsewhere than at the input of in_proj or c_fc, or the output of out_proj or c_proj, has no backward pass.
class training_block {
public:
    struct in_part {
        training_linear linear; // rows [first, first + rows) of in_proj
        std::size_t first{};
        bool queries_only{};    ///< only the class tokens' rows are needed
        training_adapter const* adapter{}; ///< that these rows alone see
    };

    training_norm ln_1, ln_2;
    std::vector<in_part> in_proj;
    training_linear out_proj, c_fc, c_proj;
    std::size_t number{};
    bool class_only{}, passes_gradient{};
    activation act{};

    training_block(vit_block const& block, block_adapters const& adapters, trained_tensors const& trained, training_block_options const& options)
        : ln_1{block.ln_1, trained, options.norm_epsilon}, ln_2{block.ln_2, trained, options.norm_epsilon}, number{options.number}, class_only{options.class_only},
          passes_gradient{options.passes_gradient}, act{options.act} {
        auto const& kernels = *options.kernels;
        adapters_.reserve(adapter_sites.size()); // parts of in_proj point into it
        for (adapter_site_info const& info : adapter_sites)
            if (adapters[info.site]) adapters_.emplace_back(info.site, kernels, *adapters[info.site], options.adapter_scale, trained);
        std::size_t const width = block.ln_1.weight.count();
        auto const trains = [&](auto const& tensor) { return trained.first_of(tensor) != trained_tensors::none; };
        auto const adapter_trains = [&](block_linear linear) {
            return std::any_of(adapters_.begin(), adapters_.end(), [&](training_adapter const& each) { return info_of(each.site).linear == linear && each.trains(); });
        };

        bool const before_in_proj = passes_gradient || ln_1.trains() || adapter_trains(block_linear::in_proj);
        attention_side_ = before_in_proj || trains(block.in_proj.weight) || trains(block.out_proj.weight) || adapter_trains(block_linear::out_proj);
        bool const before_c_fc = attention_side_ || ln_2.trains() || adapter_trains(block_linear::c_fc);
        bool const before_c_proj = before_c_fc || trains(block.c_fc.weight);
        bool const before_out_proj = before_in_proj || trains(block.in_proj.weight);
        anything_ = before_c_proj || trains(block.c_proj.weight) || adapter_trains(block_linear::c_proj);
        before_in_proj_ = before_in_proj;

        auto const part = [&](std::size_t first, std::size_t rows, bool queries_only, training_adapter const* adapter = nullptr) {
            in_proj.push_back({training_linear{kernels, block.in_proj.weight, &block.in_proj.bias, trained, before_in_proj, {.first_row = first, .rows = rows}},
                               first, queries_only && class_only, adapter});
        };
        for (training_adapter const& each : adapters_)
            if (info_of(each.site).rows != adapter_rows::all) part(in_proj.size() * width, width, info_of(each.site).rows == adapter_rows::query, &each);
        if (in_proj.empty() && class_only) {
            part(0, width, true);
            part(width, 2 * width, false);
        } else if (in_proj.empty()) {
            part(0, 3 * width, false);
        }
        out_proj = training_linear{kernels, block.out_proj.weight, &block.out_proj.bias, trained, before_out_proj};
        c_fc = training_linear{kernels, block.c_fc.weight, &block.c_fc.bias, trained, before_c_fc};
        c_proj = training_linear{kernels, block.c_proj.weight, &block.c_proj.bias, trained, before_c_proj};
    }
    training_block(training_block&&) = default;

    /// Its adapters, in the order of adapter_sites.
    [[nodiscard]] std::span<training_adapter const> adapters() const noexcept { return adapters_; }
    /// The adapter that all outputs of a Linear see, on one side of it; null where there is none.
    [[nodiscard]] training_adapter const* adapter(block_linear linear, adapter_side side) const noexcept {
        for (training_adapter const& each : adapters_)
            if (auto const& info = info_of(each.site); info.linear == linear && info.side == side && info.rows == adapter_rows::all) return &each;
        return nullptr;
    }

    [[nodiscard]] std::size_t width() const noexcept { return ln_1.width(); }
    [[nodiscard]] std::size_t mlp_width() const noexcept { return c_fc.out(); }
    /// The largest of its adapters; 0 without any.
    [[nodiscard]] std::size_t rank() const noexcept {
        std::size_t result = 0;
        for (training_adapter const& each : adapters_) result = std::max(result, each.rank());
        return result;
    }
    /// Whether anything here, or before, trains: whether it has a backward pass.
    [[nodiscard]] bool anything() const noexcept { return anything_; }
    /// Whether the gradient is needed beyond the MLP.
    [[nodiscard]] bool attention_side() const noexcept { return attention_side_; }
    /// Whether the gradient is needed beyond in_proj.
    [[nodiscard]] bool before_in_proj() const noexcept { return before_in_proj_; }

    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t total = out_proj.bytes() + c_fc.bytes() + c_proj.bytes();
        for (auto const& part : in_proj) total += part.linear.bytes();
        for (training_adapter const& each : adapters_) total += each.bytes();
        return total;
    }

    /// Packs everything.
    void pack() {
        for_each([](auto& part) { part.pack(); });
    }
    /// Packs again what trains.
    void refresh() {
        ln_1.refresh();
        ln_2.refresh();
        for_each([](auto& part) { part.refresh(); });
    }

private:
    template <class Visit>
    void for_each(Visit&& visit) {
        for (auto& part : in_proj) visit(part.linear);
        for (auto& each : adapters_) visit(each);
        visit(out_proj);
        visit(c_fc);
        visit(c_proj);
    }

    std::vector<training_adapter> adapters_;
    bool anything_{}, attention_side_{}, before_in_proj_{};
};

static_assert(std::all_of(adapter_sites.begin(), adapter_sites.end(), [](adapter_site_info const& site) {
                  return (site.side == adapter_side::input) == (site.linear == block_linear::in_proj || site.linear == block_linear::c_fc);
              }),
              "zeroi2v::training_block: an adapter at another place needs its lines in block_forward.hpp and block_backward.hpp");

} // namespace zeroi2v
