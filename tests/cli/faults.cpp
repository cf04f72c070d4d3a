// A, B, C: checkpoints, configurations and clips that are wrong; one typed line each.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

#include <sys/stat.h>

using namespace cli;
using nlohmann::json;
using zeroi2v::read_safetensors;

namespace {

std::string safetensors(std::string const& header, std::size_t data_bytes, std::uint64_t extra_length = 0) {
    std::uint64_t const length = header.size() + extra_length;
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    return file + header + std::string(data_bytes, '\0');
}
std::string with_length(std::uint64_t length, std::string const& rest) {
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    return file + rest;
}

/// The tiny model of formats/, as safetensors, changed by `change`.
std::string changed_model(scratch const& here, std::function<void(zeroi2v::named_tensors&)> const& change) {
    auto file = read_safetensors(test_data("formats/expected_f32.safetensors"));
    change(file);
    auto const path = here / "changed.safetensors";
    fs::remove(path);
    zeroi2v::write_safetensors(path, file);
    return path;
}

std::string const first = "backbone.transformer.resblocks.0.";

} // namespace

TEST_CASE("A14: a configuration of millions of heads in the metadata is refused by its length, in the memory of the header") {
    scratch const here;
    constexpr std::size_t heads = 30'000'000;
    std::string config = R"({"head_offsets":[0)";
    config.reserve(2 * heads + 100);
    for (std::size_t i = 1; i < heads; ++i) config += ",0";
    config += "]}";
    auto const path = changed_model(here, [&](zeroi2v::named_tensors& file) { file.metadata.insert_or_assign("zeroi2v.config", std::move(config)); });
    check_error(run({"inspect", path}, {.address_space = 600'000'000}), 4, "bad_config",
                {"changed.safetensors (zeroi2v.config)", "60000018 bytes found", "1048576 expected"});
}

