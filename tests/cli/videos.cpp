// preprocess, features, classify, eval: real frames, and files that are none.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <algorithm>
#include <cmath>

using namespace cli;
using nlohmann::json;
using zeroi2v::read_safetensors;

namespace {

/// The golden model of 32 pixels and 8 frames on real video.
std::vector<std::string> const small_input{"--sampling", "dense", "--interval", "16", "--clips", "3", "--crops", "1", "--resize", "32", "--normalize", "zeroi2v", "--average", "prob"};

std::vector<std::string> joined(std::vector<std::string> words, std::vector<std::string> const& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}
std::vector<std::string> classify(std::vector<std::string> const& videos, std::vector<std::string> const& more = {}) {
    return joined(joined(joined({"classify", test_data("b16_short/adapted.pth")}, videos), {"--config", test_data("b16_short/config.json")}), joined(small_input, more));
}

} // namespace

TEST_CASE("preprocess gives the golden frames and pixels") {
    scratch const here;
    check_success(run({"preprocess", demo_video(), "-o", here / "dense.safetensors", "--preset", "clip-b16-k400-8f"}));
    check_success(run({"preprocess", demo_video(), "-o", here / "uniform.safetensors", "--preset", "clip-b16-hmdb51-8f"}));
    auto const golden = read_safetensors(test_data("pixels/demo.mp4.safetensors"));
    auto const dense = read_safetensors(here / "dense.safetensors"), uniform = read_safetensors(here / "uniform.safetensors");
    CHECK(dense["clip"].sizes() == zeroi2v::shape{3, 8, 3, 224, 224});
    CHECK(dense["clip"].type() == zeroi2v::dtype::f32);
    CHECK(dense["frame_indices"].type() == zeroi2v::dtype::i64);
    CHECK(std::ranges::equal(dense["frame_indices"].as<std::int64_t>(), golden["dense.frame_indices"].as<std::int64_t>()));
    CHECK(uniform["clip"].sizes() == zeroi2v::shape{3, 8, 3, 224, 224});
    auto const indices = uniform["frame_indices"].as<std::int64_t>();
    auto const one = golden["uniform.frame_indices"].as<std::int64_t>();
    for (std::size_t crop = 0; crop < 3; ++crop) CHECK(std::ranges::equal(indices.subspan(crop * 8, 8), one));

    auto const pixels = golden["dense.view1"].as<std::uint8_t>(); // (8,224,224,3) or (8,3,224,224)
    auto const clip = dense["clip"].as<float>().subspan(8 * 3 * 224 * 224, 8 * 3 * 224 * 224);
    constexpr float mean[] = {122.769F, 116.74F, 104.04F}, deviation[] = {68.493F, 66.63F, 70.321F};
    bool const channels_first = golden["dense.view1"].sizes()[1] == 3;
    float worst = 0;
    for (std::size_t t = 0; t < 8; ++t)
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t p = 0; p < 224 * 224; ++p) {
                float const expected = static_cast<float>(pixels[channels_first ? (t * 3 + c) * 224 * 224 + p : (t * 224 * 224 + p) * 3 + c]);
                worst = std::max(worst, std::abs(clip[(t * 3 + c) * 224 * 224 + p] * deviation[c] + mean[c] - expected));
            }
    CHECK(worst <= 1.01F);
    CHECK(json::parse(dense.metadata.at("zeroi2v.input"))["interval"] == 16);
}

