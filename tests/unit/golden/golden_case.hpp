// What the tests of golden cases share: reading a case, and how far from its numbers an answer is.
#pragma once

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace golden_test {

using namespace zeroi2v;

inline std::filesystem::path const data{ZEROI2V_TEST_DATA};

inline adapted_vit load(std::string const& name) {
    return load_adapted_vit(load_checkpoint(data / name / "adapted.pth"), read_config_file(data / name / "config.json"));
}

inline view<float const, 5> clips_of(stored_tensor const& clip) {
    auto const& s = clip.sizes();
    return view<float const, 5>{clip.as<float>().data(), s[0], s[1], s[2], s[3], s[4]};
}

/// The largest distance from the official model in double; a NaN counts as infinite.
inline double distance(std::span<float const> found, std::span<double const> expected) {
    REQUIRE(found.size() == expected.size());
    REQUIRE_FALSE(found.empty());
    double largest = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        double const d = std::abs(static_cast<double>(found[i]) - expected[i]);
        largest = d <= largest ? largest : d == d ? d : INFINITY;
    }
    return largest;
}

/// |found - expected|_2 / |expected|_2; a NaN counts as infinite.
inline double relative_l2(std::span<float const> found, std::span<double const> expected) {
    REQUIRE(found.size() == expected.size());
    REQUIRE_FALSE(found.empty());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        difference += (static_cast<double>(found[i]) - expected[i]) * (static_cast<double>(found[i]) - expected[i]);
        norm += expected[i] * expected[i];
    }
    return difference == difference ? std::sqrt(difference / norm) : INFINITY;
}

} // namespace golden_test
