// Five AdamW steps against PyTorch's: losses, gradients of the first step, parameters after the fifth.
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>

using namespace zeroi2v;

namespace {

std::filesystem::path const folder = std::filesystem::path{ZEROI2V_TEST_DATA} / "training";

adapted_vit start() {
    return load_adapted_vit(load_checkpoint(folder / "start.safetensors"), read_config_file(folder / "config.json"));
}

view<float const, 5> clips_of(stored_tensor const& clips) {
    auto const& s = clips.sizes();
    return view<float const, 5>{clips.as<float>().data(), s[0], s[1], s[2], s[3], s[4]};
}

/// A NaN counts as infinite.
double relative_l2(std::span<float const> found, std::span<float const> expected) {
    REQUIRE(found.size() == expected.size());
    REQUIRE_FALSE(found.empty());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        double const d = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
        difference += d * d;
        norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    return difference == difference ? std::sqrt(difference / norm) : INFINITY;
}

double distance(std::span<float const> found, std::span<float const> expected) {
    REQUIRE(found.size() == expected.size());
    double largest = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        double const d = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        largest = d <= largest ? largest : d == d ? d : INFINITY;
    }
    return largest;
}

} // namespace

TEST_CASE("golden training: five steps as PyTorch takes them, on every instruction set") {
    auto const expected = read_safetensors(folder / "train.safetensors");
    auto const losses = expected["losses"].as<double>();
    for (isa const level : built_isas()) {
        if (!supported(level)) continue;
        CAPTURE(to_string(level));
        trainer training{start(), {.adapter_dropout = 0, .head_dropout = 0, .threads = 2, .kernels = &kernels(level)}};
        double loss_error = 0, gradient_error = 0, parameter_error = 0;
        for (double const wanted : losses) {
            auto const [step, loss] = training.step(clips_of(expected["clips"]), expected["labels"].as<std::int64_t>(), 1e-3);
            loss_error = std::max(loss_error, std::abs(loss - wanted) / wanted);
            if (step != 0) continue;
            for (auto const& each : training.trained())
                gradient_error = std::max(gradient_error, relative_l2(training.gradient().subspan(each.first, each.count), expected["grad." + each.name].as<float>()));
        }
        CHECK(training.steps() == 5);
        CHECK(training.trained().size() == 37);
        for (auto const& each : training.trained())
            parameter_error = std::max(parameter_error, distance(each.tensor->as<float>(), expected["after." + each.name].as<float>()));
        MESSAGE(to_string(level) << ": losses " << loss_error << ", gradients " << gradient_error << ", parameters " << parameter_error);
        CHECK(loss_error < 1e-5);
        CHECK(gradient_error < 1e-5);
        CHECK(parameter_error < 2e-5);
    }
}
