// adapter_sites: the places of a block at which a linear adapter may stand, in one table.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

namespace zeroi2v {

/// The Linears of a block, in the order of the forward pass.
enum class block_linear : std::uint8_t { in_proj, out_proj, c_fc, c_proj };

inline constexpr std::array block_linears{block_linear::in_proj, block_linear::out_proj, block_linear::c_fc, block_linear::c_proj};

/// Where an adapter stands: at the Linear's input or at its output.
enum class adapter_side : std::uint8_t { input, output };

/// What of a Linear's outputs sees an adapter that stands before it: all, or those of q, k or v of in_proj.
enum class adapter_rows : std::uint8_t { all, query, key, value };

/// The adapters of ZeroI2V by their names in checkpoints.
enum class adapter_site : std::uint8_t { T_Adapter_in, T_Adapter_in_q, T_Adapter_in_k, T_Adapter_in_v, S_Adapter, MLP_Adapter, MLP_Adapter_out };

struct adapter_site_info {
    adapter_site site;
    std::string_view name; ///< in checkpoints
    block_linear linear;
    adapter_side side;
    adapter_rows rows = adapter_rows::all;
    bool by_default = true; ///< among those that a model gets where nothing else is said
};

/// The one table of sites; a site's place in it also numbers its dropout.
/// Test  tests/unit/nn/adapter_sites.cpp
inline constexpr std::array adapter_sites{
    // clang-format off
    adapter_site_info{adapter_site::T_Adapter_in,    "T_Adapter_in",    block_linear::in_proj,  adapter_side::input},
    adapter_site_info{adapter_site::T_Adapter_in_q,  "T_Adapter_in_q",  block_linear::in_proj,  adapter_side::input, adapter_rows::query, false},
    adapter_site_info{adapter_site::T_Adapter_in_k,  "T_Adapter_in_k",  block_linear::in_proj,  adapter_side::input, adapter_rows::key,   false},
    adapter_site_info{adapter_site::T_Adapter_in_v,  "T_Adapter_in_v",  block_linear::in_proj,  adapter_side::input, adapter_rows::value, false},
    adapter_site_info{adapter_site::S_Adapter,       "S_Adapter",       block_linear::out_proj, adapter_side::output},
    adapter_site_info{adapter_site::MLP_Adapter,     "MLP_Adapter",     block_linear::c_fc,     adapter_side::input},
    adapter_site_info{adapter_site::MLP_Adapter_out, "MLP_Adapter_out", block_linear::c_proj,   adapter_side::output},
    // clang-format on
};

[[nodiscard]] constexpr std::size_t index_of(adapter_site site) noexcept { return static_cast<std::size_t>(site); }
[[nodiscard]] constexpr adapter_site_info const& info_of(adapter_site site) noexcept { return adapter_sites[index_of(site)]; }
[[nodiscard]] constexpr std::string_view to_string(adapter_site site) noexcept { return info_of(site).name; }

/// The site with this name in checkpoints, if there is one.
[[nodiscard]] constexpr std::optional<adapter_site> adapter_site_from_name(std::string_view name) noexcept {
    auto const found = std::find_if(adapter_sites.begin(), adapter_sites.end(), [&](adapter_site_info const& each) { return each.name == name; });
    return found == adapter_sites.end() ? std::nullopt : std::optional{found->site};
}

static_assert(std::all_of(adapter_sites.begin(), adapter_sites.end(), [](adapter_site_info const& each) { return &info_of(each.site) == &each; }),
              "zeroi2v::adapter_sites: the rows must stand in the order of adapter_site");

/// Whether two sites adapt the same values: a model has at most one of them.
[[nodiscard]] constexpr bool exclude_each_other(adapter_site_info const& a, adapter_site_info const& b) noexcept {
    return a.site != b.site && a.linear == b.linear && a.side == b.side
           && (a.rows == b.rows || a.rows == adapter_rows::all || b.rows == adapter_rows::all);
}

/// Whether two sites are parts of one: a model has all of them or none, as the adapters of q, k and v.
[[nodiscard]] constexpr bool come_together(adapter_site_info const& a, adapter_site_info const& b) noexcept {
    return a.linear == b.linear && a.side == b.side && a.rows != adapter_rows::all && b.rows != adapter_rows::all;
}

/// A set of sites.
class adapter_site_set {
public:
    constexpr adapter_site_set() = default;
    constexpr adapter_site_set(std::initializer_list<adapter_site> sites) noexcept {
        for (adapter_site const site : sites) insert(site);
    }

    [[nodiscard]] constexpr bool contains(adapter_site site) const noexcept { return (bits_ & bit(site)) != 0; }
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
    constexpr void insert(adapter_site site) noexcept { bits_ |= bit(site); }
    constexpr void erase(adapter_site site) noexcept { bits_ &= ~bit(site); }

    friend constexpr bool operator==(adapter_site_set, adapter_site_set) = default;

private:
    [[nodiscard]] static constexpr std::uint32_t bit(adapter_site site) noexcept { return std::uint32_t{1} << index_of(site); }
    static_assert(adapter_sites.size() <= 32);

    std::uint32_t bits_ = 0;
};

/// Which adapters a model has; the same in every block.
struct adapter_layout {
    adapter_site_set sites;
    std::size_t rank = 0; ///< R

    [[nodiscard]] constexpr bool any() const noexcept { return !sites.empty(); }
    [[nodiscard]] constexpr bool has(adapter_site site) const noexcept { return sites.contains(site); }
    /// A model without adapters.
    [[nodiscard]] static constexpr adapter_layout none() noexcept { return {}; }
    friend constexpr bool operator==(adapter_layout const&, adapter_layout const&) = default;
};

/// Whether some of the adapters are seen by a part of a Linear's outputs only.
[[nodiscard]] constexpr bool adapts_parts(adapter_layout const& layout) noexcept {
    return std::any_of(adapter_sites.begin(), adapter_sites.end(),
                       [&](adapter_site_info const& each) { return each.rows != adapter_rows::all && layout.has(each.site); });
}

/// The adapters that ZeroI2V trains: four per block, rank a quarter of the width.
[[nodiscard]] constexpr adapter_layout default_adapters(std::size_t width) noexcept {
    adapter_layout layout{.sites = {}, .rank = std::max<std::size_t>(width / 4, 1)};
    for (adapter_site_info const& each : adapter_sites)
        if (each.by_default) layout.sites.insert(each.site);
    return layout;
}

} // namespace zeroi2v
