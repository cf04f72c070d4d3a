// aligned_buffer: alignment by size, moves, no memory.
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

using zeroi2v::aligned_buffer;

namespace {

bool starts_at_multiple_of(aligned_buffer const& buffer, std::size_t of) { return reinterpret_cast<std::uintptr_t>(buffer.data()) % of == 0; }

} // namespace

TEST_CASE("aligned_buffer: to a cache line, in large pages from 2 MB on to 2 MB, every byte writable") {
    constexpr std::size_t large = aligned_buffer::large_page;
    for (std::size_t const bytes : {std::size_t{1}, std::size_t{64}, large - 1, large, large + 1, 3 * large + 12345}) {
        CHECK(starts_at_multiple_of(aligned_buffer{bytes}, aligned_buffer::alignment));
        aligned_buffer buffer = aligned_buffer::in_large_pages(bytes);
        CHECK(buffer.size() == bytes);
#if defined(__linux__) && !ZEROI2V_MEMORY_WATCHED
        CHECK(starts_at_multiple_of(buffer, bytes < large ? aligned_buffer::alignment : large));
#else
        CHECK(starts_at_multiple_of(buffer, aligned_buffer::alignment));
#endif
        std::memset(buffer.data(), 0x5a, bytes);
        CHECK(buffer.data()[bytes - 1] == std::byte{0x5a});
    }
    CHECK(aligned_buffer{0}.data() == nullptr);
    CHECK(aligned_buffer::in_large_pages(0).data() == nullptr);
}

TEST_CASE("aligned_buffer: moving hands the bytes on, whatever the sizes") {
    constexpr std::size_t large = aligned_buffer::large_page;
    for (std::size_t const from : {std::size_t{100}, 2 * large})
        for (std::size_t const to : {std::size_t{0}, std::size_t{200}, large}) {
            aligned_buffer source = aligned_buffer::in_large_pages(from), target = aligned_buffer::in_large_pages(to);
            source.data()[from - 1] = std::byte{7};
            std::byte const* const bytes = source.data();
            target = std::move(source);
            CHECK(target.data() == bytes);
            CHECK(target.size() == from);
            aligned_buffer const third{std::move(target)};
            CHECK(third.data()[from - 1] == std::byte{7});
            CHECK(target.size() == 0); // NOLINT(bugprone-use-after-move): empty is what is promised
            CHECK(target.data() == nullptr);
        }
}

TEST_CASE("aligned_buffer: no memory is an error that says how much was wanted") {
    std::size_t const much = std::numeric_limits<std::size_t>::max() / 4;
    for (bool const large : {false, true})
        for (std::size_t const bytes : {much, std::numeric_limits<std::size_t>::max()})
            try {
                static_cast<void>(large ? aligned_buffer::in_large_pages(bytes) : aligned_buffer{bytes});
                FAIL("memory was given");
            } catch (zeroi2v::resource_error const& e) {
                CHECK(e.code() == zeroi2v::error_code::out_of_memory);
                CHECK(std::string{e.what()}.find(std::to_string(bytes)) != std::string::npos);
            }
}
