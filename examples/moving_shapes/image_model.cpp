#include "image_model.hpp"

#include "dataset.hpp"

#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/stated_config.hpp>
#include <zeroi2v/model/vit_config.hpp>

#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>

namespace moving_shapes {
namespace {

constexpr std::size_t heads = 8;

zeroi2v::vit_config config_of_stills() {
    return zeroi2v::vit_config{{.image_size = clip_side, .patch_size = 8, .frames = 1, .width = 64, .layers = 4, .heads = heads, .mlp_width = 256,
                                .classes = std::accumulate(still_groups.begin(), still_groups.end(), std::size_t{0})},
                               zeroi2v::frame_map<>{heads}};
}

/// What init's numbers are multiplied by, so that a layer's output is as large as its input.
float growth(zeroi2v::parameter_role role, zeroi2v::shape const& sizes) {
    constexpr float drawn = 0.02F;
    if (role == zeroi2v::parameter_role::embedding) return 0.5F / drawn;
    if (role != zeroi2v::parameter_role::weight) return 1;
    return 1 / std::sqrt(static_cast<float>(sizes.count() / sizes[0])) / drawn;
}

} // namespace

void write_image_model(std::filesystem::path const& target, std::uint64_t seed) {
    zeroi2v::merged_vit weights = zeroi2v::random_weights<zeroi2v::no_adapters>(config_of_stills(), zeroi2v::adapter_layout::none(), {.seed = seed});
    zeroi2v::for_each_tensor(weights, [](std::string const&, zeroi2v::stored_tensor& tensor, zeroi2v::shape const& sizes, zeroi2v::parameter_role role) {
        float const factor = growth(role, sizes);
        for (float& value : tensor.as<float>()) value *= factor;
    });
    namespace key = zeroi2v::metadata_key;
    zeroi2v::save_vit(target, weights, {.metadata = {{key::version, zeroi2v::version_string},
                                                     {key::config, zeroi2v::to_json(zeroi2v::stated_by(weights.config)).dump()},
                                                     {key::merged, "false"},
                                                     {key::untrained, "all"}}});
}

} // namespace moving_shapes
