// torch_file: the tensors of a PyTorch file (.pth, .pt), found without executing anything in it.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/torch/pickle.hpp>
#include <zeroi2v/io/torch/strided_read.hpp>
#include <zeroi2v/io/torch/torch_state_dict.hpp>
#include <zeroi2v/io/torch/torch_tensor.hpp>
#include <zeroi2v/io/torch/zip.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

static_assert(std::endian::native == std::endian::little,
              "zeroi2v::io: files hold little-endian elements, and so must this machine");

/// An open PyTorch archive: what torch.save writes since 1.6, or a TorchScript archive. Moves only; const members may
/// run concurrently.
///
/// Opening reads and proves the ZIP directory, the pickle and every tensor's place in its storage; then each tensor is
/// read by pread on demand, row-major, whatever its strides. The CRC-32 of a storage is verified the first time that
/// something is read from it: in the same pass where a tensor is the whole storage, in a pass of its own where it is a
/// part. An archive without checksums is read without.
///
/// Tensors  those of the one dict with the names of an encoder, whatever it is called; without such a dict, those under
///          `state_dict`, else under `model`, else of the root. Nested dicts and the modules of a TorchScript archive give
///          dotted names. Tensors that are sparse, quantized, nested, meta or conjugated are `unreadable`; to ask for one
///          is an error that says what it is.
/// Errors   checkpoint_error bad_zip, bad_pickle, bad_tensor, duplicate_key, name_too_long, too_many_tensors,
///          no_tensors; unsupported_layout: the pre-1.6 and tar layouts, big-endian storages, whole pickled modules,
///          two dicts of weights, archives that are not PyTorch's.
/// Memory   opening: at most 4 x (pickle and directory) + 16 MB. A read: the tensor, and 1 MB where it is strided.
/// Source   torch/serialization.py; caffe2/serialize/inline_container.cc.
/// Test     tests/unit/io/torch/torch_file.cpp
class torch_file {
public:
    explicit torch_file(file source) : archive_{open(std::move(source))} {
        find_top_folder();
        check_entries();
        read_tensors();
        verified_ = std::make_unique<std::atomic<bool>[]>(archive_.entries().size());
    }
    explicit torch_file(std::filesystem::path path) : torch_file{file{std::move(path)}} {}

    [[nodiscard]] file const& source() const noexcept { return archive_.source(); }
    [[nodiscard]] bool is_torchscript() const noexcept { return torchscript_; }

    /// All tensors, in the order of the state dict.
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept { return tensors_; }

    /// Tensors that are there and cannot be read, with what they are.
    [[nodiscard]] std::span<unreadable_tensor const> unreadable() const noexcept { return unreadable_; }

    /// The tensor with this name; null where there is none.
    [[nodiscard]] tensor_info const* find(std::string_view name) const noexcept {
        auto const index = index_of(name);
        return index ? &tensors_[*index] : nullptr;
    }

    /// A tensor with the dtype that the file has.
    /// Errors  no such name -> model_error missing_tensors; checkpoint_error bad_zip (CRC-32), read_failed,
    ///         unsupported_dtype; resource_error out_of_memory.
    [[nodiscard]] stored_tensor read(std::string_view name) const {
        std::size_t const index = require(name);
        stored_tensor result{tensors_[index].type, tensors_[index].sizes};
        read_elements(index, result.bytes());
        return result;
    }

    /// The bytes of a tensor into `out`, whose size must be the tensor's.
    void read_into(std::string_view name, std::span<std::byte> out) const {
        std::size_t const index = require(name);
        ZEROI2V_REQUIRE(out.size() == tensors_[index].byte_size(),
                        "zeroi2v::torch_file::read_into: out must have as many bytes as the tensor");
        read_elements(index, out);
    }

private:
    struct placement {
        std::size_t entry{};
        strided_layout layout;
    };

    [[nodiscard]] static zip_archive open(file source) {
        static constexpr char const* hint = "; re-save it with a recent PyTorch: torch.save(torch.load(f), g)";
        if (source.kind() == file_kind::tar)
            throw source.failure(error_code::unsupported_layout,
                                 std::string{"a tar archive, as PyTorch wrote before 0.1.10"} + hint);
        if (source.kind() == file_kind::pickle)
            throw source.failure(error_code::unsupported_layout,
                                 std::string{"a bare pickle, as PyTorch wrote before 1.6"} + hint);
        return zip_archive{std::move(source)};
    }

    [[nodiscard]] checkpoint_error unsupported(std::string const& sentence) const {
        return source().failure(error_code::unsupported_layout, sentence);
    }

    /// Everything lies in one folder of any name: the one that holds data.pkl.
    void find_top_folder() {
        static constexpr std::string_view tail = "/data.pkl";
        for (zip_entry const& entry : archive_.entries()) {
            if (!entry.name.ends_with(tail) || entry.name.find('/') != entry.name.size() - tail.size()) continue;
            if (!top_.empty())
                throw archive_.failure(entry, "a second data.pkl beside " + quoted_name(top_ + "data.pkl"));
            top_ = entry.name.substr(0, entry.name.size() - tail.size() + 1);
        }
        if (top_.empty())
            throw unsupported("a ZIP archive without data.pkl, expected one written by torch.save or torch.jit.save");
    }

