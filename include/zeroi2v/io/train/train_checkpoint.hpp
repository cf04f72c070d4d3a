// training checkpoints: the state of a run beside its output, two of them at most, each complete or not there.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
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
#include <sys/stat.h>
#include <unistd.h>

namespace zeroi2v {

/// A run's place: its state, and what it was made by.
struct training_checkpoint {
    training_state state;
    json_value fingerprint; ///< an object: settings, model and data; equal where the run may go on
    std::optional<std::uint64_t> run{}; ///< the run's own number, kept when it goes on; absent: that of its fingerprint
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

/// The number of a run that begins with this fingerprint.
[[nodiscard]] inline std::uint64_t run_number(json_value const& fingerprint) {
    return crc32::of(bytes_of(fingerprint.dump()));
}

/// What tells one file under a name from another, and from itself once somebody has written into it.
struct file_stamp {
    file_identity identity{};
    std::int64_t size{}, seconds{}, nanoseconds{};
    friend bool operator==(file_stamp const&, file_stamp const&) noexcept = default;
};

/// Of the name itself; nothing where no regular file stands there, as for a link.
[[nodiscard]] inline std::optional<file_stamp> stamp_of(std::filesystem::path const& path) noexcept {
    struct ::stat there {};
    if (::lstat(path.c_str(), &there) != 0 || !S_ISREG(there.st_mode)) return std::nullopt;
    return file_stamp{identity_of(there), there.st_size, there.st_mtim.tv_sec, there.st_mtim.tv_nsec};
}

[[nodiscard]] inline bool stands_there(std::filesystem::path const& path) noexcept {
    struct ::stat there {};
    return ::lstat(path.c_str(), &there) == 0;
}

/// Whether a file begins as a training checkpoint does, be the rest whole or not. An empty one does: a machine that lost its
/// power may leave it.
[[nodiscard]] inline bool begins_as_training_checkpoint(std::filesystem::path const& path) {
    if (!stamp_of(path)) return false;
    try {
        file const opened{path};
        std::string front(static_cast<std::size_t>(std::min<std::uint64_t>(opened.size(), 256)), '\0');
        opened.read_at(0, std::as_writable_bytes(std::span{front}));
        return front.empty() || (front.size() > 8 && front[8] == '{' && front.find(training_key) != std::string::npos);
    } catch (checkpoint_error const&) {
        return false;
    }
}

} // namespace detail

/// Writes a checkpoint atomically.
/// Errors  as atomic_file; what stood under the name is untouched then.
inline void save_training_checkpoint(std::filesystem::path const& target, training_checkpoint const& checkpoint, if_there what = if_there::replace) {
    std::vector<tensor_info> declared;
    std::map<std::string_view, stored_tensor const*> tensors;
    for (auto const& [name, tensor] : checkpoint.state.tensors) {
        declared.push_back({name, tensor.type(), tensor.sizes()});
        tensors.emplace(name, &tensor);
    }
    std::sort(declared.begin(), declared.end(), detail::safetensors_before); // the order in which the writer wants them
    std::string const document = json_value::object({{"step", checkpoint.state.step}, {"run", checkpoint.run.value_or(detail::run_number(checkpoint.fingerprint))},
                                                     {"fingerprint", checkpoint.fingerprint}}).dump();
    crc32 sum;
    sum.update(detail::bytes_of(document));
    for (auto const& info : declared) sum.update(tensors.at(info.name)->bytes());
    safetensors_writer writer{target, declared, {.metadata = {{"zeroi2v.version", version_string}, {detail::training_key, document}, {detail::training_sum_key, std::to_string(sum.value())}}}};
    for (auto const& info : writer.tensors()) writer.append(info.name, *tensors.at(info.name));
    writer.commit(what);
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
    auto const* const run = document.find("run"); // absent in files of older programs
    result.run = run != nullptr && run->as_unsigned() ? *run->as_unsigned() : detail::run_number(result.fingerprint);
    return result;
}

/// The checkpoints of a run that writes OUT: files OUT.ckpt-STEP beside it.
///
/// Nobody typed these names. So a file under one of them is replaced or removed only where this object wrote it, or `newest`
/// found it to be of the run that goes on, and where it has not changed since.
/// Errors  of the file system -> resource_error write_failed.    Test  tests/unit/io/train/train_checkpoint.cpp
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
        if (!open && detail::is_lack(errno)) throw resource_error{error_code::open_failed, printable(folder.native(), 4096) + ": cannot be opened: " + detail::errno_text(errno)};
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
    /// Errors  a file of somebody else under its name -> resource_error write_failed; that file stays.
    void save(training_checkpoint const& checkpoint) {
        std::uint64_t const now = checkpoint.state.step;
        auto const path = path_of(now);
        bool const stands = detail::stands_there(path);
        auto const known = own_.find(now);
        if (stands && (known == own_.end() || detail::stamp_of(path) != known->second))
            throw resource_error{error_code::write_failed, printable(path.native(), 4096) + ": a file found that this run did not write, none expected; it stays as it is"};
        save_training_checkpoint(path, checkpoint, stands ? if_there::replace : if_there::refuse);
        if (auto const stamp = detail::stamp_of(path)) own_.insert_or_assign(now, *stamp);
        std::size_t whole = 0;
        for (auto each = own_.rbegin(); each != own_.rend(); ++each)
            if (each->first > now || ++whole > kept) remove(each->first, each->second);
        std::erase_if(own_, [this](auto const& each) { return !detail::stands_there(path_of(each.first)); });
    }

