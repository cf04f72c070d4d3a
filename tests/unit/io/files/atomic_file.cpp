// Outputs appear whole or not at all: refusals before work, faults during it, signals, links, permissions.
#include <zeroi2v/io/files/atomic_file.hpp>

#include "../failing_calls.hpp"
#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/safetensors/safetensors_writer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using test::fault_of;
using zeroi2v::atomic_file;
using zeroi2v::error_code;

/// Runs in a child, so that limits and signals end with it; gives the exit status, or minus the signal.
template <class Work>
[[nodiscard]] int status_of_child(Work&& work) {
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int status = 100;
        try {
            status = work();
        } catch (...) {}
        ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

} // namespace

TEST_CASE("a file appears at commit, with all its bytes and no neighbour") {
    test::temporary_folder const folder;
    {
        atomic_file out{folder / "f"};
        out.reserve(1'000'000);
        out.write("hello ");
        CHECK_FALSE(std::filesystem::exists(folder / "f"));
        CHECK(folder.entries() == 1);
        out.write(std::string_view{});
        out.write("world");
        CHECK(out.size() == 11);
        out.commit();
        CHECK(test::read_file(folder / "f") == "hello world");
        CHECK_FAULT(fault_of([&] { out.write("x"); }), error_code::write_failed, 7);
        CHECK_FAULT(fault_of([&] { out.commit(); }), error_code::write_failed, 7);
    }
    CHECK(folder.entries() == 1);
}

TEST_CASE("without a commit the old file stays and the temporary one goes") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", "old");
    {
        atomic_file out{folder / "f"};
        out.write("new");
    }
    CHECK(test::read_file(folder / "f") == "old");
    CHECK(folder.entries() == 1);
    try {
        atomic_file out{folder / "f"};
        out.write("new");
        throw 1;
    } catch (int) {}
    CHECK(folder.entries() == 1);
    atomic_file out{folder / "f"};
    out.write("new");
    atomic_file moved{std::move(out)};
    moved.commit();
    CHECK(test::read_file(folder / "f") == "new");
    CHECK(folder.entries() == 1);
}

TEST_CASE("before work: targets that cannot be written") {
    test::temporary_folder const folder;
    std::filesystem::create_directory(folder / "sub");
    test::write_file(folder / "plain", "x");
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    std::filesystem::create_symlink("loop", folder / "loop");
    int ends[2]{};
    REQUIRE(::pipe(ends) == 0);
    auto const pipe = std::filesystem::path{"/proc/self/fd"} / std::to_string(ends[1]); // what /dev/stdout is before `| cat`
    for (auto const& target : std::vector<std::filesystem::path>{
             "", folder.path(), folder / "sub", folder / "sub/", folder / "missing" / "f", folder / "plain" / "f",
             folder / "fifo", folder / "loop", "/dev/full", "/dev/null", pipe, folder / std::string(300, 'n'),
             folder / std::string(5000, 'n')}) {
        CAPTURE(target);
        CHECK_FAULT(fault_of([&] { zeroi2v::check_output(target); }), error_code::unwritable_output, 2);
        CHECK_FAULT(fault_of([&] { atomic_file const out{target}; }), error_code::unwritable_output, 2);
    }
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK(folder.entries() == 4);
    CHECK(fault_of([&] { zeroi2v::check_output(folder / "none/"); }).says("none/: is a folder, expected the name of a file"));
    // A user without rights; the superuser may write everywhere.
    ::chmod((folder / "sub").c_str(), 0555);
    ::chmod((folder / "plain").c_str(), 0444);
    int const status = status_of_child([&] {
        ::chmod(folder.path().c_str(), 0777);
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) return 50;
        auto const in_folder = fault_of([&] { atomic_file const out{folder / "sub" / "f"}; });
        auto const read_only = fault_of([&] { atomic_file const out{folder / "plain"}; });
        return in_folder.code == error_code::unwritable_output && in_folder.exit_status == 2
                       && read_only.code == error_code::unwritable_output && read_only.exit_status == 2
                   ? 0
                   : 1;
    });
    CHECK(status == 0);
}

