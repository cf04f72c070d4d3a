// adapter_sites: the table, sets of sites, and which exclude each other or come together.
#include <zeroi2v/nn/adapter_sites.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string_view>

using namespace zeroi2v;
using enum adapter_site;

TEST_CASE("adapter_sites: every name is found, no other is") {
    for (adapter_site_info const& each : adapter_sites) {
        CHECK(adapter_site_from_name(each.name) == each.site);
        CHECK(to_string(each.site) == each.name);
    }
    for (std::string_view const other : {"", "T_Adapter", "T_Adapter_in_", "S_Adapter.", "s_adapter"}) CHECK_FALSE(adapter_site_from_name(other));
}

TEST_CASE("adapter_sites: one for q, k and v excludes those of each, which come together; no other two do either") {
    for (adapter_site_info const& a : adapter_sites)
        for (adapter_site_info const& b : adapter_sites) {
            auto const of_parts = [](adapter_site site) { return site == T_Adapter_in_q || site == T_Adapter_in_k || site == T_Adapter_in_v; };
            CAPTURE(a.name);
            CAPTURE(b.name);
            CHECK(exclude_each_other(a, b) == ((a.site == T_Adapter_in && of_parts(b.site)) || (b.site == T_Adapter_in && of_parts(a.site))));
            CHECK(come_together(a, b) == (of_parts(a.site) && of_parts(b.site)));
        }
}

TEST_CASE("adapter_site_set: what goes in is in it, what comes out is not") {
    adapter_site_set set;
    CHECK(set.empty());
    for (adapter_site_info const& each : adapter_sites) {
        CHECK_FALSE(set.contains(each.site));
        set.insert(each.site);
        CHECK(set.contains(each.site));
    }
    set.erase(S_Adapter);
    CHECK_FALSE(set.contains(S_Adapter));
    CHECK(set.contains(MLP_Adapter));
    CHECK(set == adapter_site_set{T_Adapter_in, T_Adapter_in_q, T_Adapter_in_k, T_Adapter_in_v, MLP_Adapter, MLP_Adapter_out});
    CHECK_FALSE(set == adapter_site_set{});
}

TEST_CASE("adapter_layout: parts of a Linear's outputs are told from all of them") {
    CHECK_FALSE(adapts_parts({{T_Adapter_in, S_Adapter, MLP_Adapter, MLP_Adapter_out}, 4}));
    CHECK(adapts_parts({{T_Adapter_in_k}, 4}));
    CHECK_FALSE(adapts_parts(adapter_layout::none()));
}
