// --device and --dtype: which pairs there are, and what is said where there is no device. CUDA is never found here: a build
// without it has none, and to one with it CUDA_VISIBLE_DEVICES hides what there may be.
#include "program.hpp"

#include <algorithm>

using namespace cli;
using nlohmann::json;

namespace {

conditions const no_device{.environment = {{"CUDA_VISIBLE_DEVICES", "-1"}}};

std::vector<std::string> logits_words(std::string const& target, std::vector<std::string> const& more) {
    std::vector<std::string> words{"logits", test_data("b16_short/merged.safetensors"), test_data("b16_short/case.safetensors"), "-o", target,
                                   "--config", test_data("b16_short/config.json")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

std::vector<std::string> shapes_words(std::vector<std::string> words, std::vector<std::string> const& more) {
    std::string const folder = ZEROI2V_SOURCE_DIR "/examples/data/moving_shapes/";
    for (auto& word : words)
        if (word.front() == '@') word = folder + word.substr(1);
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// Every command that takes --device, with all that it needs.
std::vector<std::vector<std::string>> device_commands(scratch const& here, std::vector<std::string> const& more) {
    return {logits_words(here / "l", more),
            shapes_words({"features", "@both.safetensors", "@bar_growing.mp4", "-o", here / "f"}, more),
            shapes_words({"classify", "@both.safetensors", "@bar_growing.mp4"}, more),
            shapes_words({"eval", "@both.safetensors", "@list.txt"}, more),
            shapes_words({"bench", "@both.safetensors", "--repetitions", "1"}, more)};
}

/// One line that says why there is no device and that the CPU takes the model.
void check_notice(std::string const& text) {
    CAPTURE(text);
    CHECK(text.starts_with("zeroi2v: cuda: "));
    CHECK(text.ends_with(": the model runs on the CPU\n"));
    CHECK(std::ranges::count(text, '\n') == 1);
}

/// What a machine without a driver, or without a device, is told, whatever the build.
std::vector<std::string_view> device_reasons() {
#if ZEROI2V_CUDA
    return {"no driver found", "a driver for CUDA", "no device found", "the driver does not answer"};
#else
    return {"a build without CUDA found"};
#endif
}

bool has_a_reason(std::string const& text) {
    return std::ranges::any_of(device_reasons(), [&](std::string_view reason) { return text.find(reason) != std::string::npos; });
}

} // namespace

TEST_CASE("--device cuda without a device ends every command with 8 and the reason in one line, before any work") {
    scratch const here;
    for (auto const& words : device_commands(here, {"--device", "cuda"})) {
        CAPTURE(words.front());
        auto const found = run(words, no_device);
        check_error(found, 8, "device_unavailable", {"--device: cuda: "});
        CHECK(has_a_reason(found.err));
        auto quiet = words;
        quiet.emplace_back("--quiet");
        CHECK(run(quiet, no_device).err == found.err);
    }
    CHECK(here.names().empty());
}

#if ZEROI2V_CUDA
TEST_CASE("each reason why there is no device has its sentence") {
    scratch const here;
    for (auto const& [mode, sentence] : {std::pair{"no_device", "--device: cuda: no device found (cudaGetDeviceCount: cudaErrorNoDevice"},
                                         {"old_driver", "--device: cuda: a driver for CUDA 12.8 found, one for CUDA "},
                                         {"broken", "--device: cuda: the driver does not answer (cudaGetDeviceCount: "}}) {
        CAPTURE(mode);
        conditions const how{.environment = {{"LD_LIBRARY_PATH", ZEROI2V_FAKE_DRIVER}, {"FAKE_CUDA", mode}}};
        check_error(run(logits_words(here / "out", {"--device", "cuda"}), how), 8, "device_unavailable", {sentence});
        CHECK(here.names().empty());
        auto const automatic = run(logits_words(here / "out", {"--device", "auto"}), how);
        CHECK(automatic.status == 0);
        check_notice(automatic.err);
        CHECK(automatic.err.find(std::string_view{sentence}.substr(10)) != std::string::npos);
        fs::remove(here / "out");
    }
}
#endif

TEST_CASE("--device auto without a device says so once, and answers as the CPU does") {
    scratch const here;
    auto const on_cpu = device_commands(here, {}), automatic = device_commands(here, {"--device", "auto"});
    for (std::size_t i = 0; i < on_cpu.size(); ++i) {
        CAPTURE(on_cpu[i].front());
        check_success(run(on_cpu[i], no_device));
        std::string const file = here / (on_cpu[i].front() == "logits" ? "l" : "f"), expected = i < 2 ? content_of(file) : "";
        auto const found = run(automatic[i], no_device);
        CHECK(found.status == 0);
        check_notice(found.err);
        CHECK(has_a_reason(found.err));
        if (i < 2) CHECK(content_of(file) == expected);
        auto quiet = automatic[i];
        quiet.emplace_back("--quiet");
        check_success(run(quiet, no_device));
    }
}

TEST_CASE("--device auto gives the CPU's answers in JSON and names the device, which the default does not") {
    scratch const here;
    auto const answers = [](std::vector<std::string> const& more) {
        auto const found = run(shapes_words({"classify", "@both.safetensors", "@bar_growing.mp4", "@nothing.mp4", "@post_hue_down.mp4", "--json"}, more), no_device);
        CHECK(found.status == 5);
        return json::parse(found.out);
    };
    auto expected = answers({}), found = answers({"--device", "auto"});
    REQUIRE(found.size() == 3);
    for (std::size_t const i : {0U, 2U}) {
        CHECK(found[i]["device"] == "cpu");
        CHECK(!expected[i].contains("device"));
        CHECK(found[i]["top"] == expected[i]["top"]);
    }
    CHECK(found[1] == expected[1]);

    auto const timed = run(shapes_words({"bench", "@both.safetensors", "--repetitions", "1", "--json", "--quiet", "--device", "auto"}, {}), no_device);
    check_success(timed);
    auto const document = json::parse(timed.out);
    CHECK(document["device"] == "cpu");
    CHECK(document["runs_on"].get<std::string>().starts_with("f32, "));
    CHECK(document["fma_limit_gflops"].get<double>() > 0);
    CHECK(document["device_bytes"] == json{{"plain", nullptr}, {"adapted", nullptr}, {"merged", nullptr}});
}

TEST_CASE("pairs of device and dtype") {
    scratch const here;
    auto const with = [&](std::vector<std::string> const& more) { return run(logits_words(here / "out", more), no_device); };
    // f16 is cuda's
    check_error(with({"--dtype", "f16"}), 8, "unsupported_device", {"--dtype: f16 found", "on the CPU f32, bf16 or int8 expected"});
    check_error(with({"--dtype", "f16", "--device", "cpu"}), 8, "unsupported_device");
    auto const automatic = with({"--dtype", "f16", "--device", "auto"});
    check_error(automatic, 8, "unsupported_device", {"--dtype: f16 found", "; cuda: "});
    CHECK(has_a_reason(automatic.err));
    check_error(with({"--dtype", "f16", "--device", "cuda"}), 8, "device_unavailable");
    // int8 is the CPU's, whatever devices there are
    check_error(with({"--dtype", "int8", "--device", "cuda"}), 8, "unsupported_device", {"--dtype: int8 found", "on cuda f32, bf16 or f16 expected"});
    CHECK(here.names().empty());
    auto const int8 = with({"--dtype", "int8", "--device", "auto"});
    CHECK(int8.status == 0);
    CHECK(int8.err == "zeroi2v: --dtype: int8 is the CPU's alone: the model runs on the CPU\n");
    std::string const content = content_of(here / "out");
    check_success(with({"--dtype", "int8"}));
    CHECK(content_of(here / "out") == content);
}

TEST_CASE("what is no device or dtype is a question of usage, whatever the machine has") {
    check_error(run(logits_words("c", {"--device", "gpu"})), 2, "bad_option", {"cpu|cuda|auto"});
    check_error(run(logits_words("c", {"--device", "cuda:1"})), 2, "bad_option", {"cpu|cuda|auto"});
    check_error(run(logits_words("c", {"--device", "cuda", "--dtype", "tf32"})), 2, "bad_option", {"f32"});
    check_error(run({"merge", "a", "-o", "c", "--device", "cuda"}), 2, "bad_option", {"--device"}); // a command that has no such option
}
