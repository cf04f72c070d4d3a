#include <zeroi2v/io/checkpoints/vit_shapes.hpp>

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

tensor_info entry(std::string name, shape sizes) { return {std::move(name), dtype::f32, std::move(sizes)}; }

std::string block(std::size_t i, std::string const& rest) { return "backbone.transformer.resblocks." + std::to_string(i) + "." + rest; }

/// Width 8, patches of 4 pixels, 3x3 of them, 5 frames, 7 classes, 2 blocks.
std::vector<tensor_info> sound() {
    return {entry("backbone.class_embedding", {8}), entry("backbone.conv1.weight", {8, 3, 4, 4}), entry("backbone.positional_embedding", {10, 8}),
            entry("backbone.temporal_embedding", {1, 5, 8}), entry(block(0, "mlp.c_fc.bias"), {32}), entry(block(1, "ln_1.bias"), {8}),
            entry("cls_head.fc_cls.weight", {7, 8}), entry("cls_head.fc_cls.bias", {7})};
}
std::vector<tensor_info> with(std::vector<tensor_info> tensors, tensor_info more) {
    std::erase_if(tensors, [&](auto const& each) { return each.name == more.name; });
    tensors.push_back(std::move(more));
    return tensors;
}

/// The code of the error and whether its message names file and tensor; nothing where the shapes are read.
std::optional<error_code> refused(std::vector<tensor_info> const& tensors, std::string const& name = {}) {
    try {
        static_cast<void>(vit_shapes{tensors, "some.file"}.stated());
    } catch (model_error const& caught) {
        std::string const message = caught.what();
        CHECK(message.find("some.file: tensor ") == 0);
        CHECK(message.find(name) != std::string::npos);
        return caught.code();
    }
    return std::nullopt;
}

} // namespace

TEST_CASE("shapes say sizes, never heads, head offsets or scale") {
    auto const tensors = sound();
    vit_shapes const seen{tensors, "f"};
    CHECK(seen.layers() == 2);
    CHECK(seen.has_backbone());
    CHECK(seen.has_video_parts());
    CHECK(!seen.has_adapters());
    auto const stated = seen.stated();
    CHECK(stated.source == "f (shapes)");
    CHECK(stated.width == 8U);
    CHECK(stated.patch_size == 4U);
    CHECK(stated.image_size == 12U);
    CHECK(stated.frames == 5U);
    CHECK(stated.mlp_width == 32U);
    CHECK(stated.layers == 2U);
    CHECK(stated.classes == 7U);
    CHECK(!stated.heads);
    CHECK(!stated.head_offsets);
    CHECK(!stated.adapter_scale);
}

TEST_CASE("what is not there is not stated") {
    std::vector<tensor_info> const nothing;
    vit_shapes const empty{nothing, "f"};
    CHECK(!empty.has_backbone());
    CHECK(!empty.has_video_parts());
    CHECK(empty.layers() == 0);
    CHECK(empty.find("backbone.class_embedding") == nullptr);
    CHECK(!empty.stated().width);
    CHECK(!empty.stated().layers);
    for (auto const& each : sound()) {
        auto tensors = sound();
        std::erase_if(tensors, [&](auto const& other) { return other.name == each.name; });
        CAPTURE(each.name);
        CHECK(!refused(tensors));
    }
    // An image model: no temporal embedding, no head; the width comes from a layer norm where the class embedding is missing.
    std::vector<tensor_info> const image{entry("backbone.ln_pre.bias", {8}), entry(block(0, "mlp.c_fc.bias"), {32})};
    vit_shapes const seen{image, "f"};
    CHECK(seen.has_backbone());
    CHECK(!seen.has_video_parts());
    CHECK(seen.stated().width == 8U);
    CHECK(!seen.stated().frames);
}

TEST_CASE("a transposed matrix does not pass for another model") {
    auto const stated = [](tensor_info more) {
        auto const tensors = with(sound(), std::move(more));
        return vit_shapes{tensors, "f"}.stated();
    };
    CHECK(stated(entry("cls_head.fc_cls.weight", {8, 7})).classes == 7U);
    CHECK(stated(entry(block(0, "mlp.c_fc.weight"), {8, 32})).mlp_width == 32U);
    CHECK(!stated(entry("backbone.positional_embedding", {8, 10})).image_size); // the width tells; the shape is refused later, with both
}

