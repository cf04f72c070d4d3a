// What a changed place asks: whether its change is on. Every source of a mutated build includes it first.
#pragma once

namespace zeroi2v_mutant {

extern int active; // the number of the change that is on; 0 none; below 0 none, and what is reached is noted
void note(int number) noexcept;

/// Its number also goes to the section .mutants of the object file: what is in none was not compiled.
[[gnu::always_inline]] inline bool on(int number) noexcept {
    asm volatile(".pushsection .mutants,\"\",@progbits\n\t.long %c0\n\t.popsection" : : "i"(number));
    if (active < 0) [[unlikely]]
        note(number);
    return active == number;
}

/// In a constexpr function: off while the compiler evaluates it.
[[gnu::always_inline]] constexpr bool on_constexpr(int number) noexcept {
    return !__builtin_is_constant_evaluated() && on(number);
}

} // namespace zeroi2v_mutant
