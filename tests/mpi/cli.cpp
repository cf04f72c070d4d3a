// The program under mpirun: the bits of one process on any number of ranks, and every way in which ranks can fail.
#include "../cli/program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>

using namespace cli;
using zeroi2v::read_safetensors;

namespace {

std::string golden(std::string const& name) { return test_data("training/" + name); }

using strings = std::vector<std::string>;

strings plus(strings words, strings const& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// Everything random on, three clips of four in a batch, an evaluation after each epoch.
strings command(std::string const& out, strings const& more = {}) {
    return plus({"train", golden("start.safetensors"), golden("train.safetensors"), "-o", out, "--config", golden("config.json"), "--batch", "3", "--lr", "1e-3", "--seed", "5", "--quiet"}, more);
}

strings const launcher{ZEROI2V_MPIRUN, "--oversubscribe", "--bind-to", "none"};

conditions on(std::size_t ranks) {
    conditions how;
    how.launcher = plus(launcher, {"-n", std::to_string(ranks)});
    return how;
}

/// Each rank with words of its own.
outcome run_each(std::vector<strings> const& ranks) {
    conditions how;
    how.launcher = plus(launcher, {"-n", "1"});
    strings words = ranks[0];
    for (std::size_t r = 1; r < ranks.size(); ++r) {
        words = plus(words, {":", "-n", "1", ZEROI2V_PROGRAM});
        words = plus(words, ranks[r]);
    }
    return run(words, how);
}

/// The process of this user that has such an environment and was started by `launcher`; 0: none.
int process_of_rank(int launched_by, std::string const& rank) {
    for (auto const& entry : fs::directory_iterator{"/proc"}) {
        auto const name = entry.path().filename().native();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::ifstream status{entry.path() / "stat"}, environment{entry.path() / "environ", std::ios::binary};
        std::string const text{std::istreambuf_iterator<char>{status}, {}};
        auto const after = text.rfind(')');
        if (after == std::string::npos) continue;
        std::istringstream fields{text.substr(after + 2)};
        char state = 0;
        int parent = 0;
        fields >> state >> parent;
        std::string const variables{std::istreambuf_iterator<char>{environment}, {}};
        if (parent == launched_by && ('\0' + variables).find(std::string(1, '\0') + "OMPI_COMM_WORLD_RANK=" + rank + std::string(1, '\0')) != std::string::npos) return std::stoi(name);
    }
    return 0;
}

std::string without_seconds(std::string const& path) {
    std::string all;
    std::istringstream text{content_of(path)};
    for (std::string line; std::getline(text, line);) {
        auto object = nlohmann::json::parse(line);
        object.erase("seconds");
        all += object.dump() + "\n";
    }
    return all;
}

/// The four golden clips with another value in one of them.
void write_clips(std::string const& path, std::size_t clip, float value) {
    auto const good = read_safetensors(golden("train.safetensors"));
    std::vector<float> clips(good["clips"].as<float>().begin(), good["clips"].as<float>().end());
    clips[clip * clips.size() / 4 + 7] = value;
    zeroi2v::view<float const, 5> const values{clips.data(), 4, 8, 3, 32, 32};
    zeroi2v::write_safetensors(path, {{"clips", values}, {"labels", good["labels"]}});
}

/// The program's own error lines: mpirun has its own words around them.
strings errors_of(outcome const& found) {
    strings lines;
    std::istringstream text{found.err};
    for (std::string line; std::getline(text, line);)
        if (line.starts_with("zeroi2v: error[")) lines.push_back(line);
    return lines;
}

void check_one_error(outcome const& found, int status, std::string const& code, strings const& parts) {
    CAPTURE(found.err);
    CHECK(found.status == status);
    CHECK(found.out.empty());
    auto const lines = errors_of(found);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("zeroi2v: error[" + code + "]: "));
    for (auto const& part : parts) {
        CAPTURE(part);
        CHECK(lines[0].find(part) != std::string::npos);
    }
}

void check_well(outcome const& found) {
    CAPTURE(found.err);
    CHECK(found.status == 0);
    CHECK(errors_of(found).empty());
}

} // namespace

