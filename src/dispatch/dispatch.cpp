// Chooses among the kernels of this build by what processor and operating system can run.
#include <zeroi2v/dispatch/dispatch.hpp>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace zeroi2v {

namespace {

constexpr std::array built{
    isa::sse2,
#if ZEROI2V_DISPATCH_AVX2
    isa::avx2,
#endif
#if ZEROI2V_DISPATCH_AVX512
    isa::avx512,
#endif
#if ZEROI2V_DISPATCH_AVX512VNNI
    isa::avx512vnni,
#endif
#if ZEROI2V_DISPATCH_AVX512BF16
    isa::avx512bf16,
#endif
#if ZEROI2V_DISPATCH_AMX
    isa::amx,
#endif
};

/// The table, or null where this build has none.
[[nodiscard]] kernel_table const* table(isa level) noexcept {
    switch (level) {
    case isa::sse2: return &kernels_of<arch::sse2>();
#if ZEROI2V_DISPATCH_AVX2
    case isa::avx2: return &kernels_of<arch::avx2>();
#endif
#if ZEROI2V_DISPATCH_AVX512
    case isa::avx512: return &kernels_of<arch::avx512>();
#endif
#if ZEROI2V_DISPATCH_AVX512VNNI
    case isa::avx512vnni: return &kernels_of<arch::avx512vnni>();
#endif
#if ZEROI2V_DISPATCH_AVX512BF16
    case isa::avx512bf16: return &kernels_of<arch::avx512bf16>();
#endif
#if ZEROI2V_DISPATCH_AMX
    case isa::amx: return &kernels_of<arch::amx>();
#endif
    default: return nullptr;
    }
}

/// Whether the processor has tiles for bf16 and int8, the operating system saves them, and this process may use them. Linux gives them
/// to a process that asks, and to all its threads.
[[nodiscard]] bool tiles_granted() noexcept {
#if defined(__linux__) && defined(SYS_arch_prctl)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(1, 0, &a, &b, &c, &d) == 0 || (c & 1U << 27U) == 0) return false; // OSXSAVE: xgetbv may be used
    constexpr unsigned bf16_tile_int8 = 1U << 22U | 1U << 24U | 1U << 25U;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & bf16_tile_int8) != bf16_tile_int8) return false;
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr std::uint32_t tile_state = 1U << 17U | 1U << 18U; // configuration and data
    if ((low & tile_state) != tile_state) return false;
    constexpr long request_permission = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

[[nodiscard]] std::string names(std::span<isa const> levels) {
    std::string text;
    for (isa const level : levels) text.append(text.empty() ? "" : ", ").append(to_string(level));
    return text;
}

} // namespace

std::span<isa const> built_isas() noexcept { return built; }

bool supported(isa level) noexcept {
    __builtin_cpu_init(); // the built-in tests ask the processor and whether the operating system saves the registers
    bool const avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
    bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512cd") != 0
                        && __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512bw") != 0;
    bool const vnni = avx512 && __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
    bool const bf16 = vnni && __builtin_cpu_supports("avx512bf16") != 0;
    switch (level) {
    case isa::sse2: return true;
    case isa::avx2: return avx2;
    case isa::avx512: return avx512;
    case isa::avx512vnni: return vnni;
    case isa::avx512bf16: return bf16;
    case isa::amx: {
        static bool const granted = bf16 && tiles_granted(); // asked for once
        return granted;
    }
    }
    return false;
}

kernel_table const& kernels(isa level) {
    kernel_table const* const found = table(level);
    std::string const name{to_string(level)};
    if (found == nullptr)
        throw device_error{error_code::isa_unavailable, "isa: " + name + " is not in this build, which has " + names(built)};
    if (!supported(level))
        throw device_error{error_code::isa_unavailable, "isa: this processor has no " + name + ", the best it has is "
                                                            + std::string{to_string(best_kernels().level)}};
    return *found;
}

kernel_table const& best_kernels() noexcept {
    kernel_table const* best = &kernels_of<arch::sse2>();
    for (isa const level : built)
        if (supported(level)) best = table(level);
    return *best;
}

kernel_table const& kernels_from_environment() {
    char const* const name = std::getenv("ZEROI2V_ISA");
    if (name == nullptr || *name == '\0') return best_kernels();
    auto const level = isa_from_name(name);
    if (!level) {
        constexpr std::array all{isa::sse2, isa::avx2, isa::avx512, isa::avx512vnni, isa::avx512bf16, isa::amx};
        throw usage_error{error_code::bad_option, "ZEROI2V_ISA: " + std::string{name} + " is no instruction set, expected one of "
                                                      + names(all)};
    }
    return kernels(*level);
}

} // namespace zeroi2v
