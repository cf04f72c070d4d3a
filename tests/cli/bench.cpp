// bench: what it prints, not how fast it is.
#include "program.hpp"

using namespace cli;
using nlohmann::json;

namespace {

void check_document(outcome const& found, std::size_t repetitions) {
    CHECK(found.status == 0);
    auto const document = json::parse(found.out);
    CHECK(document.size() == 10);
    CHECK(document["config"]["width"] == 96);
    CHECK(document["isa"].is_string());
    CHECK(document["threads"] == 2);
    CHECK(document["dtype"].is_string());
    CHECK(document["gflop"].get<double>() > 0);
    CHECK(document["fma_limit_gflops"].get<double>() > 0.1);
    for (auto const* const name : {"plain", "adapted", "merged"}) {
        auto const& seconds = document[std::string{name} + "_s"];
        REQUIRE(seconds.size() == repetitions);
        for (auto const& value : seconds) CHECK(value.get<double>() > 0);
        CHECK(document["peak_rss_bytes"][name].get<double>() > 1e6);
    }
    CHECK(document["peak_rss_bytes"].size() == 3);
}

} // namespace

TEST_CASE("bench of random weights, of an adapted and of a merged file") {
    check_document(run({"bench", "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "3", "--threads", "2"}), 3);
    check_document(run({"bench", test_data("b16_short/adapted.pth"), "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "2", "--threads", "2"}), 2);
    auto const merged = run({"bench", test_data("b16_short/merged.safetensors"), "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "1", "--threads", "2", "--dtype", "bf16"});
    check_document(merged, 1);
    CHECK(json::parse(merged.out)["dtype"] == "bf16");
    auto const text = run({"bench", "--config", test_data("b16_short/config.json"), "--repetitions", "2"});
    check_success(text);
    for (auto const* const part : {"plain", "adapted", "merged", "merged/plain", "adapted/plain", "FMA limit", "merged/limit"}) CHECK(text.out.find(part) != std::string::npos);
    check_error(run({"bench"}), 4, "bad_config");
}
