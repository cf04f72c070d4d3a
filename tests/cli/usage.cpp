// E1, E2: options, values, help; what a user mistypes.
#include "program.hpp"

#include <array>

using namespace cli;

namespace {
constexpr std::array commands{"inspect", "init", "convert", "merge", "preprocess", "logits", "features", "classify", "eval", "compare", "train", "few-shot", "bench", "presets"};
}

TEST_CASE("help stands on stdout, for every command") {
    auto const general = run({"--help"});
    check_success(general);
    for (auto const* const command : commands) {
        CAPTURE(command);
        CHECK(general.out.find(std::string{"  "} + command) != std::string::npos);
        for (std::vector<std::string> const& words : {std::vector<std::string>{command, "--help"}, {command, "-h"}, {"help", command}, {command, "--bogus", "--help"}}) {
            auto const found = run(words);
            check_success(found);
            CHECK(found.out.starts_with(std::string{"zeroi2v "} + command));
            for (auto const* const option : {"--help", "--version", "--quiet", "--allow-extra", "--allow-nonfinite"})
                CHECK(found.out.find(option) != std::string::npos);
        }
    }
    CHECK(run({"-h"}).out == general.out);
    CHECK(run({"help"}).out == general.out);
}

TEST_CASE("every option that the contract names is in the help of its command") {
    auto const check = [](char const* command, std::vector<std::string> const& options) {
        auto const text = run({command, "--help"}).out;
        for (auto const& option : options) {
            CAPTURE(command);
            CAPTURE(option);
            CHECK(text.find(option + " ") != std::string::npos);
        }
    };
    std::vector<std::string> const model{"--preset", "--config"};
    std::vector<std::string> const input{"--sampling", "--interval", "--clips", "--crops", "--resize", "--normalize", "--average", "--lenient", "--max-packets", "--max-pixels", "--max-total-pixels"};
    std::vector<std::string> const running{"--dtype", "--threads", "--device"};
    for (auto const* const command : {"init", "convert", "merge", "preprocess", "logits", "features", "classify", "eval", "bench"}) check(command, model);
    for (auto const* const command : {"preprocess", "features", "classify", "eval"}) check(command, input);
    for (auto const* const command : {"logits", "features", "classify", "eval", "bench"}) check(command, running);
    for (auto const* const command : {"init", "convert", "merge", "preprocess", "logits", "features"}) check(command, {"--output"});
    for (auto const* const command : {"inspect", "classify", "eval", "bench"}) check(command, {"--json"});
    check("init", {"--classes", "--frames", "--seed", "--adapters"});
    check("merge", {"--dtype"});
    check("classify", {"--labels", "--top", "--html"});
    check("bench", {"--repetitions"});
}

TEST_CASE("the version") {
    for (std::vector<std::string> const& words : {std::vector<std::string>{"--version"}, {"merge", "--version"}}) {
        auto const found = run(words);
        check_success(found);
        CHECK(found.out.starts_with("zeroi2v "));
        CHECK(found.out.size() < 20);
    }
}

TEST_CASE("unknown commands and options come with the nearest known one") {
    check_error(run({}), 2, "usage", {"--help"});
    check_error(run({"mrege"}), 2, "usage", {"mrege", "merge?"});
    check_error(run({"--mrege"}), 2, "bad_option");
    check_error(run({"help", "clasify"}), 2, "usage", {"classify?"});
    check_error(run({""}), 2, "usage");
    check_error(run({"line\nbreak"}), 2, "usage", {"line\\nbreak"});
    check_error(run({"merge", "a", "-o", "b", "--presett", "x"}), 2, "bad_option", {"--presett", "--preset?"});
    check_error(run({"classify", "a", "b", "--tpo", "3"}), 2, "bad_option", {"--top?"});
    check_error(run({"merge", "a", "-x"}), 2, "bad_option", {"-x", "merge --help"});
    check_error(run({"merge", "a", "-o", "b", "--labels", "x"}), 2, "bad_option", {"--labels"}); // another command's
    check_error(run({"logits", "a", "b", "-o", "c", "--clips", "3"}), 2, "bad_option", {"--clips"});
}

