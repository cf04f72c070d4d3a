// aligned_buffer: bytes on the heap, aligned for any vector register, never larger than asked for.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace zeroi2v {

/// Uninitialised bytes, aligned to 64 (a cache line and the widest vector register). Moves; copies only when asked.
///
/// Errors  no memory -> resource_error out_of_memory with the bytes wanted.
class aligned_buffer {
public:
    static constexpr std::size_t alignment = 64;

    aligned_buffer() noexcept = default;
    explicit aligned_buffer(std::size_t bytes) : data_{allocate(bytes)}, size_{bytes} {}

    aligned_buffer(aligned_buffer&& other) noexcept
        : data_{std::move(other.data_)}, size_{std::exchange(other.size_, 0)} {}
    aligned_buffer& operator=(aligned_buffer&& other) noexcept {
        data_ = std::move(other.data_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
    [[nodiscard]] std::byte const* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    struct release {
        void operator()(std::byte* bytes) const noexcept { ::operator delete(bytes, std::align_val_t{alignment}); }
    };

    [[nodiscard]] static std::byte* allocate(std::size_t bytes) {
        if (bytes == 0) return nullptr;
        auto* const memory = ::operator new(bytes, std::align_val_t{alignment}, std::nothrow);
        if (memory == nullptr)
            throw resource_error{error_code::out_of_memory,
                                 "memory: " + std::to_string(bytes) + " bytes wanted, none given"};
        return static_cast<std::byte*>(memory);
    }

    std::unique_ptr<std::byte, release> data_;
    std::size_t size_{};
};

} // namespace zeroi2v
