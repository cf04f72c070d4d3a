// What a model is planned for before it trains: which products have a backward form, and how many bytes a clip takes.
#include <zeroi2v/train/training_model.hpp>

#include "models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {


adapter_layout const layouts[]{{shared_sites, 5}, {separate_sites, 5}, {{adapter_site::MLP_Adapter}, 5},
                               {{adapter_site::T_Adapter_in, adapter_site::MLP_Adapter_out}, 5}, {{adapter_site::S_Adapter}, 5}, {{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v}, 40}, adapter_layout::none()};

trainable_set set_of(int bits) { return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0}; }

/// Bytes of arrays, each on lines of its own.
struct tally {
    std::size_t bytes = 0;
    void add(std::size_t count, std::size_t each = sizeof(float)) { bytes += (count * each + 63) / 64 * 64; }
};

} // namespace

TEST_CASE("a gradient passes through a product where something before it trains, and nowhere else") {
    auto const config = small_config();
    std::size_t planned = 0;
    for (adapter_layout const& layout : layouts)
        for (int bits = 1; bits < 32; ++bits) {
            trainable_set const set = set_of(bits);
            if (!layout.any() && bits == 1) continue; // nothing trains
            CAPTURE(bits);
            auto weights = lively(config, layout, 4);
            trained_tensors const trained{weights, set};
            training_model const model{weights, trained, best_kernels()};
            ++planned;
            // In the order of the forward pass; whether anything trained so far.
            bool before = set.temporal_embedding || set.rest;
            CHECK(model.embeds() == before);
            CHECK_FALSE(model.patch.passes_gradient());
            CHECK(model.patch.trains() == set.rest);
            for (std::size_t i = 0; i < model.blocks.size(); ++i) {
                auto const& block = model.blocks[i];
                CHECK(block.number == i);
                CHECK(block.class_only == (i + 1 == model.blocks.size()));
                CHECK(block.passes_gradient == before);
                auto const adapters = [&](bool present) { before = before || (present && set.adapters); };
                before = before || set.rest; // ln_1
                adapters(layout.has(adapter_site::T_Adapter_in) || adapts_parts(layout));
                CHECK(block.before_in_proj() == before);
                for (auto const& part : block.in_proj) CHECK(part.linear.passes_gradient() == before);
                before = before || set.rest; // in_proj
                CHECK(block.out_proj.passes_gradient() == before);
                adapters(layout.has(adapter_site::S_Adapter));
                CHECK(block.attention_side() == before);
                before = before || set.rest; // ln_2
                adapters(layout.has(adapter_site::MLP_Adapter));
                CHECK(block.c_fc.passes_gradient() == before);
                CHECK(block.c_proj.passes_gradient() == before);
                adapters(layout.has(adapter_site::MLP_Adapter_out));
                CHECK(block.anything() == before);
                for (auto const* linear : {&block.out_proj, &block.c_fc, &block.c_proj}) CHECK(linear->trains() == set.rest);
                CHECK(block.ln_1.trains() == set.rest);
                CHECK(block.ln_2.trains() == set.rest);
                CHECK(block.width() == 24);
                CHECK(block.mlp_width() == 50);
                CHECK(block.rank() == layout.rank);
                // The parts of in_proj: q, k, v with adapters of their own; the queries alone where only class tokens go on.
                std::size_t const parts = adapts_parts(layout) ? 3 : block.class_only ? 2 : 1;
                REQUIRE(block.in_proj.size() == parts);
                std::size_t row = 0;
                for (std::size_t j = 0; j < parts; ++j) {
                    CHECK(block.in_proj[j].first == row);
                    CHECK(block.in_proj[j].queries_only == (block.class_only && j == 0));
                    CHECK((block.in_proj[j].adapter != nullptr) == (adapts_parts(layout)));
                    row += block.in_proj[j].linear.out();
                }
                CHECK(row == 72);
            }
            CHECK(model.passes_ln_post() == before);
            before = before || set.ln_post;
            CHECK(model.head.passes_gradient() == before);
            CHECK(model.head.trains() == set.head);
            // The first float of each block and all behind it: what stands from there on is of no block before.
            auto const first = model.first_floats();
            REQUIRE(first.size() == 4);
            for (std::size_t part = 0; part <= 3; ++part) {
                std::size_t wanted = trained.floats();
                for (auto const& each : trained) {
                    bool const behind = each.name.find("ln_post") != std::string::npos || each.name.starts_with("cls_head");
                    bool inside = behind;
                    for (std::size_t i = part; i < 3; ++i) inside = inside || each.name.find("resblocks." + std::to_string(i) + ".") != std::string::npos;
                    if (inside) wanted = std::min(wanted, each.first);
                }
                CHECK(first[part] == wanted);
            }
        }
    CHECK(planned == 7 * 31 - 1);
}

