// What tests/mutation/self_test.py changes: every kind of place, and what must stay as it is.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#define ZEROI2V_REQUIRE(condition, sentence) ((condition) ? void() : throw std::logic_error{sentence})

namespace zeroi2v {

static_assert(sizeof(int) * 8 == 32);
inline constexpr std::size_t most = 4 + 4;
enum class kind { one = 1, two = 2 };

/// Known while compiling too.
[[nodiscard]] constexpr int twice(int x) noexcept { return x * 2; }
static_assert(twice(3) == 6);

template <class T>
    requires(sizeof(T) > 1)
class holder {
public:
    explicit holder(T value) : value_{value + 1}, copies_(most) {}
    [[nodiscard]] bool is_large() const noexcept { return value_ > 10 && !small_; }
    [[nodiscard]] T larger(T other) const {
        std::array<T, 1 + 1> both{value_, other};
        if constexpr (sizeof(T) == 4) return std::max(both[0], both[1]);
        else return other;
    }
    void put(T value) {
        ZEROI2V_REQUIRE(value != 7, "holder: 7 " + std::string{"found"});
        if (value < 0) throw std::out_of_range{"holder: " + std::to_string(value - 5)};
        value_ = value;
    }

private:
    T value_;
    std::vector<T> copies_;
    bool small_ = false;
};

[[nodiscard]] inline std::ptrdiff_t between(char const* first, char const* last) noexcept { return last - first; }

[[nodiscard]] inline int count_of(std::vector<int> const& of, int wanted) {
    int result = 0;
    for (std::size_t i = 0; i < of.size(); ++i) {
        if (of[i] != wanted) continue;
        ++result;
    }
    return result;
}

/// A choice behind an assignment is part of it.
[[nodiscard]] inline int steps(int times, bool large) {
    int sum = 1;
    while (times-- > 1) sum += large ? 3 : 1;
    return sum;
}

[[nodiscard]] inline int nobody_asks(int a, int b) {
    auto const less = [](int x, int y) { return x < y; };
    return less(a, b) ? a : b;
}

[[nodiscard]] inline int days() noexcept {
#ifdef ZEROI2V_NOWHERE
    return 52 * 7;
#else
    return 365;
#endif
}

/// The same with <= in place of <.
[[nodiscard]] inline int smaller(int a, int b) noexcept { return a < b ? a : b; }

} // namespace zeroi2v
