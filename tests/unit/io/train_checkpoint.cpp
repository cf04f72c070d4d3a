// Training checkpoints: whole or refused, two kept, the newest whole one taken, faults of the disk.
#include <zeroi2v/io/train_checkpoint.hpp>

#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace zeroi2v;

namespace {

training_checkpoint example(std::uint64_t step, float value = 1) {
    training_checkpoint result;
    result.state.step = step;
    result.fingerprint = json_value::object({{"lr", 0.1}, {"data", json_value::object({{"crc32", 5}})}});
    for (std::string const name : {"b", "a", "adam.m.a"}) {
        stored_tensor tensor{dtype::f32, shape{2, 3}};
        for (float& each : tensor.as<float>()) each = value++;
        result.state.tensors.emplace_back(name, std::move(tensor));
    }
    return result;
}

std::string content_of(std::filesystem::path const& path) {
    std::ifstream in{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
}
void write(std::filesystem::path const& path, std::string const& text) { std::ofstream{path, std::ios::binary} << text; }

} // namespace

TEST_CASE("a checkpoint comes back in every bit") {
    test::temporary_folder const here;
    auto const saved = example(7);
    save_training_checkpoint(here.path() / "c", saved);
    auto const found = load_training_checkpoint(here.path() / "c");
    CHECK(found.state.step == 7);
    CHECK(found.fingerprint == saved.fingerprint);
    CHECK(found.state.tensors.size() == 3);
    for (auto const& [name, tensor] : found.state.tensors)
        for (auto const& [other, original] : saved.state.tensors)
            if (name == other) CHECK(std::memcmp(tensor.bytes().data(), original.bytes().data(), original.byte_size()) == 0);
}

TEST_CASE("any byte changed, any truncation, an empty file: refused, never taken") {
    test::temporary_folder const here;
    auto const path = here.path() / "c";
    save_training_checkpoint(path, example(7));
    auto const good = content_of(path);
    REQUIRE(good.size() > 100);
    std::size_t refused = 0;
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 0x10);
        write(path, bad);
        try {
            // What the header says of versions and dtype names is not under the sum; the state must then be the same.
            auto const found = load_training_checkpoint(path);
            CHECK(found.state.step == 7);
            CHECK(found.fingerprint == example(7).fingerprint);
            CHECK(found.state.tensors.size() == 3);
        } catch (error const&) {
            ++refused;
        }
    }
    CHECK(refused > good.size() * 3 / 5);
    for (std::size_t length = 0; length < good.size(); length += 3) {
        write(path, good.substr(0, length));
        CHECK_THROWS_AS(static_cast<void>(load_training_checkpoint(path)), error);
    }
}

TEST_CASE("two are kept, files of other names are left alone, the newest whole one is taken") {
    test::temporary_folder const here;
    training_checkpoints const run{here.path() / "out.safetensors"};
    auto const none = [](error const&) { FAIL("named"); };
    CHECK_FALSE(run.newest(none).has_value());
    for (std::uint64_t const step : {5U, 10U, 9U, 100U}) run.save(example(step));
    write(here.path() / "out.safetensors.ckpt-007", "x");
    write(here.path() / "out.safetensors.ckpt-", "x");
    write(here.path() / "out.safetensors.ckpt-9999999999999999999999", "x");
    write(here.path() / "other.ckpt-3", "x");
    CHECK(run.steps() == std::vector<std::uint64_t>{100, 9});
    CHECK(run.newest(none)->state.step == 100);

    std::filesystem::copy_file(run.path_of(9), run.path_of(200)); // says another step than its name
    write(run.path_of(100), "");
    std::vector<std::string> named;
    CHECK(run.newest([&](error const& fault) { named.push_back(fault.what()); })->state.step == 9);
    CHECK(named.size() == 2);
    CHECK(named[0].find("ckpt-200") != std::string::npos);
    CHECK(named[1].find("ckpt-100") != std::string::npos);
    run.save(example(12)); // the run went on from step 9
    CHECK(run.steps() == std::vector<std::uint64_t>{12, 9});
    write(run.path_of(12), "torn");
    write(run.path_of(9), "torn");
    CHECK_THROWS_AS(static_cast<void>(run.newest([](error const&) {})), training_error);
    run.clear();
    CHECK(run.steps().empty());
    CHECK(std::filesystem::exists(here.path() / "other.ckpt-3"));
}

