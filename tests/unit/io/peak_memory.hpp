// The most memory that a call needs, as the system counts it.
#pragma once

#include <cstddef>
#include <fstream>
#include <optional>
#include <string>

#include <malloc.h>

namespace test {

/// Resident bytes at `key` (VmRSS, VmHWM) of this process.
[[nodiscard]] inline std::optional<std::size_t> resident_bytes(std::string const& key) {
    std::ifstream status{"/proc/self/status"};
    for (std::string word; status >> word;)
        if (std::size_t kilobytes = 0; word == key + ":" && status >> kilobytes) return kilobytes * 1024;
    return std::nullopt;
}

/// Growth of the resident set at its highest while `call` runs; nothing where the system does not let us measure, and in
/// sanitized builds, whose allocators keep what was freed.
template <class Call>
[[nodiscard]] std::optional<std::size_t> peak_growth(Call&& call) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    call();
    return std::nullopt;
#else
    ::malloc_trim(0);
    bool const reset = static_cast<bool>(std::ofstream{"/proc/self/clear_refs"} << "5" << std::flush);
    auto const before = resident_bytes("VmRSS");
    call();
    auto const peak = resident_bytes("VmHWM");
    if (!reset || !before || !peak) return std::nullopt;
    return *peak > *before ? *peak - *before : 0;
#endif
}

} // namespace test
