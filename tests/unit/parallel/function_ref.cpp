// function_ref: calls what it refers to, const or not, with and without a result.
#include <zeroi2v/parallel/function_ref.hpp>

#include <doctest/doctest.h>

#include <string>
#include <type_traits>

using zeroi2v::function_ref;

static_assert(sizeof(function_ref<void()>) == 2 * sizeof(void*));
static_assert(std::is_trivially_copyable_v<function_ref<int(int)>>);
static_assert(!std::is_constructible_v<function_ref<int(int)>, std::string>);
static_assert(!std::is_constructible_v<function_ref<int(int)>, void (*)(int)>);

namespace {
int call(function_ref<int(int)> f, int x) { return f(x); }
} // namespace

TEST_CASE("what a function_ref calls") {
    int calls = 0;
    auto counting = [&calls](int x) { return calls += x; };
    CHECK(call(counting, 2) == 2);
    CHECK(call(counting, 3) == 5);
    CHECK(call([](int x) { return 7 * x; }, 6) == 42);
    auto const constant = [](int x) { return x + 1; };
    CHECK(call(constant, 1) == 2);
    struct stateful {
        int sum = 0;
        int operator()(int x) { return sum += x; }
    } object;
    function_ref<int(int)> const ref = object;
    function_ref<int(int)> const copy = ref;
    CHECK(ref(1) == 1);
    CHECK(copy(2) == 3);
    CHECK(object.sum == 3);
    auto const length = [](std::string const& text) { return text.size(); };
    function_ref<void(std::string const&)> const discards = length;
    discards("abc");
    auto function = +[](int x) { return -x; };
    CHECK(call(function, 4) == -4);
}