TEST_CASE("missing, unwanted and repeated values") {
    check_error(run({"merge", "a", "-o"}), 2, "bad_option", {"--output", "missing"});
    check_error(run({"merge", "a", "--preset", "--quiet"}), 2, "bad_option", {"--preset", "missing"});
    check_error(run({"merge", "a", "-o", "b", "-o", "c"}), 2, "bad_option", {"--output", "twice"});
    check_error(run({"merge", "a", "-o", "b", "--output=c"}), 2, "bad_option", {"--output", "twice"});
    check_error(run({"merge", "a", "-o", "b", "--quiet", "--quiet"}), 2, "bad_option", {"--quiet", "twice"});
    check_error(run({"merge", "a", "-o", "b", "--quiet=yes"}), 2, "bad_option", {"--quiet", "yes"});
    check_error(run({"merge"}), 2, "usage", {"IN"});
    check_error(run({"merge", "a"}), 2, "usage", {"-o"});
    check_error(run({"merge", "a", "b", "-o", "c"}), 2, "usage", {"b"});
    check_error(run({"classify", "a"}), 2, "usage", {"VIDEO"});
    check_error(run({"compare", "a"}), 2, "usage", {"B"});
    check_error(run({"merge", "a", "-o", ""}), 2, "unwritable_output");
    check_error(run({"classify", "a", "b", "--json", "--html", "c"}), 2, "bad_option", {"--html", "--json"});
    check_error(run({"merge", "a", "-o", "b", "--preset", "clip-b16-k400-8f", "--config", "c"}), 2, "bad_option", {"--config", "--preset"});
}

TEST_CASE("names are exact: no beginning of one, no other case, nothing joined") {
    for (auto const* const word : {"--quie", "--QUIET", "--allow_extra", "--allow-extr", "--qui\net", "---quiet", "--%", "--=x", "--=", "-5", "-%", "-Q"}) {
        CAPTURE(word);
        check_error(run({"merge", "a", "-o", "b", word}), 2, "bad_option", {"unknown option"});
        check_error(run({"merge", word}), 2, "bad_option", {"unknown option"}); // ahead of operands that are missing
    }
    check_error(run({"merge", "a", "-qo", "b"}), 2, "bad_option", {"--quiet", "'o'"});
    check_error(run({"merge", "a", "-qq"}), 2, "bad_option", {"--quiet", "'q'"});
    check_error(run({"merge", "a", "-o", "b", "--quiet="}), 2, "bad_option", {"--quiet", "no value"});
    check_error(run({"merge", "a", "-o", "b", "--quiet=false"}), 2, "bad_option", {"--quiet", "false"});
    for (auto const* const word : {"/quiet", "++", "-", ":", "@a", "quiet=1", ""}) { // operands
        CAPTURE(word);
        check_error(run({"inspect", word}), 3, "open_failed");
        check_error(run({"inspect", "a", word}), 2, "usage", {"one word too many"});
    }
}

TEST_CASE("a value is the whole next word, or what stands behind =") {
    scratch const here;
    auto const model = test_data("formats/half.pth");
    check_error(run({"merge", "a", "-o", "b", "--preset="}), 2, "bad_option", {"--preset"});
    check_error(run({"merge", "a", "-o", "b", "--preset=", "c"}), 2, "usage", {"c: one word too many"});
    check_error(run({"merge", "a", "-o", "b", "--preset=--quiet"}), 2, "bad_option", {"--preset", "--quiet"});
    check_error(run({"merge", "a", "-o", "b", "--preset", "--quiet=x"}), 2, "bad_option", {"--preset", "missing"});
    check_error(run({"merge", "a", "-o", "b", "--preset", "-x"}), 2, "bad_option", {"--preset", "-x"});
    check_error(run({"logits", "a", "b", "-o", "c", "--threads", "[1]"}), 2, "bad_number", {"[1]"});
    for (std::string const& name : {std::string{"[a,b]"}, std::string{"{}"}, std::string{"a=b"}, std::string{":c"}, std::string{"a b"}}) {
        CAPTURE(name);
        for (std::vector<std::string> const& words : {std::vector<std::string>{"-o", here / name}, {"-o" + here / name}, {"--output", here / name}, {"--output=" + here / name}}) {
            std::vector<std::string> all{"convert"};
            all.insert(all.end(), words.begin(), words.end());
            all.push_back(model);
            check_success(run(all));
            CHECK(here.names() == std::vector<std::string>{name});
            fs::remove(here / name);
        }
    }
    check_success(run({"convert", "--output", "-out", model}, {.folder = here.path()}));
    CHECK(here.names() == std::vector<std::string>{"-out"});
    // Operands are one by one what was typed, before and after --.
    auto const videos = run({"classify", test_data("b16_short/merged.safetensors"), "[a,b]", "", "--json", "--config", test_data("b16_short/config.json"),
                             "--sampling", "dense", "--interval", "16", "--clips", "1", "--crops", "1", "--resize", "32", "--normalize", "zeroi2v", "--average", "prob",
                             "--", "{}", "--json", "--"});
    CHECK(videos.status == 5);
    auto const document = nlohmann::json::parse(videos.out);
    std::vector<std::string> named;
    for (auto const& each : document) named.push_back(each.at("video"));
    CHECK(named == std::vector<std::string>{"[a,b]", "", "{}", "--json", "--"});
}