    /// The newest that is whole; `bad(fault)` for each that is not. None where there is no file at all. The files that say
    /// that they are of its run, whole or not, count from then on as this object's own. One that is too damaged to say whose
    /// it is, or empty, is nobody's, and stays.
    /// Errors  none of the files whole, or one that is no checkpoint or that of another run -> training_error bad_state; all
    ///         files stay.
    template <class Bad>
    [[nodiscard]] std::optional<training_checkpoint> newest(Bad&& bad) {
        auto const all = steps();
        auto const refuse = [this](std::uint64_t step, std::string const& sentence) {
            return training_error{error_code::bad_state, printable(path_of(step).native(), 4096) + ": " + sentence};
        };
        std::string const none_whole = std::to_string(all.size()) + " checkpoints found, none of them whole";
        auto const is_ours = [this](std::uint64_t step) { return detail::begins_as_training_checkpoint(path_of(step)); };
        if (auto const foreign = std::find_if_not(all.begin(), all.end(), is_ours); foreign != all.end())
            throw refuse(*foreign, "no training state found, a checkpoint of this output expected; it stays as it is"
                                       + (std::none_of(all.begin(), all.end(), is_ours) ? "; " + none_whole : ""));
        std::optional<training_checkpoint> found;
        for (std::uint64_t const step : all) {
            try {
                found = load_training_checkpoint(path_of(step));
                if (found->state.step == step) break;
                std::uint64_t const other = std::exchange(found, std::nullopt)->state.step;
                throw refuse(step, "step " + std::to_string(other) + " found, " + std::to_string(step) + " expected, as its name says");
            } catch (training_error const& fault) {
                bad(fault);
            } catch (checkpoint_error const& fault) {
                bad(fault);
            }
        }
        if (!found) {
            if (!all.empty()) throw training_error{error_code::bad_state, printable(output_.native(), 4096) + ": " + none_whole};
            return std::nullopt;
        }
        std::map<std::uint64_t, detail::file_stamp> own;
        for (std::uint64_t const step : all) {
            auto const run = run_of(step);
            if (run && *run != *found->run)
                throw refuse(step, "a checkpoint of another run than " + printable(path_of(found->state.step).native(), 4096) + " found, of the same expected; it stays as it is");
            if (!run) {
                if (step > found->state.step) continue; // named already
                bad(refuse(step, "no number of a run can be read; it stays as it is"));
                continue;
            }
            if (auto const stamp = detail::stamp_of(path_of(step))) own.emplace(step, *stamp);
        }
        own_ = std::move(own);
        return found;
    }

    /// Removes those of this run: when its output is durable.
    void clear() {
        for (auto const& [step, stamp] : own_) remove(step, stamp);
        own_.clear();
    }

private:
    /// The number of the run that a file's header says it is of, be the tensors behind it whole or not; nothing where no
    /// header of a training checkpoint can be read.
    [[nodiscard]] std::optional<std::uint64_t> run_of(std::uint64_t step) const {
        try {
            auto const metadata = detail::read_safetensors_metadata(file{path_of(step)});
            auto const text = metadata.find(detail::training_key);
            if (text == metadata.end()) return std::nullopt;
            auto const document = detail::parse_config_object(text->second, path_of(step).native());
            auto const* const fingerprint = document.find("fingerprint");
            if (fingerprint == nullptr) return std::nullopt;
            auto const* const run = document.find("run");
            return run != nullptr && run->as_unsigned() ? *run->as_unsigned() : detail::run_number(*fingerprint);
        } catch (checkpoint_error const&) {
            return std::nullopt;
        } catch (model_error const&) { // no object
            return std::nullopt;
        }
    }

    /// Where the file is still the one that was seen.
    void remove(std::uint64_t step, detail::file_stamp const& stamp) const {
        auto const path = path_of(step);
        if (detail::stamp_of(path) != stamp || ::unlink(path.c_str()) == 0 || errno == ENOENT) return;
        throw resource_error{error_code::write_failed, printable(path.native(), 4096) + ": cannot be removed: " + detail::errno_text(errno)};
    }

    std::map<std::uint64_t, detail::file_stamp> own_;
    std::filesystem::path output_;
};

} // namespace zeroi2v