TEST_CASE("before work: a target that is an input, through any link") {
    test::temporary_folder const folder;
    test::write_file(folder / "in", "input");
    test::write_file(folder / "other", "other");
    std::filesystem::create_symlink(folder / "in", folder / "soft");
    std::filesystem::create_hard_link(folder / "in", folder / "hard");
    std::filesystem::create_symlink(folder.path(), folder / "way");
    std::vector<std::filesystem::path> const inputs{folder / "nowhere", folder / "other", folder / "in"};
    for (auto const& target : {folder / "in", folder / "soft", folder / "hard", folder / "way" / "in",
                               folder / "way" / "." / "hard", folder / "other"}) {
        CAPTURE(target);
        auto const f = fault_of([&] { atomic_file const out{target, inputs}; });
        CHECK_FAULT(f, error_code::same_file, 2);
        CHECK_FAULT(fault_of([&] { zeroi2v::check_output(target, inputs); }), error_code::same_file, 2);
    }
    std::vector<std::filesystem::path> const by_link{folder / "soft"};
    CHECK_FAULT(fault_of([&] { atomic_file const out{folder / "in", by_link}; }), error_code::same_file, 2);
    CHECK_FALSE(fault_of([&] { atomic_file const out{folder / "new", inputs}; }).thrown);
    CHECK(test::read_file(folder / "in") == "input");
}

