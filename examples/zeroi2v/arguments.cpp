#include "arguments.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/nearest_name.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace zeroi2v::program {
namespace {

[[noreturn]] void refuse(error_code code, command_spec const& command, std::string const& sentence) {
    throw usage_error{code, sentence + "; see zeroi2v " + std::string{command.name} + " --help"};
}

std::vector<std::string_view> names_of(command_spec const& command) {
    std::vector<std::string_view> names;
    for (auto const& group : command.options)
        for (auto const& option : group) names.push_back(option.name);
    return names;
}

/// `--help` and `--version` answer even where the rest of the line is wrong.
std::string_view wanted(std::span<char const* const> words) noexcept {
    for (std::string_view const word : words) {
        if (word == "--") break;
        if (word == "--help" || word == "-h") return "--help";
        if (word == "--version") return "--version";
    }
    return {};
}

std::string usage_line(command_spec const& command) {
    std::string line = "zeroi2v " + std::string{command.name};
    for (auto const& operand : command.operands) {
        std::string name{operand.name};
        if (operand.repeated) name += "...";
        line += operand.required ? " " + name : " [" + name + "]";
    }
    return line;
}

/// CLI11 takes `[a,b]` for a list, the value of `--name=` for none, `-5` and `--%` for operands, and a letter after a flag's
/// letter for another flag. So each value and operand reaches it behind a mark, as a word of its own.
constexpr char mark = ':';
std::string marked(std::string_view word) { return mark + std::string{word}; }
std::string unmarked(std::string_view word) { return std::string{word.substr(1)}; }

/// The words as `--name :value` and `:operand`.
/// Errors  unknown option; value missing, or unwanted -> usage_error bad_option.
std::vector<std::string> spelled_out(command_spec const& command, std::span<char const* const> words) {
    auto const name_of = [](std::string_view word) {
        if (word.size() < 2 || word[0] != '-') return std::string_view{};
        return word[1] == '-' ? word.substr(0, word.find('=')) : word.substr(0, 2);
    };
    std::vector<std::string> result;
    bool options_ended = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string_view const word = words[i];
        auto const name = options_ended ? std::string_view{} : name_of(word);
        if (name == "--" && word.size() == 2) {
            options_ended = true;
            continue;
        }
        if (name.empty()) {
            result.push_back(marked(word));
            continue;
        }
        auto const* const option = command.find(name);
        if (option == nullptr)
            refuse(error_code::bad_option, command, printable(name[1] == '-' ? name : word) + ": unknown option" + did_you_mean(name, names_of(command)));
        result.emplace_back(option->name);
        bool const has_value = name.size() < word.size();
        auto const value = has_value ? word.substr(name.size() + (name[1] == '-' ? 1 : 0)) : std::string_view{};
        if (option->value.empty()) {
            if (has_value) refuse(error_code::bad_option, command, std::string{option->name} + ": '" + printable(value) + "' found, this option takes no value");
        } else if (has_value) {
            result.push_back(marked(value));
        } else {
            auto const next = i + 1 < words.size() ? std::string_view{words[i + 1]} : std::string_view{};
            if (i + 1 == words.size() || command.find(next.substr(0, next.find('='))) != nullptr)
                refuse(error_code::bad_option, command, std::string{option->name} + ": its value " + std::string{option->value} + " is missing");
            result.push_back(marked(next));
            ++i;
        }
    }
    return result;
}

} // namespace

option_spec const* command_spec::find(std::string_view option) const noexcept {
    for (auto const& group : options)
        for (auto const& candidate : group)
            if (candidate.name == option || (option.size() == 2 && option[0] == '-' && candidate.letter != '\0' && candidate.letter == option[1]))
                return &candidate;
    return nullptr;
}

