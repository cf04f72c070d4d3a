// pickle_graph: what a pickle describes, as plain data. Nothing in it can be called.
#pragma once

#include <zeroi2v/core/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// What a value in a pickle is.
///   sequence    a list, set or frozenset; its items are not kept
///   global      a name, `module.name`; it is never looked up
///   call        what calling a global, or making an instance of it, would have given: callable, arguments, later state
///   persistent  an object that lives outside the pickle, by its id: a storage
///   opaque      anything else that nothing here looks into: floats, huge integers, escaped strings, byte arrays
enum class pickle_kind : std::uint8_t {
    none,
    boolean,
    integer,
    text,
    bytes,
    tuple,
    sequence,
    dict,
    global,
    call,
    persistent,
    opaque
};

/// A value of a pickle_graph: 8 bytes that hold a small value itself, or say where the graph holds it. Shared values
/// stay shared, so a pickle of n bytes makes O(n) of them however it nests.
class pickle_value {
public:
    constexpr pickle_value() noexcept = default; ///< none
    [[nodiscard]] constexpr pickle_kind kind() const noexcept { return static_cast<pickle_kind>(bits_ & 15U); }
    friend constexpr bool operator==(pickle_value, pickle_value) noexcept = default;

private:
    friend class pickle_graph;
    constexpr pickle_value(pickle_kind kind, std::uint64_t payload) noexcept
        : bits_{payload << 4U | static_cast<std::uint64_t>(kind)} {}
    [[nodiscard]] constexpr std::uint64_t payload() const noexcept { return bits_ >> 4U; }

    std::uint64_t bits_{};
};

/// The values of one pickle, in a few flat arrays: no value owns another, so cycles and depth do not matter to it.
///
/// Made by read_pickle; the builders below are its vocabulary. Moves only. Const members may run concurrently.
/// Bounds  the arrays, with what else `push` and `reserve` fill, take at most 2 bytes for each of the pickle's and
///         10 MB: room for some 20 000 tensors, and more where their names are long.
/// Test    tests/unit/io/torch/pickle.cpp
class pickle_graph {
public:
    static constexpr std::size_t max_depth = 64;            ///< containers inside containers
    static constexpr std::uint64_t max_bytes = 100'000'000; ///< of a pickle
    static constexpr std::uint32_t no_entry = std::numeric_limits<std::uint32_t>::max();

    /// A key and its value in a dict, or in an object that was filled like one; `next` is the entry set after it.
    struct entry {
        pickle_value key, value;
        std::uint32_t next{no_entry};
    };

    /// A bound was passed: by depth or by memory. read_pickle turns it into a bad_pickle with its place.
    struct bound_exceeded {
        char const* what;
    };

    explicit pickle_graph(std::vector<std::byte> bytes)
        : bytes_{std::move(bytes)}, budget_{2 * bytes_.size() + 10'000'000} {
        ZEROI2V_REQUIRE(bytes_.size() <= max_bytes, "zeroi2v::pickle_graph: at most 100 000 000 bytes");
    }
    pickle_graph(pickle_graph&&) noexcept = default;
    pickle_graph& operator=(pickle_graph&&) noexcept = default;

    // ---- questions --------------------------------------------------------------------------------------------------

    [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return bytes_; }
    [[nodiscard]] pickle_value root() const noexcept { return root_; }

    [[nodiscard]] std::optional<std::int64_t> integer(pickle_value v) const noexcept {
        if (v.kind() != pickle_kind::integer && v.kind() != pickle_kind::boolean) return std::nullopt;
        return static_cast<std::int64_t>(v.payload() << 4U) >> 4U;
    }
    /// The text, UTF-8 as the file has it; not validated. Lives as long as the graph.
    [[nodiscard]] std::optional<std::string_view> text(pickle_value v) const noexcept {
        if (v.kind() != pickle_kind::text) return std::nullopt;
        return std::string_view{reinterpret_cast<char const*>(bytes_.data()) + (v.payload() >> 30U),
                                static_cast<std::size_t>(v.payload() & low30)};
    }
    /// The items of a tuple; none for anything else.
    [[nodiscard]] std::span<pickle_value const> items(pickle_value v) const noexcept {
        return v.kind() == pickle_kind::tuple ? parts(v) : std::span<pickle_value const>{};
    }
    /// Whether v is the global `module.name`.
    [[nodiscard]] bool is_global(pickle_value v, std::string_view module, std::string_view name) const noexcept {
        return v.kind() == pickle_kind::global && text(parts(v)[0]) == module && text(parts(v)[1]) == name;
    }
    /// Module and name of a global.
    [[nodiscard]] std::optional<std::pair<std::string_view, std::string_view>> global(pickle_value v) const noexcept {
        if (v.kind() != pickle_kind::global) return std::nullopt;
        return std::pair{*text(parts(v)[0]), *text(parts(v)[1])};
    }
    [[nodiscard]] pickle_value callable(pickle_value v) const noexcept { return call_part(v, 0); }
    [[nodiscard]] pickle_value arguments(pickle_value v) const noexcept { return call_part(v, 1); }
    /// What BUILD gave an object; none without.
    [[nodiscard]] pickle_value state(pickle_value v) const noexcept { return call_part(v, 2); }
    [[nodiscard]] pickle_value persistent_id(pickle_value v) const noexcept {
        return v.kind() == pickle_kind::persistent ? parts(v)[0] : pickle_value{};
    }
    /// The first entry of a dict or call, in the order of setting; `no_entry` without.
    [[nodiscard]] std::uint32_t first_entry(pickle_value v) const noexcept {
        return has_entries(v) ? node_of(v).first_entry : no_entry;
    }
    [[nodiscard]] entry const& at(std::uint32_t index) const noexcept { return entries_[index]; }
    /// Where in the pickle a container, global, call or persistent object was made.
    [[nodiscard]] std::size_t position(pickle_value v) const noexcept { return is_node(v) ? node_of(v).position : 0; }