TEST_CASE("during work: no room") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", "old");
    auto const with_limit = [&](auto&& work) {
        return status_of_child([&] {
            std::signal(SIGXFSZ, SIG_IGN);
            ::rlimit const limit{1000, 1000};
            if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 50;
            auto const f = fault_of(work);
            return f.code == error_code::write_failed && f.exit_status == 7 && f.says("File too large")
                           && f.says((folder / "f").native())
                       ? 0
                       : 1;
        });
    };
    CHECK(with_limit([&] {
              atomic_file out{folder / "f"};
              out.write(std::string(2000, 'x'));
          })
          == 0);
    CHECK(with_limit([&] {
              atomic_file out{folder / "f"};
              out.write(std::string(999, 'x'));
              out.write("12");
          })
          == 0);
    CHECK(with_limit([&] {
              zeroi2v::write_safetensors(folder / "f",
                                         {{"w", zeroi2v::stored_tensor::zeros(zeroi2v::dtype::f32, {300})}});
          })
          == 0);
    CHECK(test::read_file(folder / "f") == "old");
    CHECK(folder.entries() == 1);

    // A file system of 64 kB, of the child alone, where it may have one.
    std::filesystem::create_directory(folder / "small");
    constexpr int not_permitted = 77;
    int const status = status_of_child([&] {
        if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return not_permitted;
        if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return not_permitted;
        if (::mount("none", (folder / "small").c_str(), "tmpfs", 0, "size=64k") != 0) return not_permitted;
        auto const target = folder / "small" / "f";
        test::write_file(target, "old");
        auto const full = fault_of([&] {
            atomic_file out{target};
            for (int i = 0; i < 100; ++i) out.write(std::string(1000, 'x'));
        });
        auto const reserved = fault_of([&] { atomic_file{target}.reserve(100'000); });
        bool const both = full.code == error_code::write_failed && full.exit_status == 7 && full.says("No space left")
                          && reserved.code == error_code::write_failed && reserved.says("No space left");
        return both && test::read_file(target) == "old" ? 0 : 1;
    });
    if (status == not_permitted)
        MESSAGE("no file system may be mounted here: ENOSPC not tried, EFBIG was");
    else
        CHECK(status == 0);
}

TEST_CASE("during work: calls that fail in ways that no file system of a test machine does") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", "old");
    using test::failing_calls;
    using test::system_call;
    auto const save = [&](system_call which, std::size_t first, int number, std::size_t times = 1) {
        return fault_of([&] {
            atomic_file out{folder / "f"};
            failing_calls const failing{which, first, number, times};
            out.reserve(3);
            out.write("new");
            out.commit();
        });
    };
    auto const loses_nothing = [&](test::fault const& f, std::string_view words, std::string_view content = "old") {
        CHECK_FAULT(f, error_code::write_failed, 7);
        CHECK(f.says((folder / "f").native() + ": "));
        CHECK(f.says(words));
        CHECK(test::read_file(folder / "f") == content);
        CHECK(folder.entries() == 1);
        test::write_file(folder / "f", "old");
    };
    auto const succeeds = [&](test::fault const& f) {
        CHECK_FALSE(f.thrown);
        CHECK(test::read_file(folder / "f") == "new");
        CHECK(folder.entries() == 1);
        test::write_file(folder / "f", "old");
    };
    // Interrupted by a signal: once more.
    succeeds(save(system_call::write, 1, EINTR, 3));
    succeeds(save(system_call::fsync, 1, EINTR, 3));
    succeeds(save(system_call::fsync, 2, EINTR, 3));
    succeeds(save(system_call::fallocate, 1, EINTR, 3));
    succeeds(save(system_call::close, 1, EINTR)); // closed all the same
    // A write that writes nothing would be repeated for ever.
    loses_nothing(save(system_call::write, 1, 0), "cannot be written after 0 bytes: Input/output error");
    loses_nothing(save(system_call::write, 1, EIO), "Input/output error");
    loses_nothing(save(system_call::close, 1, EIO), "cannot be closed");
    // The file's fsync, then the folder's; file systems that know no fsync are not at fault.
    loses_nothing(save(system_call::fsync, 1, EIO), "cannot be made durable: Input/output error");
    loses_nothing(save(system_call::fsync, 2, EIO), "is in place, but its folder cannot be made durable: Input/output error", "new");
    for (int const unknown : {EINVAL, ENOTSUP})
        for (std::size_t const which : {1U, 2U}) succeeds(save(system_call::fsync, which, unknown));
    // Room that is asked for beforehand; where the file system cannot tell, the write will.
    for (int const none : {ENOSPC, EDQUOT, EFBIG}) loses_nothing(save(system_call::fallocate, 1, none), "3 bytes wanted");
    succeeds(save(system_call::fallocate, 1, EOPNOTSUPP));
    // A name that is taken by a file of somebody else's is passed over; a hundred are too many.
    auto const with_names_taken = [&](std::size_t count) {
        failing_calls const failing{system_call::openat, 1, EEXIST, count};
        auto const f = fault_of([&] {
            atomic_file out{folder / "f"};
            out.write("new");
            out.commit();
        });
        CHECK(failing_calls::calls() == std::min<std::size_t>(count + 1, 101));
        return f;
    };
    succeeds(with_names_taken(1));
    succeeds(with_names_taken(100));
    CHECK_FAULT(with_names_taken(101), error_code::unwritable_output, 2);
    {
        failing_calls const failing{system_call::openat, 1, EACCES};
        CHECK_FAULT(fault_of([&] { atomic_file const out{folder / "f"}; }), error_code::unwritable_output, 2);
        CHECK(failing_calls::calls() == 1); // only a name that is taken is tried again
    }
    CHECK(test::read_file(folder / "f") == "old");
    CHECK(folder.entries() == 1);
}

TEST_CASE("a folder that may be written but not listed is a good target, and no other user's file is replaced in a sticky one") {
    test::temporary_folder const folder;
    ::chmod(folder.path().c_str(), 0777);
    std::filesystem::create_directory(folder / "box");
    ::chmod((folder / "box").c_str(), 0733); // others may enter and write
    std::filesystem::create_directory(folder / "sticky");
    ::chmod((folder / "sticky").c_str(), 01777);
    test::write_file(folder / "sticky" / "f", "another's");
    ::chmod((folder / "sticky" / "f").c_str(), 0666);
    bool const root = ::geteuid() == 0;
    if (!root) ::chmod((folder / "box").c_str(), 0300);
    int const status = status_of_child([&] {
        // By relative names: the folder of temporary files may be closed to others.
        if (::chdir(folder.path().c_str()) != 0 || (root && (::setgid(65534) != 0 || ::setuid(65534) != 0))) return 50;
        if (::access("box", R_OK) == 0) return 51;
        auto const put = fault_of([&] {
            zeroi2v::check_output("box/f");
            atomic_file out{"box/f"};
            out.write("dropped");
            out.commit();
        });
        if (put.thrown) return 52;
        if (!root) return 0; // nobody else's file is here
        auto const stolen = fault_of([&] { zeroi2v::check_output("sticky/f"); });
        if (stolen.code != error_code::unwritable_output || stolen.exit_status != 2) return 53;
        return fault_of([&] { zeroi2v::check_output("sticky/own"); }).thrown ? 54 : 0;
    });
    CHECK(status == 0);
    ::chmod((folder / "box").c_str(), 0755);
    CHECK(test::read_file(folder / "box" / "f") == "dropped");
    CHECK_FALSE(fault_of([&] { zeroi2v::check_output(folder / "sticky" / "f"); }).thrown); // its owner, or root
}

TEST_CASE("a link that leads nowhere stays a link, and its target appears; where it cannot, that is said before work") {
    test::temporary_folder const folder;
    std::filesystem::create_directory(folder / "sub");
    std::filesystem::create_symlink("sub/new", folder / "one");
    std::filesystem::create_symlink("one", folder / "two");
    atomic_file out{folder / "two"};
    out.write("new");
    out.commit();
    CHECK(std::filesystem::is_symlink(folder / "one"));
    CHECK(std::filesystem::is_symlink(folder / "two"));
    CHECK(test::read_file(folder / "sub" / "new") == "new");
    std::filesystem::create_symlink("missing/new", folder / "three");
    auto const f = fault_of([&] { zeroi2v::check_output(folder / "three"); });
    CHECK_FAULT(f, error_code::unwritable_output, 2);
    CHECK(f.says("its folder cannot be used"));
}

TEST_CASE("a file that must be new takes no name that something else has got meanwhile") {
    test::temporary_folder const folder;
    auto const taken = [&] { // by a file, a link, a folder: while the bytes are written
        atomic_file out{folder / "f"};
        out.write("new");
        return out;
    };
    auto const refused = [&](atomic_file& out) {
        auto const f = fault_of([&] { out.commit(zeroi2v::if_there::refuse); });
        CHECK_FAULT(f, error_code::write_failed, 7);
        CHECK(f.says("File exists"));
        CHECK(folder.entries() == 1);
    };
    for (bool const known : {true, false}) { // a file system that knows the call, and one that does not
        std::unique_ptr<test::failing_calls> unknown;
        if (!known) unknown = std::make_unique<test::failing_calls>(test::system_call::renameat2, 1, EINVAL, 100);
        auto file = taken();
        test::write_file(folder / "f", "old");
        refused(file);
        CHECK(test::read_file(folder / "f") == "old");
        std::filesystem::remove(folder / "f");
        auto link = taken();
        std::filesystem::create_symlink("nowhere", folder / "f");
        refused(link);
        CHECK(std::filesystem::is_symlink(folder / "f"));
        std::filesystem::remove(folder / "f");
        auto fresh = taken();
        fresh.commit(zeroi2v::if_there::refuse);
        CHECK(test::read_file(folder / "f") == "new");
        CHECK(folder.entries() == 1);
        std::filesystem::remove(folder / "f");
    }
}

TEST_CASE("what an output would replace is compared with files, and with folders whose files are read") {
    test::temporary_folder const folder;
    std::filesystem::create_directory(folder / "frames");
    test::write_file(folder / "frames" / "img_00001.jpg", "x");
    std::filesystem::create_symlink("frames/img_00001.jpg", folder / "link");
    for (auto const& target : {folder / "frames" / "img_00001.jpg", folder / "link"}) {
        zeroi2v::replaced_file const replaced{target};
        CHECK(replaced.exists());
        auto const f = fault_of([&] { replaced.require_not_in(folder / "frames"); });
        CHECK_FAULT(f, error_code::same_file, 2);
        CHECK(f.says("lies in the input"));
        CHECK_FAULT(fault_of([&] { replaced.require_not_in(folder / "link"); }), error_code::same_file, 2);
        CHECK_FAULT(fault_of([&] { replaced.require_not(folder / "link"); }), error_code::same_file, 2);
        CHECK_FALSE(fault_of([&] { replaced.require_not(folder / "frames"); }).thrown);
        CHECK_FALSE(fault_of([&] { replaced.require_not_in(folder.path()); }).thrown);
    }
    zeroi2v::replaced_file const fresh{folder / "frames" / "new"};
    CHECK_FALSE(fresh.exists());
    CHECK_FALSE(fault_of([&] { fresh.require_not_in(folder / "frames"); }).thrown);
}

TEST_CASE("during work: what has become an input under the name stays") {
    test::temporary_folder const folder;
    auto const commit = [&](std::vector<std::filesystem::path> const& inputs, zeroi2v::output_guard guard, auto const& meanwhile) {
        atomic_file out{folder / "f", inputs, std::move(guard)};
        out.write("new");
        meanwhile();
        return fault_of([&] { out.commit(); });
    };
    auto const stays = [&](test::fault const& f, std::string_view words) {
        CHECK_FAULT(f, error_code::write_failed, 7);
        CHECK(f.says((folder / "f").native() + ": "));
        CHECK(f.says(words));
        CHECK(test::read_file(folder / "f") == "input");
        std::filesystem::remove(folder / "f");
    };
    test::write_file(folder / "in", "input");
    stays(commit({folder / "in"}, {}, [&] { std::filesystem::create_hard_link(folder / "in", folder / "f"); }), "same file as the input");
    stays(commit({folder / "in"}, {}, [&] { std::filesystem::rename(folder / "in", folder / "f"); }), "same file as the input"); // known by what it was
    test::write_file(folder / "in", "other");
    stays(commit({folder / "in"}, {}, [&] { // known by what its name leads to now
        test::write_file(folder / "f", "input");
        std::filesystem::remove(folder / "in");
        std::filesystem::create_symlink("f", folder / "in");
    }), "same file as the input");
    std::filesystem::remove(folder / "in");
    test::write_file(folder / "in", "input");
    std::size_t asked = 0;
    auto const guard = [&](zeroi2v::replaced_file const& found) {
        ++asked;
        found.require_not(folder / "in");
    };
    stays(commit({}, guard, [&] { std::filesystem::create_hard_link(folder / "in", folder / "f"); }), "same file as the input");
    CHECK(asked == 1);
    CHECK_FALSE(commit({folder / "in"}, guard, [&] { test::write_file(folder / "f", "another's"); }).thrown);
    CHECK(asked == 2);
    CHECK(test::read_file(folder / "f") == "new");
    CHECK(folder.entries() == 2);
}

TEST_CASE("links and folders are followed once: whoever turns one later moves nothing") {
    test::temporary_folder const folder;
    std::filesystem::create_directory(folder / "here");
    std::filesystem::create_directory(folder / "there");
    test::write_file(folder / "there" / "f", "precious");
    std::filesystem::create_symlink("here/f", folder / "link");
    atomic_file out{folder / "link"};
    out.write("new");
    std::filesystem::remove(folder / "link");
    std::filesystem::create_symlink("there/f", folder / "link");
    std::filesystem::rename(folder / "here", folder / "moved");
    std::filesystem::create_symlink("there", folder / "here");
    out.commit();
    CHECK(test::read_file(folder / "moved" / "f") == "new");
    CHECK(test::read_file(folder / "there" / "f") == "precious");
}

TEST_CASE("a file that grows on is the one that was written, whatever its name leads to by then") {
    test::temporary_folder const folder;
    test::write_file(folder / "victim", "precious");
    atomic_file out{folder / "log"};
    out.write("one\n");
    int const descriptor = out.commit_open();
    REQUIRE(descriptor >= 0);
    CHECK(test::read_file(folder / "log") == "one\n");
    CHECK_FAULT(fault_of([&] { out.write("x"); }), error_code::write_failed, 7);
    test::write_file(folder / "log", "one\nanother's\n"); // lines of others are not written over
    CHECK(::write(descriptor, "two\n", 4) == 4);
    CHECK(test::read_file(folder / "log") == "one\nanother's\ntwo\n");
    std::filesystem::remove(folder / "log");
    std::filesystem::create_symlink("victim", folder / "log");
    CHECK(::write(descriptor, "three\n", 6) == 6);
    ::close(descriptor);
    CHECK(test::read_file(folder / "victim") == "precious");
    atomic_file taken{folder / "other", std::vector<std::filesystem::path>{folder / "victim"}};
    std::filesystem::create_hard_link(folder / "victim", folder / "other");
    CHECK_FAULT(fault_of([&] { static_cast<void>(taken.commit_open()); }), error_code::write_failed, 7);
    CHECK(test::read_file(folder / "other") == "precious");
}

TEST_CASE("no descriptor left is the system's lack: status 7, for outputs and for files that are read") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", "old");
    int const status = status_of_child([&] {
        int const free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct rlimit const limit{static_cast<rlim_t>(free) + 2, static_cast<rlim_t>(free) + 2};
        ::close(free);
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 50;
        while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {} // every one is taken
        int const last = free + 1;
        for (int left = 0; left < 2; ++left) { // none, so that the folder cannot be opened; one, so that the bytes cannot
            auto const out = fault_of([&] { atomic_file const file{folder / "f"}; });
            if (out.code != error_code::write_failed || out.exit_status != 7) return 60 + left;
            if (left == 0) {
                auto const in = fault_of([&] { zeroi2v::file const file{folder / "f"}; });
                if (in.code != error_code::open_failed || in.exit_status != 7) return 70;
                auto const judged = fault_of([&] { zeroi2v::check_output(folder / "f"); });
                if (judged.exit_status != 7) return 71;
                ::close(last);
            }
        }
        return 0;
    });
    CHECK(status == 0);
    CHECK(test::read_file(folder / "f") == "old");
}