TEST_CASE("a clip takes the bytes of its arrays, each as large as its shape") {
    auto const config = small_config();
    kernel_table const& kernels = best_kernels();
    std::size_t const m = config.frames() * config.tokens(), t = config.frames(), c = 24, f = 50, classes = 7;
    for (adapter_layout const& layout : layouts)
        for (int const bits : {31, 15, 8, 12, 1, 2, 16})
            for (bool const recompute : {false, true})
                for (int const threads : {1, 3}) {
                    trainable_set const set = set_of(bits);
                    if (!layout.any() && bits == 1) continue;
                    CAPTURE(bits);
                    auto weights = lively(config, layout, 4);
                    trained_tensors const trained{weights, set};
                    training_model const model{weights, trained, kernels};
                    std::size_t const rank = layout.rank;
                    tally all;
                    all.add(m * config.patch_values());
                    all.add(m * c);
                    std::size_t frozen = 0; // blocks in front of everything that trains: two inputs for all of them
                    while (frozen < 3 && !model.blocks[frozen].anything()) ++frozen;
                    for (std::size_t i = 0; i < std::min<std::size_t>(frozen, 2) + (3 - frozen); ++i) all.add(m * c);
                    auto const block = [&](bool class_only) {
                        std::size_t const q = class_only ? t : m;
                        if (layout.has(adapter_site::T_Adapter_in)) all.add(m * rank);
                        if (adapts_parts(layout))
                            for (std::size_t const rows : {q, m, m}) all.add(rows * rank);
                        all.add(m * 3 * c);
                        if (set.rest) all.add(q * c);
                        if (layout.has(adapter_site::S_Adapter)) {
                            all.add(q * c);
                            all.add(q * rank);
                        }
                        all.add(q * c);
                        if (layout.has(adapter_site::MLP_Adapter)) all.add(q * rank);
                        all.add(q * f);
                        if (layout.has(adapter_site::MLP_Adapter_out)) {
                            all.add(q * c);
                            all.add(q * rank);
                        }
                    };
                    if (recompute || frozen > 0) block(false); // one for all that are run twice, or forward only
                    for (std::size_t i = recompute ? 3 : frozen; i < 3; ++i) block(i == 2);
                    for (int i = 0; i < 3; ++i) all.add(t * c);
                    for (int i = 0; i < 2; ++i) all.add(c);
                    for (int i = 0; i < 2; ++i) all.add(classes);
                    if (model.passes_ln_post()) all.add(m * c);
                    // Scratch.
                    for (int i = 0; i < 3; ++i) all.add(m * c);
                    for (int i = 0; i < (set.rest ? 2 : 1); ++i) all.add(m * std::max<std::size_t>(3 * c, set.rest ? f : 0));
                    for (int i = 0; i < 2; ++i) all.add(m * rank);
                    std::size_t const some = std::max<std::size_t>(std::min(m, kernels.f32.row_block / 2), 1);
                    std::size_t room = 0, weight = weight_gradient_scratch(kernels, 1, classes, c, threads), attention = 0;
                    auto const product = [&](std::size_t out, std::size_t in, bool trains) {
                        room = std::max({room, detail::partial_bytes(kernels.f32, some, out, in), detail::partial_bytes(kernels.f32, some, in, out)});
                        if (trains) weight = std::max(weight, weight_gradient_scratch(kernels, m, out, in, threads));
                    };
                    if (set.rest) weight = std::max(weight, weight_gradient_scratch(kernels, m, c, config.patch_values(), threads));
                    if (layout.any()) {
                        product(rank, c, set.adapters);
                        product(c, rank, set.adapters);
                    }
                    for (auto const& each : model.blocks) {
                        for (auto const& part : each.in_proj) product(part.linear.out(), c, set.rest);
                        attention_shape const shape{t, each.class_only ? 1 : config.tokens(), config.tokens(), 4, 6};
                        attention = std::max(attention, attention_scratch_floats(kernels, shape, threads));
                        if (each.anything()) attention = std::max(attention, attention_backward_scratch_floats(kernels, shape, threads));
                    }
                    product(c, c, set.rest);
                    product(f, c, set.rest);
                    product(c, f, set.rest);
                    for (int i = 0; i < threads; ++i) {
                        all.add(some * c);
                        all.add(some * c);
                        all.add(some * f);
                        all.add(room, 1);
                    }
                    all.add(attention);
                    all.add(weight);
                    all.add(2 * m, sizeof(double));
                    CHECK(clip_pass::bytes(model, threads, recompute) == all.bytes);
                }
}

TEST_CASE("a model with adapters and no scale cannot be planned") {
    auto weights = lively(small_config().without_adapter_scale(), layouts[0], 4);
    trained_tensors const trained{weights, trainable_set::only_head()};
    try {
        training_model const model{weights, trained, best_kernels()};
        FAIL("nothing thrown");
    } catch (model_error const& fault) {
        CHECK(fault.code() == error_code::bad_config);
        CHECK(std::string{fault.what()} == "adapter_scale: not stated, needed while adapters are present");
    }
}
