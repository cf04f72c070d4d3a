// What a call costs: memory as the system counts it, processor time.
#pragma once

#include <cstddef>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>

#include <malloc.h>

namespace test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

/// Seconds of a time limit: sanitizers and a machine's other work may not break it.
[[nodiscard]] constexpr double limit_seconds(double seconds) noexcept { return sanitized ? 10 * seconds : seconds; }

/// Processor seconds of this process while `call` runs.
template <class Call>
[[nodiscard]] double processor_seconds(Call&& call) {
    auto const before = std::clock();
    call();
    return static_cast<double>(std::clock() - before) / static_cast<double>(CLOCKS_PER_SEC);
}

/// Resident bytes at `key` (VmRSS, VmHWM) of this process.
[[nodiscard]] inline std::optional<std::size_t> resident_bytes(std::string const& key) {
    std::ifstream status{"/proc/self/status"};
    for (std::string word; status >> word;)
        if (std::size_t kilobytes = 0; word == key + ":" && status >> kilobytes) return kilobytes * 1024;
    return std::nullopt;
}

/// Growth of the resident set at its highest while `call` runs; nothing where the system does not let us measure, and
/// in sanitized builds, whose allocators keep what was freed.
template <class Call>
[[nodiscard]] std::optional<std::size_t> peak_growth(Call&& call) {
    if (sanitized) {
        call();
        return std::nullopt;
    }
    ::malloc_trim(0);
    bool const reset = static_cast<bool>(std::ofstream{"/proc/self/clear_refs"} << "5" << std::flush);
    auto const before = resident_bytes("VmRSS");
    call();
    auto const peak = resident_bytes("VmHWM");
    if (!reset || !before || !peak) return std::nullopt;
    return *peak > *before ? *peak - *before : 0;
}

} // namespace test
