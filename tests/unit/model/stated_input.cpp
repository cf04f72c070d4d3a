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