TEST_CASE("classify answers in JSON as the contract says") {
    auto const found = run(classify({demo_video()}, {"--json", "--top", "3"}));
    check_success(found);
    auto const document = json::parse(found.out);
    REQUIRE(document.is_array());
    REQUIRE(document.size() == 1);
    auto const& video = document[0];
    CHECK(video.size() == 5);
    CHECK(video["video"] == demo_video());
    CHECK(video["frames"] == 280);
    CHECK(video["views"] == 3);
    REQUIRE(video["top"].size() == 3);
    double last = 1;
    for (auto const& answer : video["top"]) {
        CHECK(answer.size() == 3);
        CHECK(answer["index"].is_number_unsigned());
        CHECK(answer["label"].is_null());
        CHECK(answer["probability"].get<double>() <= last);
        last = answer["probability"];
    }
    for (auto const* const part : {"decode", "preprocess", "model"}) CHECK(video["seconds"][part].get<double>() >= 0);
    CHECK(video["seconds"].size() == 3);

    // the same through the other commands
    scratch const here;
    check_success(run(joined({"preprocess", demo_video(), "-o", here / "clips", "--config", test_data("b16_short/config.json")}, small_input)));
    check_success(run({"logits", test_data("b16_short/adapted.pth"), here / "clips", "-o", here / "logits", "--config", test_data("b16_short/config.json")}));
    auto const logits = read_safetensors(here / "logits");
    std::vector<double> mean(10, 0.0);
    for (std::size_t v = 0; v < 3; ++v) {
        double sum = 0;
        for (std::size_t k = 0; k < 10; ++k) sum += std::exp(logits["logits"].value(v * 10 + k));
        for (std::size_t k = 0; k < 10; ++k) mean[k] += std::exp(logits["logits"].value(v * 10 + k)) / sum / 3;
    }
    auto const best = static_cast<std::size_t>(std::ranges::max_element(mean) - mean.begin());
    CHECK(video["top"][0]["index"] == best);
    CHECK(video["top"][0]["probability"].get<double>() == doctest::Approx(mean[best]).epsilon(1e-6));

    auto const all = json::parse(run(classify({demo_video()}, {"--json", "--top", "1000"})).out);
    CHECK(all[0]["top"].size() == 10);
    double sum = 0;
    for (auto const& answer : all[0]["top"]) sum += answer["probability"].get<double>();
    CHECK(sum == doctest::Approx(1));
    check_success(run(joined({"features", test_data("b16_short/adapted.pth"), demo_video(), "-o", here / "features", "--config", test_data("b16_short/config.json")}, small_input)));
    CHECK(read_safetensors(here / "features")["features"].sizes() == zeroi2v::shape{3, 8, 96});
}

TEST_CASE("labels name the answers, or are refused") {
    scratch const here;
    std::string ten;
    for (int k = 0; k < 10; ++k) ten += "name " + std::to_string(k) + "\n";
    auto const named = json::parse(run(classify({demo_video()}, {"--json", "--labels", here.file("l", ten)})).out);
    CHECK(named[0]["top"][0]["label"] == "name " + std::to_string(named[0]["top"][0]["index"].get<int>()));
    CHECK(named[0]["top"].size() == 5);
    auto const text = run(classify({demo_video()}, {"--labels", here.file("l", ten + "\n")}));
    check_success(text);
    CHECK(text.out.find("%  name ") != std::string::npos);
    check_error(run(classify({demo_video()}, {"--labels", here.file("l", ten + "eleven\n")})), 4, "bad_labels", {"more than 10 class names", "10 classes expected"});
    check_error(run(classify({demo_video()}, {"--labels", here.file("l", "")})), 4, "bad_labels");
    check_error(run(classify({demo_video()}, {"--labels", here / "none"})), 2, "open_failed");
}

TEST_CASE("one bad video does not stop the others") {
    scratch const here;
    auto const text = here.file("text.mp4", "no video at all");
    auto const found = run(classify({text, demo_video(), here / "none.mp4"}, {"--json", "--top", "1"}));
    CHECK(found.status == 5);
    CHECK(std::ranges::count(found.err, '\n') == 2);
    auto const document = json::parse(found.out);
    REQUIRE(document.size() == 3);
    CHECK(document[0]["video"] == text);
    CHECK(document[0].size() == 2);
    CHECK(document[0]["error"]["code"].is_string());
    CHECK(document[0]["error"]["message"].is_string());
    CHECK(document[1]["frames"] == 280);
    CHECK(document[2]["error"]["code"] == "open_failed");
    auto const plain = run(classify({text, demo_video()}));
    CHECK(plain.status == 5);
    CHECK(plain.out.find("280 frames") != std::string::npos);
}

