// training checkpoints: the state of a run beside its output, two of them at most, each complete or not there.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/config_json.hpp>
#include <zeroi2v/io/crc32.hpp>
#include <zeroi2v/io/json_value.hpp>
#include <zeroi2v/io/printable.hpp>
#include <zeroi2v/io/safetensors.hpp>
#include <zeroi2v/io/safetensors_writer.hpp>
#include <zeroi2v/io/tensor_info.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dirent.h>

namespace zeroi2v {

/// A run's place: its state, and what it was made by.
struct training_checkpoint {
    training_state state;
    json_value fingerprint; ///< an object: settings, model and data; equal where the run may go on
};

/// What differs between two fingerprints: `lr: 0.001 in the checkpoint, 0.002 now`; nothing where they are equal.
[[nodiscard]] inline std::vector<std::string> fingerprint_differences(json_value const& stored, json_value const& now,
                                                                      std::string_view there = "in the checkpoint", std::string_view here = "now") {
    std::vector<std::string> differences;
    auto const shown = [](json_value const* value) { return value == nullptr ? std::string{"nothing"} : value->dump(); };
    auto const compare = [&](std::string const& key) {
        auto const was = shown(stored.find(key)), is = shown(now.find(key));
        if (was != is) differences.push_back(key + ": " + was + " " + std::string{there} + ", " + is + " " + std::string{here});
    };
    if (auto const* const members = now.as_object()) std::ranges::for_each(members->names, compare);
    if (auto const* const members = stored.as_object())
        for (auto const& key : members->names)
            if (now.find(key) == nullptr) compare(key);
    return differences;
}

namespace detail {

inline constexpr char training_key[] = "zeroi2v.training";         ///< JSON: {"step":..,"fingerprint":{..}}
inline constexpr char training_sum_key[] = "zeroi2v.training_crc"; ///< CRC-32 of that JSON and of all tensors in the file's order

[[nodiscard]] inline std::span<std::byte const> bytes_of(std::string const& text) { return std::as_bytes(std::span{text.data(), text.size()}); }

} // namespace detail

/// Writes a checkpoint atomically.
/// Errors  as atomic_file; what stood under the name is untouched then.
inline void save_training_checkpoint(std::filesystem::path const& target, training_checkpoint const& checkpoint) {
    std::vector<tensor_info> declared;
    std::map<std::string_view, stored_tensor const*> tensors;
    for (auto const& [name, tensor] : checkpoint.state.tensors) {
        declared.push_back({name, tensor.type(), tensor.sizes()});
        tensors.emplace(name, &tensor);
    }
    std::sort(declared.begin(), declared.end(), detail::safetensors_before); // the order in which the writer wants them
    std::string const document = json_value::object({{"step", checkpoint.state.step}, {"fingerprint", checkpoint.fingerprint}}).dump();
    crc32 sum;
    sum.update(detail::bytes_of(document));
    for (auto const& info : declared) sum.update(tensors.at(info.name)->bytes());
    safetensors_writer writer{target, declared, {.metadata = {{"zeroi2v.version", version_string}, {detail::training_key, document}, {detail::training_sum_key, std::to_string(sum.value())}}}};
    for (auto const& info : writer.tensors()) writer.append(info.name, *tensors.at(info.name));
    writer.commit();
}

/// Reads a checkpoint and proves it whole.
/// Errors  checkpoint_error as safetensors_file; training_error bad_state: a file that is no training checkpoint (a model's
///         weights, say), or whose checksum is another.
[[nodiscard]] inline training_checkpoint load_training_checkpoint(std::filesystem::path const& path) {
    safetensors_file const file{path};
    auto const refuse = [&](std::string const& sentence) { return training_error{error_code::bad_state, file.source().name() + ": " + sentence}; };
    auto const& metadata = file.metadata();
    auto const text = metadata.find(detail::training_key), stored = metadata.find(detail::training_sum_key);
    if (text == metadata.end() || stored == metadata.end()) throw refuse("no training state found, a checkpoint of a run expected");
    training_checkpoint result;
    crc32 sum;
    sum.update(detail::bytes_of(text->second));
    for (auto const& info : file.tensors()) {
        result.state.tensors.emplace_back(info.name, file.read(info.name));
        sum.update(result.state.tensors.back().second.bytes());
    }
    if (std::to_string(sum.value()) != stored->second) throw refuse("checksum " + std::to_string(sum.value()) + " found, " + printable(stored->second, 40) + " expected");
    json_value document;
    try {
        document = detail::parse_config_object(text->second, file.source().name());
    } catch (error const&) { // left null: it has no step
    }
    auto const* const step = document.find("step");
    auto const* const fingerprint = document.find("fingerprint");
    if (step == nullptr || !step->as_unsigned() || fingerprint == nullptr || fingerprint->as_object() == nullptr)
        throw refuse("the training state says no step and fingerprint");
    result.state.step = *step->as_unsigned();
    result.fingerprint = *fingerprint;
    return result;
}

/// The checkpoints of a run that writes OUT: files OUT.ckpt-STEP beside it.
///
/// Errors  of the file system -> resource_error write_failed.    Test  tests/unit/io/train_checkpoint.cpp
class training_checkpoints {
public:
    static constexpr std::size_t kept = 2;

