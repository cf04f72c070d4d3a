// The program on a device: its answers are the CPU's within what the number format allows.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <algorithm>
#include <cmath>

using namespace cli;
using nlohmann::json;
using zeroi2v::safetensors_file;

namespace {

std::vector<std::string> on(std::vector<std::string> words, std::vector<std::string> const& more) {
    std::string const folder = ZEROI2V_SOURCE_DIR "/examples/data/moving_shapes/";
    for (auto& word : words)
        if (word.front() == '@') word = folder + word.substr(1);
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

zeroi2v::stored_tensor tensor_of(std::string const& file, std::string const& name) { return safetensors_file{file}.read(name); }

} // namespace

TEST_CASE("logits of the golden cases, adapted and merged, in every number format") {
    scratch const here;
    for (auto const* const name : {"b16_short", "l14_ssv2_offsets", "l14_wide_patch14", "no_attention_output_adapter", "one_adapter_after_mlp"})
        for (auto const* const file : {"adapted.pth", "merged.safetensors"}) {
            std::string const folder = std::string{name} + "/";
            if (!fs::exists(test_data(folder + file))) continue;
            CAPTURE(folder);
            CAPTURE(file);
            auto const logits = [&](std::string const& target, std::vector<std::string> const& more) {
                check_success(run(on({"logits", test_data(folder + file), test_data(folder + "case.safetensors"), "-o", target, "--quiet",
                                      "--config", test_data(folder + "config.json")}, more)));
                return tensor_of(target, "logits");
            };
            auto const expected = logits(here / "cpu", {});
            for (auto const& [type, bound] : {std::pair{"f32", 2e-5}, {"f16", 5e-3}, {"bf16", 4e-2}}) {
                CAPTURE(type);
                auto const found = distance(logits(here / "cuda", {"--device", "cuda", "--dtype", type}), expected);
                MESSAGE(folder, file, " ", type, ": relative L2 ", found.relative_l2);
                CHECK(found.relative_l2 <= bound);
            }
        }
}

TEST_CASE("features of a video, resized and cropped on the CPU") {
    scratch const here;
    check_success(run(on({"features", "@both.safetensors", "@bar_growing.mp4", "-o", here / "cpu", "--quiet"}, {})));
    check_success(run(on({"features", "@both.safetensors", "@bar_growing.mp4", "-o", here / "cuda", "--quiet", "--device", "cuda"}, {})));
    CHECK(distance(tensor_of(here / "cuda", "features"), tensor_of(here / "cpu", "features")).relative_l2 <= 2e-5);
}

TEST_CASE("classify: frames resized and cropped on the device, several videos and views, a bad one among them") {
    for (auto const& input : {std::vector<std::string>{}, {"--crops", "3", "--resize", "80"}, {"--clips", "3"}}) {
        auto const answers = [&](std::vector<std::string> const& more) {
            auto words = on({"classify", "@both.safetensors", "@bar_growing.mp4", "@nothing.mp4", "@disc_clockwise.mp4", "@post_hue_down.mp4", demo_video(), "--json"}, input);
            auto const found = run(on(words, more));
            CHECK(found.status == 5);
            return json::parse(found.out);
        };
        auto const expected = answers({}), found = answers({"--device", "cuda"});
        REQUIRE(found.size() == 5);
        CHECK(found[1] == expected[1]);
        for (std::size_t const i : {0U, 2U, 3U, 4U}) {
            CAPTURE(i);
            CHECK(found[i]["device"] == "cuda");
            CHECK(found[i]["frames"] == expected[i]["frames"]);
            CHECK(found[i]["views"] == expected[i]["views"]);
            CHECK(found[i]["top"][0]["index"] == expected[i]["top"][0]["index"]);
            // a byte of a pixel may differ by one
            CHECK(std::abs(found[i]["top"][0]["probability"].get<double>() - expected[i]["top"][0]["probability"].get<double>()) <= 0.02);
        }
    }
}

TEST_CASE("classify --html and eval on a device") {
    scratch const here;
    check_success(run(on({"classify", "@both.safetensors", "@bar_growing.mp4", "--html", here / "page.html", "--quiet", "--device", "cuda"}, {})));
    CHECK(content_of(here / "page.html").find("data:image/png") != std::string::npos);
    auto const expected = run(on({"eval", "@both.safetensors", "@list.txt", "--json", "--quiet"}, {}));
    auto const found = run(on({"eval", "@both.safetensors", "@list.txt", "--json", "--quiet", "--device", "auto"}, {}));
    check_success(found);
    CHECK(json::parse(found.out)["confusion"] == json::parse(expected.out)["confusion"]);
}

TEST_CASE("--device auto takes the device and has nothing to say of it; bench names it") {
    auto const found = run(on({"bench", "@both.safetensors", "--repetitions", "2", "--json", "--device", "auto", "--dtype", "bf16"}, {}));
    check_success(found);
    auto const document = json::parse(found.out);
    CHECK(document["device"] == "cuda");
    CHECK(document["runs_on"].get<std::string>().starts_with("bf16, "));
    CHECK(document["fma_limit_gflops"].is_null());
    for (auto const* const name : {"plain", "adapted", "merged"}) {
        CHECK(document[std::string{name} + "_s"].size() == 2);
        CHECK(document["device_bytes"][name].get<double>() > 0);
        CHECK(document["peak_rss_bytes"][name].is_null());
    }
}

TEST_CASE("a device that CUDA does not show is not there") {
    check_error(run(on({"classify", "@both.safetensors", "@bar_growing.mp4", "--device", "cuda"}, {}), {.environment = {{"CUDA_VISIBLE_DEVICES", "-1"}}}), 8,
                "device_unavailable", {"no device found", "CUDA_VISIBLE_DEVICES"});
}