TEST_CASE("numbers are whole strings in a stated range") {
    for (auto const* const text : {"-1", "abc", "4x", "1e9", "", " 4", "4 ", "+5", "0x10", "18446744073709551616", "99999999999999999999", "nan", "NaN", "inf", "1.0", "1,0", "0"}) {
        CAPTURE(text);
        check_error(run({"logits", "a", "b", "-o", "c", "--threads", text}), 2, "bad_number", {"--threads", "1 to 1024"});
        check_error(run({"logits", "a", "b", "-o", "c", std::string{"--threads="} + text}), 2, "bad_number", {"--threads"});
        check_error(run({"classify", "a", "b", "--top", text}), 2, "bad_number", {"--top"});
        check_error(run({"classify", "a", "b", "--interval", text}), 2, "bad_number", {"--interval"});
        check_error(run({"classify", "a", "b", "--clips", text}), 2, "bad_number", {"--clips"});
        check_error(run({"classify", "a", "b", "--resize", text}), 2, "bad_number", {"--resize"});
        check_error(run({"init", "-o", "c", "--classes", text}), 2, "bad_number", {"--classes"});
        check_error(run({"init", "-o", "c", "--frames", text}), 2, "bad_number", {"--frames"});
        check_error(run({"bench", "--repetitions", text}), 2, "bad_number", {"--repetitions"});
    }
    check_error(run({"logits", "a", "b", "-o", "c", "--threads", "1025"}), 2, "bad_number", {"1 to 1024"});
    check_error(run({"init", "-o", "c", "--seed", "18446744073709551616"}), 2, "bad_number", {"--seed"});
    check_error(run({"init", "-o", "c", "--seed", "-1"}), 2, "bad_number", {"--seed"});
    auto const german = run({"logits", "a", "b", "-o", "c", "--threads", "2,0"}, {.environment = {{"LC_ALL", "de_DE.UTF-8"}, {"LC_NUMERIC", "de_DE.UTF-8"}}});
    check_error(german, 2, "bad_number");
}

TEST_CASE("words are one of a list") {
    check_error(run({"classify", "a", "b", "--sampling", "sparse"}), 2, "bad_option", {"dense|uniform"});
    check_error(run({"classify", "a", "b", "--crops", "2"}), 2, "bad_option", {"1|3"});
    check_error(run({"classify", "a", "b", "--normalize", "imagenet"}), 2, "bad_option", {"zeroi2v|clip"});
    check_error(run({"classify", "a", "b", "--average", "max"}), 2, "bad_option", {"prob|score"});
    check_error(run({"init", "-o", "c", "--adapters", "one"}), 2, "bad_option", {"zero|random|none"});
    check_error(run({"merge", "a", "-o", "c", "--dtype", "f64"}), 2, "bad_option", {"f32|f16|bf16"});
    check_error(run({"logits", "a", "b", "-o", "c", "--dtype", "fp32"}), 2, "bad_option", {"f32"});
    check_error(run({"logits", "a", "b", "-o", "c", "--device", "gpu"}), 2, "bad_option", {"cpu|cuda|auto"});
    check_error(run({"merge", "a", "-o", "c", "--preset", "clip-b16-k400-8"}), 2, "bad_option", {"clip-b16-k400-8f?"});
    check_error(run({"merge", "a", "-o", "c", "--preset", ""}), 2, "bad_option");
}

TEST_CASE("instruction sets that are not there") {
    check_error(run({"presets"}, {.environment = {{"ZEROI2V_ISA", "neon"}}}), 2, "bad_option", {"neon"});
    CHECK(run({"presets"}, {.environment = {{"ZEROI2V_ISA", "sse2"}}}).status == 0);
}

TEST_CASE("presets are listed and drawn") {
    auto const found = run({"presets"});
    check_success(found);
    for (auto const* const name : {"clip-b16-k400-8f", "clip-b16-ssv2-16f", "clip-b16-hmdb51-8f", "clip-b16-hmdb51-32f", "clip-b16-ucf101-8f",
                                   "clip-b16-ucf101-32f", "clip-l14-k400-8f", "clip-l14-k400-32f", "clip-l14-ssv2-32f"})
        CHECK(found.out.find(std::string{name} + "\n") != std::string::npos);
    CHECK(found.out.find("head") != std::string::npos);
    CHECK(found.out.find("-1 <-") != std::string::npos);
}
