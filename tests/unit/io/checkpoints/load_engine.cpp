#include <zeroi2v/io/checkpoints/load_engine.hpp>

#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/model/init.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

using namespace zeroi2v;

namespace {

vit_config small() {
    return vit_config{{.image_size = 16, .patch_size = 8, .frames = 3, .width = 24, .layers = 3, .heads = 3, .mlp_width = 40, .classes = 5},
                      frame_map<>{3, {{.head = 0, .offset = -1}, {.head = 2, .offset = 1}}}, 0.5};
}

std::vector<float> logits_of(auto const& engine) {
    dynamic_tensor<float, 4> clip{3, 3, 16, 16};
    for (std::size_t i = 0; i < clip.size(); ++i) clip.data()[i] = static_cast<float>(i % 17) / 8.0F - 1.0F;
    auto const logits = engine(clip);
    return {logits.data(), logits.data() + logits.size()};
}

} // namespace

TEST_CASE("an engine packed from its file answers in the bits of one packed from loaded weights") {
    test::temporary_folder const folder;
    auto const path = folder / "model.safetensors";
    save_vit(path, random_weights<with_adapters>(small(), default_adapters(24), {.seed = 3, .adapters = adapter_init::random}));
    auto const file = load_checkpoint(path);
    vit_file const source{file};
    auto const config = source.config(stated_by(small()));
    for (auto const type : {dtype::f32, dtype::bf16, dtype::i8})
        CHECK(logits_of(load_engine<with_adapters>(source, config, {.dtype = type}))
              == logits_of(vit_engine<with_adapters>{source.load<with_adapters>(config), {.dtype = type}}));
}

TEST_CASE("a file that does not fit is refused before a weight is read") {
    test::temporary_folder const folder;
    auto const path = folder / "model.safetensors";
    save_vit(path, random_weights<with_adapters>(small(), default_adapters(24), {.seed = 3}));
    auto const file = load_checkpoint(path);
    vit_file const source{file};
    auto const config = source.config(stated_by(small()));
    CHECK_FAULT(test::fault_of([&] { static_cast<void>(load_engine<no_adapters>(source, config)); }), error_code::unexpected_tensors, 4);
    vit_config const wide{{.image_size = 16, .patch_size = 8, .frames = 3, .width = 24, .layers = 3, .heads = 3, .mlp_width = 48, .classes = 5},
                          small().map(), 0.5};
    CHECK_FAULT(test::fault_of([&] { static_cast<void>(load_engine<with_adapters>(source, wide)); }), error_code::bad_shape, 4);
}
