// Training checkpoints: whole or refused, two kept, the newest whole one taken, faults of the disk.
#include <zeroi2v/io/train/train_checkpoint.hpp>

#include <zeroi2v/model/init.hpp>

#include "../temporary_folder.hpp"

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

TEST_CASE("a checkpoint whose tensors are of another type is read as it is, and refused by the trainer that would take it up") {
    test::temporary_folder const here;
    vit_config const config{{.image_size = 4, .patch_size = 2, .frames = 2, .width = 4, .layers = 1, .heads = 2, .mlp_width = 4, .classes = 3}, frame_map<>{2}};
    trainer training{random_weights<with_adapters>(config, adapter_layout::none(), {.seed = 2}), {.trainable = trainable_set::only_head()}};
    auto const good = training.state();
    for (std::string const name : {"cls_head.fc_cls.weight", "adam.m.cls_head.fc_cls.bias", "adam.v.cls_head.fc_cls.weight"}) {
        training_checkpoint saved;
        saved.state.step = 3;
        saved.fingerprint = json_value::object();
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
    save_training_checkpoint(here.path() / "c", {.state = training.state(), .fingerprint = json_value::object()});
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
    training_checkpoints run{here.path() / "out.safetensors"};
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
    CHECK(run.steps() == std::vector<std::uint64_t>{100, 12, 9}); // whose the empty one is it does not say
    std::filesystem::remove(run.path_of(100));
    auto const whole = content_of(run.path_of(12));
    write(run.path_of(12), whole.substr(0, whole.size() - 1));
    write(run.path_of(9), whole.substr(0, 300));
    named.clear();
    CHECK_THROWS_AS(static_cast<void>(run.newest([&](error const& fault) { named.push_back(fault.what()); })), training_error);
    CHECK(named.size() == 2);
    write(run.path_of(9), whole); // of step 12: none of them is whole still
    CHECK_THROWS_AS(static_cast<void>(run.newest([](error const&) {})), training_error);
    run.save(example(13));
    CHECK(run.steps() == std::vector<std::uint64_t>{13, 12, 9}); // somebody wrote into the two since this object saw them
    run.clear();
    CHECK(run.steps() == std::vector<std::uint64_t>{12, 9});
    CHECK(std::filesystem::exists(here.path() / "other.ckpt-3"));
}

TEST_CASE("what is no checkpoint of the run is refused, whatever it is, and stays") {
    test::temporary_folder const here;
    auto const out = here.path() / "out";
    training_checkpoints{out}.save(example(4));
    training_checkpoints const names{out};
    auto const refused = [&](std::string const& words) {
        training_checkpoints run{out};
        std::string message;
        try {
            static_cast<void>(run.newest([](error const&) {}));
        } catch (training_error const& fault) {
            CHECK(fault.code() == error_code::bad_state);
            message = fault.what();
        }
        INFO(message);
        CHECK(message.find(words) != std::string::npos);
        CHECK(message.find("it stays as it is") != std::string::npos);
        run.clear();
        CHECK(run.steps() == std::vector<std::uint64_t>{9, 4});
        std::filesystem::remove(names.path_of(9));
    };
    for (std::string const content : {"my notes", "zeroi2v.training", "{\"zeroi2v.training\":1}"}) {
        write(names.path_of(9), content);
        refused("ckpt-9: no training state found");
    }
    std::filesystem::create_symlink("out.ckpt-4", names.path_of(9));
    refused("ckpt-9: no training state found");
    std::filesystem::create_symlink("nowhere", names.path_of(9));
    refused("ckpt-9: no training state found");
    std::filesystem::create_directory(names.path_of(9));
    refused("ckpt-9: no training state found");
    // Of another run, newer or older than the one that would go on.
    auto other = example(9);
    other.fingerprint.set("lr", 0.2);
    save_training_checkpoint(names.path_of(9), other);
    refused("ckpt-4: a checkpoint of another run than");
    std::filesystem::rename(names.path_of(4), here.path() / "kept");
    other.state.step = 4;
    save_training_checkpoint(names.path_of(4), other);
    save_training_checkpoint(names.path_of(9), example(9));
    refused("ckpt-4: a checkpoint of another run than");
}

TEST_CASE("only a file whose header says that it is the run's is removed, be the rest of it whole or not") {
    test::temporary_folder const here;
    auto const out = here.path() / "out";
    training_checkpoints const names{out};
    training_checkpoints{out}.save(example(4));
    auto const whole = content_of(names.path_of(4));
    std::uint64_t header = 0;
    std::memcpy(&header, whole.data(), sizeof header);
    std::string const text = std::string("12345678") + "{ my notes about zeroi2v.training\n", torn_header = whole.substr(0, 8 + header / 2);
    write(names.path_of(9), whole.substr(0, whole.size() - 1)); // the run's own, torn behind its header
    write(names.path_of(8), whole.substr(0, 8 + header));
    write(names.path_of(7), "");
    write(names.path_of(6), text);
    write(names.path_of(5), torn_header);
    write(names.path_of(3), ""); // older than the one that is taken
    std::vector<std::string> named;
    training_checkpoints run{out};
    CHECK(run.newest([&](error const& fault) { named.push_back(fault.what()); })->state.step == 4);
    CHECK(named.size() == 6);
    CHECK(std::count_if(named.begin(), named.end(), [&](auto const& each) { return each.find("ckpt-3: ") != std::string::npos; }) == 1);
    CHECK_THROWS_AS(run.save(example(5)), resource_error);
    CHECK(content_of(names.path_of(5)) == torn_header);
    run.save(example(10));
    run.clear();
    CHECK(names.steps() == std::vector<std::uint64_t>{7, 6, 5, 3});
    CHECK(content_of(names.path_of(6)) == text);
    // Of another run, torn: what its header says counts.
    auto other = example(9);
    other.fingerprint.set("lr", 0.2);
    save_training_checkpoint(names.path_of(9), other);
    auto const theirs = content_of(names.path_of(9));
    write(names.path_of(9), theirs.substr(0, theirs.size() - 1));
    write(names.path_of(4), whole);
    training_checkpoints again{out};
    try {
        static_cast<void>(again.newest([](error const&) {}));
        FAIL("nothing thrown");
    } catch (training_error const& fault) {
        CHECK(std::string{fault.what()}.find("ckpt-9: a checkpoint of another run than") != std::string::npos);
    }
    again.clear();
    CHECK(names.steps() == std::vector<std::uint64_t>{9, 7, 6, 5, 4, 3});
}

TEST_CASE("a run that goes on with another fingerprint keeps its number: all its checkpoints are its own") {
    test::temporary_folder const here;
    auto const out = here.path() / "out";
    auto const none = [](error const&) { FAIL("named"); };
    training_checkpoints{out}.save(example(4));
    auto changed = example(5);
    {
        training_checkpoints run{out};
        changed.run = run.newest(none)->run;
        changed.fingerprint.set("lr", 0.2);
        run.save(changed);
    } // killed here
    training_checkpoints run{out};
    auto const found = run.newest(none);
    CHECK(found->state.step == 5);
    CHECK(*found->run == zeroi2v::detail::run_number(example(4).fingerprint));
    CHECK(*found->run != zeroi2v::detail::run_number(changed.fingerprint));
    run.clear();
    CHECK(here.entries() == 0);
}

TEST_CASE("a file that appears under the next checkpoint's name is not replaced, nor a link followed") {
    test::temporary_folder const here;
    training_checkpoints run{here.path() / "out"};
    run.save(example(1));
    auto const refused = [&] {
        CHECK_THROWS_AS(run.save(example(2)), resource_error);
        CHECK(here.entries() == 3);
    };
    write(here.path() / "victim", "precious");
    write(run.path_of(2), "my notes");
    refused();
    CHECK(content_of(run.path_of(2)) == "my notes");
    std::filesystem::remove(run.path_of(2));
    std::filesystem::create_symlink("victim", run.path_of(2));
    refused();
    std::filesystem::remove(run.path_of(2));
    std::filesystem::create_symlink("nowhere", run.path_of(2));
    refused();
    std::filesystem::remove(run.path_of(2));
    CHECK(content_of(here.path() / "victim") == "precious");
    run.save(example(2));
    CHECK(run.steps() == std::vector<std::uint64_t>{2, 1});
    write(run.path_of(1), "my notes"); // into one of the run's own: it is no longer that
    run.save(example(3));
    run.clear();
    CHECK(run.steps() == std::vector<std::uint64_t>{1});
    CHECK(content_of(run.path_of(1)) == "my notes");
}

TEST_CASE("a disk that takes no more leaves the checkpoints before it whole, and no temporary file") {
    test::temporary_folder const here;
    training_checkpoints run{here.path() / "out"};
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
