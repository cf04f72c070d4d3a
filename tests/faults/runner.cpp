// Runs one command of the program again and again, each time with another allocation or thread that fails, and judges every run.
//
//   runner LIBRARY FOLDER JOBS SAMPLE SECONDS KIND OUTPUT PROGRAM ARGUMENT...
//
// FOLDER/in holds the inputs; each of JOBS servers works in a copy of it. OUTPUT is the file that the command writes, `-` where
// there is none. SAMPLE 0: every call. KIND: memory, threads. A run must end with
//   * status 0, the output being bytewise that of the run without a fault; or
//   * status 7 and `zeroi2v: error[out_of_memory]: ...` or `error[thread_unavailable]` last on stderr, and the output absent or whole
// leaving the inputs as they were and nothing else behind but OUTPUT.ckpt-STEP. Counted apart, and no failure:
//   * a signal whose innermost frame outside the C and C++ runtime is FFmpeg's or a codec's
//   * status 127 of glibc, which ends a process that has no memory for a library's thread-local data
// The runner ends with status 1 where a run was none of these.
#include "order.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace {

std::string content_of(fs::path const& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// Names and bytes of a folder's files, but those that the server itself writes.
std::map<std::string, std::string> snapshot(fs::path const& folder) {
    std::map<std::string, std::string> files;
    for (auto const& each : fs::directory_iterator{folder}) {
        auto const name = each.path().filename().string();
        if (name != "stdout" && name != "stderr") files.emplace(name, content_of(each.path()));
    }
    return files;
}

/// One fork server in a folder of its own.
class server {
public:
    server(fs::path folder, std::string const& library, std::vector<std::string> const& command) : folder_{std::move(folder)} {
        int orders[2], answers[2];
        if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
        child_ = ::fork();
        if (child_ == 0) {
            std::vector<char*> words;
            for (auto const& each : command) words.push_back(const_cast<char*>(each.c_str()));
            words.push_back(nullptr);
            ::setenv("LD_PRELOAD", library.c_str(), 1);
            int const nothing = ::open("/dev/null", O_RDONLY);
            if (::chdir(folder_.c_str()) != 0 || ::dup2(nothing, 0) < 0 || ::dup2(orders[0], fault_orders) < 0 || ::dup2(answers[1], fault_answers) < 0) ::_exit(126);
            ::execv(words[0], words.data());
            ::_exit(127);
        }
        ::close(orders[0]);
        ::close(answers[1]);
        orders_ = orders[1];
        answers_ = answers[0];
    }
    server(server const&) = delete;
    server& operator=(server const&) = delete;
    ~server() {
        ::close(orders_);
        ::close(answers_);
        ::waitpid(child_, nullptr, 0);
    }

    [[nodiscard]] fault_answer run(fault_order const& order) const {
        fault_answer answer{};
        if (::write(orders_, &order, sizeof order) != static_cast<::ssize_t>(sizeof order)) throw std::runtime_error{"the server has gone"};
        if (::read(answers_, &answer, sizeof answer) != static_cast<::ssize_t>(sizeof answer)) throw std::runtime_error{"the server has gone"};
        return answer;
    }
    [[nodiscard]] fs::path const& folder() const noexcept { return folder_; }

private:
    fs::path folder_;
    ::pid_t child_{};
    int orders_ = -1, answers_ = -1;
};

/// The module of the innermost frame that is neither the C or C++ runtime's nor this library's; and the frames as one line.
std::pair<std::string, std::string> origin_of(std::string const& said, std::string_view library) {
    std::istringstream lines{said.substr(said.find("FAULT signal"))};
    std::string line, origin, stack;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
        auto const module = fs::path{line.substr(0, line.find('('))}.filename().string();
        bool const runtime = module.starts_with("libc.so") || module.starts_with("libstdc++") || module.starts_with("libgcc_s") || module.starts_with("ld-linux")
                             || module.starts_with("libpthread") || module == fs::path{library}.filename().string() || module.find('[') != std::string::npos;
        if (origin.empty() && !runtime) origin = module;
        auto const begin = line.find('('), end = line.find(')');
        if (begin != std::string::npos && stack.size() < 700) stack += "    " + module + " " + line.substr(begin + 1, end - begin - 1) + "\n";
    }
    return {origin, stack};
}

bool is_foreign(std::string const& module) {
    static std::vector<std::string> const prefixes{"libav", "libsw", "libx26", "libvpx", "libdav1d", "libaom", "libSvt", "libpostproc"};
    return std::ranges::any_of(prefixes, [&](std::string const& each) { return module.starts_with(each); });
}

struct verdict {
    std::string outcome; ///< what is counted
    bool bad = false;
    std::string detail{};
};

struct setting {
    std::string library, output;
    std::map<std::string, std::string> inputs, outcome; ///< the folder before a run, and after one without a fault
};

