// Training checkpoints: whole or refused, two kept, the newest whole one taken, faults of the disk.
#include <zeroi2v/io/train_checkpoint.hpp>

#include <zeroi2v/model/init.hpp>

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
    result.fingerprint = {{"lr", 0.1}, {"data", {{"crc32", 5}}}};
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

TEST_CASE("a checkpoint whose tensors are of another type is read as it is, and refused by the trainer that would take it up") {
    test::temporary_folder const here;
    vit_config const config{{.image_size = 4, .patch_size = 2, .frames = 2, .width = 4, .layers = 1, .heads = 2, .mlp_width = 4, .classes = 3}, frame_map<>{2}};
    trainer training{random_weights<with_adapters>(config, adapter_layout::none(), {.seed = 2}), {.trainable = trainable_set::only_head()}};
    auto const good = training.state();
    for (std::string const name : {"cls_head.fc_cls.weight", "adam.m.cls_head.fc_cls.bias", "adam.v.cls_head.fc_cls.weight"}) {
        training_checkpoint saved;
        saved.state.step = 3;
        saved.fingerprint = nlohmann::ordered_json::object();
        for (auto const& [stored, tensor] : good.tensors) {
            if (stored != name) saved.state.tensors.emplace_back(stored, tensor.clone());
            else saved.state.tensors.emplace_back(stored, stored_tensor::zeros(dtype::f16, tensor.sizes()));
        }
        save_training_checkpoint(here.path() / "c", saved);
        auto const found = load_training_checkpoint(here.path() / "c");
        try {
            training.restore(found.state);
            FAIL("nothing thrown");
        } catch (training_error const& fault) {
            CHECK(fault.code() == error_code::bad_state);
            CHECK_MESSAGE(std::string{fault.what()}.starts_with("state: tensor " + name + ": F16 ("), fault.what());
        }
        CHECK(training.steps() == 0);
    }
    save_training_checkpoint(here.path() / "c", {.state = training.state(), .fingerprint = nlohmann::ordered_json::object()});
    CHECK_NOTHROW(training.restore(load_training_checkpoint(here.path() / "c").state));
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
    nlohmann::ordered_json const a{{"lr", 0.1}, {"seed", 1}, {"old", true}}, b{{"lr", 0.2}, {"seed", 1}, {"new", {1, 2}}};
    CHECK(fingerprint_differences(a, a).empty());
    CHECK(fingerprint_differences(a, b)
          == std::vector<std::string>{"lr: 0.1 in the checkpoint, 0.2 now", "new: nothing in the checkpoint, [1,2] now", "old: true in the checkpoint, nothing now"});
}
