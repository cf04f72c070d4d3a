#include "variants.hpp"

#include <cstddef>
#include <fstream>
#include <stdexcept>

namespace moving_shapes {
namespace {

std::string trimmed(std::string const& text) {
    auto const first = text.find_first_not_of(' ');
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> parts_of(std::string const& line) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin != std::string::npos;) {
        auto const bar = line.find('|', begin);
        parts.push_back(trimmed(line.substr(begin, bar - begin)));
        begin = bar == std::string::npos ? bar : bar + 1;
    }
    return parts;
}

} // namespace

std::vector<variant> read_variants(std::filesystem::path const& path) {
    std::ifstream file{path};
    if (!file) throw std::runtime_error{path.string() + ": cannot be read"};
    std::vector<variant> all;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line.front() == '#') continue;
        auto const parts = parts_of(line);
        if (parts.size() != 7) throw std::runtime_error{path.string() + ": " + line + ": " + std::to_string(parts.size()) + " parts found, 7 expected"};
        all.push_back({parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]});
    }
    return all;
}

} // namespace moving_shapes
