// What train and few-shot are told: the recipe, as a table of options and as values.
#pragma once

#include "arguments.hpp"

#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/train/trainable.hpp>
#include <zeroi2v/video/augment.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {

/// How a model is trained; the defaults are ZeroI2V's recipe.
struct train_settings {
    std::optional<std::uint64_t> steps, epochs; ///< neither: 40 epochs
    std::uint64_t batch = 64, accumulate = 1;
    double lr = 3e-4, weight_decay = 0.05, backbone_lr_scale = 1;
    bool cosine = true;
    double warmup_epochs = 2.5;
    double label_smoothing = 0, adapter_dropout = 0.1, head_dropout = 0.5;
    std::string augment = "none";
    bool shuffled = true;
    std::string trainable = "adapters", freeze{};
    std::uint64_t seed = 0;
    bool recompute = false;
    std::size_t decode_threads = 2;
    std::optional<std::uint64_t> bad_videos; ///< the most that may be bad; none stated: one in a hundred, at least 1
    std::uint64_t val_every = 0;             ///< steps; 0: each epoch

    /// Errors  as arguments; a number outside its range -> usage_error.
    explicit train_settings(arguments const& typed);

    [[nodiscard]] std::uint64_t clips_per_step() const noexcept { return batch * accumulate; }
    [[nodiscard]] trainable_set trains() const;
    [[nodiscard]] augmentation augmentation_kind() const noexcept {
        return augment == "k400" ? augmentation::k400 : augment == "ssv2" ? augmentation::ssv2 : augmentation::none;
    }
    /// What a resumed run must have in common with the one that it goes on from; threads and memory are not among it.
    [[nodiscard]] json_value fingerprint() const;
};

/// The options of train_settings, in groups.
[[nodiscard]] std::vector<option_spec> schedule_group();
[[nodiscard]] std::vector<option_spec> recipe_group();

/// The value as a number in [least, most].
/// Errors  anything else -> usage_error bad_number with the range.
[[nodiscard]] std::optional<double> real_option(arguments const& typed, std::string_view option, double least, double most);

} // namespace zeroi2v::program
