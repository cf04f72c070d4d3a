// Macros that only the preprocessor can provide; each is defined on every compiler.
#pragma once

/// Inlined in every build, Debug too: what a per-ISA translation unit calls must never become a weak symbol.
#define ZEROI2V_ALWAYS_INLINE inline __attribute__((always_inline))

/// A call in every build: what is rarely needed stays out of the code around it.
#define ZEROI2V_NEVER_INLINE __attribute__((noinline))

/// Pointers that alias no other pointer of the same function.
#define ZEROI2V_RESTRICT __restrict__

/// An empty member takes no space.
#define ZEROI2V_NO_UNIQUE_ADDRESS [[no_unique_address]]

/// 1 under AddressSanitizer and MemorySanitizer, of g++ or clang: what they cannot see into is done another way.
#if defined(__SANITIZE_ADDRESS__)
#define ZEROI2V_MEMORY_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define ZEROI2V_MEMORY_WATCHED 1
#endif
#endif
#ifndef ZEROI2V_MEMORY_WATCHED
#define ZEROI2V_MEMORY_WATCHED 0
#endif

#ifndef ZEROI2V_DEBUG
#ifdef NDEBUG
#define ZEROI2V_DEBUG 0
#else
#define ZEROI2V_DEBUG 1
#endif
#endif

/// 1 where the library zeroi2v::dispatch is linked; its CMake target and pkg-config file say so.
#ifndef ZEROI2V_DISPATCH
#define ZEROI2V_DISPATCH 0
#endif

/// Before functions that zeroi2v::dispatch has compiled: their headers only declare them where it is linked, and include their
/// definitions, in a header *_impl.hpp, where it is not.
#if ZEROI2V_DISPATCH
#define ZEROI2V_COMPILED
#else
#define ZEROI2V_COMPILED inline
#endif
