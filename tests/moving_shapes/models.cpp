// What can be said of a model before it is trained: whether the order of frames changes its answer. And the model that is kept: right
// about the videos that are kept with it, before and after merging.
#include "dataset.hpp"
#include "image_model.hpp"
#include "render.hpp"
#include "scene.hpp"

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>

using namespace moving_shapes;

namespace {

namespace fs = std::filesystem;
using clip = zeroi2v::dynamic_tensor<float, 4>; // (T,3,S,S)

/// The clip with its frames in reverse order.
clip flipped(clip const& forward) {
    clip backward{clip_frames, std::size_t{3}, clip_side, clip_side};
    std::size_t const values = forward.size() / clip_frames;
    for (std::size_t frame = 0; frame < clip_frames; ++frame)
        std::copy_n(forward.data() + frame * values, values, backward.data() + (clip_frames - 1 - frame) * values);
    return backward;
}

clip clip_of(std::size_t label) { return through_a_file(render(draw_scene(5, label, label, clip_frames))); }

/// Random weights, adapters included, as large as the image model's, with these head offsets.
zeroi2v::adapted_vit random_model(std::vector<int> const& offsets) {
    zeroi2v::vit_config const config{{.image_size = clip_side, .patch_size = 8, .frames = clip_frames, .width = 64, .layers = 4, .heads = 8, .mlp_width = 256, .classes = classes},
                                     zeroi2v::frame_map<>{std::span<int const>{offsets}}, 1.0};
    auto weights = zeroi2v::random_weights<zeroi2v::with_adapters>(config, zeroi2v::default_adapters(64), {.seed = 1, .adapters = zeroi2v::adapter_init::random});
    zeroi2v::for_each_tensor(weights, [](std::string const&, zeroi2v::stored_tensor& tensor, zeroi2v::shape const&, zeroi2v::parameter_role role) {
        bool const norm = role == zeroi2v::parameter_role::norm_weight || role == zeroi2v::parameter_role::norm_bias;
        for (float& value : tensor.as<float>()) value *= norm ? 1.0F : 6.0F;
    });
    return weights;
}

zeroi2v::engine_options const running{.threads = 1, .kernels = &zeroi2v::best_kernels()};

/// The largest |logit of a clip - logit of the clip backwards| over a clip of every motion, and the largest logit.
struct order_effect {
    double difference = 0, largest = 0;
};
template <class Adapters>
order_effect effect_of_order(zeroi2v::vit_weights<Adapters> const& weights) {
    zeroi2v::vit_engine const engine{weights, running};
    order_effect effect;
    for (std::size_t label = 0; label < motions; ++label) {
        clip const forward = clip_of(label);
        auto const a = engine(forward), b = engine(flipped(forward));
        for (std::size_t i = 0; i < classes; ++i) {
            effect.difference = std::max(effect.difference, std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
            effect.largest = std::max(effect.largest, std::abs(static_cast<double>(a.data()[i])));
        }
    }
    return effect;
}

constexpr float embedding_size = 0.5F;

void draw_temporal_embedding(zeroi2v::adapted_vit& weights) {
    auto const values = weights.temporal_embedding.as<float>();
    zeroi2v::counter_rng const random{1};
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = embedding_size * random.normal(i);
}

struct kept_video {
    fs::path path;
    std::size_t label{};
};

std::vector<kept_video> kept_videos() {
    fs::path const folder = ZEROI2V_KEPT_SHAPES;
    std::ifstream list{folder / "list.txt"};
    std::vector<kept_video> videos;
    std::string name;
    for (std::size_t label = 0; list >> name >> label;) videos.push_back({folder / name, label});
    return videos;
}

template <class Adapters>
std::size_t answer(zeroi2v::vit_engine<Adapters> const& engine, fs::path const& path) {
    auto const video = zeroi2v::preprocess_video(path, input, clip_frames, clip_side);
    clip frames{clip_frames, std::size_t{3}, clip_side, clip_side};
    std::copy_n(video.clip.data(), frames.size(), frames.data());
    auto const logits = engine(frames);
    return static_cast<std::size_t>(std::max_element(logits.data(), logits.data() + classes) - logits.data());
}

} // namespace

TEST_CASE("frames one at a time, no temporal embedding: a clip and the same clip backwards get the same logits") {
    auto const effect = effect_of_order(random_model({0, 0, 0, 0, 0, 0, 0, 0}));
    CHECK(effect.largest > 0.1);
    CHECK(effect.difference <= 1e-5);
}

TEST_CASE("heads that read other frames, or a temporal embedding, make a difference") {
    CHECK(effect_of_order(random_model({-1, -1, 1, 1, 0, 0, 0, 0})).difference > 1e-3);
    CHECK(effect_of_order(random_model({-1, 0, 0, 0, 0, 0, 0, 0})).difference > 1e-3);
    auto timed = random_model({0, 0, 0, 0, 0, 0, 0, 0});
    draw_temporal_embedding(timed);
    CHECK(effect_of_order(timed).difference > 1e-3);
}

TEST_CASE("the untrained image model is one that init takes") {
    fs::path const path = fs::temp_directory_path() / ("moving_shapes_model_" + std::to_string(::getpid()) + ".safetensors");
    write_image_model(path, 3);
    auto const model = zeroi2v::load_merged_vit(zeroi2v::load_checkpoint(path));
    fs::remove(path);
    CHECK(model.config.frames() == 1);
    CHECK(model.config.image_size() == clip_side);
    CHECK(model.config.classes() == 41);
}

TEST_CASE("the kept model answers its videos right, before and after merging; two of them are each other's reverse") {
    auto const videos = kept_videos();
    REQUIRE(videos.size() == 4);
    auto const file = zeroi2v::load_checkpoint(fs::path{ZEROI2V_KEPT_SHAPES} / "both.safetensors");
    auto const adapted = zeroi2v::load_adapted_vit(file, zeroi2v::vit_file{file}.config());
    auto const merged = zeroi2v::merge(adapted);
    zeroi2v::vit_engine const before{adapted, running};
    zeroi2v::vit_engine const after{merged.model, running};
    for (auto const& each : videos) {
        CAPTURE(each.path.string());
        CHECK(answer(before, each.path) == each.label);
        CHECK(answer(after, each.path) == each.label);
    }
    CHECK(videos[1].label == reversed(videos[0].label));
    auto const pixels = [](fs::path const& path) {
        auto const video = zeroi2v::preprocess_video(path, input, clip_frames, clip_side);
        clip frames{clip_frames, std::size_t{3}, clip_side, clip_side};
        std::copy_n(video.clip.data(), frames.size(), frames.data());
        return frames;
    };
    clip const first = pixels(videos[0].path), second = flipped(pixels(videos[1].path));
    CHECK(std::equal(first.data(), first.data() + first.size(), second.data()));
}
