// Checks of programmer errors: ZEROI2V_REQUIRE always, ZEROI2V_ASSERT in debug builds. Both may be replaced.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/error.hpp>

#include <cstdlib>

namespace zeroi2v::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void require_failed(char const* sentence) {
    throw precondition_error{error_code::precondition, sentence};
}

} // namespace zeroi2v::detail

/// Throws zeroi2v::precondition_error with the sentence. Stands only in public entry points that are not noexcept.
#ifndef ZEROI2V_REQUIRE
#define ZEROI2V_REQUIRE(condition, sentence) ((condition) ? void() : ::zeroi2v::detail::require_failed(sentence))
#endif

/// Ends a debug build at a broken invariant; nothing in a release build.
#ifndef ZEROI2V_ASSERT
#if ZEROI2V_DEBUG
#define ZEROI2V_ASSERT(condition) ((condition) ? void() : std::abort())
#else
#define ZEROI2V_ASSERT(condition) (static_cast<void>(sizeof((condition) ? 1 : 0)))
#endif
#endif
