// E3, E4: outputs, signals, closed pipes, odd paths.
#include "program.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

#include <sys/stat.h>

using namespace cli;

namespace {

std::vector<std::string> convert(std::string const& in, std::string const& out) { return {"convert", in, "-o", out}; }

/// A model large enough to be interrupted while it is written.
std::string large_config(scratch const& here) {
    return here.file("large.json", R"({"image_size":32,"patch_size":8,"frames":8,"width":512,"layers":6,"heads":8,"mlp_width":2048,
        "classes":10,"adapter_scale":0.5,"head_offsets":[-1,1,0,0,0,0,0,0]})");
}

} // namespace

TEST_CASE("an output is judged before any work") {
    scratch const here;
    auto const in = test_data("formats/half.pth");
    check_error(run(convert(in, here / "none/out")), 2, "unwritable_output", {"none"});
    check_error(run(convert(in, here.path().native())), 2, "unwritable_output", {"folder"});
    check_error(run(convert(in, here.path().native() + "/")), 2, "unwritable_output", {"folder"});
    check_error(run(convert(in, "/dev/null")), 2, "unwritable_output", {"device"});
    check_error(run(convert(in, here / "x" + std::string(5000, 'x'))), 2, "unwritable_output");
    check_error(run(convert(here / "none.pth", here / "none/out")), 2, "unwritable_output"); // before the input is opened
    CHECK(::mkfifo((here / "fifo").c_str(), 0600) == 0);
    check_error(run(convert(in, here / "fifo")), 2, "unwritable_output", {"pipe"});

    here.file("locked", "x");
    fs::permissions(here / "locked", fs::perms::owner_read);
    check_error(run(convert(in, here / "locked")), 2, "unwritable_output", {"locked"});
    fs::create_directory(here / "folder");
    fs::permissions(here / "folder", fs::perms::owner_read | fs::perms::owner_exec);
    check_error(run(convert(in, here / "folder/out")), 2, "unwritable_output", {"folder"});
    CHECK(content_of(here / "locked") == "x");
    CHECK(here.names() == std::vector<std::string>{"fifo", "folder", "locked"});
}

TEST_CASE("a folder that may be entered and written but not listed takes every output") {
    scratch const here; // what a user without rights needs is copied to where that user may read
    here.open_to_all();
    fs::create_directory(here / "box");
    fs::permissions(here / "box", fs::perms::others_write | fs::perms::others_exec | fs::perms::owner_write | fs::perms::owner_exec);
    auto const copied = [&](std::string const& from, std::string const& name) {
        auto const path = here.file(name, content_of(from));
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
        return path;
    };
    auto const model = copied(moving_shapes("both.safetensors"), "model.safetensors"), video = copied(moving_shapes("disc_clockwise.mp4"), "v.mp4");
    auto const list = copied(moving_shapes("list.txt"), "list.txt");
    for (std::string const name : {"disc_clockwise.mp4", "disc_clockwise_reversed.mp4", "bar_growing.mp4", "post_hue_down.mp4"}) copied(moving_shapes(name), name);
    conditions const nobody{.without_rights = true};
    check_success(run({"merge", model, "-o", here / "box/merged", "-q"}, nobody));
    auto const page = run({"classify", model, video, "--html", here / "box/page.html"}, nobody);
    CHECK(page.status == 0);
    check_success(run({"preprocess", video, "-o", here / "box/clips", "--config", copied(moving_shapes("config.json"), "config.json"), "--sampling", "uniform", "--clips", "1", "--crops",
                       "1", "--resize", "32", "--normalize", "zeroi2v", "-q"}, nobody));
    check_success(run({"train", model, list, "-o", here / "box/trained", "--log", here / "box/log", "--steps", "2", "--batch", "1", "--checkpoint-every", "1", "-q"}, nobody));
    fs::permissions(here / "box", fs::perms::all);
    std::vector<std::string> names;
    for (auto const& each : fs::directory_iterator{here / "box"}) names.push_back(each.path().filename().native());
    std::ranges::sort(names);
    CHECK(names == std::vector<std::string>{"clips", "log", "merged", "page.html", "trained"});
    // Without the right to write it is refused as before.
    fs::permissions(here / "box", fs::perms::others_exec | fs::perms::owner_exec);
    check_error(run({"merge", model, "-o", here / "box/merged2", "-q"}, nobody), 2, "unwritable_output", {"box"});
    fs::permissions(here / "box", fs::perms::all);
}

