#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/version.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace zeroi2v;

TEST_CASE("every code has a name of its own") {
    std::set<std::string> names;
    int const count = static_cast<int>(error_code::device_failed) + 1;
    for (int i = 0; i < count; ++i) {
        auto const name = std::string{to_string(static_cast<error_code>(i))};
        CHECK(name != "unknown");
        names.insert(name);
    }
    CHECK(names.size() == static_cast<std::size_t>(count));
    CHECK(to_string(static_cast<error_code>(count)) == "unknown");
    CHECK(to_string(error_code::header_too_small) == "header_too_small");
}

TEST_CASE_TEMPLATE("each class carries code, sentence and exit status, and is an error", Class, precondition_error,
                   usage_error, checkpoint_error, model_error, video_error, training_error, resource_error,
                   device_error) {
    try {
        throw Class{error_code::bad_json, "file: found this, expected that"};
    } catch (error const& caught) {
        CHECK(caught.code() == error_code::bad_json);
        CHECK(caught.code_name() == "bad_json");
        CHECK(std::string{caught.what()} == "file: found this, expected that");
        CHECK(caught.exit_status() >= 1);
        CHECK(caught.exit_status() <= 8);
    }
}

TEST_CASE("the exit statuses are those of the contract") {
    auto const code = error_code::usage;
    CHECK(precondition_error{code, ""}.exit_status() == 1);
    CHECK(usage_error{code, ""}.exit_status() == 2);
    CHECK(checkpoint_error{code, ""}.exit_status() == 3);
    CHECK(model_error{code, ""}.exit_status() == 4);
    CHECK(video_error{code, ""}.exit_status() == 5);
    CHECK(training_error{code, ""}.exit_status() == 6);
    CHECK(resource_error{code, ""}.exit_status() == 7);
    CHECK(device_error{code, ""}.exit_status() == 8);
}

TEST_CASE("ZEROI2V_REQUIRE throws its sentence only when broken") {
    CHECK_NOTHROW(ZEROI2V_REQUIRE(1 + 1 == 2, "never"));
    CHECK_THROWS_WITH_AS(ZEROI2V_REQUIRE(1 + 1 == 3, "sums: must add up"), "sums: must add up", precondition_error);
}

TEST_CASE("the version's text is its numbers") {
    CHECK(std::string{version_string}
          == std::to_string(ZEROI2V_VERSION_MAJOR) + "." + std::to_string(ZEROI2V_VERSION_MINOR) + "."
                 + std::to_string(ZEROI2V_VERSION_PATCH));
}
