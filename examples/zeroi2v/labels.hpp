// The class names that are built into the program.
#pragma once

#include <span>
#include <string_view>

namespace zeroi2v::program {

/// One set of class names: `name` is that of the file it came from (`kinetics400`), `text` holds one class per line.
struct embedded_labels {
    std::string_view name;
    std::string_view text;
};

/// Every set, sorted by name.
[[nodiscard]] std::span<embedded_labels const> all_labels();

} // namespace zeroi2v::program
