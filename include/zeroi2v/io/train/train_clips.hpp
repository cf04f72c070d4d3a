// labelled_clips: a safetensors file of clips and their labels, read clip by clip.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file_checksum.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Tensors `clips` (M,T,3,S,S) of F32, F16 or BF16, `labels` (M) or (M,G) of I64 or I32, and with G label sets `label_groups`
/// (G): the classes of each. Other tensors are ignored.
///
/// Errors  checkpoint_error: those of safetensors_file; bad_tensor, unsupported_dtype for what is missing or of another type.
///         model_error: bad_shape where clips are not the model's; bad_labels where labels do not fit its classes, with the
///         first of them.
/// Cost    opening: labels only; a clip: one read.    Test  tests/unit/io/train/train_clips.cpp
class labelled_clips {
public:
    labelled_clips(std::filesystem::path path, vit_config const& config) : file_{std::move(path)} {
        auto const& clips = find("clips");
        auto const& s = clips.sizes;
        if (!is_weight_dtype(clips.type)) fail_type("clips", clips.type, "F32, F16 or BF16");
        std::size_t const size = config.image_size();
        if (s.rank() != 5 || s[0] == 0 || s[1] != config.frames() || s[2] != 3 || s[3] != size || s[4] != size)
            throw model_error{error_code::bad_shape, at("clips") + "shape " + to_string(s) + " found, (M," + std::to_string(config.frames()) + ",3,"
                                                         + std::to_string(size) + "," + std::to_string(size) + ") with M of 1 or more expected"};
        type_ = clips.type;
        count_ = s[0];
        values_ = config.clip_values();
        read_labels(config.classes());
    }

    [[nodiscard]] std::size_t size() const noexcept { return count_; }                                  ///< M
    [[nodiscard]] std::vector<std::size_t> const& groups() const noexcept { return groups_; }           ///< (G), adding up to the classes
    [[nodiscard]] std::span<std::int64_t const> labels() const noexcept { return labels_; }             ///< (M,G)
    [[nodiscard]] std::span<std::int64_t const> labels(std::size_t i) const noexcept { return std::span{labels_}.subspan(i * groups_.size(), groups_.size()); }
    [[nodiscard]] std::string const& name() const noexcept { return file_.source().name(); }

    /// Clip i (T,3,S,S), widened.
    void read(std::size_t i, std::span<float> out) const {
        ZEROI2V_REQUIRE(i < count_ && out.size() == values_, "zeroi2v::labelled_clips::read: a clip of the file, into its size");
        std::uint64_t const first = static_cast<std::uint64_t>(i) * values_ * size_of(type_);
        if (type_ == dtype::f32) {
            file_.read_part("clips", first, std::as_writable_bytes(out));
            return;
        }
        stored_tensor narrow{type_, shape{values_}};
        file_.read_part("clips", first, narrow.bytes());
        narrow.widen(0, out);
    }

    /// CRC-32 of the whole file: what a resumed run knows its data by. Reads it once.
    [[nodiscard]] std::uint32_t checksum() const { return file_checksum(file_.source()); }

private:
    [[nodiscard]] std::string at(std::string const& tensor) const { return name() + ": tensor \"" + tensor + "\": "; }
    [[noreturn]] void fail_type(char const* tensor, dtype found, char const* expected) const {
        throw checkpoint_error{error_code::unsupported_dtype, at(tensor) + "dtype " + std::string{dtype_name(found)} + " found, " + expected + " expected"};
    }
    [[nodiscard]] tensor_info const& find(char const* tensor) const {
        auto const* const info = file_.find(tensor);
        if (info == nullptr) throw checkpoint_error{error_code::bad_tensor, at(tensor) + "not there, clips and labels expected"};
        return *info;
    }
    [[nodiscard]] std::vector<std::int64_t> integers(char const* tensor) const {
        auto const& info = find(tensor);
        if (info.type != dtype::i64 && info.type != dtype::i32) fail_type(tensor, info.type, "I64 or I32");
        auto const stored = file_.read(tensor);
        std::vector<std::int64_t> values(stored.count());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = info.type == dtype::i64 ? stored.as<std::int64_t>()[i] : std::int64_t{stored.as<std::int32_t>()[i]};
        return values;
    }

    void read_labels(std::size_t classes) {
        auto const& s = find("labels").sizes;
        bool const several = file_.find("label_groups") != nullptr;
        std::size_t const sets = s.rank() == 2 ? s[1] : 1;
        if ((s.rank() != 1 && s.rank() != 2) || s[0] != count_ || (sets != 1 && !several))
            throw model_error{error_code::bad_shape, at("labels") + "shape " + to_string(s) + " found, (" + std::to_string(count_)
                                                         + ") expected, or (" + std::to_string(count_) + ",G) with label_groups (G)"};
        groups_ = {classes};
        if (several) {
            auto const stated = integers("label_groups");
            std::size_t sum = 0;
            groups_.clear();
            for (std::int64_t const each : stated) {
                if (each < 1 || static_cast<std::uint64_t>(each) > classes) break;
                groups_.push_back(static_cast<std::size_t>(each));
                sum += groups_.back();
            }
            if (stated.size() != sets || groups_.size() != sets || sum != classes)
                throw model_error{error_code::bad_labels, at("label_groups") + std::to_string(stated.size()) + " label sets of " + std::to_string(sum) + " classes together found, "
                                                              + std::to_string(sets) + " of " + std::to_string(classes) + " classes expected, as labels and model have"};
        }
        labels_ = integers("labels");
        for (std::size_t i = 0; i < labels_.size(); ++i) {
            std::size_t const most = groups_[i % sets];
            if (labels_[i] < 0 || static_cast<std::uint64_t>(labels_[i]) >= most)
                throw model_error{error_code::bad_labels, at("labels") + "clip " + std::to_string(i / sets) + ": class " + std::to_string(labels_[i]) + " found, 0 to "
                                                              + std::to_string(most - 1) + " expected"};
        }
    }

    safetensors_file file_;
    dtype type_{};
    std::size_t count_{}, values_{};
    std::vector<std::size_t> groups_;
    std::vector<std::int64_t> labels_;
};

} // namespace zeroi2v