TEST_CASE("A: damaged and foreign files") {
    scratch const here;
    struct fault { std::string name, bytes; char const* code; };
    std::string const one = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    std::vector<fault> const faults{
        {"A1 empty", "", "header_too_small"},
        {"A1 seven bytes", std::string(7, '\0'), "header_too_small"},
        {"A2", with_length(100'000'001, "{}"), "header_too_large"},
        {"A2 2^63", with_length(std::uint64_t{1} << 63U, "{}"), "header_too_large"},
        {"A2 2^64-1", with_length(~std::uint64_t{0}, "{}"), "header_too_large"},
        {"A3", with_length(1000, one), "bad_header_length"},
        {"A4", safetensors("{\"\xff\":1}", 0), "header_not_utf8"},
        {"A5", safetensors(one.substr(0, one.size() - 1), 8), "bad_json"},
        {"A7", safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0077":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8), "duplicate_key"},
        {"A8", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "bad_offsets"},
        {"A9", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "bad_offsets"},
        {"A10", safetensors(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "size_mismatch"},
        {"A13", safetensors(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8), "unknown_dtype"},
        {"A16 gguf", "GGUF" + std::string(100, '\x01'), "not_safetensors"},
        {"A16 lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "not_safetensors"},
        {"A16 text", "this is not a checkpoint, it only says so\n", "not_safetensors"},
        {"A17", "PK\x03\x04" + std::string(100, 'x'), "bad_zip"},
    };
    for (auto const& [name, bytes, code] : faults) {
        std::string const shown{name};
        CAPTURE(shown);
        auto const path = here.file("bad", bytes);
        check_error(run({"inspect", path}), 3, code, {"bad"});
        check_error(run({"convert", path, "-o", here / "out"}), 3, code);
        auto const clips = run({"logits", test_data("b16_short/merged.safetensors"), path, "-o", here / "out", "--config", test_data("b16_short/config.json")});
        CHECK(clips.status == 3);
    }
    check_error(run({"inspect", here / "none"}), 3, "open_failed");
    check_error(run({"inspect", here.path().native()}), 3, "open_failed", {"folder"});
    check_error(run({"inspect", "/dev/zero"}), 3, "open_failed", {"device"});
    CHECK(::mkfifo((here / "fifo").c_str(), 0600) == 0);
    check_error(run({"inspect", here / "fifo"}), 3, "open_failed");
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("A15: dtypes and values of weights") {
    scratch const here;
    auto const config = test_data("formats/config.json");
    auto const merge = [&](std::string const& path, std::vector<std::string> more = {}) {
        std::vector<std::string> words{"merge", path, "-o", here / "out", "--config", config};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    auto const integers = changed_model(here, [](auto& file) {
        auto& bias = file.tensors.find("cls_head.fc_cls.bias")->second;
        bias = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::i32, bias.sizes());
    });
    check_error(merge(integers), 3, "unsupported_dtype", {"cls_head.fc_cls.bias", "I32", "F32, F16 or BF16"});
    auto const nan = changed_model(here, [](auto& file) {
        auto values = file.tensors.find(first + "mlp.c_fc.weight")->second.template as<float>();
        values[17] = NAN;
        values[40] = INFINITY;
    });
    check_error(merge(nan), 3, "nonfinite_weight", {"mlp.c_fc.weight", "2 of", "index 17"});
    check_error(run({"convert", nan, "-o", here / "out"}), 3, "nonfinite_weight");
    check_error(merge(nan, {"--allow-nonfinite"}), 3, "nonfinite_merge", {"mlp.c_fc"});
    auto const logits = [&](std::vector<std::string> more) {
        auto const clips = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f32, {4, 3, 16, 16});
        zeroi2v::write_safetensors(here / "clips.safetensors", {{"clip", clips}});
        std::vector<std::string> words{"logits", nan, here / "clips.safetensors", "-o", here / "out", "--config", config};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    check_error(logits({}), 3, "nonfinite_weight");
    check_error(logits({"--allow-nonfinite"}), 4, "nonfinite_logits", {"clips.safetensors"});
    CHECK(!fs::exists(here / "out"));
    check_success(run({"convert", nan, "-o", here / "out", "--allow-nonfinite"}));
}

TEST_CASE("B: missing, left over, of another shape") {
    scratch const here;
    auto const config = test_data("formats/config.json");
    auto const merge = [&](std::string const& path, std::vector<std::string> more = {}) {
        std::vector<std::string> words{"merge", path, "-o", here / "out", "--config", config};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    check_error(merge(changed_model(here, [](auto& file) { file.tensors.erase(first + "ln_2.bias"); })), 4, "missing_tensors", {first + "ln_2.bias", "1 tensor"});
    check_error(merge(changed_model(here, [](auto& file) { file.tensors.erase(first + "S_Adapter.D_fc2.bias"); })), 4, "missing_tensors", {"S_Adapter.D_fc2.bias"});
    auto const many = merge(changed_model(here, [](auto& file) {
        std::erase_if(file.tensors, [](auto const& entry) { return entry.first.find("ln_") == std::string::npos && entry.first.find("Adapter") == std::string::npos; });
    }));
    CHECK(many.status == 4);
    CHECK(many.err.starts_with("zeroi2v: error[missing_tensors]: "));
    check_error(merge(test_data("b16_short/case.safetensors")), 4, "missing_tensors");

    auto const extra = changed_model(here, [](auto& file) { file.tensors.emplace("ema.decay", zeroi2v::stored_tensor::zeros(zeroi2v::dtype::i64, {1})); });
    check_error(merge(extra), 4, "unexpected_tensors", {"ema.decay"});
    check_error(run({"convert", extra, "-o", here / "out"}), 4, "unexpected_tensors");
    for (auto const& left_out : {merge(extra, {"--allow-extra"}), run({"convert", extra, "-o", here / "out", "--allow-extra"})}) {
        CHECK(left_out.status == 0);
        CHECK(left_out.err.find("1 tensor left out: ema.decay\n") != std::string::npos);
        CHECK(std::ranges::count(left_out.err, '\n') == 1);
    }
    check_success(merge(extra, {"--allow-extra", "--quiet"}));
    fs::remove(here / "out");

    auto const reshaped = [&](std::string const& name, zeroi2v::shape sizes) {
        return changed_model(here, [&](auto& file) { file.tensors.find(name)->second = zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f32, sizes); });
    };
    check_error(merge(reshaped(first + "mlp.c_fc.weight", {48, 192})), 4, "bad_shape", {"(48,192)", "(192,48)"});
    check_error(merge(reshaped(first + "attn.in_proj_weight", {48, 144})), 4, "bad_shape", {"(48,144)", "(144,48)"});
    check_error(merge(reshaped(first + "MLP_Adapter.D_fc1.weight", {48, 12})), 4, "bad_shape", {"(48,12)", "(12,48)"}); // C2: swapped
    check_error(merge(reshaped("backbone.positional_embedding", {48, 5})), 4, "bad_shape", {"(48,5)", "(5,48)"});
    check_error(merge(reshaped("backbone.positional_embedding", {6, 48})), 4, "bad_config", {"6 rows"});          // B5
    check_error(merge(reshaped("backbone.positional_embedding", {10, 48})), 4, "config_mismatch", {"image_size"}); // never interpolated
    check_error(merge(reshaped("backbone.temporal_embedding", {1, 5, 48})), 4, "config_mismatch", {"frames"});
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("B4: configurations that make no model") {
    scratch const here;
    auto const sound = json::parse(content_of(test_data("formats/config.json")));
    auto const with = [&](char const* key, json const& value) {
        auto changed = sound;
        if (value.is_null()) changed.erase(key);
        else changed[key] = value;
        return run({"merge", test_data("formats/half.pth"), "-o", here / "out", "--config", here.file("c.json", changed.dump())});
    };
    check_success(with("adapter_scale", 0.5));
    check_error(with("heads", 7), 4, "bad_config", {"heads"});
    check_error(with("heads", 0), 4, "bad_config", {"heads"});
    check_error(with("heads", nullptr), 4, "bad_config", {"heads"});
    check_error(with("head_offsets", nullptr), 4, "bad_config", {"head_offsets"});
    check_error(with("adapter_scale", nullptr), 4, "bad_config", {"adapter_scale"});
    check_error(with("head_offsets", {1, 2}), 4, "bad_config", {"head_offsets"});
    check_error(with("head_offsets", std::vector<int>(12, 32768)), 4, "bad_config", {"head_offsets"});
    check_error(with("adapter_scale", "0.5"), 4, "bad_config", {"adapter_scale"});
    check_error(with("head_offsets", json::array()), 4, "bad_config", {"c.json: head_offsets: 0 found"});
    check_error(run({"init", "-o", here / "out", "--config", here.file("c.json", R"({"image_size":16,"patch_size":8,"frames":2,"width":49,"layers":1,
        "heads":2,"mlp_width":64,"classes":3,"adapter_scale":0.5,"head_offsets":[0,1]})")}), 4, "bad_config", {"c.json: width: 49 found"});
    check_error(with("layers", 0), 4, "bad_config", {"layers"});
    check_error(with("layers", 3), 4, "config_mismatch", {"layers"});
    check_error(with("head_ofsets", 1), 4, "bad_config", {"head_ofsets", "head_offsets?"});
    check_success(with("width", nullptr)); // the shapes say it
    auto const config = [&](std::string_view text) {
        fs::remove(here / "out");
        return run({"merge", test_data("formats/half.pth"), "-o", here / "out", "--config", here.file("c.json", text)});
    };
    check_error(config("{"), 2, "bad_json", {"c.json", "line 1"});
    check_error(config("[]"), 4, "bad_config");
    check_error(config(R"({"heads":12,"heads":12})"), 4, "bad_config", {"twice"});
    check_error(run({"merge", test_data("formats/half.pth"), "-o", here / "out", "--config", here / "none.json"}), 2, "open_failed");
    check_error(run({"merge", test_data("formats/half.pth"), "-o", here / "out"}), 4, "bad_config", {"heads", "head_offsets", "adapter_scale"});
    // sizes that overflow are found before memory is asked for
    for (auto const* const key : {"frames", "classes", "mlp_width", "width", "layers", "image_size"}) {
        auto huge = sound;
        huge[key] = std::uint64_t{1} << 47U;
        check_error(run({"init", "-o", here / "out", "--config", here.file("c.json", huge.dump())}), 4, "bad_config");
    }
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("clips: malformed 3, of another shape 4") {
    scratch const here;
    auto const logits = [&](std::string const& clips) {
        return run({"logits", test_data("formats/half.pth"), clips, "-o", here / "out", "--config", test_data("formats/config.json")});
    };
    auto const clips = [&](char const* name, zeroi2v::dtype type, zeroi2v::shape sizes) {
        zeroi2v::write_safetensors(here / "clips.safetensors", {{name, zeroi2v::stored_tensor::zeros(type, sizes)}});
        return here / "clips.safetensors";
    };
    using zeroi2v::dtype;
    check_success(logits(clips("clip", dtype::f32, {2, 4, 3, 16, 16})));
    check_success(logits(clips("clip", dtype::f16, {4, 3, 16, 16})));
    fs::remove(here / "out");
    check_error(logits(clips("clips", dtype::f32, {2, 4, 3, 16, 16})), 3, "bad_tensor", {"clip"});
    check_error(logits(clips("clip", dtype::i32, {2, 4, 3, 16, 16})), 3, "unsupported_dtype", {"I32"});
    for (auto const& sizes : {zeroi2v::shape{2, 5, 3, 16, 16}, {2, 4, 1, 16, 16}, {2, 4, 3, 16, 8}, {3, 16, 16}, {0, 4, 3, 16, 16}, {1, 2, 4, 3, 16, 16}, {4, 16, 16, 3}})
        check_error(logits(clips("clip", dtype::f32, sizes)), 4, "bad_shape", {to_string(sizes), "(V,4,3,16,16)"});
    check_error(logits(test_data("formats/half.pth")), 3, "not_safetensors");
    check_error(run({"logits", test_data("formats/clip_hf.safetensors"), clips("clip", dtype::f32, {4, 3, 16, 16}), "-o", here / "out", "--config", test_data("formats/config.json")}), 4,
                "missing_tensors", {"temporal_embedding"});
    zeroi2v::stored_tensor nan = zeroi2v::stored_tensor::zeros(dtype::f32, {4, 3, 16, 16});
    nan.as<float>()[5] = NAN;
    zeroi2v::write_safetensors(here / "clips.safetensors", {{"clip", nan}});
    check_error(logits(here / "clips.safetensors"), 4, "nonfinite_logits");
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("texts of every editor: labels, lists and configurations alike") {
    scratch const here;
    auto const model = moving_shapes("both.safetensors"), video = moving_shapes("disc_clockwise.mp4");
    auto const labels = [&](std::string const& bytes) { return run({"classify", model, video, "--labels", here.file("l.txt", bytes), "--json", "-q"}); };
    auto const list = [&](std::string const& bytes) { return run({"eval", model, here.file("list.txt", bytes), "--json", "-q"}); };
    auto const training = [&](std::string const& bytes) {
        return run({"train", model, here.file("list.txt", bytes), "-o", here / "out", "--steps", "1", "--batch", "1", "-q"});
    };
    auto const config = [&](std::string const& bytes) {
        fs::remove(here / "out");
        return run({"convert", model, "-o", here / "out", "--config", here.file("c.json", bytes), "-q"});
    };
    std::string const names_lf = content_of(moving_shapes("labels.txt")), list_lf = video + " 0\n" + video + " 1\n", config_lf = content_of(moving_shapes("config.json"));
    auto const crlf = [](std::string text) {
        for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.replace(at, 1, "\r\n");
        return text;
    };
    auto const cut = [](std::string text) {
        while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
        return text;
    };
    auto const top = [](outcome const& found) { return json::parse(found.out).at(0).at("top"); };
    auto const expected_names = top(labels(names_lf));
    CHECK(expected_names.at(0).at("label").get<std::string>().find('\r') == std::string::npos);
    std::string const mark = "\xEF\xBB\xBF";
    for (std::string const& begin : {std::string{}, mark})
        for (bool const windows : {false, true})
            for (bool const whole : {false, true}) {
                CAPTURE(begin.size());
                CAPTURE(windows);
                CAPTURE(whole);
                auto const form = [&](std::string text) {
                    if (windows) text = crlf(text);
                    return begin + (whole ? text : cut(text));
                };
                auto const found = labels(form(names_lf));
                check_success(found);
                CHECK(top(found) == expected_names);
                auto const evaluated = list(form(list_lf));
                check_success(evaluated);
                CHECK(json::parse(evaluated.out).at("evaluated") == 2);
                check_success(config(form(config_lf)));
            }
    auto const utf16 = [](std::string const& text, bool big, bool marked) {
        std::string result = !marked ? "" : big ? "\xFE\xFF" : "\xFF\xFE";
        for (char const c : text) {
            if (big) result += '\0';
            result += c;
            if (!big) result += '\0';
        }
        return result;
    };
    fs::remove(here / "out");
    for (bool const big : {false, true})
        for (bool const marked : {false, true})
            for (bool const windows : {false, true}) {
                auto const form = [&](std::string const& text) { return utf16(cut(windows ? crlf(text) : text), big, marked); };
                check_error(labels(form(names_lf)), 2, "bad_labels", {"l.txt", "UTF-16 found, UTF-8 expected"});
                check_error(list(form(list_lf)), 2, "usage", {"list.txt", "UTF-16 found, UTF-8 expected"});
                check_error(training(form(list_lf)), 2, "usage", {"list.txt", "UTF-16 found, UTF-8 expected"});
                check_error(config(form(config_lf)), 2, "bad_json", {"c.json", "UTF-16 found, UTF-8 expected"});
            }
    for (std::size_t const at : {std::size_t{0}, std::size_t{9}, names_lf.size()})
        check_error(labels(std::string{names_lf}.insert(at, 1, '\0')), 2, "bad_labels", {"NUL"});
    check_error(list(list_lf + std::string(1, '\0')), 2, "usage", {"NUL"});
    check_error(training(list_lf + std::string(1, '\0')), 2, "usage", {"NUL"});
    check_error(config(config_lf + std::string(1, '\0')), 2, "bad_json", {"NUL"});
    CHECK(!fs::exists(here / "out"));
}

TEST_CASE("labels are read no further than one more than the classes, and lists take at most four times their size in memory") {
    scratch const here;
    auto const model = moving_shapes("both.safetensors"), video = moving_shapes("disc_clockwise.mp4");
    constexpr std::size_t megabyte = 1000000, size = 60 * megabyte;
    auto const plain = run({"classify", model, video, "-q"}).peak_bytes;
    auto const labels = [&](std::string const& text) { return run({"classify", model, video, "--labels", here.file("l.txt", text), "-q"}); };
    auto const few = labels(std::string(size, '\n'));
    check_error(few, 4, "bad_labels", {"0 class names found"});
    CHECK(few.peak_bytes < 2 * size + plain); // once, not a line at a time
    std::string names;
    for (std::size_t i = 0; names.size() < size; ++i) names += "a\n";
    auto const many = labels(names);
    check_error(many, 4, "bad_labels", {"more than "});
    CHECK(many.peak_bytes < 2 * size + plain);
    CHECK(labels(content_of(moving_shapes("labels.txt")) + std::string(1000, '\n')).status == 0);

    std::string lines;
    for (std::size_t i = 0; i < size / 4; ++i) lines += "a 0\n";
    lines += "a 1000\n"; // no class: the list is read, and that is found
    auto const list = here.file("list.txt", lines);
    for (std::vector<std::string> const& words : {std::vector<std::string>{"eval", model, list}, {"train", model, list, "-o", here / "out", "--steps", "1"}}) {
        auto const found = run(words);
        check_error(found, 4, "bad_labels", {"line 15000001", "class 1000"});
        CHECK(found.peak_bytes < 4 * size + 16 * megabyte + plain);
    }
    lines.resize(size);
    here.file("list.txt", lines);
    auto const found = run({"train", model, list, "-o", here / "out", "--steps", "1", "--order", "given", "--bad-videos", "0", "--decode-threads", "1", "-q"});
    CHECK(found.status == 5);
    CHECK(found.peak_bytes < 4 * size + 16 * megabyte + plain);
    CHECK(!fs::exists(here / "out"));
    // In a shuffled order, and with shots of each class.
    fs::copy_file(video, here / "a");
    auto const trained = run({"train", model, list, "-o", here / "out", "--steps", "1", "--batch", "1", "-q"});
    check_success(trained);
    CHECK(trained.peak_bytes < 4 * size + 16 * megabyte + plain);
    auto const shots = run({"few-shot", model, list, "--val", moving_shapes("list.txt"), "--steps", "1", "--batch", "1", "--shots", "1", "--draws", "1", "-q"});
    CHECK(shots.status == 0);
    CHECK(shots.peak_bytes < 4 * size + 16 * megabyte + plain);
}

TEST_CASE("a line of a list is at most 64 KiB long") {
    scratch const here;
    auto const line = [&](std::size_t length) { return here.file("list.txt", std::string(length - 2, 'x') + " 0\n"); };
    for (std::vector<std::string> const& words : {std::vector<std::string>{"eval", moving_shapes("both.safetensors")}, {"train", "-o", here / "out", moving_shapes("both.safetensors")}}) {
        auto all = words;
        all.push_back(line((std::size_t{64} << 10U) + 1));
        check_error(run(all), 2, "usage", {"line 1: 65537 bytes found, at most 65536 expected"});
        all.back() = line(std::size_t{64} << 10U);
        CHECK(run(all).status == 5);
    }
}

TEST_CASE("control characters of labels and paths reach no terminal: \\uXXXX in text and JSON, U+FFFD in a page") {
    scratch const here;
    auto const model = moving_shapes("both.safetensors");
    // Every one of them, in names of two classes, and some in the name of a video.
    std::string controls, shown, replaced;
    for (unsigned point : {0x01U, 0x07U, 0x08U, 0x0BU, 0x0CU, 0x1BU, 0x1FU, 0x7FU, 0x80U, 0x9BU, 0x9FU, 0x202AU, 0x202BU, 0x202CU, 0x202DU, 0x202EU, 0x2066U, 0x2067U, 0x2068U, 0x2069U}) {
        if (point < 0x80U) controls += static_cast<char>(point);
        else if (point < 0x800U) controls.append(1, static_cast<char>(0xC0U | point >> 6U)).append(1, static_cast<char>(0x80U | (point & 0x3FU)));
        else controls.append(1, '\xE2').append(1, static_cast<char>(0x80U | (point >> 6U & 0x3FU))).append(1, static_cast<char>(0x80U | (point & 0x3FU)));
        char escape[8]{};
        std::snprintf(escape, sizeof escape, "\\u%04x", point);
        shown += escape;
        replaced += "\xEF\xBF\xBD";
    }
    std::string names;
    auto const classes = static_cast<std::size_t>(std::ranges::count(content_of(moving_shapes("labels.txt")), '\n'));
    for (std::size_t i = 0; i < classes; ++i) names += "[" + controls + "]\n";
    auto const labels = here.file("l.txt", names);
    auto const video = here.file("v\x1b[31m\xE2\x80\xAE.mp4", content_of(moving_shapes("disc_clockwise.mp4")));
    auto const missing = here / "none\xC2\x9b.mp4";
    auto const is_clean = [](std::string const& text) {
        return std::ranges::none_of(text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == '\x7f'; })
               && text.find("\xC2\x80") == std::string::npos && text.find("\xC2\x9B") == std::string::npos && text.find("\xC2\x9F") == std::string::npos
               && text.find("\xE2\x80\xAE") == std::string::npos && text.find("\xE2\x81\xA6") == std::string::npos;
    };
    CHECK(!is_clean(controls));
    auto const text = run({"classify", model, video, missing, "--labels", labels});
    CHECK(text.status == 5);
    CHECK(is_clean(text.out));
    CHECK(is_clean(text.err));
    CHECK(text.out.find("[" + shown + "]") != std::string::npos);
    CHECK(text.out.find("v\\u001b[31m\\u202e.mp4") != std::string::npos);
    CHECK(text.err.find("none\\u009b.mp4") != std::string::npos);
    auto const document = run({"classify", model, video, missing, "--labels", labels, "--json"});
    CHECK(is_clean(document.out));
    CHECK(document.out.find("\\u009b") != std::string::npos);
    CHECK(document.out.find("\\u007f") != std::string::npos);
    auto const parsed = json::parse(document.out);
    CHECK(parsed.at(0).at("video") == video);
    CHECK(parsed.at(1).at("video") == missing);
    CHECK(parsed.at(0).at("top").at(0).at("label") == "[" + controls + "]");
    CHECK(run({"classify", model, video, missing, "--labels", labels, "--html", here / "page.html"}).status == 5);
    auto const page = content_of(here / "page.html");
    CHECK(is_clean(page));
    CHECK(page.find("[" + replaced + "]") != std::string::npos);
    auto const list = here.file("list.txt", fs::path{video}.filename().native() + " 0\nnone\xC2\x9b.mp4 0\n");
    auto const evaluated = run({"eval", model, list, "--json"});
    CHECK(is_clean(evaluated.out));
    CHECK(is_clean(evaluated.err));
    CHECK(json::parse(evaluated.out).at("errors").at(0).at("video") == "none\xC2\x9b.mp4");
    check_error(run({"classify", model, video, "--sampling", controls}), 2, "bad_option", {shown.substr(0, 30)});
}

TEST_CASE("threads that the system refuses are done without, with one notice, or asked for in vain with status 7") {
    scratch const here; // what a user without rights needs is copied to where that user may read
    here.open_to_all();
    auto const copied = [&](std::string const& from, std::string const& name) {
        auto const path = here.file(name, content_of(from));
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
        return path;
    };
    auto const model = copied(moving_shapes("both.safetensors"), "model.safetensors"), list = copied(moving_shapes("list.txt"), "list.txt");
    for (std::string const name : {"disc_clockwise.mp4", "disc_clockwise_reversed.mp4", "bar_growing.mp4", "post_hue_down.mp4"}) copied(moving_shapes(name), name);
    auto const start = copied(test_data("training/start.safetensors"), "start.safetensors"), data = copied(test_data("training/train.safetensors"), "train.safetensors"),
               config = copied(test_data("training/config.json"), "config.json");
    conditions const alone{.processes = 1, .without_rights = true};
    auto const noticed = [&](std::vector<std::string> const& words, std::vector<std::string> const& notices) {
        CAPTURE(words[0]);
        auto const found = run(words, alone);
        std::string expected;
        for (auto const& each : notices) expected += "zeroi2v: " + each + "\n";
        CHECK(found.status == 0);
        CHECK(found.err == expected);
    };
    std::string const four = "--threads: 4 wanted, the system gave 1", readers = "--decode-threads: 3 wanted, the system gave 0";
    noticed({"train", model, list, "-o", here / "a", "--steps", "2", "--batch", "2", "--threads", "4", "--decode-threads", "3"}, {four, readers});
    noticed({"few-shot", model, list, "--val", list, "--shots", "1", "--draws", "2", "--steps", "1", "--batch", "1", "--threads", "4", "--decode-threads", "3"}, {four, readers});
    noticed({"train", start, data, "-o", here / "b", "--config", config, "--steps", "1", "--batch", "2", "--threads", "4"}, {four});
    noticed({"merge", model, "-o", here / "c", "--threads", "4"}, {four});
    // The same bits as with threads.
    check_success(run({"train", model, list, "-o", here / "d", "--steps", "2", "--batch", "2", "--threads", "2", "-q"}));
    CHECK(content_of(here / "a") == content_of(here / "d"));
    for (std::vector<std::string> const& words : {std::vector<std::string>{"classify", model, here / "disc_clockwise.mp4"}, {"eval", model, list},
                                                  {"features", model, here / "disc_clockwise.mp4", "-o", here / "e"}}) {
        CAPTURE(words[0]);
        auto several = words, one = words;
        several.insert(several.end(), {"--threads", "4"});
        one.insert(one.end(), {"--threads", "1"});
        auto const found = run(several, alone);
        CHECK((found.status == 0 || found.status == 7));
        CHECK(found.err.find(found.status == 0 ? four : "thread_unavailable") != std::string::npos);
        check_success(run(one, alone));
    }
}

TEST_CASE("C: merges that must not be") {
    scratch const here;
    auto const merge = [&](std::string const& path, std::vector<std::string> more = {}) {
        std::vector<std::string> words{"merge", path, "-o", here / "out", "--config", test_data("formats/config.json")};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    auto const overflowing = changed_model(here, [](auto& file) {
        for (auto const* const name : {"S_Adapter.D_fc1.weight", "S_Adapter.D_fc2.weight"})
            std::ranges::fill(file.tensors.find(first + name)->second.template as<float>(), 1e25F);
    });
    check_error(merge(overflowing), 3, "nonfinite_merge", {"attn.out_proj"});
    auto const large = changed_model(here, [](auto& file) { file.tensors.find(first + "mlp.c_fc.weight")->second.template as<float>()[0] = 1e6F; });
    check_error(merge(large, {"--dtype", "f16"}), 3, "nonfinite_merge", {"mlp.c_fc"});
    CHECK(!fs::exists(here / "out"));
}

// tests/damage.sh has thousands.
TEST_CASE("two hundred random damages end well or with one typed line, and leave nothing behind") {
    scratch const here;
    std::mt19937 random{20240607};
    auto const pick = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>{0, limit - 1}(random); };
    std::string const sources[] = {content_of(test_data("formats/expected_f16.safetensors")), content_of(test_data("formats/half.pth"))};
    int failed = 0;
    for (int i = 0; i < 200; ++i) {
        std::string bytes = sources[i % 2];
        switch (pick(4)) {
        case 0: // bits, mostly where the structure is
            for (std::size_t n = 1 + pick(8); n > 0; --n) {
                std::size_t const at = i % 2 == 0 ? pick(4096) : pick(2) == 0 ? bytes.size() - 1 - pick(8000) : pick(bytes.size());
                bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << pick(8)));
            }
            break;
        case 1: bytes.resize(pick(bytes.size())); break;
        case 2: bytes.erase(pick(bytes.size()), 1 + pick(64)); break;
        default: bytes.insert(pick(bytes.size()), std::string(1 + pick(64), static_cast<char>(pick(256)))); break;
        }
        auto const path = here.file("damaged", bytes);
        auto found = run({"convert", path, "-o", here / "out"}, {.limit_s = 10});
        if (found.seconds >= 2) { // the machine may have been busy elsewhere; a hang comes back
            fs::remove(here / (found.status == 0 ? "out" : "none"));
            found = run({"convert", path, "-o", here / "out"}, {.limit_s = 10});
        }
        CAPTURE(i);
        CAPTURE(found.err);
        bool const fine = found.status == 0 && found.err.empty();
        bool const typed = (found.status == 3 || found.status == 4) && found.err.starts_with("zeroi2v: error[") && std::ranges::count(found.err, '\n') == 1 && found.out.empty();
        CHECK((fine || typed));
        CHECK(found.seconds < 2);
        failed += typed ? 1 : 0;
        fs::remove(here / (fine ? "out" : "none"));
        CHECK(here.names() == std::vector<std::string>{"damaged"});
    }
    CHECK(failed > 60); // the damages do damage
}
