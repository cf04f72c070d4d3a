// What a call throws, as a value that tests can compare.
#pragma once

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <ostream>
#include <string>
#include <string_view>

namespace zeroi2v {
inline std::ostream& operator<<(std::ostream& out, error_code code) { return out << to_string(code); }
} // namespace zeroi2v

namespace test {

struct fault {
    bool thrown{};
    zeroi2v::error_code code{};
    int exit_status{};
    std::string message{};

    [[nodiscard]] bool says(std::string_view text) const { return message.find(text) != std::string::npos; }
};

/// The zeroi2v::error that `call` ends with. Any other exception goes through and fails the test.
template <class Call>
[[nodiscard]] fault fault_of(Call&& call) {
    try {
        call();
    } catch (zeroi2v::error const& e) {
        return {true, e.code(), e.exit_status(), e.what()};
    }
    return {};
}

} // namespace test

#define CHECK_FAULT(f, expected_code, expected_status)                                                                 \
    do {                                                                                                               \
        auto const& checked_fault = (f);                                                                               \
        INFO(checked_fault.message);                                                                                   \
        REQUIRE(checked_fault.thrown);                                                                                 \
        CHECK(checked_fault.code == (expected_code));                                                                  \
        CHECK(checked_fault.exit_status == (expected_status));                                                         \
    } while (false)
