// aligned_buffer: bytes aligned for any vector register, never more than asked for; of the heap, or in large pages.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace zeroi2v {

namespace detail {

/// Where `bytes` bytes that begin at a multiple of `page` lie in a mapping. The system maps whole pages of its own, `unit` bytes each: 4, 16 or
/// 64 kB by processor and kernel. A mapping can be cut at multiples of `unit` only, which `page` is one of.
struct cut_mapping {
    std::size_t page, unit, bytes;

    [[nodiscard]] constexpr std::size_t kept() const noexcept { return (bytes + unit - 1) / unit * unit; }
    /// Bytes to map, so that a multiple of `page` is among them with room behind it.
    [[nodiscard]] constexpr std::size_t whole() const noexcept { return kept() + page - unit; }
    /// What is to be given back, of a mapping that begins at `first`: before the bytes kept, and after them.
    [[nodiscard]] constexpr std::size_t before(std::uintptr_t first) const noexcept { return (page - first % page) % page; }
    [[nodiscard]] constexpr std::size_t after(std::uintptr_t first) const noexcept { return whole() - kept() - before(first); }
    [[nodiscard]] constexpr bool overflows() const noexcept { return bytes > std::numeric_limits<std::size_t>::max() - page - unit; }
};

#ifdef __linux__
/// Bytes that begin at a multiple of `page`, mapped for themselves: between the pieces of the heap they would leave holes of up to a page
/// each. Large pages are a wish; refused, it costs time only. Null where there is no memory.
[[nodiscard]] inline std::byte* map_in_pages_of(std::size_t page, std::size_t bytes) noexcept {
    cut_mapping const cut{page, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), bytes};
    if (cut.overflows()) return nullptr;
    void* const got = ::mmap(nullptr, cut.whole(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return nullptr;
    auto* const from = static_cast<std::byte*>(got);
    std::size_t const before = cut.before(reinterpret_cast<std::uintptr_t>(from)), after = cut.after(reinterpret_cast<std::uintptr_t>(from));
    if (before != 0) ::munmap(from, before);
    if (after != 0) ::munmap(from + before + cut.kept(), after);
    ::madvise(from + before, bytes / page * page, MADV_HUGEPAGE);
    return from + before;
}
#endif

struct release_bytes {
    std::size_t mapped = 0; ///< bytes that were mapped; 0: they are of the heap

    void operator()(std::byte* bytes) const noexcept {
#ifdef __linux__
        if (mapped != 0) {
            ::munmap(bytes, mapped);
            return;
        }
#endif
        ::operator delete(bytes, std::align_val_t{64});
    }
};

} // namespace detail

/// Uninitialised bytes, aligned to 64 (a cache line and the widest vector register). Moves; copies only when asked.
///
/// Errors  no memory -> resource_error out_of_memory with the bytes wanted.     Test  tests/unit/tensor/aligned_buffer.cpp
class aligned_buffer {
public:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t large_page = std::size_t{1} << 21;

    aligned_buffer() noexcept = default;
    explicit aligned_buffer(std::size_t bytes) : data_{checked(allocate(bytes), bytes)}, size_{bytes} {}

    /// For what is kept and passed through again and again. From 2 MB on it begins at a multiple of 2 MB and asks for pages of that size,
    /// where the system grants them on request: a model's weights are more pages of 4 kB than a core keeps addresses of
    /// (docs/performance.md). The rest after the last whole one stays in small pages, so that no more memory is taken than asked for.
    [[nodiscard]] static aligned_buffer in_large_pages(std::size_t bytes) {
#if defined(__linux__) && !ZEROI2V_MEMORY_WATCHED // a heap that is watched has guards behind each piece
        if (bytes >= large_page) {
            aligned_buffer result;
            result.data_ = {checked(detail::map_in_pages_of(large_page, bytes), bytes), detail::release_bytes{bytes}};
            result.size_ = bytes;
            return result;
        }
#endif
        return aligned_buffer{bytes};
    }

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
    [[nodiscard]] static std::byte* allocate(std::size_t bytes) noexcept {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2; // of more, libstdc++ rounds the size up to nothing and gives memory
        return bytes == 0 || bytes > most ? nullptr : static_cast<std::byte*>(::operator new(bytes, std::align_val_t{alignment}, std::nothrow));
    }
    [[nodiscard]] static std::byte* checked(std::byte* memory, std::size_t bytes) {
        if (memory == nullptr && bytes != 0)
            throw resource_error{error_code::out_of_memory,
                                 "memory: " + std::to_string(bytes) + " bytes wanted, none given"};
        return memory;
    }

    std::unique_ptr<std::byte, detail::release_bytes> data_;
    std::size_t size_{};
};

} // namespace zeroi2v
