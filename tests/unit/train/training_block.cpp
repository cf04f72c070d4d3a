// training_block: what it says of its adapters.
#include <zeroi2v/train/training_block.hpp>

#include <zeroi2v/model/init.hpp>
#include <zeroi2v/ops/default_kernels.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>

using namespace zeroi2v;

namespace {

constexpr std::size_t width = 12;

constexpr adapter_site_set shared_sites{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out};
constexpr adapter_site_set separate_sites{adapter_site::T_Adapter_in_q, adapter_site::T_Adapter_in_k, adapter_site::T_Adapter_in_v, adapter_site::S_Adapter,
                                          adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out};

stored_linear_adapter adapter_of(std::size_t rank) {
    auto const zeros = [](shape sizes) { return stored_tensor::zeros(dtype::f32, sizes); };
    return {{zeros({rank, width}), zeros({rank})}, {zeros({width, rank}), zeros({width})}};
}

std::size_t rank_of(adapted_vit& weights) {
    trained_tensors const trained{weights, trainable_set::only_head()};
    return training_block{weights.blocks[0], weights.adapters.blocks[0], trained, {.kernels = &default_kernels<>(), .adapter_scale = 0.5}}.rank();
}

} // namespace

TEST_CASE("the rank of a training block is that of its largest adapter, wherever it stands") {
    vit_config const config{{.image_size = 16, .patch_size = 8, .frames = 2, .width = width, .layers = 1, .heads = 3, .mlp_width = 20, .classes = 5}, frame_map<>{3}, 0.5};
        for (adapter_site_set const& kind : {shared_sites, separate_sites}) {
        auto weights = random_weights<with_adapters>(config, {kind, 3}, {.seed = 1});
        CHECK(rank_of(weights) == 3);
        for (auto& adapter : weights.adapters.blocks[0].at) {
            if (!adapter) continue;
            adapter = adapter_of(7);
            CHECK(rank_of(weights) == 7);
            adapter = adapter_of(3);
        }
    }
    auto plain = random_weights<with_adapters>(config, adapter_layout::none(), {.seed = 1});
    CHECK(rank_of(plain) == 0);
}
