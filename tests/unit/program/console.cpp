// How exceptions are said: code and exit status of each kind.
#include "console.hpp"

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <new>
#include <stdexcept>
#include <system_error>

using namespace zeroi2v;
using namespace zeroi2v::program;

TEST_CASE("describe: errors of the library, memory, threads, and what should not be") {
    CHECK(describe(video_error{error_code::no_frames, "v: none"}).status == 5);
    CHECK(describe(video_error{error_code::no_frames, "v: none"}).code == "no_frames");
    CHECK(describe(std::bad_alloc{}).status == 7);
    CHECK(describe(std::bad_alloc{}).code == "out_of_memory");
    auto const refused = describe(std::system_error{std::make_error_code(std::errc::resource_unavailable_try_again)}); // of std::thread
    CHECK(refused.status == 7);
    CHECK(refused.code == "thread_unavailable");
    CHECK(describe(std::system_error{std::make_error_code(std::errc::permission_denied)}).status == status_internal);
    CHECK(describe(std::logic_error{"x"}).code == "internal");
}
