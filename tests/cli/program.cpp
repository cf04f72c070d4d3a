#include "program.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cli {
namespace {

struct pipe_ends {
    int read = -1, write = -1;
    pipe_ends() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
        read = ends[0];
        write = ends[1];
    }
    pipe_ends(pipe_ends const&) = delete;
    pipe_ends& operator=(pipe_ends const&) = delete;
    ~pipe_ends() { close_read(), close_write(); }
    void close_read() { if (read >= 0) ::close(std::exchange(read, -1)); }
    void close_write() { if (write >= 0) ::close(std::exchange(write, -1)); }
};

[[noreturn]] void become_program(std::vector<std::string> const& arguments, conditions const& how, int out, int err) {
    int const program = how.without_rights ? ::open(ZEROI2V_PROGRAM, O_RDONLY | O_CLOEXEC) : -1; // in folders that user may not enter
    for (auto const& [name, value] : how.environment) {
        if (value.empty()) ::unsetenv(name.c_str());
        else ::setenv(name.c_str(), value.c_str(), 1);
    }
    if (!how.folder.empty() && ::chdir(how.folder.c_str()) != 0) ::_exit(127);
    if (how.address_space > 0) {
        rlimit const limit{how.address_space, how.address_space};
        ::setrlimit(RLIMIT_AS, &limit);
    }
    if (how.file_size > 0) {
        rlimit const limit{how.file_size, how.file_size};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ::signal(SIGPIPE, SIG_DFL);
    ::signal(SIGXFSZ, SIG_DFL);
    if (how.signal != 0) ::signal(how.signal, how.ignoring ? SIG_IGN : SIG_DFL);
    if (how.to == conditions::output::closed) ::close(STDOUT_FILENO);
    else if (how.to == conditions::output::full) ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO);
    else ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    if (how.without_rights && ::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(127);
    if (how.processes > 0) { // behind setuid: beyond the limit execve would fail
        rlimit const limit{how.processes, how.processes};
        ::setrlimit(RLIMIT_NPROC, &limit);
    }
    std::vector<char*> words;
    for (auto const& word : how.launcher) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(const_cast<char*>(how.launcher.empty() ? "zeroi2v" : ZEROI2V_PROGRAM));
    for (auto const& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    if (how.without_rights) ::fexecve(program, words.data(), environ);
    else if (how.launcher.empty()) ::execv(ZEROI2V_PROGRAM, words.data());
    else ::execvp(words[0], words.data());
    ::_exit(127);
}

} // namespace

bool has_match(fs::path const& folder, std::string const& beginning) {
    auto const number_after = [](std::string_view text, std::size_t at) {
        std::optional<std::uint64_t> number(0);
        auto const [end, fault] = std::from_chars(text.data() + at, text.data() + text.size(), *number);
        if (fault != std::errc{} || end != text.data() + text.size()) number.reset();
        return number;
    };
    auto const stem = beginning.find_last_not_of("0123456789") + 1; // npos + 1 is 0
    auto const least = number_after(beginning, stem);
    std::error_code ignored;
    for (auto const& entry : fs::directory_iterator{folder, ignored}) {
        auto const name = entry.path().filename().native();
        if (!name.starts_with(std::string_view{beginning}.substr(0, stem))) continue;
        if (!least) return true;
        if (auto const number = number_after(name, stem); number && *number >= *least) return true;
    }
    return false;
}

outcome run(std::vector<std::string> const& arguments, conditions const& how) {
    using clock = std::chrono::steady_clock;
    pipe_ends out, err;
    if (how.to == conditions::output::broken_pipe) out.close_read();
    auto const begin = clock::now();
    auto const since = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
    ::pid_t const child = ::fork();
    if (child < 0) throw std::runtime_error{"fork"};
    if (child == 0) become_program(arguments, how, out.write, err.write);
    out.close_write();
    err.close_write();

    outcome result;
    bool sent = how.signal == 0;
    for (;;) {
        if (!sent && has_match(how.watched, how.when_exists)) {
            ::kill(how.receiver ? how.receiver(child) : child, how.signal);
            sent = true;
        }
        if (since() > how.limit_s) {
            ::kill(child, SIGKILL);
            result.err += "\n[killed by the test: over its time]";
            break;
        }
        std::array<pollfd, 2> ends{{{out.read, POLLIN, 0}, {err.read, POLLIN, 0}}};
        ::poll(ends.data(), ends.size(), sent ? 100 : 1);
        for (std::size_t i = 0; i < 2; ++i) {
            if (ends[i].fd < 0 || ends[i].revents == 0) continue;
            std::array<char, 65536> buffer{};
            auto const got = ::read(ends[i].fd, buffer.data(), buffer.size());
            if (got > 0) (i == 0 ? result.out : result.err).append(buffer.data(), static_cast<std::size_t>(got));
            else i == 0 ? out.close_read() : err.close_read();
        }
        if (out.read < 0 && err.read < 0) break;
    }
    int status = 0;
    rusage used{};
    while (::wait4(child, &status, 0, &used) < 0 && errno == EINTR) {}
    result.peak_bytes = static_cast<std::size_t>(used.ru_maxrss) * 1024;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    result.seconds = since();
    return result;
}

scratch::scratch() {
    std::string name = (fs::temp_directory_path() / "zeroi2v_cli_XXXXXX").native();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
    path_ = name;
}

scratch::~scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void scratch::open_to_all() const { fs::permissions(path_, fs::perms::all); }

std::string scratch::file(std::string_view name, std::string_view content) const {
    std::ofstream stream{path_ / name, std::ios::binary};
    stream << content;
    return (path_ / name).native();
}

std::vector<std::string> scratch::names() const {
    std::vector<std::string> result;
    for (auto const& entry : fs::directory_iterator{path_}) result.push_back(entry.path().filename().native());
    std::ranges::sort(result);
    return result;
}

std::string test_data(std::string_view name) { return std::string{ZEROI2V_TEST_DATA} + "/" + std::string{name}; }
std::string moving_shapes(std::string_view name) { return ZEROI2V_SOURCE_DIR "/examples/data/moving_shapes/" + std::string{name}; }
std::string demo_video() { return ZEROI2V_SOURCE_DIR "/examples/data/demo.mp4"; }

std::string content_of(fs::path const& path) {
    std::ifstream stream{path, std::ios::binary};
    REQUIRE_MESSAGE(stream.good(), path.native());
    std::ostringstream content;
    content << stream.rdbuf();
    return content.str();
}

void check_error(outcome const& found, int status, std::string_view code, std::vector<std::string_view> const& parts) {
    CAPTURE(found.err);
    CHECK(found.status == status);
    CHECK(found.out.empty());
    CHECK(found.err.starts_with("zeroi2v: error[" + std::string{code} + "]: "));
    CHECK(std::ranges::count(found.err, '\n') == 1);
    CHECK(found.err.ends_with('\n'));
    for (auto const part : parts) {
        CAPTURE(part);
        CHECK(found.err.find(part) != std::string::npos);
    }
}

void check_success(outcome const& found) {
    CAPTURE(found.err);
    CHECK(found.status == 0);
    CHECK(found.err.empty());
}

tensor_distance distance(zeroi2v::stored_tensor const& a, zeroi2v::stored_tensor const& b) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    if (a.sizes() != b.sizes() || a.count() == 0) return {infinite, infinite, 0};
    double max_abs = 0, squares = 0, norm = 0, largest = 0;
    for (std::size_t i = 0; i < a.count(); ++i) {
        double const d = std::abs(a.value(i) - b.value(i));
        if (!(d < infinite)) return {infinite, infinite, largest};
        max_abs = std::max(max_abs, d);
        squares += d * d;
        norm += b.value(i) * b.value(i);
        largest = std::max(largest, std::abs(b.value(i)));
    }
    return {max_abs, squares == 0 ? 0 : std::sqrt(squares / norm), largest};
}

} // namespace cli