TEST_CASE("during work: the folder goes away") {
    test::temporary_folder const folder;
    std::filesystem::create_directory(folder / "sub");
    auto out = std::make_unique<atomic_file>(folder / "sub" / "f");
    out->write("x");
    std::filesystem::remove_all(folder / "sub");
    CHECK_FAULT(fault_of([&] { out->commit(); }), error_code::write_failed, 7);
    out.reset();
    CHECK(folder.entries() == 0);
}

TEST_CASE("a handler of signals removes what is open, and nothing else") {
    test::temporary_folder const folder;
    test::write_file(folder / "a", "old");
    for (int const signal : {SIGINT, SIGTERM}) {
        int const status = status_of_child([&] {
            struct ::sigaction action {};
            action.sa_handler = [](int number) {
                zeroi2v::remove_temporary_files();
                ::_exit(128 + number);
            };
            ::sigaction(signal, &action, nullptr);
            atomic_file done{folder / "b"};
            done.write("done");
            done.commit();
            atomic_file one{folder / "a"};
            atomic_file two{folder / "c"};
            one.write("new");
            if (::chdir("/") != 0) return 50;
            ::raise(signal);
            return 51;
        });
        CHECK(status == 128 + signal);
    }
    CHECK(folder.entries() == 2);
    CHECK(test::read_file(folder / "a") == "old");
    CHECK(test::read_file(folder / "b") == "done");
}