TEST_CASE("a shape that no role has is refused with the tensor's name") {
    for (auto const& sizes : {shape{}, {8, 1}, {0}, {1, 8}}) CHECK(refused(with(sound(), entry("backbone.class_embedding", sizes)), "class_embedding") == error_code::bad_shape);
    for (auto const& sizes : {shape{}, {4}, {8, 3, 4}, {8, 3, 4, 0}, {8, 3, 1, 4, 4}}) CHECK(refused(with(sound(), entry("backbone.conv1.weight", sizes)), "conv1") == error_code::bad_shape);
    for (auto const& sizes : {shape{5, 8}, {1, 5, 8, 1}, {1, 0, 8}}) CHECK(refused(with(sound(), entry("backbone.temporal_embedding", sizes)), "temporal") == error_code::bad_shape);
    CHECK(refused(with(sound(), entry("cls_head.fc_cls.bias", {7, 1})), "fc_cls.bias") == error_code::bad_shape);
    CHECK(refused(with(sound(), entry(block(0, "mlp.c_fc.bias"), {4, 8})), "c_fc.bias") == error_code::bad_shape);
    CHECK(refused(with(sound(), entry("backbone.positional_embedding", {80}))) == error_code::bad_shape);
}

TEST_CASE("rows of the positional embedding are one more than a square") {
    for (std::size_t side = 1; side <= 40; ++side) {
        auto const at = [&](std::size_t rows) { return with(sound(), entry("backbone.positional_embedding", {rows, 8})); };
        auto const tensors = at(side * side + 1);
        CHECK(vit_shapes{tensors, "f"}.stated().image_size == side * 4);
        CHECK(refused(at(side * side), "positional_embedding") == error_code::bad_config);
        CHECK(refused(at(side * side + 2), "rows found") == error_code::bad_config);
    }
    CHECK(refused(with(sound(), entry("backbone.positional_embedding", {(std::size_t{1} << 48U) - 1, 8}))) == error_code::bad_config); // no overflow on the way
}

TEST_CASE("adapters of any block make the layout; the first one states the rank") {
    auto const layout_of = [](std::vector<std::pair<std::string, std::size_t>> const& adapters, std::size_t in_block = 0) {
        std::vector<tensor_info> tensors = sound();
        for (auto const& [name, rank] : adapters) tensors.push_back(entry(block(in_block, name + ".D_fc1.bias"), {rank}));
        return vit_shapes{tensors, "f"}.layout();
    };
    CHECK(layout_of({}) == adapter_layout::none());
    CHECK(layout_of({{"T_Adapter_in", 2}, {"S_Adapter", 3}, {"MLP_Adapter", 4}, {"MLP_Adapter_out", 5}}) == adapter_layout{{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 2});
    CHECK(layout_of({{"S_Adapter", 3}}, 1) == adapter_layout{{adapter_site::S_Adapter}, 3});
    CHECK(layout_of({{"MLP_Adapter_out", 6}}) == adapter_layout{{adapter_site::MLP_Adapter_out}, 6});
    CHECK(layout_of({{"T_Adapter_in_q", 2}, {"T_Adapter_in_k", 2}, {"T_Adapter_in_v", 2}}).sites == adapter_site_set{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v});
    CHECK(layout_of({{"X_Adapter", 3}}) == adapter_layout::none());
    std::vector<tensor_info> const without_rank{entry(block(0, "S_Adapter.D_fc2.weight"), {8, 2})};
    CHECK(vit_shapes{without_rank, "f"}.layout() == adapter_layout{{adapter_site::S_Adapter}, 0});
    CHECK(vit_shapes{without_rank, "f"}.has_adapters());
}

TEST_CASE("block numbers are whole numbers below the limit") {
    for (std::string const name : {"99999999999999999999.ln_1.bias", "4096.ln_1.bias", "-1.ln_1.bias", "+1.ln_1.bias", " 1.ln_1.bias", "x.ln_1.bias", "", "."}) {
        std::vector<tensor_info> const tensors{entry("backbone.transformer.resblocks." + name, {1})};
        CAPTURE(name);
        CHECK(vit_shapes{tensors, "f"}.layers() == 0);
    }
    std::vector<tensor_info> const last{entry(block(4095, "ln_1.bias"), {1})};
    CHECK(vit_shapes{last, "f"}.layers() == 4096);
}

TEST_CASE("numbers that no block has are found below the highest") {
    auto const missing = [](std::vector<std::size_t> const& numbers) {
        std::vector<tensor_info> tensors;
        for (auto const i : numbers) tensors.push_back(entry(block(i, "ln_1.bias"), {1}));
        return vit_shapes{tensors, "f"}.missing_blocks();
    };
    CHECK(missing({}).empty());
    CHECK(missing({0}).empty());
    CHECK(missing({2, 0, 1}).empty());
    CHECK(missing({0, 1, 3}) == std::vector<std::size_t>{2});
    CHECK(missing({1, 4}) == std::vector<std::size_t>{0, 2, 3});
}
