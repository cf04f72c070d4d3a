#include "arguments.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/nearest_name.hpp>
#include <zeroi2v/io/printable.hpp>

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
    bool options_ended = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string_view const word = words[i];
        if (options_ended || word.size() < 2 || word[0] != '-') {
            operands_.emplace_back(word);
            continue;
        }
        if (word == "--") {
            options_ended = true;
            continue;
        }
        bool const is_long = word[1] == '-';
        auto const equals = is_long ? word.find('=') : std::string_view::npos;
        auto const name = is_long ? word.substr(0, equals) : word.substr(0, 2);
        option_spec const* const option = command.find(name);
        if (option == nullptr)
            refuse(error_code::bad_option, command, printable(is_long ? name : word) + ": unknown option" + did_you_mean(name, names_of(command)));

        std::optional<std::string> value;
        if (equals != std::string_view::npos) value = word.substr(equals + 1);
        if (!is_long && word.size() > 2) value = word.substr(2);
        if (option->value.empty()) {
            if (value) refuse(error_code::bad_option, command, std::string{option->name} + ": '" + printable(*value) + "' found, this option takes no value");
            value.emplace();
        } else if (!value) {
            bool const is_option = i + 1 < words.size() && std::string_view{words[i + 1]}.starts_with("-")
                                   && command.find(std::string_view{words[i + 1]}.substr(0, std::string_view{words[i + 1]}.find('='))) != nullptr;
            if (i + 1 >= words.size() || is_option)
                refuse(error_code::bad_option, command, std::string{option->name} + ": its value " + std::string{option->value} + " is missing");
            value = words[++i];
        }
        if (!values_.emplace(std::string{option->name}, *value).second)
            refuse(error_code::bad_option, command, std::string{option->name} + ": given twice, expected once");
    }

    std::size_t least = 0;
    bool unbounded = false;
    for (auto const& operand : command.operands) {
        least += operand.required ? 1U : 0U;
        unbounded = unbounded || operand.repeated;
    }
    if (operands_.size() < least) {
        auto const& missing = command.operands[operands_.size()];
        refuse(error_code::usage, command, std::string{missing.name} + " is missing: " + usage_line(command) + " expected");
    }
    if (!unbounded && operands_.size() > command.operands.size())
        refuse(error_code::usage, command, printable(operands_[command.operands.size()]) + ": one word too many: " + usage_line(command) + " expected");
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