TEST_CASE("1, 2, 3, 4 and 5 ranks: after 20 steps the same bits, loss log included; threads of their own") {
    scratch const here;
    auto const words = [&](std::string const& name, strings const& more = {}) {
        return command(here / name, plus({"--steps", "20", "--val", golden("train.safetensors"), "--log", here / (name + ".log")}, more));
    };
    check_success(run(words("alone")));
    auto const bytes = content_of(here / "alone");
    auto const log = without_seconds(here / "alone.log");
    CHECK(std::ranges::count(log, '\n') == 30); // 20 steps, 10 epochs
    for (std::size_t const ranks : {1U, 2U, 3U, 4U, 5U}) {
        auto const name = "on" + std::to_string(ranks);
        check_well(run(words(name), on(ranks)));
        CHECK(content_of(here / name) == bytes);
        CHECK(without_seconds(here / (name + ".log")) == log);
    }
    check_well(run_each({words("uneven", {"--threads", "1"}), words("uneven", {"--threads", "3", "--recompute"})}));
    CHECK(content_of(here / "uneven") == bytes);
    CHECK(without_seconds(here / "uneven.log") == log);
    for (auto const& name : here.names()) CHECK(name.find("ckpt") == std::string::npos);
    for (auto const& name : here.names()) CHECK(name.find("lock") == std::string::npos);
    auto const spoken = run(plus({"train", golden("start.safetensors"), golden("train.safetensors"), "-o", here / "loud", "--config", golden("config.json")}, {"--steps", "2"}), on(2));
    CHECK(spoken.out.find("on 2 ranks") != std::string::npos);
    CHECK(spoken.out.find("model    ") == spoken.out.rfind("model    ")); // one of them speaks
}

TEST_CASE("ranks that were asked for different runs, or have different files, are refused by name and difference") {
    scratch const here;
    auto const words = command(here / "out", {"--steps", "3"});
    auto other_rate = words;
    *std::ranges::find(other_rate, "1e-3") = "2e-3";
    check_one_error(run_each({words, words, other_rate}), 6, "ranks_differ", {"lr: 0.001 on rank 0 (", "0.002 on rank 2 ("});
    auto other_start = words;
    auto changed = content_of(golden("start.safetensors"));
    changed[changed.size() - 4] = static_cast<char>(changed[changed.size() - 4] ^ 1); // the last bit of a weight
    *std::ranges::find(other_start, golden("start.safetensors")) = here.file("changed.safetensors", changed);
    check_one_error(run_each({words, other_start}), 6, "ranks_differ", {"start_crc32", "on rank 1 ("});
    auto other_data = words;
    write_clips(here / "clips.safetensors", 0, 0.25F);
    *std::ranges::find(other_data, golden("train.safetensors")) = here / "clips.safetensors";
    check_one_error(run_each({words, other_data}), 6, "ranks_differ", {"data: ", "crc32", "on rank 1 ("});
    CHECK(here.names() == strings{"changed.safetensors", "clips.safetensors"});
}

TEST_CASE("what is wrong on all ranks is said once, what is wrong on one with its name; nobody is left waiting") {
    scratch const here;
    auto const words = command(here / "out", {"--steps", "3"});
    check_one_error(run(plus(words, {"--weight-decay", "-1"}), on(3)), 2, "bad_number", {"--weight-decay"});
    auto const usage = run(plus(words, {"--nonsense"}), on(2));
    check_one_error(usage, 2, "bad_option", {"--nonsense"});
    auto no_start = words;
    *std::ranges::find(no_start, golden("start.safetensors")) = here / "none.safetensors";
    check_one_error(run_each({words, no_start}), 3, "open_failed", {"rank 1 (", "none.safetensors"});

    write_clips(here / "bad.safetensors", 3, std::numeric_limits<float>::quiet_NaN());
    auto const found = run({"train", golden("start.safetensors"), here / "bad.safetensors", "-o", here / "out", "--config", golden("config.json"), "--steps", "8", "--batch", "4",
                            "--order", "given", "--quiet"}, on(2));
    check_one_error(found, 6, "nonfinite_loss", {"step 0", "clip 3"});
    CHECK(here.names() == strings{"bad.safetensors"});
}

TEST_CASE("a rank that is killed ends the job with its name; resumed on other numbers of ranks, the run ends in the same bits") {
    scratch const straight;
    strings const run_of_40{"--steps", "40", "--checkpoint-every", "1"};
    check_success(run(command(straight / "out", plus(run_of_40, {"--log", straight / "log"}))));
    int round = 0;
    for (int const signal : {SIGKILL, SIGKILL, SIGTERM}) {
        scratch const here;
        auto const words = command(here / "out", plus(run_of_40, {"--log", here / "log"}));
        std::string const rank{round == 0 ? "1" : "0"};
        auto how = on(3);
        how.signal = signal;
        how.when_exists = "out.ckpt-7";
        how.watched = here.path();
        how.receiver = [&](int launched) {
            int const process = process_of_rank(launched, rank);
            CHECK(process > 1);
            return process;
        };
        auto const first = run(words, how);
        CAPTURE(first.err);
        CHECK(first.seconds < 30);
        if (signal == SIGKILL) {
            CHECK(first.status == 128 + SIGKILL);
            CHECK(first.err.find("process rank " + rank) != std::string::npos); // mpirun's words
        } else {
            CHECK(first.status == 128 + SIGTERM);
            REQUIRE(errors_of(first).size() == 1);
            CHECK(errors_of(first)[0].find("stopped by signal 15 after step") != std::string::npos);
        }
        CHECK_FALSE(fs::exists(here / "out"));
        auto const resumed = plus(words, {"--resume"});
        if (round == 0) check_well(run(resumed, on(2)));
        else if (round == 1) check_success(run(resumed));
        else check_well(run(resumed, on(4)));
        CHECK(content_of(here / "out") == content_of(straight / "out"));
        CHECK(without_seconds(here / "log") == without_seconds(straight / "log"));
        ++round;
    }
}