TEST_CASE("a child does not remove its parent's files") {
    test::temporary_folder const folder;
    atomic_file out{folder / "f"};
    out.write("x");
    CHECK(status_of_child([&] {
              zeroi2v::remove_temporary_files();
              { atomic_file const inherited{std::move(out)}; }
              return 0;
          })
          == 0);
    CHECK(folder.entries() == 1);
    out.commit();
    CHECK(test::read_file(folder / "f") == "x");
}

TEST_CASE("killed at any moment of a save, the old or the new file is there") {
    test::temporary_folder const folder;
    std::string const old(200'000, 'o');
    std::string const fresh(300'000, 'n');
    test::write_file(folder / "f", old);
    bool seen_old = false;
    for (int delay = 0; delay < 20; ++delay) {
        auto const child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            for (;;) {
                atomic_file out{folder / "f"};
                for (std::size_t i = 0; i < fresh.size(); i += 1000) out.write(std::string_view{fresh}.substr(i, 1000));
                out.commit();
            }
        }
        ::usleep(static_cast<::useconds_t>(delay) * 500);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        auto const content = test::read_file(folder / "f");
        CHECK((content == old || content == fresh));
        seen_old = seen_old || content == old;
    }
    CHECK(seen_old);
}

TEST_CASE("links stay links, permissions stay") {
    test::temporary_folder const folder;
    test::write_file(folder / "real", "old");
    ::chmod((folder / "real").c_str(), 0640);
    std::filesystem::create_symlink("real", folder / "link");
    atomic_file out{folder / "link"};
    out.write("new");
    out.commit();
    CHECK(std::filesystem::is_symlink(folder / "link"));
    CHECK(test::read_file(folder / "real") == "new");
    struct ::stat status {};
    REQUIRE(::stat((folder / "real").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0640);
    auto const relative = std::filesystem::current_path();
    std::filesystem::current_path(folder.path());
    atomic_file plain{"plain"};
    plain.write("here");
    std::filesystem::current_path(relative);
    plain.commit(); // where it was opened, wherever the process has gone
    CHECK(test::read_file(folder / "plain") == "here");
}

TEST_CASE("many outputs at once, from many threads") {
    test::temporary_folder const folder;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
                atomic_file out{folder / ("f" + std::to_string(t))};
                out.write(std::to_string(i));
                out.commit();
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(folder.entries() == 8);
    for (int t = 0; t < 8; ++t) CHECK(test::read_file(folder / ("f" + std::to_string(t))) == "49");
    std::vector<std::unique_ptr<atomic_file>> open;
    for (std::size_t i = 0; i < zeroi2v::detail::temporary_slots.size(); ++i)
        open.push_back(std::make_unique<atomic_file>(folder / "x"));
    CHECK_FAULT(fault_of([&] { atomic_file const more{folder / "x"}; }), error_code::write_failed, 7);
    open.clear();
    CHECK_FALSE(fault_of([&] { atomic_file const again{folder / "x"}; }).thrown);
    CHECK(folder.entries() == 8);
}