    // ---- builders ---------------------------------------------------------------------------------------------------

    [[nodiscard]] static pickle_value make_boolean(bool value) noexcept {
        return {pickle_kind::boolean, value ? 1U : 0U};
    }
    [[nodiscard]] static pickle_value make_opaque() noexcept { return {pickle_kind::opaque, 0}; }
    /// Integers beyond 60 bits are opaque.
    [[nodiscard]] static pickle_value make_integer(std::int64_t value) noexcept {
        constexpr std::int64_t limit = std::int64_t{1} << 59U;
        if (value < -limit || value >= limit) return make_opaque();
        return {pickle_kind::integer, static_cast<std::uint64_t>(value)};
    }
    /// Text or bytes at [begin, begin + size) of the pickle.
    [[nodiscard]] pickle_value make_slice(pickle_kind kind, std::size_t begin, std::size_t size) const noexcept {
        ZEROI2V_ASSERT(begin <= bytes_.size() && size <= bytes_.size() - begin);
        return {kind, static_cast<std::uint64_t>(begin) << 30U | size};
    }
    [[nodiscard]] pickle_value make(pickle_kind kind, std::span<pickle_value const> parts, std::size_t position) {
        ZEROI2V_ASSERT(parts.size() < (1U << 25U));
        node made;
        made.first_part = static_cast<std::uint32_t>(parts_.size());
        made.part_count = static_cast<std::uint32_t>(parts.size()) & 0x1FFFFFFU;
        made.position = static_cast<std::uint32_t>(position);
        std::size_t height = 1;
        for (pickle_value const part : parts) {
            push(parts_, part);
            if (is_node(part) && node_of(part).height + 1U > height) height = node_of(part).height + 1U;
        }
        set_height(made, height);
        push(nodes_, made);
        return {kind, nodes_.size() - 1};
    }
    void set_state(pickle_value call, pickle_value state) {
        ZEROI2V_ASSERT(call.kind() == pickle_kind::call);
        parts_[node_of(call).first_part + 2] = state;
        contain(call, state);
    }
    void set_entry(pickle_value target, pickle_value key, pickle_value value) {
        ZEROI2V_ASSERT(has_entries(target));
        push(entries_, entry{key, value, no_entry});
        auto const index = static_cast<std::uint32_t>(entries_.size() - 1);
        node& holder = nodes_[target.payload()];
        if (holder.first_entry == no_entry)
            holder.first_entry = index;
        else
            entries_[holder.last_entry].next = index;
        holder.last_entry = index;
        contain(target, key);
        contain(target, value);
    }
    /// Records that `target` is now one level deeper than `item`, where it was not.
    void contain(pickle_value target, pickle_value item) {
        if (!is_node(target) || !is_node(item)) return;
        node& holder = nodes_[target.payload()];
        std::size_t const height = node_of(item).height + 1U;
        if (height > holder.height && target != item) set_height(holder, height);
    }
    void set_root(pickle_value root) noexcept { root_ = root; }

    /// Appends under the budget, growing by halves.
    template <class T>
    void push(std::vector<T>& values, T const& value) {
        if (values.size() == values.capacity()) reserve(values, values.size() + 1);
        values.push_back(value);
    }
    /// Room for `count` values, under the budget; while they move, the old room counts as well.
    template <class T>
    void reserve(std::vector<T>& values, std::size_t count) {
        std::size_t const old = values.capacity();
        if (count <= old) return;
        std::size_t const grown = std::max(count, std::max<std::size_t>(64, old + old / 2));
        if (used_ + grown * sizeof(T) > budget_)
            throw bound_exceeded{"takes more memory than a pickle of this length may"};
        values.reserve(grown);
        used_ += (grown - old) * sizeof(T);
    }

private:
    static constexpr std::uint64_t low30 = (std::uint64_t{1} << 30U) - 1;

    struct node {
        std::uint32_t first_part{};
        std::uint32_t part_count : 25 = 0, height : 7 = 0;
        std::uint32_t first_entry{no_entry}, last_entry{no_entry};
        std::uint32_t position{};
    };

    [[nodiscard]] static bool is_node(pickle_value v) noexcept {
        return v.kind() >= pickle_kind::tuple && v.kind() <= pickle_kind::persistent;
    }
    [[nodiscard]] static bool has_entries(pickle_value v) noexcept {
        return v.kind() == pickle_kind::dict || v.kind() == pickle_kind::call;
    }
    [[nodiscard]] node const& node_of(pickle_value v) const noexcept { return nodes_[v.payload()]; }
    [[nodiscard]] std::span<pickle_value const> parts(pickle_value v) const noexcept {
        return std::span{parts_}.subspan(node_of(v).first_part, node_of(v).part_count);
    }
    [[nodiscard]] pickle_value call_part(pickle_value v, std::size_t i) const noexcept {
        return v.kind() == pickle_kind::call ? parts(v)[i] : pickle_value{};
    }
    static void set_height(node& n, std::size_t height) {
        if (height > max_depth) throw bound_exceeded{"nests deeper than 64 levels"};
        n.height = static_cast<std::uint32_t>(height) & 0x7FU;
    }

    std::vector<std::byte> bytes_;
    std::vector<node> nodes_;
    std::vector<pickle_value> parts_;
    std::vector<entry> entries_;
    pickle_value root_;
    std::size_t budget_;
    std::size_t used_{};
};

} // namespace zeroi2v
