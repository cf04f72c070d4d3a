// Where training takes its clips from: a file of clips or a list of videos.
#pragma once

#include "console.hpp"
#include "video_list.hpp"

#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/train/train_clips.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/tensor/tensor.hpp>
#include <zeroi2v/video/augment.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zeroi2v::program {

/// Labelled clips by number. Const members may run concurrently.
class train_source {
public:
    train_source() = default;
    train_source(train_source const&) = delete;
    train_source& operator=(train_source const&) = delete;
    virtual ~train_source() = default;

    [[nodiscard]] virtual std::size_t size() const noexcept = 0;
    [[nodiscard]] virtual std::vector<std::size_t> const& groups() const noexcept = 0;        ///< classes of each label set
    [[nodiscard]] virtual std::int64_t label(std::size_t i, std::size_t group) const noexcept = 0;
    /// Clip i (T,3,S,S) for training; `draw` is what its random choices depend on, beside the seed.
    /// Gives the labels as they then are: a flip may exchange them.
    /// Errors  a video that cannot be read -> video_error.
    [[nodiscard]] virtual std::vector<std::int64_t> read(std::size_t i, std::uint64_t draw, std::span<float> out) const = 0;
    /// All views (V,T,3,S,S) of sample i, without random choices.
    [[nodiscard]] virtual dynamic_tensor<float, 5> views(std::size_t i) const = 0;
    /// What the samples are known by when a run is taken up again.
    [[nodiscard]] virtual json_value fingerprint() const = 0;
    [[nodiscard]] virtual bool decodes() const noexcept = 0;                                  ///< reading takes long and may fail
};

/// How videos become clips.
struct video_reading {
    input_config input;
    video_options decoding{}; ///< threads aside: one decodes
    augmentation augment = augmentation::none;
    std::uint64_t seed = 0;
};

/// DATA or --val as it is given: a file of clips, or a list. A list is read at once, so that its videos count among the inputs.
struct train_data {
    std::filesystem::path path;
    std::shared_ptr<video_list const> videos{}; ///< of a list

    /// Errors  as video_list.
    explicit train_data(std::filesystem::path data);

    /// Errors  the file, or a video of the list, is `output` -> usage_error same_file.
    void require_output(replaced_file const& output) const;
    /// Errors  as video_list.
    void require_other_name(replaced_file const& output) const;
};

/// Errors  as labelled_clips; label sets or classes that are not the model's -> model_error bad_labels.
[[nodiscard]] std::unique_ptr<train_source> open_train_source(train_data const& data, vit_config const& config, std::function<video_reading()> const& reading, console const& out);

} // namespace zeroi2v::program