    void check_entries() {
        std::string const code = top_ + "code/";
        for (zip_entry const& entry : archive_.entries()) {
            bool const is_code = entry.name.starts_with(code);
            torchscript_ = torchscript_ || is_code;
            if (!is_code)
                archive_.require_stored(entry); // TorchScript compresses its source text, which nobody reads here
        }
        torchscript_ = torchscript_ || archive_.find(top_ + "constants.pkl") != nullptr;
        if (auto const* const order = archive_.find(top_ + "byteorder")) {
            if (order->size > 16)
                throw archive_.failure(*order, "has " + std::to_string(order->size)
                                                   + " bytes, expected the word little or big");
            auto const bytes = archive_.read(*order);
            std::string_view const word{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
            if (word != "little") throw unsupported("byte order " + quoted_name(word) + ", expected \"little\"");
        }
    }

    void read_tensors() {
        zip_entry const& entry = *archive_.find(top_ + "data.pkl");
        std::string const where = source().name() + ": data.pkl";
        if (entry.size > pickle_graph::max_bytes)
            throw checkpoint_error{error_code::bad_pickle, where + ": " + std::to_string(entry.size)
                                                               + " bytes, at most "
                                                               + std::to_string(pickle_graph::max_bytes) + " are read"};
        pickle_graph const graph = read_pickle(archive_.read(entry), where);
        auto const found = detail::torch_state_dict_walker{graph, where, torchscript_}.walk();
        detail::torch_tensor_reader const reader{graph, source().name(), source().size()};
        for (auto const& [name, rebuild, why_not] : found) {
            std::string obstacle = why_not;
            auto const tensor = rebuild ? reader.read(name, *rebuild, obstacle) : std::nullopt;
            if (!tensor) {
                unreadable_.push_back({name, std::move(obstacle)});
                continue;
            }
            placements_.push_back({storage_entry(name, *tensor), tensor->layout});
            tensors_.push_back({name, tensor->type, tensor->layout.sizes});
        }
        if (tensors_.empty())
            throw source().failure(error_code::no_tensors,
                                   unreadable_.empty()
                                       ? "no tensor in its state dict"
                                       : "no readable tensor in its state dict: " + quoted_name(unreadable_[0].name)
                                             + " is " + unreadable_[0].kind);
        by_name_.resize(tensors_.size());
        for (std::size_t i = 0; i < by_name_.size(); ++i) by_name_[i] = static_cast<std::uint32_t>(i);
        std::ranges::sort(by_name_, {}, [this](std::uint32_t i) { return std::string_view{tensors_[i].name}; });
    }

    [[nodiscard]] std::size_t storage_entry(std::string const& name, detail::torch_tensor const& tensor) const {
        auto const* const entry = archive_.find(top_ + "data/" + std::string{tensor.storage_key});
        auto const fail = [&](std::string const& sentence) {
            return source().failure(error_code::bad_tensor, "tensor " + quoted_name(name) + ": its storage "
                                                                + quoted_name(tensor.storage_key) + sentence);
        };
        if (entry == nullptr) throw fail(" is not in the archive");
        if (entry->size != tensor.storage_bytes)
            throw fail(" has " + std::to_string(entry->size) + " bytes, the pickle says "
                       + std::to_string(tensor.storage_bytes));
        return static_cast<std::size_t>(entry - archive_.entries().data());
    }

    [[nodiscard]] std::optional<std::size_t> index_of(std::string_view name) const noexcept {
        auto const name_of = [this](std::uint32_t i) { return std::string_view{tensors_[i].name}; };
        auto const place = std::ranges::lower_bound(by_name_, name, {}, name_of);
        if (place == by_name_.end() || name_of(*place) != name) return std::nullopt;
        return *place;
    }
    [[nodiscard]] std::size_t require(std::string_view name) const {
        if (auto const index = index_of(name)) return *index;
        auto const unreadable = std::ranges::find(unreadable_, name, &unreadable_tensor::name);
        if (unreadable != unreadable_.end())
            throw source().failure(error_code::unsupported_dtype,
                                   "tensor " + quoted_name(name) + ": " + unreadable->kind);
        throw model_error{error_code::missing_tensors,
                          source().name() + ": tensor " + quoted_name(name) + " is not in the file"};
    }

    void read_elements(std::size_t index, std::span<std::byte> out) const {
        auto const& [entry_index, layout] = placements_[index];
        zip_entry const& entry = archive_.entries()[entry_index];
        std::atomic<bool>& verified = verified_[entry_index];
        if (!verified.load(std::memory_order_acquire)) {
            bool const whole = layout.contiguous() && layout.offset == 0 && out.size() == entry.size;
            if (whole)
                archive_.read(entry, out);
            else
                archive_.verify(entry);
            verified.store(true, std::memory_order_release);
            if (whole) return;
        }
        read_strided(layout, size_of(tensors_[index].type), out,
                     [&](std::uint64_t first, std::span<std::byte> bytes) { archive_.read_at(entry, first, bytes); });
    }

    zip_archive archive_;
    std::string top_; ///< with its slash
    bool torchscript_{false};
    std::vector<tensor_info> tensors_;
    std::vector<placement> placements_;
    std::vector<std::uint32_t> by_name_;
    std::vector<unreadable_tensor> unreadable_;
    std::unique_ptr<std::atomic<bool>[]> verified_;
};

} // namespace zeroi2v