TEST_CASE("an input is never replaced, whatever it is called") {
    scratch const here;
    auto const bytes = content_of(test_data("formats/half.pth"));
    auto const in = here.file("in.pth", bytes);
    fs::create_symlink("in.pth", here / "symlink");
    fs::create_hard_link(in, here / "hardlink");
    for (std::string const& out : {in, here / "./in.pth", here / "symlink", here / "hardlink"}) {
        CAPTURE(out);
        check_error(run(convert(in, out)), 2, "same_file", {"in.pth"});
    }
    auto const config = here.file("c.json", content_of(test_data("b16_short/config.json")));
    check_error(run({"merge", test_data("b16_short/adapted.pth"), "-o", config, "--config", config}), 2, "same_file");
    auto const clips = here.file("clips.safetensors", content_of(test_data("b16_short/case.safetensors")));
    check_error(run({"logits", test_data("b16_short/adapted.pth"), clips, "-o", clips, "--config", config}), 2, "same_file");
    auto const video = here.file("v.mp4", content_of(demo_video()));
    check_error(run({"preprocess", video, "-o", video, "--preset", "clip-b16-k400-8f"}), 2, "same_file");
    check_error(run({"classify", test_data("b16_short/adapted.pth"), video, "--config", config, "--html", video}), 2, "same_file");
    CHECK(content_of(in) == bytes);
    auto const labels = here.file("names.txt", "a\n");
    check_error(run({"classify", test_data("b16_short/adapted.pth"), video, "--config", config, "--labels", labels, "--html", labels}), 2, "same_file", {"names.txt"});
    CHECK(content_of(labels) == "a\n");
    check_error(run({"features", test_data("b16_short/adapted.pth"), video, "-o", video, "--config", config}), 2, "same_file");
    check_error(run({"init", in, "-o", in, "--config", config}), 2, "same_file");
    check_error(run({"init", "-o", config, "--config", config}), 2, "same_file");
    CHECK(content_of(video) == content_of(demo_video()));
    CHECK(content_of(config) == content_of(test_data("b16_short/config.json")));
}

TEST_CASE("a link that leads nowhere as output stays a link, and the output appears where it leads") {
    scratch const here;
    fs::create_symlink("new", here / "link");
    check_success(run({"convert", test_data("formats/half.pth"), "-o", here / "link", "-q"}));
    CHECK(fs::is_symlink(here / "link"));
    CHECK(here.names() == std::vector<std::string>{"link", "new"});
    fs::create_symlink("none/new", here / "lost");
    check_error(run(convert(test_data("formats/half.pth"), here / "lost")), 2, "unwritable_output", {"lost", "folder"});
}

TEST_CASE("an existing output is replaced in one step, and kept where the work fails") {
    scratch const here;
    auto const out = here.file("out.safetensors", "old");
    check_error(run(convert(here / "none.pth", out)), 3, "open_failed");
    CHECK(content_of(out) == "old");
    check_error(run({"merge", test_data("b16_short/adapted.pth"), "-o", out}), 4, "bad_config", {"heads", "head_offsets", "adapter_scale"});
    CHECK(content_of(out) == "old");
    check_success(run(convert(test_data("formats/half.pth"), out)));
    CHECK(content_of(out) != "old");
    CHECK(here.names() == std::vector<std::string>{"out.safetensors"});
}

TEST_CASE("signals end the program at once and leave nothing behind") {
    scratch const here;
    auto const config = large_config(here);
    auto const before = here.names();
    for (auto const& [signal, status] : {std::pair{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 129}}) {
        auto const found = run({"init", "-o", here / "out.safetensors", "--config", config},
                               {.signal = signal, .when_exists = ".zeroi2v-", .watched = here.path()});
        int const shown{signal};
        CAPTURE(shown);
        check_error(found, status, "interrupted");
        CHECK(here.names() == before);
    }
}

