// aligned_buffer: bytes on the heap, aligned for any vector register, never larger than asked for.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace zeroi2v {

namespace detail {

struct release_aligned {
    std::align_val_t alignment{1};

    void operator()(std::byte* bytes) const noexcept { ::operator delete(bytes, alignment); }
};

} // namespace detail

/// Uninitialised bytes, aligned to 64 (a cache line and the widest vector register). Moves; copies only when asked.
///
/// From 2 MB on it begins at a multiple of 2 MB and asks for pages of that size, where the system grants them on request: products pass
/// through megabytes of weights, more pages of 4 kB than a core keeps addresses of (docs/performance.md). The rest after the last whole
/// one stays in small pages, so that no more memory is taken than asked for.
///
/// Errors  no memory -> resource_error out_of_memory with the bytes wanted.     Test  tests/unit/tensor/aligned_buffer.cpp
class aligned_buffer {
public:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t large_page = std::size_t{1} << 21;

    aligned_buffer() noexcept = default;
    explicit aligned_buffer(std::size_t bytes) : data_{allocate(bytes), detail::release_aligned{alignment_of(bytes)}}, size_{bytes} {}

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
    [[nodiscard]] static constexpr std::align_val_t alignment_of(std::size_t bytes) noexcept {
        return std::align_val_t{bytes < large_page ? alignment : large_page};
    }

    [[nodiscard]] static std::byte* allocate(std::size_t bytes) {
        if (bytes == 0) return nullptr;
        auto* const memory = ::operator new(bytes, alignment_of(bytes), std::nothrow);
        if (memory == nullptr)
            throw resource_error{error_code::out_of_memory,
                                 "memory: " + std::to_string(bytes) + " bytes wanted, none given"};
#ifdef __linux__
        if (bytes >= large_page) ::madvise(memory, bytes / large_page * large_page, MADV_HUGEPAGE); // a wish: refused, it costs time only
#endif
        return static_cast<std::byte*>(memory);
    }

    std::unique_ptr<std::byte, detail::release_aligned> data_;
    std::size_t size_{};
};

} // namespace zeroi2v