verdict judge(setting const& all, fs::path const& folder, fault_answer const& answer) {
    std::string const said = content_of(folder / "stderr");
    auto const files = snapshot(folder);
    verdict result;
    if (WIFSIGNALED(answer.status)) {
        int const signal = WTERMSIG(answer.status);
        result.outcome = signal == SIGALRM ? "hang" : "signal " + std::to_string(signal);
        result.bad = true;
        if (said.find("FAULT signal") != std::string::npos) {
            auto const [origin, stack] = origin_of(said, all.library);
            if (is_foreign(origin)) {
                result.outcome += " in " + origin;
                result.bad = false;
            }
            result.detail = said.substr(0, std::min(said.find("FAULT signal"), std::size_t{300})) + stack;
        }
    } else {
        int const status = WEXITSTATUS(answer.status);
        auto const last = said.rfind("zeroi2v: error[");
        std::string const code = last == std::string::npos ? "" : said.substr(last + 15, said.find(']', last) - last - 15);
        result.outcome = "status " + std::to_string(status) + (status == 0 || code.empty() ? "" : " " + code);
        if (status == 127 && said.find("thread-local data") != std::string::npos) {
            result.outcome = "status 127 of glibc: no memory for thread-local data";
        } else if (status != 0 && (status != 7 || (code != "out_of_memory" && code != "thread_unavailable"))) {
            result.bad = true;
        }
        if (status != 0) result.detail = said.substr(0, 600);
    }
    auto const complain = [&](std::string const& what) {
        result.bad = true;
        result.outcome += "; " + what;
    };
    for (auto const& [name, bytes] : all.inputs)
        if (auto const found = files.find(name); found == files.end()) complain("input lost: " + name);
        else if (found->second != bytes) complain("input changed: " + name);
    bool const ended_well = WIFEXITED(answer.status) && WEXITSTATUS(answer.status) == 0;
    for (auto const& [name, bytes] : files) {
        if (all.inputs.contains(name)) continue;
        if (name == all.output) {
            if (bytes == all.outcome.at(name)) continue;
            complain("an output that is not whole, or other than without the fault");
        } else if (!WIFSIGNALED(answer.status) && (ended_well || all.output == "-" || !name.starts_with(all.output + ".ckpt-"))) complain("left behind: " + name);
    }
    if (ended_well && all.output != "-" && !files.contains(all.output)) complain("status 0 without the output");
    return result;
}

void restore(setting const& all, fs::path const& folder) {
    for (auto const& each : fs::directory_iterator{folder}) {
        auto const name = each.path().filename().string();
        if (!all.inputs.contains(name) && name != "stdout" && name != "stderr") fs::remove_all(each.path());
    }
    for (auto const& [name, bytes] : all.inputs)
        if (!fs::exists(folder / name) || content_of(folder / name) != bytes) std::ofstream{folder / name, std::ios::binary} << bytes;
}

int run(std::vector<std::string> const& words) {
    if (words.size() < 8) throw std::runtime_error{"runner LIBRARY FOLDER JOBS SAMPLE SECONDS KIND OUTPUT PROGRAM ARGUMENT..."};
    fs::path const folder = words[1];
    std::size_t const jobs = std::stoul(words[2]), sample = std::stoul(words[3]);
    auto const seconds = static_cast<unsigned>(std::stoul(words[4]));
    fault_kind const kind = words[5] == "threads" ? fault_kind::threads : fault_kind::memory;
    setting all{.library = words[0], .output = words[6], .inputs = snapshot(folder / "in"), .outcome = {}};
    std::vector<std::string> const command(words.begin() + 7, words.end());

    std::vector<std::unique_ptr<server>> servers;
    for (std::size_t j = 0; j < jobs; ++j) {
        auto const own = folder / ("job" + std::to_string(j));
        fs::remove_all(own);
        fs::create_directory(own);
        restore(all, own);
        servers.push_back(std::make_unique<server>(own, all.library, command));
    }
    auto const sound = servers[0]->run({kind, 0, -1, seconds});
    if (sound.status != 0) throw std::runtime_error{"the run without a fault failed: " + content_of(folder / "job0/stderr")};
    all.outcome = snapshot(folder / "job0");
    restore(all, folder / "job0");

    std::vector<fault_order> orders;
    std::size_t const calls = static_cast<std::size_t>(sound.counted);
    for (int const lasting : {0, 1}) {
        std::size_t const count = sample == 0 ? calls : std::min(calls, sample);
        for (std::size_t i = 0; i < count; ++i) orders.push_back({kind, lasting, static_cast<long>(i * calls / count), seconds});
    }

    std::atomic<std::size_t> next{0};
    std::mutex guard;
    std::map<std::string, std::size_t> outcomes;
    std::map<std::string, std::pair<std::size_t, std::string>> faults; // what is wrong -> how often, and the first
    std::vector<std::thread> workers;
    std::atomic<bool> broken{false};
    for (auto const& each : servers)
        workers.emplace_back([&, &one = *each] {
            for (std::size_t i = 0; (i = next++) < orders.size() && !broken;) {
                verdict found;
                try {
                    found = judge(all, one.folder(), one.run(orders[i]));
                } catch (std::exception const& fault) {
                    found = {.outcome = fault.what(), .bad = true};
                    broken = true;
                }
                restore(all, one.folder());
                std::lock_guard const lock{guard};
                ++outcomes[found.outcome];
                bool const unusual = found.outcome.find("out_of_memory") == std::string::npos && found.outcome.find("thread_unavailable") == std::string::npos
                                     && found.outcome != "status 0";
                if (!found.bad && !unusual) continue;
                auto const key = (found.bad ? "BAD " : "") + found.outcome + "\n" + found.detail;
                auto& [count, first] = faults[key];
                if (count++ == 0) first = std::string{orders[i].lasting != 0 ? "all from call " : "call "} + std::to_string(orders[i].at);
            }
        });
    for (auto& each : workers) each.join();

    std::size_t bad = 0;
    std::cout << "  " << calls << " calls, " << orders.size() << " runs:";
    for (auto const& [outcome, count] : outcomes) std::cout << "\n    " << count << "  " << outcome;
    std::cout << "\n";
    for (auto const& [key, seen] : faults) {
        if (key.starts_with("BAD ")) bad += seen.first;
        std::cout << "  " << seen.first << " times, first with " << seen.second << " failing: " << key << "\n";
    }
    std::cout << "  not as they must be: " << bad << "\n";
    return bad == 0 && !orders.empty() ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run({argv + 1, argv + argc});
    } catch (std::exception const& fault) {
        std::cerr << "runner: " << fault.what() << "\n";
        return 2;
    }
}
