// zeroi2v: inspect, convert, train, merge and run ZeroI2V video transformers.
#include "arguments.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "ranks.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/version.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/files/nearest_name.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <array>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {
namespace {

std::array<command, 14> all_commands() {
    return {inspect_command(), init_command(), convert_command(), merge_command(), preprocess_command(), logits_command(),
            features_command(), classify_command(), eval_command(), compare_command(), train_command(), few_shot_command(), bench_command(), presets_command()};
}

std::string version_text() {
    return "zeroi2v " + std::to_string(ZEROI2V_VERSION_MAJOR) + "." + std::to_string(ZEROI2V_VERSION_MINOR) + "."
           + std::to_string(ZEROI2V_VERSION_PATCH) + "\n";
}

std::string general_help(std::span<command const> commands) {
    std::string text = "zeroi2v COMMAND ...\n\nZeroI2V video transformers: checkpoints, merged adapters, answers.\n\n";
    for (auto const& each : commands) {
        std::string name = "  " + std::string{each.spec.name};
        name.append(14 - name.size(), ' ');
        text += name + std::string{each.spec.summary} + "\n";
    }
    return text + "\nzeroi2v COMMAND --help says what a command takes. zeroi2v --version says the version.\n"
                  "Exit status: 0 done, 2 usage, 3 checkpoint, 4 model or configuration, 5 video, 6 training, 7 resources, 8 device.\n"
                  "ZEROI2V_ISA=sse2|avx2|avx512|avx512vnni|avx512bf16|amx forces an instruction set.\n";
}

int run(std::span<char const* const> words) {
    auto const commands = all_commands();
    console const loud{false};
    if (words.empty()) throw usage_error{error_code::usage, "a command is missing; see zeroi2v --help"};
    std::string_view const name = words[0];
    std::vector<std::string_view> names;
    for (auto const& each : commands) names.push_back(each.spec.name);

    if (name == "--version") {
        loud.print(version_text());
        return 0;
    }
    if (name == "--help" || name == "-h" || (name == "help" && words.size() == 1)) {
        loud.print(general_help(commands));
        return 0;
    }
    bool const asks_for_help = name == "help";
    std::string_view const wanted = asks_for_help ? std::string_view{words[1]} : name;
    for (auto const& each : commands) {
        if (each.spec.name != wanted) continue;
        if (asks_for_help) {
            loud.print(help(each.spec));
            return 0;
        }
        if (each.shares_work) join_ranks();
        arguments const typed{each.spec, words.subspan(1)};
        if (typed.wants("--help")) {
            loud.print(help(each.spec));
            return 0;
        }
        if (typed.wants("--version")) {
            loud.print(version_text());
            return 0;
        }
        static_cast<void>(kernels_from_environment()); // a wrong ZEROI2V_ISA is said by every command
        return leave_ranks(each.run(typed, console{typed.has("--quiet") || !first_rank()}));
    }
    bool const is_option = wanted.starts_with("-");
    throw usage_error{is_option ? error_code::bad_option : error_code::usage,
                      printable(wanted) + (is_option ? ": unknown option in front of the command" : ": unknown command")
                          + did_you_mean(wanted, names) + "; see zeroi2v --help"};
}

} // namespace
} // namespace zeroi2v::program

int main(int argc, char** argv) {
    using namespace zeroi2v::program;
    try {
        prepare_process();
        return run(std::span<char const* const>{argv, static_cast<std::size_t>(argc)}.subspan(argc > 0 ? 1 : 0));
    } catch (closed_output const&) {
        return leave_ranks_alone(status_closed_output);
    } catch (std::exception const& fault) {
        return leave_ranks(fault);
    }
}
