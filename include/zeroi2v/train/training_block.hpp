// training_block: one transformer block made ready for both directions.
#pragma once

#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/nn/vit_block.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/train/training_linear.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
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
};

/// The weights of one block, and what of them trains. Planned by the constructor, packed by `pack`.
///
/// in_proj is cut into parts: of the last block the queries stand alone, and with an adapter each for q, k and v all three do.
class training_block {
public:
    struct in_part {
        training_linear linear; // rows [first, first + rows) of in_proj
        std::size_t first{};
        bool queries_only{};    ///< only the class tokens' rows are needed
        std::optional<training_adapter> adapter;
    };

    training_norm ln_1, ln_2;
    std::optional<training_adapter> T_Adapter_in, S_Adapter, MLP_Adapter, MLP_Adapter_out;
    std::vector<in_part> in_proj;
    training_linear out_proj, c_fc, c_proj;
    std::size_t number{};
    bool class_only{}, passes_gradient{};
    activation act{};

    training_block(vit_block<with_adapters> const& block, trained_tensors const& trained, training_block_options const& options)
        : ln_1{block.ln_1, trained}, ln_2{block.ln_2, trained}, number{options.number}, class_only{options.class_only},
          passes_gradient{options.passes_gradient}, act{options.act} {
        auto const& kernels = *options.kernels;
        auto const adapter = [&](std::optional<stored_linear_adapter> const& from, std::optional<training_adapter>& to) {
            if (from) to.emplace(kernels, *from, options.adapter_scale, trained);
        };
        auto const& a = block.adapters;
        adapter(a.T_Adapter_in, T_Adapter_in);
        adapter(a.S_Adapter, S_Adapter);
        adapter(a.MLP_Adapter, MLP_Adapter);
        adapter(a.MLP_Adapter_out, MLP_Adapter_out);
        std::size_t const width = block.ln_1.weight.count();
        auto const trains = [&](auto const& tensor) { return trained.first_of(tensor) != trained_tensors::none; };
        auto const adapter_trains = [](std::optional<training_adapter> const& of) { return of && of->trains(); };

        bool const before_in_proj = passes_gradient || ln_1.trains() || adapter_trains(T_Adapter_in)
                                    || (a.T_Adapter_in_q && trains(a.T_Adapter_in_q->D_fc1.weight));
        attention_side_ = before_in_proj || trains(block.in_proj.weight) || trains(block.out_proj.weight) || adapter_trains(S_Adapter);
        bool const before_c_fc = attention_side_ || ln_2.trains() || adapter_trains(MLP_Adapter);
        bool const before_c_proj = before_c_fc || trains(block.c_fc.weight);
        bool const before_out_proj = before_in_proj || trains(block.in_proj.weight);
        anything_ = before_c_proj || trains(block.c_proj.weight) || adapter_trains(MLP_Adapter_out);
        before_in_proj_ = before_in_proj;

        auto const part = [&](std::size_t first, std::size_t rows, bool queries_only) -> in_part& {
            in_proj.push_back({training_linear{kernels, block.in_proj.weight, &block.in_proj.bias, trained, before_in_proj, {.first_row = first, .rows = rows}},
                               first, queries_only && class_only, std::nullopt});
            return in_proj.back();
        };
        if (a.T_Adapter_in_q) {
            adapter(a.T_Adapter_in_q, part(0, width, true).adapter);
            adapter(a.T_Adapter_in_k, part(width, width, false).adapter);
            adapter(a.T_Adapter_in_v, part(2 * width, width, false).adapter);
        } else if (class_only) {
            part(0, width, true);
            part(width, 2 * width, false);
        } else {
            part(0, 3 * width, false);
        }
        out_proj = training_linear{kernels, block.out_proj.weight, &block.out_proj.bias, trained, before_out_proj};
        c_fc = training_linear{kernels, block.c_fc.weight, &block.c_fc.bias, trained, before_c_fc};
        c_proj = training_linear{kernels, block.c_proj.weight, &block.c_proj.bias, trained, before_c_proj};
    }

    [[nodiscard]] std::size_t width() const noexcept { return ln_1.width(); }
    [[nodiscard]] std::size_t mlp_width() const noexcept { return c_fc.out(); }
    /// The largest of its adapters; 0 without any.
    [[nodiscard]] std::size_t rank() const noexcept {
        std::size_t result = 0;
        for_each_adapter([&](training_adapter const& adapter) { result = std::max(result, adapter.rank()); });
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
        for_each_adapter([&](training_adapter const& adapter) { total += adapter.bytes(); });
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
        for (auto& part : in_proj) {
            visit(part.linear);
            if (part.adapter) visit(*part.adapter);
        }
        for (auto* adapter : {&T_Adapter_in, &S_Adapter, &MLP_Adapter, &MLP_Adapter_out})
            if (*adapter) visit(**adapter);
        visit(out_proj);
        visit(c_fc);
        visit(c_proj);
    }

    template <class Visit>
    void for_each_adapter(Visit&& visit) const {
        for (auto const& part : in_proj)
            if (part.adapter) visit(*part.adapter);
        for (auto const* adapter : {&T_Adapter_in, &S_Adapter, &MLP_Adapter, &MLP_Adapter_out})
            if (*adapter) visit(**adapter);
    }

    bool anything_{}, attention_side_{}, before_in_proj_{};
};

} // namespace zeroi2v
