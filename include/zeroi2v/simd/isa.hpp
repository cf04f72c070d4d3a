// The instruction sets that kernels are built for, by name.
#pragma once

#include <optional>
#include <string_view>

namespace zeroi2v {

/// Instruction sets of x86-64, each with all that stand before it.
///
///   sse2          every x86-64 processor
///   avx2          AVX2 and FMA3
///   avx512        AVX-512 F, CD, DQ, BW
///   avx512vnni    and VL, VNNI: 8-bit dot products
///   avx512bf16    and BF16: dot products of bf16
///   amx           and AMX TILE, BF16, INT8: products of matrices
enum class isa { sse2, avx2, avx512, avx512vnni, avx512bf16, amx };

inline constexpr int isa_count = 6;

/// The name as ZEROI2V_ISA takes it.
[[nodiscard]] constexpr std::string_view to_string(isa level) noexcept {
    switch (level) {
    case isa::sse2: return "sse2";
    case isa::avx2: return "avx2";
    case isa::avx512: return "avx512";
    case isa::avx512vnni: return "avx512vnni";
    case isa::avx512bf16: return "avx512bf16";
    case isa::amx: return "amx";
    }
    return "?";
}

/// The instruction set with this name, if there is one.
[[nodiscard]] constexpr std::optional<isa> isa_from_name(std::string_view name) noexcept {
    for (int i = 0; i < isa_count; ++i)
        if (to_string(static_cast<isa>(i)) == name) return static_cast<isa>(i);
    return std::nullopt;
}

} // namespace zeroi2v
