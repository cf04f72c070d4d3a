// aligned_buffer: alignment by size, moves, no memory.
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include <unistd.h>

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
            CHECK(source.size() == 0); // NOLINT(bugprone-use-after-move): empty is what is promised
            CHECK(source.data() == nullptr);
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

TEST_CASE("a mapping is cut at multiples of the system's own pages, whatever their size") {
    constexpr std::size_t large = aligned_buffer::large_page;
    std::size_t cases = 0;
    for (std::size_t const unit : {std::size_t{4096}, std::size_t{16384}, std::size_t{65536}, large})
        for (std::size_t const bytes : {std::size_t{1}, unit - 1, unit, unit + 1, large - 1, large, large + 1, 3 * large + 12345})
            for (std::size_t first = 5 * large; first < 6 * large; first += unit == 4096 ? 61 * unit : unit) { // where a mapping may begin
                zeroi2v::detail::cut_mapping const cut{large, unit, bytes};
                std::size_t const before = cut.before(first), after = cut.after(first);
                bool const at_pages = before % unit == 0 && after % unit == 0 && cut.kept() % unit == 0 && cut.whole() % unit == 0;
                bool const holds = (first + before) % large == 0 && cut.kept() >= bytes && cut.kept() - bytes < unit && before < large;
                bool const whole = before + cut.kept() + after == cut.whole() && after <= large; // and nothing below zero
                if (!at_pages || !holds || !whole) FAIL_CHECK("unit " << unit << " bytes " << bytes << " first " << first);
                ++cases;
            }
    CHECK(cases > 500);
    std::size_t const most = std::numeric_limits<std::size_t>::max();
    CHECK(zeroi2v::detail::cut_mapping{large, 4096, most}.overflows());
    CHECK(zeroi2v::detail::cut_mapping{large, 4096, most - large - 4095}.overflows());
    CHECK_FALSE(zeroi2v::detail::cut_mapping{large, 4096, most - large - 4096}.overflows());
}

#ifdef __linux__
namespace {

/// Bytes of address space that this process has.
std::size_t mapped_bytes() {
    std::ifstream statm{"/proc/self/statm"};
    std::size_t pages = 0;
    statm >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

} // namespace

TEST_CASE("memory in large pages takes what was asked for, and gives all of it back") {
    constexpr std::size_t large = aligned_buffer::large_page, rounds = 40;
    std::size_t const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    for (std::size_t const bytes : {large, large + 1, 2 * large + page + 77}) {
        std::byte* pieces[rounds];
        std::size_t const before = mapped_bytes();
        for (std::byte*& piece : pieces) {
            piece = zeroi2v::detail::map_in_pages_of(large, bytes);
            REQUIRE(piece != nullptr);
            CHECK(reinterpret_cast<std::uintptr_t>(piece) % large == 0);
            piece[0] = piece[bytes - 1] = std::byte{1};
        }
        std::size_t const kept = (bytes + page - 1) / page * page, taken = mapped_bytes() - before;
        CHECK(taken >= rounds * kept);
        CHECK(taken <= rounds * kept + large); // the heap may have grown
        for (std::byte* const piece : pieces) zeroi2v::detail::release_bytes{bytes}(piece);
        CHECK(mapped_bytes() <= before + large);
    }
    CHECK(zeroi2v::detail::map_in_pages_of(large, std::numeric_limits<std::size_t>::max()) == nullptr);
    CHECK(zeroi2v::detail::map_in_pages_of(large, std::numeric_limits<std::size_t>::max() / 4) == nullptr);
}
#endif
