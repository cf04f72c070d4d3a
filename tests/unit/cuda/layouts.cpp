#include <zeroi2v/cuda/workspace_layout.hpp>

#include <zeroi2v/cuda/device_weights.hpp>
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/model/vit_weights.hpp>
#include <zeroi2v/nn/vit_block.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::detail;

namespace {

/// Whether stretches (begin, bytes) lie apart from each other and within `total`.
bool apart(std::vector<std::pair<std::size_t, std::size_t>> stretches, std::size_t total) {
    std::sort(stretches.begin(), stretches.end());
    std::size_t end = 0;
    for (auto const& [begin, bytes] : stretches) {
        if (bytes == 0) continue;
        if (begin < end || begin % device_alignment != 0) return false;
        end = begin + bytes;
    }
    return end <= total;
}

} // namespace

TEST_CASE("cuda workspace_layout: regions lie apart, aligned, and hold what the forward puts there") {
    vit_config const b16 = presets::clip_b16_k400_8f.config();
    for (dtype const type : {dtype::f32, dtype::bf16})
        for (std::size_t const clips : {1U, 3U})
            for (std::size_t const pixels : {std::size_t{0}, std::size_t{1920 * 1080 * 3}}) {
                workspace_layout const l{b16, type, clips, 192, true, 1001, pixels};
                std::vector<std::pair<std::size_t, std::size_t>> all;
                for (device_region const& each : {l.tokens, l.narrow, l.wide, l.hidden, l.rank, l.adapted, l.features, l.logits, l.scratch, l.upload[0], l.upload[1]})
                    all.emplace_back(each.offset, each.bytes);
                CHECK(apart(all, l.bytes));
                all.emplace_back(l.narrow.offset, 1);
                CHECK_FALSE(apart(all, l.bytes)); // the check can fail
                std::size_t const rows = clips * 8 * 197, each = size_of(type);
                CHECK(l.tokens.bytes == rows * 768 * 4);
                CHECK(l.narrow.bytes == rows * 768 * each);
                CHECK(l.wide.bytes >= rows * 3 * 768 * each);
                CHECK(l.wide.bytes >= clips * 8 * 196 * 768 * 4);
                CHECK(l.hidden.bytes >= rows * 3072 * each);
                CHECK(l.hidden.bytes >= clips * 8 * 196 * 768 * each);
                CHECK(l.features.bytes == clips * 8 * 768 * 4);
                CHECK(l.logits.bytes == clips * 400 * 4);
                CHECK(l.result_bytes >= std::max(l.features.bytes, l.logits.bytes));
                CHECK(l.upload_data >= std::max<std::size_t>(pixels, 3 * 224 * 224 * 4));
                CHECK(l.upload[0].bytes == l.upload_head + l.upload_data);
            }
    workspace_layout const large{b16, dtype::bf16, 64, 0, false, 0, 0};
    CHECK(large.upload_data <= workspace_layout::upload_target);
    CHECK(large.adapted.bytes == 0);
    CHECK(large.rank.bytes == 0);
    CHECK_THROWS_AS((workspace_layout{b16, dtype::f32, std::size_t{1} << 58, 0, false, 0, 0}), model_error);
    CHECK_THROWS_AS((workspace_layout{b16, dtype::f32, std::numeric_limits<std::size_t>::max(), 0, false, 0, 0}), model_error);
}

TEST_CASE("cuda device_weights: tensors lie apart, a null base gives offsets and the same size") {
    vit_config const l14 = presets::clip_l14_k400_8f.config();
    adapter_layout const layout{{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter, adapter_site::MLP_Adapter_out}, 256};
    device_weights<with_adapters> const offsets{l14, layout, dtype::bf16, nullptr};
    alignas(256) static std::byte base[256];
    device_weights<with_adapters> const placed{l14, layout, dtype::bf16, base};
    CHECK(offsets.bytes == placed.bytes);
    CHECK(placed.conv1.inputs == 592); // 588 values, 16 bytes a chunk
    std::vector<std::pair<std::size_t, std::size_t>> all;
    auto const add = [&](void const* p, std::size_t bytes) { all.emplace_back(static_cast<std::size_t>(static_cast<std::byte const*>(p) - base), bytes); };
    auto const linear = [&](device_linear const& l) {
        add(l.weight, l.outputs * l.inputs * 2);
        if (l.bias != nullptr) add(l.bias, l.outputs * 2);
    };
    linear(placed.conv1);
    add(placed.class_embedding, 1024 * 4);
    add(placed.positional, 257 * 1024 * 4);
    add(placed.temporal, 8 * 1024 * 4);
    add(placed.head_weight, 400 * 1024 * 4);
    add(placed.head_bias, 400 * 4);
    for (auto const& block : placed.blocks) {
        for (auto const* each : {&block.in_proj, &block.out_proj, &block.c_fc, &block.c_proj}) linear(*each);
        for (auto const* norm : {&block.ln_1, &block.ln_2}) {
            add(norm->weight, 4096);
            add(norm->bias, 4096);
        }
        for (adapter_site_info const& each : adapter_sites) {
            auto const& adapter = block.adapters[each.site];
            REQUIRE(adapter.has_value() == layout.has(each.site));
            if (!adapter) continue;
            linear(adapter->down);
            linear(adapter->up);
        }
    }
    CHECK(apart(all, placed.bytes));
    auto const part = placed.blocks[0].in_proj.part(1024, 2048, 2);
    CHECK(part.weight == placed.blocks[0].in_proj.weight + 1024 * 1024 * 2);
    CHECK(part.bias == placed.blocks[0].in_proj.bias + 1024 * 2);
    // A merged block has nothing where adapters were.
    CHECK(sizeof(device_vit_block<no_adapters>) == sizeof(device_vit_block<with_adapters>) - sizeof(device_adapters));
}

TEST_CASE("cuda device_bytes: conversion with one rounding, padded rows") {
    stored_tensor weight{dtype::f32, shape{2, 3}};
    float const values[]{1.0F, 1.00390625F, -3.0F, 0.1F, 65520.0F, 0.0F}; // 1 + 2^-8: a tie for bf16
    std::memcpy(weight.bytes().data(), values, sizeof values);
    auto const bytes = device_bytes(weight, dtype::bf16, 3, 4, 1);
    REQUIRE(bytes.size() == 16);
    bf16 rows[8];
    std::memcpy(rows, bytes.data(), 16);
    for (std::size_t i = 0; i < 6; ++i) CHECK(rows[i / 3 * 4 + i % 3] == bf16(values[i]));
    CHECK(rows[3].bits == 0);
    CHECK(rows[7].bits == 0);
    auto const halves = device_bytes(weight, dtype::f16, 6, 6, 0.3);
    f16 half[6];
    std::memcpy(half, halves.data(), 12);
    for (std::size_t i = 0; i < 6; ++i) CHECK(half[i] == round_to<f16>(static_cast<double>(values[i]) * 0.3));
    auto const same = device_bytes(weight, dtype::f32, 3, 3, 1);
    CHECK(std::memcmp(same.data(), values, sizeof values) == 0);
    CHECK_THROWS_AS(static_cast<void>(device_bytes(stored_tensor{dtype::i8, shape{4}}, dtype::f32, 4, 4, 1)), precondition_error);
}
