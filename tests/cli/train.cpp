// train: the golden run, resuming in the same bits after any end, faults, shots, videos.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace cli;
using zeroi2v::read_safetensors;
using zeroi2v::stored_tensor;

namespace {

std::string golden(std::string const& name) { return test_data("training/" + name); }

std::vector<std::string> command(std::string const& out, std::vector<std::string> const& more) {
    std::vector<std::string> words{"train", golden("start.safetensors"), golden("train.safetensors"), "-o", out, "--config", golden("config.json")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// Everything random on, three clips of four in a batch.
std::vector<std::string> const random_run{"--steps", "40", "--batch", "3", "--lr", "1e-3", "--seed", "5", "--checkpoint-every", "1", "--quiet"};

std::vector<nlohmann::json> lines_of(std::string const& path) {
    std::vector<nlohmann::json> lines;
    std::istringstream text{content_of(path)};
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

/// The log without what is a matter of the clock.
std::string without_seconds(std::string const& path) {
    std::string text;
    for (auto line : lines_of(path)) {
        line.erase("seconds");
        text += line.dump() + "\n";
    }
    return text;
}

std::vector<std::string> plus(std::vector<std::string> words, std::vector<std::string> const& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

} // namespace

TEST_CASE("train: five golden steps by the command line") {
    scratch const here;
    check_success(run(command(here / "out.safetensors", {"--steps", "5", "--batch", "4", "--order", "given", "--schedule", "constant", "--lr", "1e-3", "--weight-decay", "0.05",
                                                         "--label-smoothing", "0", "--adapter-dropout", "0", "--head-dropout", "0", "--augment", "none", "--log", here / "log.jsonl"})));
    auto const expected = read_safetensors(golden("train.safetensors")), found = read_safetensors(here / "out.safetensors"), start = read_safetensors(golden("start.safetensors"));
    auto const log = lines_of(here / "log.jsonl");
    auto const losses = expected["losses"].as<double>();
    REQUIRE(log.size() == losses.size());
    for (std::size_t i = 0; i < losses.size(); ++i) {
        CHECK(log[i]["step"] == i);
        CHECK(log[i]["lr"] == 1e-3);
        CHECK(log[i]["seconds"].get<double>() > 0);
        CHECK(std::abs(log[i]["loss"].get<double>() - losses[i]) <= 1e-5 * losses[i]);
    }
    std::size_t trained = 0;
    for (auto const& [name, tensor] : found) {
        if (!expected.contains("after." + name)) {
            CHECK(distance(tensor, start[name]).max_abs == 0);
            continue;
        }
        ++trained;
        CHECK(distance(tensor, expected["after." + name]).max_abs <= 2e-5);
        CHECK(distance(tensor, start[name]).max_abs > 1e-4);
    }
    CHECK(trained == 37);
    CHECK(found.size() == start.size());
    CHECK(here.names() == std::vector<std::string>{"log.jsonl", "out.safetensors"});
    // The result is a model like any other.
    check_success(run({"merge", here / "out.safetensors", "-o", here / "merged.safetensors"}));
}

TEST_CASE("train: SIGINT saves and ends with 130; killed at any moment and resumed, the run ends in the same bits") {
    scratch const straight;
    check_success(run(command(straight / "out", plus(random_run, {"--log", straight / "log"}))));
    auto const bytes = content_of(straight / "out");
    auto const log = without_seconds(straight / "log");
    CHECK(lines_of(straight / "log").size() == 40);

    for (int const signal : {SIGINT, SIGTERM, SIGKILL, SIGKILL, SIGKILL, SIGKILL}) {
        static int round = 0;
        int const shown{signal};
        CAPTURE(shown);
        scratch const here;
        auto const words = command(here / "out", plus(random_run, {"--log", here / "log"}));
        auto const first = run(words, {.signal = signal, .when_exists = "out.ckpt-" + std::to_string(1 + 6 * (round++ % 5)), .watched = here.path()});
        CHECK(first.status == (signal == SIGKILL ? -SIGKILL : 128 + signal));
        if (signal != SIGKILL) CHECK(first.err.find("interrupted") != std::string::npos);
        CHECK_FALSE(fs::exists(here / "out"));
        if (round == 2) { // without --resume nothing of the run that was is lost
            check_error(run(words), 6, "bad_state", {"--resume"});
        }
        auto const threads = round % 2 == 0 ? "1" : "3";
        check_success(run(plus(words, {"--resume", "--threads", threads})));
        CHECK(content_of(here / "out") == bytes);
        CHECK(without_seconds(here / "log") == log);
        auto names = here.names();
        std::erase_if(names, [](std::string const& name) { return name.starts_with(".zeroi2v-") || name == "out.lock"; }); // of the killed one
        CHECK(names == std::vector<std::string>{"log", "out"});
    }
}

TEST_CASE("train: a damaged checkpoint is named and the one before it taken; two are kept; other runs' are refused") {
    scratch const straight, here;
    check_success(run(command(straight / "out", random_run)));
    auto const words = command(here / "out", random_run);
    CHECK(run(words, {.signal = SIGINT, .when_exists = "out.ckpt-9", .watched = here.path()}).status == 130);
    std::vector<std::string> kept;
    for (auto const& name : here.names())
        if (name.starts_with("out.ckpt-")) kept.push_back(name);
    REQUIRE(kept.size() == 2);
    auto const newest = std::max_element(kept.begin(), kept.end(), [](auto const& a, auto const& b) { return std::stoi(a.substr(9)) < std::stoi(b.substr(9)); });

    auto differing = command(here / "out", {"--steps", "40", "--batch", "3", "--lr", "2e-3", "--seed", "5", "--quiet", "--resume"});
    check_error(run(differing), 6, "resume_mismatch", {"lr", "0.001", "0.002"});
    auto content = content_of(here / *newest);
    content[content.size() - 5] = static_cast<char>(content[content.size() - 5] ^ 1);
    here.file(*newest, content);
    here.file("out.ckpt-1x", "another file");
    here.file("out.ckpt-500", content.substr(0, content.size() / 2)); // torn
    here.file("out.ckpt-501", "");
    auto const resumed = run(plus(words, {"--resume"}));
    CHECK(resumed.status == 0);
    CHECK(resumed.err.find(*newest) != std::string::npos);
    CHECK(resumed.err.find("checksum") != std::string::npos);
    CHECK(resumed.err.find("out.ckpt-500") != std::string::npos);
    CHECK(resumed.err.find("out.ckpt-501") != std::string::npos);
    CHECK(content_of(here / "out") == content_of(straight / "out"));
    CHECK(here.names() == std::vector<std::string>{"out", "out.ckpt-1x", "out.ckpt-501"}); // whose the empty one is nobody can say

    // The base model under a checkpoint's name is no state.
    fs::copy_file(golden("start.safetensors"), here / "other.ckpt-3");
    auto const none = run(plus(command(here / "other", random_run), {"--resume"}));
    CHECK(none.status == 6);
    CHECK(none.err.find("no training state") != std::string::npos);
    CHECK(none.err.find("none of them whole") != std::string::npos);
    check_success(run(plus(command(here / "fresh", random_run), {"--resume"})));
    CHECK(content_of(here / "fresh") == content_of(straight / "out"));
}

TEST_CASE("train: a loss that is not finite stops with its step and keeps the last good checkpoint") {
    scratch const here;
    auto const good = read_safetensors(golden("train.safetensors"));
    std::vector<float> clips(good["clips"].as<float>().begin(), good["clips"].as<float>().end());
    clips[3 * clips.size() / 4 + 7] = std::numeric_limits<float>::quiet_NaN(); // the last of four clips
    zeroi2v::view<float const, 5> const values{clips.data(), 4, 8, 3, 32, 32};
    zeroi2v::write_safetensors(here / "bad.safetensors", {{"clips", values}, {"labels", good["labels"]}});
    auto const found = run({"train", golden("start.safetensors"), here / "bad.safetensors", "-o", here / "out", "--config", golden("config.json"), "--steps", "8", "--batch", "1",
                            "--order", "given", "--checkpoint-every", "1", "--log", here / "log", "--quiet"});
    check_error(found, 6, "nonfinite_loss", {"step 3", "clip 0"});
    CHECK(here.names() == std::vector<std::string>{"bad.safetensors", "log", "out.ckpt-2", "out.ckpt-3"});
    CHECK(lines_of(here / "log").size() == 3);
    // With sound data of the same form it would be another run.
    fs::copy_file(golden("train.safetensors"), here / "bad.safetensors", fs::copy_options::overwrite_existing);
    auto const words = std::vector<std::string>{"train", golden("start.safetensors"), here / "bad.safetensors", "-o", here / "out", "--config", golden("config.json"), "--steps", "8",
                                                "--batch", "1", "--order", "given", "--log", here / "log", "--quiet", "--resume"};
    check_error(run(words), 6, "resume_mismatch", {"data", "crc32"});
    auto const anyway = run(plus(words, {"--allow-mismatch"}));
    CHECK(anyway.status == 0);
    CHECK(lines_of(here / "log").size() == 8);
}

TEST_CASE("train: a file system that fails at any call loses nothing: path and reason are said, what was saved stays, and the run goes on from it in the same bits") {
    if (std::system("strace -o /dev/null true 2> /dev/null") != 0) {
        MESSAGE("strace may not trace here: failing system calls not tried");
        return;
    }
    std::vector<std::string> const four{"--steps", "4", "--batch", "3", "--lr", "1e-3", "--seed", "5", "--checkpoint-every", "1", "--threads", "1", "--quiet"};
    scratch const straight;
    // Where in the run's calls each of the four files, three checkpoints and the output, is written: the counts that strace injects by.
    conditions traced;
    std::string const calls = "fallocate,write,fsync,close,renameat,renameat2";
    traced.launcher = {"strace", "-f", "-y", "-o", straight / "trace", "-e", "trace=" + calls};
    check_success(run(command(straight / "out", plus(four, {"--log", straight / "log"})), traced));
    auto const bytes = content_of(straight / "out");
    auto const log = without_seconds(straight / "log");
    std::map<std::string, std::vector<std::size_t>> numbers; // of each call of each temporary file, behind that of the log
    {
        std::map<std::string, std::size_t> counts;
        std::vector<std::string> temporaries;
        std::istringstream text{content_of(straight / "trace")};
        for (std::string line; std::getline(text, line);) {
            auto const begin = line.find_first_of("abcdefghijklmnopqrstuvwxyz"), end = line.find('(');
            if (begin == std::string::npos || end == std::string::npos || end < begin) continue;
            auto const call = line.substr(begin, end - begin);
            ++counts[call];
            auto const name = line.find(".zeroi2v-");
            if (name == std::string::npos) {
                // The folder is made durable by a call of its own, after the file's.
                if (call == "fsync" && !temporaries.empty()) numbers["folder " + std::to_string(temporaries.size() - 1)].push_back(counts[call]);
                continue;
            }
            auto const temporary = line.substr(name, line.find(".tmp", name) - name);
            if (temporaries.empty() || temporaries.back() != temporary) temporaries.push_back(temporary);
            numbers[(call == "renameat2" ? "renameat" : call) + " " + std::to_string(temporaries.size() - 1)].push_back(counts[call]);
            if (call.starts_with("renameat")) numbers["name"].push_back(call == "renameat2" ? 2 : 1);
        }
        REQUIRE(temporaries.size() == 5);
    }
    struct fault { std::string call, errno_name, words; };
    std::vector<fault> const faults{{"fsync", "EIO", "cannot be made durable: Input/output error"}, {"folder", "EIO", "its folder cannot be made durable: Input/output error"},
                                    {"close", "EIO", "cannot be closed: Input/output error"}, {"renameat", "EIO", "cannot be put in place: Input/output error"},
                                    {"renameat", "EROFS", "cannot be put in place: Read-only file system"}, {"write", "EIO", "cannot be written after"},
                                    {"write", "ENOSPC", "No space left on device"}, {"write", "EDQUOT", "Disk quota exceeded"}, {"fallocate", "ENOSPC", "bytes wanted: No space left on device"}};
    for (auto const& fault : faults)
        for (std::size_t const file : {3U, 4U}) { // the third checkpoint; the output
            auto const& of_file = numbers[fault.call + " " + std::to_string(file)];
            REQUIRE(!of_file.empty());
            std::string const rename = numbers["name"][file] == 2 ? "renameat2" : "renameat";
            std::string const call = fault.call == "folder" ? "fsync" : fault.call == "renameat" ? rename : fault.call;
            CAPTURE(fault.call);
            CAPTURE(fault.errno_name);
            CAPTURE(file);
            scratch const here;
            auto const words = command(here / "out", plus(four, {"--log", here / "log"}));
            conditions failing;
            failing.launcher = {"strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                                "inject=" + call + ":error=" + fault.errno_name + ":when=" + std::to_string(of_file[of_file.size() / 2])};
            auto const found = run(words, failing);
            check_error(found, 7, "write_failed", {file == 3 ? "out.ckpt-3: " : "/out: ", fault.words});
            auto names = here.names();
            CHECK(std::ranges::none_of(names, [](std::string const& name) { return name.starts_with(".zeroi2v-") || name == "out.lock"; }));
            auto const there = [&](std::string const& name) { return std::ranges::count(names, name) == 1; };
            CHECK(there("out.ckpt-2"));
            CHECK(there(file == 3 ? "out.ckpt-1" : "out.ckpt-3"));
            bool const in_place = fault.call == "folder"; // renamed, and nothing older was removed
            CHECK(there(file == 3 ? "out.ckpt-3" : "out") == in_place);
            check_success(run(plus(words, {"--resume"})));
            CHECK(content_of(here / "out") == bytes);
            CHECK(without_seconds(here / "log") == log);
            CHECK(here.names() == std::vector<std::string>{"log", "out"});
        }
}

TEST_CASE("train: two runs may not write one output; a lock that a killed run left is none") {
    scratch const here;
    auto const words = command(here / "out", {"--steps", "1000000", "--batch", "3", "--checkpoint-every", "1", "--quiet"});
    conditions first;
    first.signal = SIGKILL;
    first.when_exists = "second-is-done";
    first.watched = here.path();
    outcome second;
    std::thread other{[&] {
        for (int i = 0; i < 600 && !has_match(here.path(), "out.ckpt-2"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{50});
        second = run(command(here / "out", {"--steps", "2", "--quiet"}));
        here.file("second-is-done", "");
    }};
    CHECK(run(words, first).status == -SIGKILL);
    other.join();
    check_error(second, 6, "bad_state", {"out.lock", "another run holds it"});
    fs::remove(here / "second-is-done");
    CHECK(fs::exists(here / "out.lock"));
    for (auto const& name : here.names())
        if (name != "out.lock") fs::remove(here / name);
    check_success(run(command(here / "out", {"--steps", "2", "--quiet"})));
    CHECK(here.names() == std::vector<std::string>{"out", "out.lock"}); // not this run's to remove
    fs::remove(here / "out.lock");
    check_success(run(command(here / "out", {"--steps", "2", "--quiet"})));
    CHECK(here.names() == std::vector<std::string>{"out"});
}

TEST_CASE("train: what stands under the lock's name and is no lock stays, and the run does not begin") {
    std::vector<std::string> const two{"--steps", "2", "--batch", "2", "--checkpoint-every", "1", "--quiet"};
    scratch const here;
    auto const out = here / "t", lock = here / "t.lock";
    auto const refused = [&](std::vector<std::string> const& words, char const* code, std::vector<std::string_view> const& parts) {
        auto const before = here.names();
        auto const content = fs::is_regular_file(lock) ? content_of(lock) : "";
        check_error(run(words), 2, code, parts);
        CHECK(here.names() == before);
        if (fs::is_regular_file(lock)) CHECK(content_of(lock) == content);
    };
    here.file("t.lock", "my precious notes");
    refused(command(out, two), "unwritable_output", {"t.lock", "17 bytes found"});
    fs::remove(lock);
    fs::create_symlink("newvictim", lock);
    refused(command(out, two), "unwritable_output", {"t.lock"});
    here.file("newvictim", ""); // the link leads to what might be a lock
    refused(command(out, two), "unwritable_output", {"t.lock"});
    CHECK(fs::is_symlink(lock));
    fs::remove(lock);
    fs::remove(here / "newvictim");
    fs::create_directory(lock);
    refused(command(out, two), "unwritable_output", {"t.lock"});
    fs::remove(lock);
    CHECK(::mkfifo(lock.c_str(), 0600) == 0);
    refused(command(out, two), "unwritable_output", {"t.lock"});
    fs::remove(lock);

    // Inputs and outputs under that name, by any way to them.
    fs::copy_file(golden("start.safetensors"), lock);
    refused({"train", lock, golden("train.safetensors"), "-o", out, "--config", golden("config.json"), "--steps", "2", "-q"}, "same_file", {"t.lock"});
    fs::create_hard_link(lock, here / "start");
    refused({"train", here / "start", golden("train.safetensors"), "-o", out, "--config", golden("config.json"), "--steps", "2", "-q"}, "same_file", {"t.lock"});
    fs::remove(lock);
    fs::copy_file(golden("train.safetensors"), lock);
    refused({"train", golden("start.safetensors"), lock, "-o", out, "--config", golden("config.json"), "--steps", "2", "-q"}, "same_file", {"t.lock"});
    refused(plus(command(out, two), {"--val", lock}), "same_file", {"t.lock"});
    fs::remove(lock);
    fs::copy_file(golden("config.json"), lock);
    refused({"train", golden("start.safetensors"), golden("train.safetensors"), "-o", out, "--config", lock, "--steps", "2", "-q"}, "same_file", {"t.lock"});
    fs::remove(lock);
    refused(plus(command(out, two), {"--log", lock}), "same_file", {"--log", "t.lock"});
    fs::create_symlink("t.lock", here / "log");
    refused(plus(command(out, two), {"--log", here / "log"}), "same_file", {"--log"});
    fs::remove(here / "log");
    here.file("log", "");
    fs::create_hard_link(here / "log", lock); // empty, but the run's own log
    refused(plus(command(out, two), {"--log", here / "log"}), "same_file", {"t.lock"});
    fs::remove(here / "log");

    // An empty file is a lock; it was there before, so it stays.
    check_success(run(command(out, two)));
    CHECK(here.names() == std::vector<std::string>{"start", "t", "t.lock"});
    fs::remove(lock);
    fs::remove(here / "start");
    check_success(run(command(out, two)));
    CHECK(here.names() == std::vector<std::string>{"t"});
}

TEST_CASE("train: what is written into the lock, or put in its place, while the run holds it stays") {
    for (bool const replaced : {false, true}) {
        scratch const here;
        std::thread other{[&] {
            for (int i = 0; i < 1200 && !fs::exists(here / "out.ckpt-1"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{25});
            if (replaced) fs::remove(here / "out.lock");
            here.file("out.lock", "notes");
            here.file("written", "");
        }};
        auto const found = run(command(here / "out", {"--steps", "1000000", "--batch", "3", "--checkpoint-every", "1", "--quiet"}),
                               {.signal = SIGINT, .when_exists = "written", .watched = here.path()});
        other.join();
        CHECK(found.status == 130);
        CHECK(content_of(here / "out.lock") == "notes");
    }
}

TEST_CASE("train: a signal while the run still loads its model leaves no lock") {
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) {
        scratch const here;
        auto const found = run(command(here / "out", {"--steps", "1000000", "--batch", "3", "--quiet"}), {.signal = signal, .when_exists = "out.lock", .watched = here.path()});
        CHECK(found.status == 128 + signal);
        auto names = here.names();
        std::erase_if(names, [](std::string const& name) { return name.starts_with("out.ckpt-"); }); // where it had begun to train
        CHECK(names == std::vector<std::string>{});
    }
}

TEST_CASE("train: no name that the run makes may be a file of its user's: its checkpoints") {
    scratch const here;
    auto const out = here / "t";
    std::vector<std::string> const two{"--steps", "2", "--batch", "2", "--checkpoint-every", "1", "--quiet"};
    for (std::string const name : {"t.ckpt-1", "t.ckpt-2", "t.ckpt-77"}) {
        check_error(run(plus(command(out, two), {"--log", here / name})), 2, "same_file", {"--log", name});
        fs::create_symlink(name, here / "log"); // leads nowhere yet
        check_error(run(plus(command(out, two), {"--log", here / "log"})), 2, "same_file", {"--log"});
        fs::remove(here / "log");
    }
    CHECK(here.names().empty());
    for (std::vector<std::string> const& more : {std::vector<std::string>{}, {"--resume"}, {"--resume", "--allow-mismatch"}}) {
        fs::copy_file(golden("start.safetensors"), here / "t.ckpt-1");
        check_error(run(plus({"train", here / "t.ckpt-1", golden("train.safetensors"), "-o", out, "--config", golden("config.json"), "--steps", "2", "-q"}, more)), 2, "same_file",
                    {"t.ckpt-1"});
        fs::rename(here / "t.ckpt-1", here / "start");
        here.file("t.ckpt-1", "my notes");
        check_error(run(plus(command(out, two), more)), 6, "bad_state", {"t.ckpt-1"});
        CHECK(here.names() == std::vector<std::string>{"start", "t.ckpt-1"});
        CHECK(content_of(here / "t.ckpt-1") == "my notes");
        fs::remove(here / "t.ckpt-1");
        fs::create_symlink("start", here / "t.ckpt-1");
        check_error(run(plus(command(out, two), more)), 6, "bad_state", {"t.ckpt-1"});
        CHECK(fs::is_symlink(here / "t.ckpt-1"));
        CHECK(content_of(here / "start") == content_of(golden("start.safetensors")));
        fs::remove(here / "t.ckpt-1");
        fs::remove(here / "start");
    }
    // Beside a whole checkpoint of the run: it does not go on until the other file is away.
    CHECK(run(command(out, random_run), {.signal = SIGINT, .when_exists = "t.ckpt-5", .watched = here.path()}).status == 130);
    here.file("t.ckpt-39", "my notes");
    auto const before = here.names();
    check_error(run(plus(command(out, random_run), {"--resume"})), 6, "bad_state", {"t.ckpt-39", "it stays"});
    CHECK(here.names() == before);
    CHECK(content_of(here / "t.ckpt-39") == "my notes");
    fs::rename(here / "t.ckpt-39", here / "notes");
    // The checkpoint of another run with the same output is as little this one's.
    CHECK(run(command(here / "u", plus(random_run, {"--freeze", "head"})), {.signal = SIGINT, .when_exists = "u.ckpt-5", .watched = here.path()}).status == 130);
    for (auto const& name : here.names())
        if (name.starts_with("u.ckpt-")) fs::rename(here / name, here / "t.ckpt-1");
    check_error(run(plus(command(out, random_run), {"--resume"})), 6, "bad_state", {"t.ckpt-1", "another run"});
    fs::rename(here / "t.ckpt-1", here / "other");
    check_success(run(plus(command(out, random_run), {"--resume"})));
    CHECK(here.names() == std::vector<std::string>{"notes", "other", "t"});
    check_success(run({"inspect", here / "other", "--quiet", "--json"}));
}

TEST_CASE("train: a file that appears under a checkpoint's name while the run goes on is not replaced") {
    scratch const here;
    std::thread other{[&] {
        for (int i = 0; i < 1200 && !fs::exists(here / "out.ckpt-50"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{25});
        for (int step = 5000; step >= 100; step -= 50) here.file("out.ckpt-" + std::to_string(step), "notes");
    }};
    auto const found = run(command(here / "out", {"--steps", "1000000", "--batch", "3", "--checkpoint-every", "50", "--quiet"}));
    other.join();
    check_error(found, 7, "write_failed", {"out.ckpt-", "it stays"});
    for (int step = 100; step <= 5000; step += 50) CHECK(content_of(here / ("out.ckpt-" + std::to_string(step))) == "notes");
}

TEST_CASE("train: a video of a list is an input: no output, log, lock or checkpoint, by any way to it") {
    scratch const here;
    auto const video = content_of(moving_shapes("disc_clockwise.mp4"));
    auto const intact = [&](std::string const& name) { CHECK(content_of(here / name) == video); };
    here.file("v.mp4", video);
    here.file("list.txt", "v.mp4 0\n");
    auto const other_list = moving_shapes("list.txt");
    auto const train = [&](std::string const& list, std::vector<std::string> const& more) {
        return run(plus({"train", moving_shapes("both.safetensors"), list, "--steps", "1", "--batch", "1", "-q"}, more));
    };
    fs::create_hard_link(here / "v.mp4", here / "hard");
    fs::create_symlink("v.mp4", here / "soft");
    fs::create_directory(here / "sub");
    fs::create_symlink("..", here / "sub/up");
    auto const before = here.names();
    for (std::string const name : {"v.mp4", "hard", "soft", "./v.mp4", "sub/up/v.mp4"}) {
        CAPTURE(name);
        check_error(train(here / "list.txt", {"-o", here / name}), 2, "same_file", {"v.mp4"});
        check_error(train(other_list, {"--val", here / "list.txt", "-o", here / name}), 2, "same_file", {"v.mp4"});
        check_error(train(here / "list.txt", {"-o", here / "o", "--log", here / name}), 2, "same_file", {"v.mp4"});
        check_error(train(other_list, {"--val", here / "list.txt", "-o", here / "o", "--log", here / name}), 2, "same_file", {"v.mp4"});
        CHECK(here.names() == before);
        intact("v.mp4");
    }
    check_error(train(here / "list.txt", {"-o", here / "list.txt"}), 2, "same_file", {"list.txt"});
    check_error(train(other_list, {"--val", here / "list.txt", "-o", here / "list.txt"}), 2, "same_file", {"list.txt"});
    CHECK(content_of(here / "list.txt") == "v.mp4 0\n");
    // Names that the run makes.
    for (std::string const name : {"o.lock", "o.ckpt-1"}) {
        CAPTURE(name);
        fs::create_hard_link(here / "v.mp4", here / name);
        check_error(train(here / "list.txt", {"-o", here / "o"}), 2, "same_file", {name});
        check_error(train(other_list, {"--val", here / "list.txt", "-o", here / "o", "--resume"}), 2, "same_file", {name});
        intact(name);
        fs::remove(here / name);
    }
    // What lies in a folder of the list.
    fs::create_directory(here / "frames");
    here.file("frames/img_00001.jpg", "a frame");
    here.file("folders.txt", "v.mp4 0\nframes 1\n");
    check_error(train(here / "folders.txt", {"-o", here / "frames/img_00001.jpg"}), 2, "same_file", {"img_00001.jpg", "frames"});
    CHECK(content_of(here / "frames/img_00001.jpg") == "a frame");
    // Output and log are two files, whatever they are called and be they there or not.
    here.file("x", "old");
    fs::create_hard_link(here / "x", here / "y");
    check_error(train(here / "list.txt", {"-o", here / "x", "--log", here / "y"}), 2, "same_file", {"y"});
    CHECK(content_of(here / "x") == "old");
    fs::create_symlink("z", here / "to_z");
    check_error(train(here / "list.txt", {"-o", here / "z", "--log", here / "to_z"}), 2, "same_file", {"to_z"});
    check_error(train(here / "list.txt", {"-o", here / "to_z", "--log", here / "sub/up/z"}), 2, "same_file", {"--log"});
    CHECK(!fs::exists(here / "z"));
    // Another file of that folder may be replaced, as ever.
    here.file("o", "old");
    check_success(train(here / "list.txt", {"-o", here / "o"}));
    CHECK(content_of(here / "o") != "old");
}

TEST_CASE("train: a name that is turned to an input while the run goes on replaces nothing") {
    auto const video = content_of(moving_shapes("disc_clockwise.mp4"));
    // What a run leaves whose output's name, or way to it, is changed once its first checkpoint is there.
    auto const turned = [&](scratch const& here, std::string const& output, std::vector<std::string> const& more, std::function<void()> const& turn) {
        conditions how;
        how.signal = SIGCONT; // means nothing to a process that runs
        how.when_exists = "first.ckpt-2";
        how.watched = here.path();
        how.receiver = [&](int child) {
            turn();
            return child;
        };
        return run(plus({"train", here / "start", here / "list.txt", "-o", here / output, "--steps", "400", "--batch", "2", "--checkpoint-every", "1", "--threads", "1", "-q"}, more), how);
    };
    auto const prepare = [&](scratch const& here) {
        here.file("v.mp4", video);
        here.file("list.txt", "v.mp4 0\nv.mp4 0\n");
        fs::copy_file(moving_shapes("both.safetensors"), here / "start");
    };
    SUBCASE("a link as output") {
        scratch const here;
        prepare(here);
        fs::create_symlink("first", here / "out");
        auto const found = turned(here, "out", {}, [&] {
            fs::create_symlink("v.mp4", here / "link");
            fs::rename(here / "link", here / "out");
        });
        check_success(found);
        CHECK(fs::is_symlink(here / "out"));
        CHECK(content_of(here / "v.mp4") == video);
        CHECK(here.names() == std::vector<std::string>{"first", "list.txt", "out", "start", "v.mp4"});
    }
    SUBCASE("a link where nothing was, a hard link, START itself") {
        for (std::string const way : {"link", "hard", "start"}) {
            CAPTURE(way);
            scratch const here;
            prepare(here);
            auto const found = turned(here, "first", {}, [&] {
                if (way == "link") fs::create_symlink("v.mp4", here / "first");
                else if (way == "hard") fs::create_hard_link(here / "v.mp4", here / "first");
                else fs::rename(here / "start", here / "first");
            });
            check_error(found, 7, "write_failed", {"first: is the same file as the input"});
            CHECK(content_of(here / "v.mp4") == video);
            if (way == "start") CHECK(content_of(here / "first") == content_of(moving_shapes("both.safetensors")));
            CHECK(has_match(here.path(), "first.ckpt-")); // --resume can go on
        }
    }
    SUBCASE("a link as log") {
        scratch const here;
        prepare(here);
        auto const found = turned(here, "first", {"--log", here / "log"}, [&] {
            fs::remove(here / "log");
            fs::create_symlink("v.mp4", here / "log");
        });
        check_success(found);
        CHECK(content_of(here / "v.mp4") == video);
    }
    SUBCASE("the name of a video that is not there yet") {
        scratch const here;
        prepare(here);
        here.file("more.txt", "v.mp4 0\nlater.mp4 1\n");
        fs::create_directory_symlink(".", here / "way");
        for (std::string const name : {"later.mp4", "way/later.mp4"}) {
            check_error(run({"train", here / "start", here / "more.txt", "-o", here / name, "--steps", "1", "--bad-videos", "5"}), 2, "same_file", {"later.mp4"});
            check_error(run({"train", here / "start", here / "list.txt", "--val", here / "more.txt", "-o", here / name, "--steps", "1"}), 2, "same_file", {"later.mp4"});
            check_error(run({"train", here / "start", here / "more.txt", "-o", here / "out", "--log", here / name, "--steps", "1", "--bad-videos", "5"}), 2, "same_file", {"later.mp4"});
        }
        CHECK(!fs::exists(here / "later.mp4"));
    }
}

TEST_CASE("train: however an output is spelled, it has one lock and one set of checkpoints") {
    scratch const here;
    fs::create_symlink("out", here / "link");
    outcome second;
    conditions first;
    first.signal = SIGINT;
    first.when_exists = "out.ckpt-2";
    first.watched = here.path();
    first.receiver = [&](int child) {
        second = run(command(here / "out", {"--steps", "2", "--quiet"}));
        return child;
    };
    CHECK(run(command(here / "link", {"--steps", "1000000", "--batch", "3", "--checkpoint-every", "1", "--quiet"}), first).status == 130);
    check_error(second, 6, "bad_state", {"out.lock", "another run holds it"});
    CHECK(!has_match(here.path(), "link.ckpt-"));
    check_error(run(command(here / "out", {"--steps", "2", "--quiet"})), 6, "bad_state", {"out.ckpt-"});
}

TEST_CASE("train: a lock is locked before its name appears, so that runs that start together leave none") {
    scratch const here;
    auto const lock = here / "out.lock";
    std::atomic<bool> stop = false;
    std::thread other{[&] { // whoever gets hold of the lock first ends the run
        while (!stop) {
            int const found = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
            if (found < 0) continue;
            while (::flock(found, LOCK_EX | LOCK_NB) != 0 && fs::exists(lock)) {}
            ::close(found);
        }
    }};
    for (int i = 0; i < 40; ++i) CHECK(run(command(here / "out", {"--steps", "1", "--quiet", "--threads", "1"})).status == 0);
    stop = true;
    other.join();
    CHECK(here.names() == std::vector<std::string>{"out"});
}

TEST_CASE("train: the names of the last checkpoint and of the lock must fit, which is said before any work") {
    scratch const here;
    auto const words = [&](std::size_t length, std::string const& steps) {
        return command(here / std::string(length, 'n'), {"--steps", steps, "--batch", "2", "--checkpoint-every", "1000", "--quiet"});
    };
    // 255 bytes; `.lock` takes 5, `.ckpt-100` 9, `.ckpt-1` 7.
    check_error(run(words(256, "1")), 2, "unwritable_output");
    check_error(run(words(251, "1")), 2, "unwritable_output", {".lock", "File name too long"});
    check_error(run(words(249, "1")), 2, "unwritable_output", {".ckpt-1", "File name too long"});
    check_error(run(words(248, "10")), 2, "unwritable_output", {".ckpt-10"});
    check_error(run(words(247, "100")), 2, "unwritable_output", {".ckpt-100"});
    check_error(run(words(241, "1000000000")), 2, "unwritable_output", {".ckpt-1000000000"});
    CHECK(here.names().empty());
    check_success(run(words(248, "1")));
    check_success(run(words(247, "10")));
    CHECK(here.names().size() == 2);
}

TEST_CASE("train: shots are drawn by the seed and written down; evaluation says top-1 and top-5") {
    scratch const here;
    auto const once = [&](std::string const& name, std::string const& seed) {
        check_success(run(command(here / name, {"--shots", "1", "--steps", "2", "--seed", seed, "--val", golden("train.safetensors"), "--log", here / (name + ".log"), "--quiet"})));
        return lines_of(here / (name + ".log"));
    };
    auto const a = once("a", "1"), b = once("b", "1");
    CHECK(a[0] == b[0]);
    CHECK(a[0]["shots"] == 1);
    CHECK(a[0]["samples"].size() <= 4);
    CHECK(content_of(here / "a") == content_of(here / "b"));
    CHECK(a.back()["val"]["samples"] == 4);
    CHECK(a.back()["val"]["top5"].get<double>() >= a.back()["val"]["top1"].get<double>());
    CHECK(a.back()["step"] == 2);
}

TEST_CASE("train: several label sets, image models, full fine-tuning, and the head alone") {
    scratch const here;
    auto const config = here.file("image.json", R"({"image_size":16,"patch_size":8,"frames":1,"width":16,"layers":2,"heads":4,"mlp_width":32,"classes":7,"head_offsets":[0,0,0,0]})");
    check_success(run({"init", "-o", here / "image.safetensors", "--config", config, "--adapters", "none", "--quiet"}));
    std::vector<float> const clips(6 * 3 * 16 * 16, 0.5F);
    std::vector<std::int64_t> const labels{0, 1, 2, 3, 1, 0, 0, 0, 2, 2, 1, 1}, groups{3, 4};
    zeroi2v::view<float const, 5> const values{clips.data(), 6, 1, 3, 16, 16};
    zeroi2v::write_safetensors(here / "frames.safetensors", {{"clips", values}, {"labels", zeroi2v::view<std::int64_t const, 2>{labels.data(), 6, 2}},
                                                             {"label_groups", zeroi2v::view<std::int64_t const, 1>{groups.data(), 2}}});
    for (std::string const what : {"all", "head"}) {
        check_success(run({"train", here / "image.safetensors", here / "frames.safetensors", "-o", here / what, "--trainable", what, "--steps", "3", "--val", here / "frames.safetensors",
                           "--log", here / "log", "--quiet"}));
        CHECK(lines_of(here / "log").back()["val"]["top1"].size() == 2);
        auto const before = read_safetensors(here / "image.safetensors"), after = read_safetensors(here / what);
        bool const frozen = distance(after["backbone.conv1.weight"], before["backbone.conv1.weight"]).max_abs == 0;
        CHECK(frozen == (what == "head"));
        CHECK(distance(after["cls_head.fc_cls.weight"], before["cls_head.fc_cls.weight"]).max_abs > 0);
    }
    check_error(run({"train", here / "image.safetensors", here / "frames.safetensors", "-o", here / "x", "--freeze", "head,ln_post,adapters,temporal_embedding", "--steps", "1"}), 4, "bad_config");
    check_error(run({"train", here / "image.safetensors", here / "frames.safetensors", "-o", here / "x", "--shots", "1", "--steps", "1"}), 2, "bad_option", {"label sets"});
}

TEST_CASE("train: what cannot be is said before any work") {
    scratch const here;
    auto const out = here / "out";
    check_error(run(command(out, {"--lr", "0"})), 2, "bad_number", {"--lr"});
    check_error(run(command(out, {"--lr", "-1"})), 2, "bad_number", {"--lr"});
    check_error(run(command(out, {"--lr", "nan"})), 2, "bad_number", {"--lr"});
    check_error(run(command(out, {"--lr", "1e9"})), 2, "bad_number", {"--lr"});
    check_error(run(command(out, {"--steps", "3", "--epochs", "3"})), 2, "bad_option", {"--epochs"});
    check_error(run(command(out, {"--freeze", "nothing"})), 2, "bad_option", {"--freeze"});
    check_error(run(command(out, {"--augment", "k400", "--steps", "1"})), 2, "bad_option", {"--augment"});
    check_error(run({"train", golden("start.safetensors"), golden("train.safetensors"), "-o", golden("train.safetensors")}), 2, "same_file");
    check_error(run(command(out, {"--log", out})), 2, "same_file");
    check_error(run({"train", golden("start.safetensors"), golden("start.safetensors"), "-o", out, "--config", golden("config.json")}), 3, "bad_tensor", {"clips"});
    auto const good = read_safetensors(golden("train.safetensors"));
    std::vector<std::int64_t> const labels{0, 1, 10, 2};
    zeroi2v::write_safetensors(here / "labels.safetensors", {{"clips", good["clips"]}, {"labels", zeroi2v::view<std::int64_t const, 1>{labels.data(), 4}}});
    check_error(run({"train", golden("start.safetensors"), here / "labels.safetensors", "-o", out, "--config", golden("config.json")}), 4, "bad_labels", {"clip 2", "class 10"});
    CHECK(here.names() == std::vector<std::string>{"labels.safetensors"});
}

TEST_CASE("train: a list of videos; a bad one is named, counted and replaced, too many end the run") {
    scratch const here;
    here.file("bad.mp4", "no video");
    auto const list = here.file("list.txt", demo_video() + " 1\nbad.mp4 2\n" + demo_video() + " 3\n");
    auto const words = [&](std::string const& out, std::vector<std::string> const& more) {
        return plus({"train", golden("start.safetensors"), list, "-o", out, "--config", golden("config.json"), "--sampling", "uniform", "--clips", "1", "--crops", "1", "--resize", "32",
                     "--normalize", "zeroi2v", "--average", "prob", "--steps", "2", "--batch", "3"}, more);
    };
    auto const first = run(words(here / "a", {"--decode-threads", "3"})), second = run(words(here / "b", {"--decode-threads", "1"}));
    CHECK(first.status == 0);
    CHECK(first.err.find("bad.mp4") != std::string::npos);
    CHECK(first.err.find("bad.mp4") == first.err.rfind("bad.mp4"));
    CHECK(first.out.find("1 bad video") != std::string::npos);
    CHECK(content_of(here / "a") == content_of(here / "b"));
    auto const stopped = run(words(here / "c", {"--bad-videos", "0"}));
    CHECK(stopped.status == 5);
    CHECK(stopped.err.find("limit_exceeded") != std::string::npos);
    CHECK_FALSE(fs::exists(here / "c"));
}

TEST_CASE("train: augmented videos are drawn by the seed, whoever decodes them") {
    scratch const here;
    auto const list = here.file("list.txt", demo_video() + " 1\n" + demo_video() + " 3\n");
    auto const words = [&](std::string const& out, std::vector<std::string> const& more) {
        return plus({"train", golden("start.safetensors"), list, "-o", out, "--config", golden("config.json"), "--sampling", "uniform", "--clips", "1", "--crops", "1", "--resize", "32",
                     "--normalize", "zeroi2v", "--average", "prob", "--steps", "2", "--batch", "2", "--quiet"}, more);
    };
    for (std::string const recipe : {"k400", "ssv2"}) {
        check_success(run(words(here / "a", {"--augment", recipe, "--decode-threads", "3"})));
        check_success(run(words(here / "b", {"--augment", recipe, "--decode-threads", "1"})));
        check_success(run(words(here / "c", {"--augment", recipe, "--seed", "1"})));
        CHECK(content_of(here / "a") == content_of(here / "b"));
        CHECK(content_of(here / "a") != content_of(here / "c"));
    }
}

TEST_CASE("few-shot: mean and interval over draws, repeatable, as a table and as JSON") {
    auto const words = [&](std::vector<std::string> const& more) {
        return plus({"few-shot", golden("start.safetensors"), golden("train.safetensors"), "--config", golden("config.json"), "--val", golden("train.safetensors"), "--shots", "1,2",
                     "--draws", "2", "--steps", "2", "--batch", "4"}, more);
    };
    auto const table = run(words({}));
    CHECK(table.status == 0);
    CHECK(table.err == "zeroi2v: --shots: the smallest class has 1 sample; where more are asked for, all of a class are taken\n");
    CHECK(table.out.find("shots") == 0);
    auto const first = run(words({"--json", "--quiet"})), second = run(words({"--json", "--quiet", "--threads", "1"}));
    check_success(first);
    CHECK(first.out == second.out);
    auto const document = nlohmann::json::parse(first.out);
    CHECK(document["rows"].size() == 2);
    CHECK(document["rows"][1]["shots"] == 2);
    CHECK(document["rows"][0]["top1"]["draws"].size() == 2);
    check_error(run({"few-shot", golden("start.safetensors"), golden("train.safetensors"), "--config", golden("config.json"), "--val", golden("train.safetensors"), "--shots", "1,0"}), 2, "bad_number", {"--shots"});
    check_error(run({"few-shot", golden("start.safetensors"), golden("train.safetensors"), "--config", golden("config.json")}), 2, "usage", {"--val"});
}

TEST_CASE("held-out videos that cannot be read are counted; where none can, no accuracy is said") {
    scratch const here;
    here.file("bad.mp4", "no video");
    auto const list = moving_shapes("list.txt"), model = moving_shapes("both.safetensors");
    auto const none = here.file("none.txt", "bad.mp4 0\nbad.mp4 1\n"), some = here.file("some.txt", "bad.mp4 0\n" + moving_shapes("disc_clockwise.mp4") + " 0\n");
    auto const few_shot = [&](std::string const& val, std::vector<std::string> const& more) {
        return run(plus({"few-shot", model, list, "--val", val, "--shots", "1", "--draws", "2", "--steps", "1", "--batch", "1", "-q"}, more));
    };
    auto const nothing = few_shot(none, {"--json"});
    CHECK(nothing.status == 5);
    auto document = nlohmann::json::parse(nothing.out);
    CHECK(document["evaluated"] == 0);
    CHECK(document["bad"] == 2);
    CHECK(document["rows"][0]["top1"]["mean"].is_null());
    CHECK(document["rows"][0]["top5"]["interval95"].is_null());
    CHECK(document["rows"][0]["top1"]["draws"] == nlohmann::json{nullptr, nullptr});
    auto const table = few_shot(none, {});
    CHECK(table.status == 5);
    CHECK(table.out.find("1       -  ") != std::string::npos);
    CHECK(table.out.find("0 held-out videos evaluated, 2 bad") != std::string::npos);
    auto const one = few_shot(some, {"--json"});
    CHECK(one.status == 5);
    document = nlohmann::json::parse(one.out);
    CHECK(document["evaluated"] == 1);
    CHECK(document["bad"] == 1);
    CHECK(document["rows"][0]["top1"]["mean"].is_number());
    CHECK(few_shot(list, {"--json"}).status == 0);

    auto const trained = run({"train", model, list, "--val", none, "-o", here / "out", "--log", here / "log", "--steps", "1", "--batch", "1"});
    CHECK(trained.status == 0);
    CHECK(trained.out.find("top-1 -, top-5 -, 2 bad held-out videos left out") != std::string::npos);
    auto const last = lines_of(here / "log").back();
    CHECK(last["val"]["bad"] == 2);
    CHECK(last["val"]["top1"].is_null());
}