    explicit training_checkpoints(std::filesystem::path output) : output_{std::move(output)} {}

    [[nodiscard]] std::filesystem::path path_of(std::uint64_t step) const { return output_.native() + ".ckpt-" + std::to_string(step); }

    /// Steps of the files that have such a name, the newest first; other files are not looked at.
    [[nodiscard]] std::vector<std::uint64_t> steps() const {
        std::vector<std::uint64_t> found;
        std::string const prefix = output_.filename().native() + ".ckpt-";
        auto const folder = output_.parent_path().empty() ? std::filesystem::path{"."} : output_.parent_path();
        // directory_iterator's constructor with an error code is noexcept and allocates: no memory would be the program's end.
        struct close_folder {
            void operator()(DIR* open) const noexcept { ::closedir(open); }
        };
        std::unique_ptr<DIR, close_folder> const open{::opendir(folder.c_str())};
        if (!open && errno == ENOMEM) throw std::bad_alloc{};
        while (dirent const* const each = open ? ::readdir(open.get()) : nullptr) {
            std::string_view const name = each->d_name;
            if (!name.starts_with(prefix)) continue;
            std::string_view const digits = name.substr(prefix.size());
            std::uint64_t step = 0;
            auto const [stop, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
            if (bad == std::errc{} && stop == digits.data() + digits.size() && std::to_string(step) == digits) found.push_back(step);
        }
        std::sort(found.begin(), found.end(), std::greater<>{});
        return found;
    }

    /// Writes one, and only then removes those beyond the newest two; those of later steps too, from which no run went on.
    void save(training_checkpoint const& checkpoint) const {
        save_training_checkpoint(path_of(checkpoint.state.step), checkpoint);
        std::size_t whole = 0;
        for (std::uint64_t const step : steps())
            if (step > checkpoint.state.step || ++whole > kept) remove(step);
    }

    /// The newest that is whole; `bad(path, reason)` for each that is not. None where there is no file at all.
    /// Errors  files, but none of them whole -> training_error bad_state.
    template <class Bad>
    [[nodiscard]] std::optional<training_checkpoint> newest(Bad&& bad) const {
        auto const all = steps();
        for (std::uint64_t const step : all) {
            try {
                auto found = load_training_checkpoint(path_of(step));
                if (found.state.step != step)
                    throw training_error{error_code::bad_state, printable(path_of(step).native(), 4096) + ": step " + std::to_string(found.state.step) + " found, "
                                                                    + std::to_string(step) + " expected, as its name says"};
                return found;
            } catch (training_error const& fault) {
                bad(fault);
            } catch (checkpoint_error const& fault) {
                bad(fault);
            }
        }
        if (!all.empty())
            throw training_error{error_code::bad_state, printable(output_.native(), 4096) + ": " + std::to_string(all.size()) + " checkpoints found, none of them whole"};
        return std::nullopt;
    }

    /// Removes all of them: when the run's output is durable.
    void clear() const {
        for (std::uint64_t const step : steps()) remove(step);
    }

private:
    void remove(std::uint64_t step) const {
        std::error_code fault;
        std::filesystem::remove(path_of(step), fault);
        if (fault) throw resource_error{error_code::write_failed, printable(path_of(step).native(), 4096) + ": cannot be removed: " + fault.message()};
    }

    std::filesystem::path output_;
};

} // namespace zeroi2v
