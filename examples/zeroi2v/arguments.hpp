// The command line of one command, as a table, and what a user typed, checked against it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {

/// `--name VALUE`, or a flag where `value` is empty.
struct option_spec {
    std::string_view name;  ///< with its dashes
    std::string_view value; ///< what stands for the value in the help
    std::string_view help;
    char letter = '\0';     ///< `-o`
};

/// A word that is no option.
struct operand_spec {
    std::string_view name;
    std::string_view help;
    bool required = true;
    bool repeated = false; ///< one or more; the last operand only
};

/// What a command takes.
struct command_spec {
    std::string_view name;
    std::string_view summary;
    std::vector<operand_spec> operands;
    std::vector<std::vector<option_spec>> options; ///< in groups, as the help shows them
    std::string_view notes;                        ///< shown below the options

    [[nodiscard]] option_spec const* find(std::string_view option) const noexcept;
};

/// A command line that its command_spec allows. Values are bytes as typed: no splitting, no globbing, no configuration file.
class arguments {
public:
    /// Errors  unknown option (with the nearest known one), missing or unwanted value, an option twice, too many or too
    ///         few operands -> usage_error.
    arguments(command_spec const& command, std::span<char const* const> words);

    [[nodiscard]] bool has(std::string_view option) const noexcept { return values_.contains(option); }
    [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
    [[nodiscard]] std::span<std::string const> operands() const noexcept { return operands_; }
    [[nodiscard]] std::optional<std::string> operand(std::size_t index) const;
    /// `--help` or `--version` stands among the words: the rest is not judged.
    [[nodiscard]] bool wants(std::string_view option) const noexcept { return wanted_ == option; }

    /// The value as a whole number in [least, most].
    /// Errors  anything else, an empty value too -> usage_error bad_number with the range.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view option, std::uint64_t least, std::uint64_t most) const;

    /// The value, which is one of `allowed`.
    /// Errors  anything else -> usage_error bad_option with the list and the nearest.
    [[nodiscard]] std::optional<std::string> choice(std::string_view option, std::initializer_list<std::string_view> allowed) const;

private:
    std::map<std::string, std::string, std::less<>> values_;
    std::vector<std::string> operands_;
    std::string_view wanted_;
};

/// The help text of a command.
[[nodiscard]] std::string help(command_spec const& command);

} // namespace zeroi2v::program
