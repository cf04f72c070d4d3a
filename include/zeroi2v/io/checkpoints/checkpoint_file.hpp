// checkpoint: the tensors of any file of weights that can be read, whatever its name ends with.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/files/tensor_info.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/torch/torch_file.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace zeroi2v {

/// The formats that can be read.
enum class checkpoint_kind : std::uint8_t { safetensors, torch_zip, torchscript };

/// The name that `inspect` prints.
[[nodiscard]] constexpr std::string_view to_string(checkpoint_kind kind) noexcept {
    switch (kind) {
    case checkpoint_kind::safetensors: return "safetensors";
    case checkpoint_kind::torch_zip: return "torch";
    case checkpoint_kind::torchscript: return "torchscript";
    }
    return "unknown";
}

/// An open file of weights: which tensors it holds, and each of them on demand. Moves only; const members may run
/// concurrently.
///
/// Errors  checkpoint_error: those of `file`, `safetensors_file` and `torch_file`; no_tensors where there is none.
/// Test    tests/unit/io/files/file.cpp
class checkpoint {
public:
    explicit checkpoint(file source) : content_{open(std::move(source))}, name_{this->source().name()} {
        if (tensors().empty()) throw this->source().failure(error_code::no_tensors, "holds no tensor");
    }

    /// The path as messages show it.
    [[nodiscard]] std::string const& path() const noexcept { return name_; }
    [[nodiscard]] file const& source() const noexcept {
        return std::visit([](auto const& held) -> file const& { return held.source(); }, content_);
    }
    [[nodiscard]] checkpoint_kind kind() const noexcept {
        if (std::holds_alternative<safetensors_file>(content_)) return checkpoint_kind::safetensors;
        return std::get<torch_file>(content_).is_torchscript() ? checkpoint_kind::torchscript
                                                               : checkpoint_kind::torch_zip;
    }
    [[nodiscard]] std::span<tensor_info const> tensors() const noexcept {
        return std::visit([](auto const& held) { return held.tensors(); }, content_);
    }
    /// Tensors of a PyTorch file that are there and cannot be read, with what they are.
    [[nodiscard]] std::span<unreadable_tensor const> unreadable() const noexcept {
        auto const* const held = std::get_if<torch_file>(&content_);
        return held == nullptr ? std::span<unreadable_tensor const>{} : held->unreadable();
    }
    /// The tensor with this name; null where there is none.
    [[nodiscard]] tensor_info const* find(std::string_view name) const noexcept {
        return std::visit([&](auto const& held) { return held.find(name); }, content_);
    }
    /// A tensor with the dtype that the file has.
    /// Errors  no such name -> model_error missing_tensors; checkpoint_error read_failed, bad_zip.
    [[nodiscard]] stored_tensor read(std::string_view name) const {
        return std::visit([&](auto const& held) { return held.read(name); }, content_);
    }
    /// The bytes of a tensor into `out`, whose size must be the tensor's.
    void read_into(std::string_view name, std::span<std::byte> out) const {
        std::visit([&](auto const& held) { held.read_into(name, out); }, content_);
    }
    /// What a safetensors file says about itself; empty for PyTorch's files.
    [[nodiscard]] std::map<std::string, std::string> const& metadata() const noexcept {
        static std::map<std::string, std::string> const none;
        auto const* const held = std::get_if<safetensors_file>(&content_);
        return held == nullptr ? none : held->metadata();
    }

private:
    using any_file = std::variant<safetensors_file, torch_file>;

    [[nodiscard]] static any_file open(file source) {
        switch (source.kind()) {
        case file_kind::zip:
        case file_kind::pickle:
        case file_kind::tar: return torch_file{std::move(source)};
        default: return safetensors_file{std::move(source)};
        }
    }

    any_file content_;
    std::string name_;
};

/// Opens a file of weights by its content: safetensors, PyTorch's .pth and .pt since 1.6, TorchScript.
///
///     auto const file = zeroi2v::load_checkpoint("epoch_40.pth");
///     for (auto const& info : file.tensors()) use(info.name, file.read(info.name));
///
/// Errors  as `checkpoint`.     Cost  the header or the pickle; tensors are read when they are asked for.
[[nodiscard]] inline checkpoint load_checkpoint(std::filesystem::path path) {
    return checkpoint{file{std::move(path)}};
}

} // namespace zeroi2v