TEST_CASE("a rank that stands still, the first one too, is named and the job ended within 30 s") {
    for (std::string const rank : {"1", "0"}) {
        scratch const here;
        auto how = on(3);
        how.signal = SIGSTOP;
        how.when_exists = "out.ckpt-3";
        how.watched = here.path();
        int stopped = 0;
        how.receiver = [&](int launched) { return stopped = process_of_rank(launched, rank); };
        auto const found = run(command(here / "out", {"--steps", "100000", "--checkpoint-every", "1"}), how);
        CAPTURE(found.err);
        MESSAGE("rank " << rank << " stopped: ended after " << found.seconds << " s");
        CHECK(found.seconds < 30);
        CHECK(found.status == 6);
        auto const lines = errors_of(found);
        REQUIRE(!lines.empty());
        CHECK(lines[0].find("zeroi2v: error[rank_lost]: rank " + rank + " (") == 0);
        CHECK(lines[0].find("process " + std::to_string(stopped) + ")") != std::string::npos);
        REQUIRE(stopped > 1);
        for (int i = 0; i < 100 && ::kill(stopped, 0) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds{100});
        CHECK(::kill(stopped, 0) != 0); // nothing is left behind
        auto names = here.names();
        std::erase_if(names, [](std::string const& name) { return !name.starts_with("out.ckpt-"); });
        CHECK(names.size() >= 2); // whole ones, to go on from
    }
}

TEST_CASE("bad videos are counted over all ranks: in train, where they are replaced, and in eval, whose result is that of one process") {
    scratch const here;
    here.file("bad.mp4", "no video");
    here.file("worse.mp4", "none either");
    auto const list = here.file("list.txt", demo_video() + " 1\nbad.mp4 2\n" + demo_video() + " 3\n" + demo_video() + " 1\nworse.mp4 4\n" + demo_video() + " 2\nbad.mp4 1\n");
    strings const input{"--config", golden("config.json"), "--sampling", "uniform", "--clips", "1", "--crops", "1", "--resize", "32", "--normalize", "zeroi2v", "--average", "prob"};
    auto const words = [&](std::string const& out) {
        return plus(plus({"train", golden("start.safetensors"), list, "-o", out}, input), {"--steps", "3", "--batch", "7", "--bad-videos", "4", "--val", list});
    };
    auto const alone = run(words(here / "a")), shared = run(words(here / "b"), on(3));
    CAPTURE(shared.err);
    CHECK(alone.status == 0);
    CHECK(shared.status == 0);
    CHECK(content_of(here / "a") == content_of(here / "b"));
    CHECK(alone.out.find("3 bad videos") != std::string::npos);
    CHECK(shared.out.find("3 bad videos") != std::string::npos);
    auto few = words(here / "c");
    *std::ranges::find(few, "4") = "2";
    auto const stopped = run(few, on(3));
    CHECK(stopped.status == 5);
    REQUIRE(!errors_of(stopped).empty()); // of all ranks, or of one that has read ahead to the third
    CHECK(errors_of(stopped).back().find("error[limit_exceeded]: ") != std::string::npos);
    CHECK(errors_of(stopped).back().find("--bad-videos: 3 videos could not be read, at most 2 expected") != std::string::npos);

    auto const eval = plus({"eval", here / "a", list, "--json"}, strings(input.begin() + 2, input.end()));
    auto const one = run(eval);
    CHECK(one.status == 5);
    auto wanted = nlohmann::ordered_json::parse(one.out);
    wanted.erase("seconds");
    CHECK(wanted["bad"] == 3);
    for (std::size_t const ranks : {2U, 4U, 9U}) {
        auto const several = run(eval, on(ranks));
        CAPTURE(several.err);
        CHECK(several.status == 5);
        auto found = nlohmann::ordered_json::parse(several.out);
        CHECK(found["seconds"]["decode"].get<double>() > 0);
        found.erase("seconds");
        CHECK(found.dump() == wanted.dump());
    }
    auto other = eval;
    other[2] = here.file("other.txt", demo_video() + " 1\n");
    check_one_error(run_each({eval, other}), 6, "ranks_differ", {"list_crc32", "on rank 1 ("});
}
