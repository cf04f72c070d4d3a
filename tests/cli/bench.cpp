// bench: what it prints, not how fast it is.
#include "program.hpp"

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cli;
using nlohmann::json;

namespace {

void check_document(outcome const& found, std::size_t repetitions) {
    CHECK(found.status == 0);
    auto const document = json::parse(found.out);
    CHECK(document.size() == 11);
    CHECK(document["config"]["width"] == 96);
    CHECK(document["isa"].is_string());
    CHECK(document["threads"] == 2);
    CHECK(document["dtype"].is_string());
    CHECK(document["gflop"].get<double>() > 0);
    CHECK(document["fma_limit_gflops"].get<double>() > 0.1);
    CHECK(document["dot_limit_gflops"].get<double>() > 0.1);
    if (document["dtype"] == "f32") CHECK(document["dot_limit_gflops"] == document["fma_limit_gflops"]);
    for (auto const* const name : {"plain", "adapted", "merged"}) {
        auto const& seconds = document[std::string{name} + "_s"];
        REQUIRE(seconds.size() == repetitions);
        for (auto const& value : seconds) CHECK(value.get<double>() > 0);
        CHECK(document["peak_rss_bytes"][name].get<double>() > 1e6);
    }
    CHECK(document["peak_rss_bytes"].size() == 3);
}

/// A process whose parent is `parent`, as /proc says; -1 where there is none.
::pid_t child_of(::pid_t parent) {
    for (auto const& entry : fs::directory_iterator{"/proc"}) {
        auto const name = entry.path().filename().native();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::ifstream stream{entry.path() / "stat"};
        std::string line;
        std::getline(stream, line);
        auto const end = line.rfind(") "); // then the state, one letter, and the parent
        if (end != std::string::npos && std::atol(line.c_str() + end + 3) == parent) return static_cast<::pid_t>(std::stol(name));
    }
    return -1;
}

} // namespace

TEST_CASE("a bench that is ended takes the child with it that measures its memory") {
    for (int const signal : {SIGTERM, SIGKILL}) {
        CAPTURE(signal);
        REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); // an orphan becomes this process's
        ::pid_t const bench = ::fork();
        REQUIRE(bench >= 0);
        if (bench == 0) {
            int const nowhere = ::open("/dev/null", O_RDWR);
            ::dup2(nowhere, STDOUT_FILENO);
            ::dup2(nowhere, STDERR_FILENO);
            ::execl(ZEROI2V_PROGRAM, "zeroi2v", "bench", "--preset", "clip-l14-k400-8f", static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::pid_t child = -1;
        for (int tries = 0; child < 0 && tries < 1000; ++tries) {
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
            child = child_of(bench);
        }
        ::kill(bench, signal);
        int status = 0;
        CHECK(::waitpid(bench, &status, 0) == bench);
        REQUIRE(child > 0);
        ::pid_t ended = 0;
        for (int tries = 0; ended == 0 && tries < 500; ++tries) {
            ended = ::waitpid(child, &status, WNOHANG);
            if (ended == 0) std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        if (ended == 0) ::kill(child, SIGKILL), ::waitpid(child, &status, 0);
        CHECK(ended == child);
        CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0)); // it did not live to its end
        ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    }
}

TEST_CASE("bench of random weights, of an adapted and of a merged file") {
    check_document(run({"bench", "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "3", "--threads", "2"}), 3);
    check_document(run({"bench", test_data("b16_short/adapted.pth"), "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "2", "--threads", "2"}), 2);
    auto const merged = run({"bench", test_data("b16_short/merged.safetensors"), "--config", test_data("b16_short/config.json"), "--json", "--repetitions", "1", "--threads", "2", "--dtype", "bf16"});
    check_document(merged, 1);
    CHECK(json::parse(merged.out)["dtype"] == "bf16");
    auto const narrow = run({"bench", test_data("b16_short/adapted.pth"), "--config", test_data("b16_short/config.json"), "--repetitions", "1", "--dtype", "int8", "--loss-clips", "7"});
    check_success(narrow);
    CHECK(narrow.out.find("int8 against f32, merged, 7 random clips: relative L2 of the logits ") != std::string::npos);
    auto const text = run({"bench", "--config", test_data("b16_short/config.json"), "--repetitions", "2"});
    check_success(text);
    for (auto const* const part : {"plain", "adapted", "merged", "merged/plain", "adapted/plain", "FMA limit", "merged/limit", "patches", "norms", "qkv", "attention", "proj", "mlp", "waiting", "beyond what the limit"}) CHECK(text.out.find(part) != std::string::npos);
    CHECK(text.out.find("decode") == std::string::npos);
    CHECK(text.out.find("adapters ") == std::string::npos); // the merged model has none to spend time on
    std::vector<std::string> const with_video{"bench", "--config", test_data("b16_short/config.json"), "--repetitions", "1", "--video", demo_video()};
    auto reading = with_video;
    for (auto const* const word : {"--sampling", "uniform", "--clips", "1", "--crops", "1", "--resize", "32", "--normalize", "zeroi2v"}) reading.emplace_back(word);
    auto const read = run(reading);
    check_success(read);
    for (auto const* const part : {"\ndecode ", "\npreprocess "}) CHECK(read.out.find(part) != std::string::npos);
    check_error(run(with_video), 4, "bad_config"); // nothing says how it is read
    check_error(run({"bench", "--preset", "clip-b16-k400-8f", "--resize", "32"}), 2, "bad_option");
    check_error(run({"bench"}), 4, "bad_config");
}
