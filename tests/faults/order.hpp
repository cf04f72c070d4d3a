// What runner.cpp orders from the preloaded allocator.cpp, and what comes back.
#pragma once

inline constexpr int fault_orders = 198;  // the descriptor that the server reads
inline constexpr int fault_answers = 199; // and the one that it writes

enum class fault_kind : int { memory, threads };

struct fault_order {
    fault_kind kind;
    int lasting;      // all calls from `at` on fail, not that one alone
    long at;          // counted from 0; -1: none fails
    unsigned seconds; // a run that lasts longer hangs
};

struct fault_answer {
    int status;   // as waitpid gives it
    long counted; // calls of the ordered kind
};
