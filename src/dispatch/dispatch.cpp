// Chooses among the kernels of this build by what processor and operating system can run.
#include <zeroi2v/dispatch/dispatch.hpp>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/simd/arch.hpp>
#include <zeroi2v/simd/isa.hpp>

#include <array>
#include <cstdlib>
#include <span>
#include <string>

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
    default: return nullptr;
    }
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
    switch (level) {
    case isa::sse2: return true;
    case isa::avx2: return avx2;
    case isa::avx512: return avx512;
    case isa::avx512vnni: return vnni;
    case isa::avx512bf16: return vnni && __builtin_cpu_supports("avx512bf16") != 0;
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
        constexpr std::array all{isa::sse2, isa::avx2, isa::avx512, isa::avx512vnni, isa::avx512bf16};
        throw usage_error{error_code::bad_option, "ZEROI2V_ISA: " + std::string{name} + " is no instruction set, expected one of "
                                                      + names(all)};
    }
    return kernels(*level);
}

} // namespace zeroi2v