TEST_CASE("D: files that are no video end with status 5 and one line") {
    scratch const here;
    auto const video = content_of(demo_video());
    for (auto const& [name, bytes] : std::vector<std::pair<std::string, std::string>>{
             {"empty", ""}, {"text", "hello"}, {"noise", std::string(100'000, '\x5a')}, {"png", "\x89PNG\r\n\x1a\n" + std::string(100, '\0')},
             {"cut", video.substr(0, video.size() / 2)}, {"playlist.mp4", "#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/a.ts\n"},
             {"concat.mp4", "ffconcat version 1.0\nfile " + demo_video() + "\n"}}) {
        std::string const shown{name};
        CAPTURE(shown);
        auto const found = run(joined({"preprocess", here.file(name, bytes), "-o", here / "out", "--config", test_data("b16_short/config.json")}, small_input));
        CHECK(found.status == 5);
        CHECK(found.err.starts_with("zeroi2v: error["));
        CHECK(std::ranges::count(found.err, '\n') == 1);
        CHECK(found.out.empty());
    }
    for (std::string const& name : {std::string{"http://127.0.0.1:1/a.mp4"}, std::string{"concat:a|b"}, "subfile,,start,0,end,0,,:" + demo_video()}) {
        CAPTURE(name);
        check_error(run(joined({"preprocess", name, "-o", here / "out", "--config", test_data("b16_short/config.json")}, small_input)), 5, "open_failed");
    }
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("the input must be stated, by somebody, and fit the model") {
    scratch const here;
    auto const config = test_data("b16_short/config.json");
    check_error(run({"classify", test_data("b16_short/adapted.pth"), demo_video(), "--config", config}), 4, "bad_config", {"sampling", "interval", "average"});
    check_error(run({"preprocess", demo_video(), "-o", here / "out"}), 4, "bad_config", {"frames", "image_size"});
    check_error(run({"preprocess", demo_video(), "-o", here / "out", "--config", config, "--sampling", "uniform"}), 4, "bad_config", {"clips", "crops"});
    check_error(run(joined({"classify", test_data("b16_short/adapted.pth"), demo_video()}, small_input)), 4, "bad_config", {"heads"});
    auto small = small_input;
    *(std::ranges::find(small, "--resize") + 1) = "16";
    check_error(run(joined({"classify", test_data("b16_short/adapted.pth"), demo_video(), "--config", config}, small)), 4, "bad_config", {"resize", "32"});
    check_error(run(joined({"features", test_data("b16_short/adapted.pth"), test_data("b16_short/case.safetensors"), "-o", here / "out", "--config", config}, small_input)), 2, "bad_option");
    // a file that was made with a preset brings its input along
    auto const preset_config = here.file("c.json", R"({"image_size":32,"patch_size":8,"frames":8,"width":96,"layers":1,"heads":12,"mlp_width":96,"classes":5,
        "adapter_scale":0.5,"head_offsets":[-1,1,0,0,0,0,0,0,0,0,0,0]})");
    check_success(run({"init", "-o", here / "m.safetensors", "--config", preset_config}));
    auto file = read_safetensors(here / "m.safetensors");
    file.metadata["zeroi2v.input"] = R"({"sampling":"uniform","clips":1,"crops":3,"resize":32,"normalize":"clip","average":"score"})";
    zeroi2v::write_safetensors(here / "m.safetensors", file);
    auto const answered = run({"classify", here / "m.safetensors", demo_video(), "--json"});
    CHECK(answered.status == 0);
    CHECK(answered.err.find("untrained") != std::string::npos);
    CHECK(json::parse(answered.out)[0]["views"] == 3);
    CHECK(json::parse(run({"classify", here / "m.safetensors", demo_video(), "--json", "--clips", "2", "--quiet"}).out)[0]["views"] == 6);
}

TEST_CASE("the HTML page is one file with frames, answers, times and map") {
    scratch const here;
    auto const found = run(classify({demo_video(), here.file("<bad>&.mp4", "x")}, {"--html", here / "page.html"}));
    CHECK(found.status == 5);
    auto const page = content_of(here / "page.html");
    CHECK(page.starts_with("<!DOCTYPE html>"));
    auto const count = [&](std::string_view part) {
        std::size_t n = 0;
        for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++n;
        return n;
    };
    CHECK(count("data:image/png;base64,") == 24);
    CHECK(count("http") == 0); // nothing is loaded from elsewhere
    CHECK(count("<script") == 0);
    CHECK(count("&lt;bad&gt;&amp;.mp4") >= 1);
    CHECK(count("<bad>") == 0);
    CHECK(count("class=\"map\"") == 1);
    CHECK(count("280 frames") == 1);
    CHECK(page.size() < 3'000'000);
    check_error(run(classify({demo_video()}, {"--html", here / "none/page.html"})), 2, "unwritable_output");
}

TEST_CASE("eval counts right, wrong and bad") {
    scratch const here;
    fs::copy_file(demo_video(), here / "a b.mp4");
    here.file("bad.mp4", "x");
    auto const answer = json::parse(run(classify({demo_video()}, {"--json", "--top", "1"})).out)[0]["top"][0]["index"].get<std::size_t>();
    auto const right = std::to_string(answer), wrong = std::to_string((answer + 1) % 10);
    auto const eval = [&](std::string const& list, std::vector<std::string> const& more = {}) {
        return run(joined(joined({"eval", test_data("b16_short/adapted.pth"), here.file("list.txt", list), "--config", test_data("b16_short/config.json")}, small_input), more));
    };
    auto const found = eval("a b.mp4 " + right + "\n" + demo_video() + " " + wrong + "\r\n\nbad.mp4 0\n", {"--json"});
    CHECK(found.status == 5);
    CHECK(std::ranges::count(found.err, '\n') == 1);
    auto const document = json::parse(found.out);
    CHECK(document["videos"] == 3);
    CHECK(document["evaluated"] == 2);
    CHECK(document["bad"] == 1);
    CHECK(document["top1"] == 0.5);
    CHECK(document["top5"].get<double>() >= 0.5);
    CHECK(document["per_class"].size() == 10);
    CHECK(document["confusion"].size() == 10);
    CHECK(document["confusion"][answer][answer] == 1);
    CHECK(document["confusion"][(answer + 1) % 10][answer] == 1);
    CHECK(document["errors"][0]["video"] == "bad.mp4");
    auto const text = eval("a b.mp4 " + right + "\n");
    check_success(text);
    CHECK(text.out.find("top-1    100.00 %") != std::string::npos);
    check_success(eval("\xEF\xBB\xBF" + ("a b.mp4 " + right) + "\n"));
    check_error(eval("a b.mp4 " + right + "\na b.mp4" + std::string{"\0.mp4 1\n", 8}), 2, "usage", {"list.txt", "NUL"});
    check_error(eval("a b.mp4 10\n"), 4, "bad_labels", {"line 1", "10"});
    check_error(eval("a b.mp4\n"), 2, "usage", {"line 1"});
    check_error(eval("a b.mp4 -1\n"), 2, "usage", {"line 1"});
    check_error(eval(""), 2, "usage");
    check_error(run(joined({"eval", test_data("b16_short/adapted.pth"), here / "none", "--config", test_data("b16_short/config.json")}, small_input)), 2, "open_failed");
}

namespace {

outcome preprocessed(scratch const& here, std::string const& video, std::vector<std::string> const& more = {}) {
    return run(joined({"preprocess", test_data("videos/" + video), "-o", here / "clips", "--config", test_data("b16_short/config.json"), "--sampling", "uniform", "--clips", "1",
                       "--crops", "1", "--resize", "32", "--normalize", "clip"},
                      more));
}

} // namespace

TEST_CASE("what FFmpeg remarks on is no damage: every frame, status 0, no notice, strict and lenient") {
    scratch const here;
    for (auto const& [video, frames] : {std::pair{"mmco.mp4", 20}, {"sei.mp4", 5}, {"joined.ts", 20}, {"changes.webm", 10}, {"h264_begins_between.ts", 20}, {"hevc_cut.mp4", 17}})
        for (std::vector<std::string> const& more : {std::vector<std::string>{}, {"--lenient"}}) {
            CAPTURE(video);
            auto const result = preprocessed(here, video, more);
            check_success(result);
            CHECK(result.err == "");
            CHECK(result.out.find(std::to_string(frames) + " frames") != std::string::npos);
        }
}

TEST_CASE("what is lost in silence, or cut, is damage: strict names it, lenient counts it") {
    scratch const here;
    for (auto const* const video : {"flipped.mp4", "damaged_h264_joined_between.ts", "damaged_hevc_joined_between.ts"}) {
        CAPTURE(video);
        check_error(preprocessed(here, video), 5, "decode_failed", {"a reference picture is missing"});
        auto const lenient = preprocessed(here, video, {"--lenient"});
        CHECK(lenient.status == 0);
        CHECK(lenient.err.find("damaged frames or packets skipped") != std::string::npos);
    }
    check_error(preprocessed(here, "no_index.mp4"), 5, "decode_failed", {"the file is cut", "no index (moov)"});
}

TEST_CASE("limits of a video are options of every command that reads one, and errors name them") {
    scratch const here;
    for (auto const* const option : {"--max-packets", "--max-pixels", "--max-total-pixels"}) {
        CAPTURE(option);
        check_success(preprocessed(here, "full.mp4", {option, "1000000000"}));
        check_error(preprocessed(here, "full.mp4", {option, "1"}), 5, "limit_exceeded", {option});
        check_error(preprocessed(here, "full.mp4", {option, "0"}), 2, "bad_number", {option});
        auto const answers = run(classify({demo_video()}, {"--json", option, "1"}));
        CHECK(answers.status == 5);
        CHECK(answers.out.find(option) != std::string::npos);
    }
    CHECK(preprocessed(here, "full.mp4", {"--max-packets", "24"}).status == 5);
    check_success(preprocessed(here, "full.mp4", {"--max-packets", "25"}));
    for (auto const* const command : {"preprocess", "features", "classify", "eval", "train", "few-shot", "bench"})
        for (auto const* const option : {"--max-packets", "--max-pixels", "--max-total-pixels"}) CHECK(run({command, "--help"}).out.find(option) != std::string::npos);
}
