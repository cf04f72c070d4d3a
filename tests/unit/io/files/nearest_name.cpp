#include <zeroi2v/io/files/nearest_name.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace zeroi2v;

TEST_CASE("edit_distance counts insertions, deletions, replacements and swaps of neighbours") {
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("merge", "merge") == 0);
    CHECK(edit_distance("merge", "mrege") == 1); // a swap
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("--thread", "--threads") == 1);
    for (std::string_view const a : {"", "a", "ab", "merge", "classify"})
        for (std::string_view const b : {"", "b", "ba", "mgree", "clasify"}) CHECK(edit_distance(a, b) == edit_distance(b, a));
}

TEST_CASE("nearest_name finds what was meant and is silent where nothing is near") {
    std::vector<std::string_view> const known{"merge", "inspect", "classify", "compare", "convert"};
    CHECK(nearest_name("mrege", known) == "merge");
    CHECK(nearest_name("clasify", known) == "classify");
    CHECK(nearest_name("conv", known) == "convert");
    CHECK(nearest_name("inspection", known) == "inspect");
    CHECK(nearest_name("xyz", known).empty());
    CHECK(nearest_name("", known).empty());
    CHECK(nearest_name(std::string(100'000, 'm'), known).empty()); // and at once
    CHECK(nearest_name("merge", std::vector<std::string_view>{}).empty());
    CHECK(did_you_mean("mrege", known) == " (did you mean merge?)");
    CHECK(did_you_mean("xyz", known).empty());
}
