// Helpers of the video tests: golden arrays, temporary files, hashes.
#pragma once

#include <zeroi2v/video/image.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>
#include <vector>

namespace video_test {

using bytes = std::vector<std::uint8_t>;

inline bytes read_file(std::filesystem::path const& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

inline void write_file(std::filesystem::path const& path, bytes const& content) {
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<char const*>(content.data()),
                                                static_cast<std::streamsize>(content.size()));
}

/// A folder that is gone with the object.
class temporary_folder {
public:
    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "zeroi2v_video_XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"no temporary folder"};
        path_ = name;
    }
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::filesystem::path operator/(std::string const& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// The bytes of one array of a safetensors file that the tests trust.
inline bytes golden(std::string const& file, std::string const& name) {
    bytes const content = read_file(std::string{ZEROI2V_TEST_DATA} + "/pixels/" + file);
    std::uint64_t header = 0;
    std::memcpy(&header, content.data(), sizeof header);
    auto const begin = content.begin() + 8;
    auto const data = begin + static_cast<std::ptrdiff_t>(header);
    auto const range = nlohmann::json::parse(begin, data)[name]["data_offsets"];
    return {data + range[0].get<std::ptrdiff_t>(), data + range[1].get<std::ptrdiff_t>()};
}

inline std::vector<std::int64_t> golden_integers(std::string const& file, std::string const& name) {
    bytes const raw = golden(file, name);
    std::vector<std::int64_t> values(raw.size() / sizeof(std::int64_t));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
}

/// FNV-1a over the visible pixels.
inline std::uint64_t hash(zeroi2v::image_view pixels) {
    std::uint64_t value = 1469598103934665603U;
    for (std::size_t y = 0; y < pixels.extent(0); ++y)
        for (std::size_t x = 0; x < pixels.extent(1) * 3; ++x)
            value = (value ^ pixels.data()[y * pixels.stride(0) + x]) * 1099511628211U;
    return value;
}

/// Pixels of a linear congruential generator.
inline zeroi2v::image noise(std::size_t height, std::size_t width, std::uint32_t state = 12345) {
    zeroi2v::image result{height, width, std::size_t{3}};
    for (auto& value : result) {
        state = state * 1664525U + 1013904223U;
        value = static_cast<std::uint8_t>(state >> 24);
    }
    return result;
}

/// The code of the zeroi2v::error that `call` throws; "none" where it throws nothing.
template <class Call>
std::string code_of(Call&& call) {
    try {
        call();
    } catch (zeroi2v::error const& e) {
        return std::string{e.code_name()};
    }
    return "none";
}

} // namespace video_test