TEST_CASE("a disk that takes no more leaves the checkpoints before it whole, and no temporary file") {
    test::temporary_folder const here;
    training_checkpoints const run{here.path() / "out"};
    run.save(example(1));
    run.save(example(2));
    // In a child: the limit holds for a process, and its signal would end this one.
    auto const child = ::fork();
    if (child == 0) {
        struct rlimit const limit{300, 300};
        ::signal(SIGXFSZ, SIG_IGN);
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(50);
        try {
            run.save(example(3));
        } catch (resource_error const& fault) {
            ::_exit(fault.code() == error_code::write_failed ? 7 : 51);
        } catch (...) {
            ::_exit(52);
        }
        ::_exit(53);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(run.steps() == std::vector<std::uint64_t>{2, 1});
    CHECK(here.entries() == 2);
    CHECK(run.newest([](error const&) { FAIL("damaged"); })->state.step == 2);
}

TEST_CASE("differences of fingerprints are listed by name, what only one of them has too") {
    auto const a = json_value::object({{"lr", 0.1}, {"seed", 1}, {"old", true}});
    auto const b = json_value::object({{"lr", 0.2}, {"seed", 1}, {"new", json_value::array({1, 2})}});
    CHECK(fingerprint_differences(a, a).empty());
    CHECK(fingerprint_differences(a, b)
          == std::vector<std::string>{"lr: 0.1 in the checkpoint, 0.2 now", "new: nothing in the checkpoint, [1,2] now", "old: true in the checkpoint, nothing now"});
}

TEST_CASE("a file whose checksum is right and whose text is no training state is refused as one") {
    test::temporary_folder const here;
    auto const path = here.path() / "c";
    auto const sentence_of = [&](std::string const& text) -> std::string {
        safetensors_writer writer{path, {}, {.metadata = {{detail::training_key, text}, {detail::training_sum_key, std::to_string(crc32::of(detail::bytes_of(text)))}}}};
        writer.commit();
        try {
            return std::to_string(load_training_checkpoint(path).state.step);
        } catch (training_error const& fault) {
            CHECK(fault.code() == error_code::bad_state);
            return fault.what();
        }
    };
    CHECK(sentence_of(R"({"step":7,"fingerprint":{}})") == "7");
    for (std::string const text : {"", "[]", "{", "{}", R"({"step":7})", R"({"fingerprint":{}})", R"({"step":-7,"fingerprint":{}})", R"({"step":"7","fingerprint":{}})", R"({"step":7,"fingerprint":[]})"}) {
        CAPTURE(text);
        CHECK(sentence_of(text).find("the training state says no step and fingerprint") != std::string::npos);
    }
    CHECK(sentence_of(R"({"step":7,"fingerprint":{)" + std::string(2'000'000, ' ') + "}}").find("the training state says no step") != std::string::npos);
}

TEST_CASE("steps of files with such a name, however the folder is named, and none of a folder that is not there") {
    test::temporary_folder const here;
    for (char const* const name : {"out.ckpt-12", "out.ckpt-3", "out.ckpt-03", "out.ckpt-", "out.ckpt-4x", "out.ckpt--4", "out.ckpt-18446744073709551616", "xout.ckpt-5", "out.ckpt-18446744073709551615"})
        write(here.path() / name, "");
    CHECK(training_checkpoints{here.path() / "out"}.steps() == std::vector<std::uint64_t>{18446744073709551615U, 12, 3});
    auto const before = std::filesystem::current_path();
    std::filesystem::current_path(here.path());
    CHECK(training_checkpoints{"out"}.steps().size() == 3);
    std::filesystem::current_path(before);
    CHECK(training_checkpoints{here.path() / "none" / "out"}.steps().empty());
}