TEST_CASE("signals that were ignored before stay so") {
    scratch const here;
    auto const config = large_config(here);
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) {
        CAPTURE(signal);
        auto const found = run({"init", "-o", here / "out.safetensors", "--config", config},
                               {.signal = signal, .ignoring = true, .when_exists = ".zeroi2v-", .watched = here.path()});
        check_success(found);
        CHECK(here.names() == std::vector<std::string>{"large.json", "out.safetensors"});
        fs::remove(here / "out.safetensors");
    }
}

TEST_CASE("a reader that has gone ends the program with 141, a full device with 7") {
    for (std::vector<std::string> const& words : {std::vector<std::string>{"presets"}, {"--help"}, {"--version"}, {"inspect", test_data("formats/half.pth"), "--json"},
                                                  {"compare", test_data("formats/half.pth"), test_data("formats/half.pth")}}) {
        CAPTURE(words[0]);
        auto const broken = run(words, {.to = conditions::output::broken_pipe});
        CHECK(broken.status == 141);
        CHECK(broken.err.empty());
        CHECK(run(words, {.to = conditions::output::closed}).status == 141);
        check_error(run(words, {.to = conditions::output::full}), 7, "write_failed", {"stdout"});
    }
    // No file becomes stdout.
    scratch const here;
    auto const found = run({"convert", test_data("formats/half.pth"), "-o", here / "out"}, {.to = conditions::output::closed});
    CHECK(found.status == 141);
    if (!here.names().empty()) CHECK(!zeroi2v::read_safetensors(here / "out").tensors.empty());
    check_success(run({"convert", test_data("formats/half.pth"), "-o", here / "out", "--quiet"}, {.to = conditions::output::closed}));
}

TEST_CASE("a file that may not grow is an error of the write, not the end by a signal") {
    scratch const here;
    auto const small = here.file("small", "old");
    for (std::size_t const limit : {std::size_t{1}, std::size_t{512}, std::size_t{4096}}) { // inside the header, at its end, in the tensors
        auto const found = run(convert(test_data("formats/half.pth"), small), {.file_size = limit});
        check_error(found, 7, "write_failed", {small, "File too large"});
        CHECK(content_of(small) == "old");
        CHECK(here.names() == std::vector<std::string>{"small"});
    }
    check_success(run(convert(test_data("formats/half.pth"), small), {.file_size = std::size_t{1} << 24U}));
}

TEST_CASE("paths are bytes") {
    scratch const here;
    for (std::string const& name : {std::string{"with blank"}, std::string{"new\nline"}, std::string{"[a,b]"}, std::string{"{}"}, std::string{"größe"},
                                    std::string{"-dash"}, std::string{"\xff\xfe"}, std::string{"%s%n"}, std::string{"a=b"}}) {
        CAPTURE(name);
        auto const in = here.file(name, content_of(test_data("formats/half.pth")));
        auto const found = run({"convert", "-o", here / ("out " + name), "--", in});
        check_success(found);
        CHECK(std::ranges::count(found.out, '\n') == 1);
        check_success(run({"convert", "-o", "out2 " + name, "--", name}, {.folder = here.path()}));
        auto const missing = run({"convert", "-o", here / "out3", "--", here / ("none " + name)});
        check_error(missing, 3, "open_failed");
    }
    auto const longest = run({"inspect", "/" + std::string(4095, 'x')});
    check_error(longest, 3, "open_failed");
    std::string deep = here.path().native();
    while (deep.size() < 3800) {
        deep += "/" + std::string(200, 'd');
        fs::create_directory(deep);
    }
    auto const far = deep + "/in.pth";
    fs::copy_file(test_data("formats/half.pth"), far);
    check_success(run({"convert", far, "-o", deep + "/out.safetensors"}));
}

TEST_CASE("memory that is not there is said with status 7") {
    scratch const here;
    auto const found = run({"init", "-o", here / "out", "--preset", "clip-l14-k400-8f"}, {.address_space = std::size_t{1} << 30U});
    check_error(found, 7, "out_of_memory");
    CHECK(here.names().empty());
}
