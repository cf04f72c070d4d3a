// The C++ of docs/training.md.
#include <zeroi2v/zeroi2v.hpp>

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/train/train_clips.hpp>

#include <cstdint>
#include <filesystem>
#include <vector>

void training(std::filesystem::path const& start, std::filesystem::path const& data) {
    auto const file = zeroi2v::load_checkpoint(start);
    zeroi2v::vit_file const source{file};
    auto weights = source.load<zeroi2v::with_adapters>(source.config());
    zeroi2v::labelled_clips const clips{data, weights.config};

    zeroi2v::trainer training{std::move(weights), {.head_dropout = 0.5, .label_groups = clips.groups(), .threads = 2}};
    zeroi2v::lr_schedule const schedule{.steps_per_epoch = clips.size(), .total_steps = 40 * clips.size()};
    auto const& config = training.config();
    std::vector<float> clip(config.clip_values());
    for (std::uint64_t step = 0; step < schedule.total_steps; ++step) { // batches of one clip
        std::size_t const i = step % clips.size();
        clips.read(i, clip);
        zeroi2v::view<float const, 5> const batch{clip.data(), 1, config.frames(), 3, config.image_size(), config.image_size()};
        auto const [number, loss] = training.step(batch, clips.labels(i), 3e-4 * schedule.factor(step));
        static_cast<void>(number);
        static_cast<void>(loss);
    }
    zeroi2v::save_vit("adapted.safetensors", training.weights());
    zeroi2v::training_state const state = training.state(); // all that restore() needs
    static_cast<void>(state);
}
