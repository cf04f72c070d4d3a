// variants: which models the experiment trains, as variants.txt lists them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace moving_shapes {

/// A line of variants.txt.
struct variant {
    std::string table;     ///< ablation or offsets
    std::string name;      ///< of its files
    std::string offsets;   ///< frame offset of each head, commas between
    std::string adapters;  ///< `zeroi2v init --adapters`
    std::string trainable; ///< `zeroi2v train --trainable`
    std::string freeze;    ///< `zeroi2v train --freeze`
    std::string title;     ///< for people

    [[nodiscard]] bool has_map() const { return offsets.find_first_of("123456789") != std::string::npos; }
    [[nodiscard]] bool has_adapters() const { return adapters != "none"; }
};

/// Lines that begin with # are left out.
/// Errors  a file that cannot be read, a line without seven parts -> std::runtime_error.
[[nodiscard]] std::vector<variant> read_variants(std::filesystem::path const& path);

} // namespace moving_shapes
