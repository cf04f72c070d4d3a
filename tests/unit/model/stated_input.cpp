#include <zeroi2v/model/stated_input.hpp>

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace zeroi2v;

TEST_CASE("the first who says a thing is heard") {
    stated_input option;
    option.clips = 5;
    auto const joined = or_else(option, stated_by(input_config{.interval = 16, .clips = 3, .resize = 224}));
    auto const whole = complete(joined);
    CHECK(whole.clips == 5);
    CHECK(whole.interval == 16);
    CHECK(whole.resize == 224);
    CHECK(complete(stated_by(whole)) == whole);
}

TEST_CASE("what nobody says is missing, and named") {
    auto const missing = [](stated_input const& stated, input_use use) -> std::string {
        try {
            static_cast<void>(complete(stated, use));
        } catch (model_error const& fault) {
            CHECK(fault.code() == error_code::bad_config);
            return fault.what();
        }
        return {};
    };
    CHECK(missing({}, input_use::answers).find("sampling, interval, clips, crops, resize, normalize, average are not stated") != std::string::npos);
    stated_input stated = stated_by(input_config{});
    stated.average.reset();
    CHECK(missing(stated, input_use::answers).find("average is not stated") != std::string::npos);
    CHECK(missing(stated, input_use::views).empty());
    stated.interval.reset();
    CHECK(missing(stated, input_use::views).find("interval is not stated") != std::string::npos);
    stated.sampling = sampling_method::uniform;
    CHECK(missing(stated, input_use::views).empty());
}

TEST_CASE("each field is taken from the first who says it, and becomes its own") {
    input_config const first{sampling_method::uniform, 2, 3, 4, 5, normalization::clip, view_average::score}, second{sampling_method::dense, 12, 13, 14, 15, normalization::zeroi2v, view_average::prob};
    CHECK(complete(or_else(stated_by(first), stated_by(second))) == first);
    CHECK(complete(or_else({}, stated_by(second))) == second);
    std::size_t fields = 0;
    detail::for_each_input_field([&](char const* name, auto member) {
        CAPTURE(name);
        ++fields;
        stated_input one, all = stated_by(second);
        one.*member = stated_by(first).*member;
        stated_input expected = all;
        expected.*member = one.*member;
        CHECK(or_else(one, all) == expected);
        CHECK(or_else(all, one) == all);
        (all.*member).reset();
        try {
            static_cast<void>(complete(all));
            FAIL("a field is missing");
        } catch (model_error const& e) {
            CHECK(e.code() == error_code::bad_config);
            CHECK(std::string{e.what()} == "input: " + std::string{name} + " is not stated by option (--" + name + "), preset or file");
        }
        CHECK(complete(or_else(all, one)) == complete(expected));
    });
    CHECK(fields == 7);
    try {
        static_cast<void>(complete(stated_input{}, input_use::views));
        FAIL("all is missing");
    } catch (model_error const& e) {
        CHECK(std::string{e.what()} == "input: sampling, interval, clips, crops, resize, normalize are not stated by option (--sampling), preset or file");
    }
    stated_input uniform = stated_by(first);
    uniform.interval.reset();
    uniform.average.reset();
    auto const whole = complete(uniform, input_use::views);
    CHECK((whole.interval == 1 && whole.average == view_average::prob && whole.clips == 3 && whole.sampling == sampling_method::uniform));
}

TEST_CASE("names of sampling, normalization and average") {
    CHECK((to_string(sampling_method::dense) == "dense" && to_string(sampling_method::uniform) == "uniform"));
    CHECK((to_string(normalization::zeroi2v) == "zeroi2v" && to_string(normalization::clip) == "clip"));
    CHECK((to_string(view_average::prob) == "prob" && to_string(view_average::score) == "score"));
    CHECK((sampling_from_name("dense") == sampling_method::dense && sampling_from_name("uniform") == sampling_method::uniform && !sampling_from_name("Dense")));
    CHECK((normalization_from_name("zeroi2v") == normalization::zeroi2v && normalization_from_name("clip") == normalization::clip && !normalization_from_name("")));
    CHECK((average_from_name("prob") == view_average::prob && average_from_name("score") == view_average::score && !average_from_name("mean")));
    CHECK((input_limits::clips == 1024 && input_limits::resize == 8192));
    input_config const unsaid;
    CHECK(unsaid == input_config{sampling_method::dense, 1, 1, 1, 224, normalization::zeroi2v, view_average::prob});
    CHECK_FALSE(unsaid == input_config{.crops = 3});
}