arguments::arguments(command_spec const& command, std::span<char const* const> words) : wanted_{wanted(words)} {
    if (!wanted_.empty()) return;
    CLI::App app;
    app.set_help_flag();
    std::map<option_spec const*, CLI::Option const*> options;
    for (auto const& group : command.options) {
        for (auto const& option : group) {
            std::string names{option.name};
            if (option.letter != '\0') names += std::string{",-"} + option.letter;
            auto* const added = option.value.empty() ? app.add_flag(names) : app.add_option(names);
            options.emplace(&option, added->multi_option_policy(CLI::MultiOptionPolicy::Throw));
        }
    }
    std::vector<CLI::Option const*> operands;
    for (auto const& operand : command.operands) {
        auto* const added = app.add_option(std::string{operand.name})->required(operand.required);
        if (operand.repeated) added->expected(1, -1)->allow_extra_args();
        operands.push_back(added);
    }

    auto spelled = spelled_out(command, words);
    std::ranges::reverse(spelled); // as CLI11 takes them
    try {
        app.parse(std::move(spelled));
    } catch (CLI::ParseError const&) {
        for (auto const& [option, parsed] : options)
            if (parsed->count() > 1) refuse(error_code::bad_option, command, std::string{option->name} + ": given twice, expected once");
        if (auto const surplus = app.remaining(); !surplus.empty())
            refuse(error_code::usage, command, printable(unmarked(surplus.front())) + ": one word too many: " + usage_line(command) + " expected");
        for (std::size_t i = 0; i < operands.size(); ++i)
            if (operands[i]->get_required() && operands[i]->empty())
                refuse(error_code::usage, command, std::string{command.operands[i].name} + " is missing: " + usage_line(command) + " expected");
        throw;
    }
    for (auto const& [option, parsed] : options)
        if (!parsed->empty()) values_.emplace(option->name, option->value.empty() ? std::string{} : unmarked(parsed->results().front()));
    for (auto const* const operand : operands)
        for (auto const& word : operand->results()) operands_.push_back(unmarked(word));
}

std::optional<std::string> arguments::value(std::string_view option) const {
    auto const found = values_.find(option);
    return found == values_.end() ? std::nullopt : std::optional{found->second};
}

std::optional<std::string> arguments::operand(std::size_t index) const {
    return index < operands_.size() ? std::optional{operands_[index]} : std::nullopt;
}

std::optional<std::uint64_t> arguments::number(std::string_view option, std::uint64_t least, std::uint64_t most) const {
    auto const text = value(option);
    if (!text) return std::nullopt;
    std::uint64_t number = 0;
    auto const [end, fault] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (fault != std::errc{} || end != text->data() + text->size() || number < least || number > most)
        throw usage_error{error_code::bad_number, std::string{option} + ": '" + printable(*text, 80) + "' found, a whole number from "
                                                      + std::to_string(least) + " to " + std::to_string(most) + " expected"};
    return number;
}

std::optional<std::string> arguments::choice(std::string_view option, std::initializer_list<std::string_view> allowed) const {
    auto const text = value(option);
    if (!text || std::ranges::find(allowed, *text) != allowed.end()) return text;
    std::string list;
    for (auto const name : allowed) {
        if (!list.empty()) list += '|';
        list += name;
    }
    throw usage_error{error_code::bad_option, std::string{option} + ": '" + printable(*text, 80) + "' found, " + list + " expected"
                                                  + did_you_mean(*text, allowed)};
}

std::string help(command_spec const& command) {
    std::string text = usage_line(command);
    if (!command.options.empty()) text += " [options]";
    text += "\n\n" + std::string{command.summary} + "\n";
    auto const row = [&](std::string left, std::string_view right) {
        constexpr std::size_t column = 28;
        if (left.size() + 2 > column) left += "\n" + std::string(column, ' ');
        else left.append(column - left.size(), ' ');
        text += left + std::string{right} + "\n";
    };
    if (!command.operands.empty()) text += "\n";
    for (auto const& operand : command.operands) row("  " + std::string{operand.name}, operand.help);
    for (auto const& group : command.options) {
        text += "\n";
        for (auto const& option : group) {
            std::string left = "  ";
            if (option.letter != '\0') left.append("-").append(1, option.letter).append(", ");
            left += option.name;
            if (!option.value.empty()) left.append(" ").append(option.value);
            row(std::move(left), option.help);
        }
    }
    if (!command.notes.empty()) text += "\n" + std::string{command.notes} + "\n";
    return text;
}

} // namespace zeroi2v::program
