#include <zeroi2v/io/checkpoints/config_json.hpp>

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/model/presets.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include <unistd.h>

using namespace zeroi2v;

namespace {

struct fault {
    error_code code;
    int status;
    std::string message;
};

template <class Work>
std::optional<fault> config_fault_of(Work work) {
    try {
        work();
    } catch (error const& caught) {
        return fault{caught.code(), caught.exit_status(), caught.what()};
    }
    return std::nullopt;
}

auto config_fault(std::string_view text) {
    return config_fault_of([&] { static_cast<void>(config_from_json(text, "c.json")); });
}

bool has(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("every preset survives the way through JSON") {
    for (auto const& preset : presets::all) {
        auto const stated = stated_by(preset);
        auto const again = config_from_json(to_json(stated).dump(), stated.source);
        CHECK(complete(again, true) == preset.config());
        CHECK(complete(input_from_json(to_json(stated_by(preset.input)).dump(), "i")) == preset.input);
    }
}

TEST_CASE("entries may be left out, and stay unsaid") {
    auto const stated = config_from_json(R"( {"heads": 12, "head_offsets": [-1, 1, 0]} )", "c.json");
    CHECK(stated.source == "c.json");
    CHECK(stated.heads == 12U);
    CHECK(!stated.width);
    CHECK(!stated.adapter_scale);
    CHECK(to_json(stated).dump() == R"({"heads":12,"head_offsets":[-1,1,0]})");
    CHECK(to_json(stated_config{}).dump() == "{}");
    CHECK(config_from_json(R"({"adapter_scale": 1})", "c").adapter_scale == 1.0);
}

TEST_CASE("an unknown entry is refused with the nearest known one") {
    auto const found = config_fault(R"({"head_ofsets": [0]})");
    REQUIRE(found);
    CHECK(found->code == error_code::bad_config);
    CHECK(found->status == 4);
    CHECK(has(found->message, "c.json: head_ofsets: unknown entry (did you mean head_offsets?)"));
}

TEST_CASE("entries of a wrong type or range are refused by name") {
    for (std::string_view const text :
         {R"({"width": "768"})", R"({"width": 768.0})", R"({"width": -768})", R"({"width": 0})", R"({"width": null})", R"({"width": true})",
          R"({"width": [768]})", R"({"width": 18446744073709551615})", R"({"width": 18446744073709551616})", R"({"width": 1e3})"}) {
        CAPTURE(text);
        auto const found = config_fault(text);
        REQUIRE(found);
        CHECK(found->code == error_code::bad_config);
        CHECK(has(found->message, "c.json: width: "));
    }
    for (std::string_view const text : {R"({"head_offsets": 1})", R"({"head_offsets": [1.0]})", R"({"head_offsets": ["1"]})",
                                        R"({"head_offsets": [32768]})", R"({"head_offsets": [-32768]})", R"({"head_offsets": [4294967296]})",
                                        R"({"head_offsets": [18446744073709551615]})", R"({"head_offsets": [[]]})", R"({"adapter_scale": "0.5"})",
                                        R"({"adapter_scale": 1e999})", R"({"adapter_scale": []})"}) {
        CAPTURE(text);
        auto const found = config_fault(text);
        REQUIRE(found);
        CHECK(found->code == error_code::bad_config);
        CHECK(found->status == 4);
    }
    CHECK(!config_fault(R"({"head_offsets": [32767, -32767]})"));
}

TEST_CASE("an entry given twice is refused, however it is spelled") {
    for (std::string_view const text : {R"({"heads": 12, "heads": 12})", R"({"heads": 12, "he\u0061ds": 12})"}) {
        auto const found = config_fault(text);
        REQUIRE(found);
        CHECK(found->code == error_code::bad_config);
        CHECK(has(found->message, "heads: given twice"));
    }
}

TEST_CASE("what is no JSON object is refused with its place") {
    for (std::string_view const text : {"", "{", "{\"heads\": 12,}", "{} x", "{'heads': 12}", "{\"heads\": 12}}", "{\"heads\": NaN}", "nul"}) {
        CAPTURE(text);
        auto const found = config_fault(text);
        REQUIRE(found);
        CHECK(found->code == error_code::bad_json);
        CHECK(has(found->message, "line 1, column "));
    }
    CHECK(config_fault(std::string_view{"{}\0", 3})->code == error_code::bad_json);
    CHECK(config_fault("\xEF\xBB\xBF{}")->code == error_code::bad_json);
    CHECK(config_fault(std::string(100'000, '['))->code == error_code::too_deep);
    for (std::string_view const text : {"[]", "12", "\"x\"", "null"}) CHECK(config_fault(text)->code == error_code::bad_config);
}

TEST_CASE("input JSON is as strict") {
    auto const code = [](std::string_view text) { return config_fault_of([&] { static_cast<void>(input_from_json(text, "i")); }); };
    CHECK(!code(R"({"sampling":"uniform","crops":3})"));
    for (std::string_view const text : {R"({"sampling":"sparse"})", R"({"crops":2})", R"({"clip":3})", R"({"average":1})", R"({"interval":0})"}) {
        CAPTURE(text);
        REQUIRE(code(text));
        CHECK(code(text)->code == error_code::bad_config);
    }
    CHECK(has(code(R"({"clip":3})")->message, "did you mean clips?"));
    CHECK(!code(R"({"clips":1024,"resize":8192,"interval":1048576})"));
    CHECK(has(code(R"({"clips":1025})")->message, "i: clips: 1025 found, a whole number from 1 to 1024 expected"));
    CHECK(has(code(R"({"resize":8193})")->message, "a whole number from 1 to 8192 expected"));
    CHECK(has(code(R"({"interval":1048577})")->message, "a whole number from 1 to 1048576 expected"));
}

TEST_CASE("a text or a list that is too long is refused by its size, the longest that may be is read") {
    auto const offsets = [](std::size_t heads) {
        std::string text = "{\"head_offsets\":[0";
        for (std::size_t i = 1; i < heads; ++i) text += ",0";
        return text + "]}";
    };
    CHECK(config_from_json(offsets(65'535), "c").head_offsets->size() == 65'535);
    auto const too_many = config_fault(offsets(65'536));
    REQUIRE(too_many);
    CHECK(too_many->code == error_code::bad_config);
    CHECK(too_many->status == 4);
    CHECK(has(too_many->message, "c.json: line 1, column 131088: more than 65535 elements"));

    std::string text = R"({"heads":12})";
    text.resize(std::size_t{1} << 20U, ' ');
    CHECK(config_from_json(text, "c").heads == 12U);
    auto const too_long = config_fault(text + ' ');
    REQUIRE(too_long);
    CHECK(too_long->code == error_code::bad_config);
    CHECK(has(too_long->message, "c.json: 1048577 bytes found, a text of at most 1048576 expected"));
    CHECK(config_fault_of([&] { static_cast<void>(input_from_json(text + ' ', "i")); })->code == error_code::bad_config);
}

TEST_CASE("a configuration file that cannot be read, or is no JSON, is a fault of usage") {
    auto const folder = std::filesystem::temp_directory_path() / ("zeroi2v_config_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    auto const path = folder / "c.json";
    auto const status_of = [&](std::string_view text) {
        std::ofstream{path} << text;
        auto const found = config_fault_of([&] { static_cast<void>(read_config_file(path)); });
        return found ? found->status : 0;
    };
    CHECK(status_of(R"({"heads":12})") == 0);
    CHECK(status_of("heads = 12") == 2);
    CHECK(status_of(R"({"head":12})") == 4);
    CHECK(status_of("{}" + std::string((1U << 20U) - 2, ' ')) == 0);
    CHECK(status_of("{}" + std::string((1U << 20U) - 1, ' ')) == 2); // too long to be read
    CHECK(config_fault_of([&] { static_cast<void>(read_config_file(folder / "none.json")); })->status == 2);
    CHECK(config_fault_of([&] { static_cast<void>(read_config_file(folder)); })->status == 2);
    std::filesystem::remove_all(folder);
}
