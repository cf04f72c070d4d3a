// frame_map: for each attention head the offset of the frame whose keys and values it reads.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/tensor/extents.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace zeroi2v {

/// One entry of a frame map: `head` reads its keys and values `offset` frames away from its own.
struct head_offset {
    std::size_t head{};
    int offset{};

    friend constexpr bool operator==(head_offset const&, head_offset const&) noexcept = default;
};

/// The conditions that make a frame map, each by its name.
namespace frame_map_predicates {

inline constexpr std::size_t max_heads = 65535;
inline constexpr int max_offset = (1 << 15) - 1;

[[nodiscard]] constexpr bool valid_head_count(std::size_t heads) noexcept { return heads != 0 && heads <= max_heads; }
[[nodiscard]] constexpr bool valid_head(std::size_t head, std::size_t heads) noexcept { return head < heads; }
[[nodiscard]] constexpr bool valid_offset(int offset) noexcept { return -max_offset <= offset && offset <= max_offset; }

/// Whether no entry before entry i has its head.
[[nodiscard]] constexpr bool first_of_its_head(std::span<head_offset const> entries, std::size_t i) noexcept {
    for (std::size_t j = 0; j < i; ++j)
        if (entries[i].head == entries[j].head) return false;
    return true;
}
[[nodiscard]] constexpr bool no_duplicate_head(std::span<head_offset const> entries) noexcept {
    for (std::size_t i = 0; i < entries.size(); ++i)
        if (!first_of_its_head(entries, i)) return false;
    return true;
}

} // namespace frame_map_predicates

namespace detail {
// Never constexpr: reached in a constant expression it stops the compiler at the line with the sentence.
template <class Number>
[[noreturn, gnu::cold]] void bad_frame_map(char const* sentence, Number found) {
    throw model_error{error_code::bad_config, std::string{sentence} + ": found " + std::to_string(found)};
}
} // namespace detail

/// Heads looking at one offset, in ascending order; a range of head numbers made while it is walked.
class heads_at_offset {
public:
    class iterator {
    public:
        using value_type = std::size_t;
        using difference_type = std::ptrdiff_t;
        using reference = std::size_t;
        using pointer = void;
        using iterator_category = std::input_iterator_tag;

        constexpr iterator() noexcept = default;
        constexpr iterator(std::span<int const> offsets, int wanted, std::size_t head) noexcept
            : offsets_{offsets}, wanted_{wanted}, head_{head} { skip(); }

        [[nodiscard]] constexpr std::size_t operator*() const noexcept { return head_; }
        constexpr iterator& operator++() noexcept { ++head_; skip(); return *this; }
        constexpr iterator operator++(int) noexcept { auto old = *this; ++*this; return old; }
        friend constexpr bool operator==(iterator const& a, iterator const& b) noexcept { return a.head_ == b.head_; }

    private:
        constexpr void skip() noexcept { while (head_ < offsets_.size() && offsets_[head_] != wanted_) ++head_; }

        std::span<int const> offsets_;
        int wanted_{};
        std::size_t head_{};
    };

    constexpr heads_at_offset(std::span<int const> offsets, int wanted) noexcept : offsets_{offsets}, wanted_{wanted} {}

    [[nodiscard]] constexpr iterator begin() const noexcept { return {offsets_, wanted_, 0}; }
    [[nodiscard]] constexpr iterator end() const noexcept { return {offsets_, wanted_, offsets_.size()}; }
    [[nodiscard]] constexpr bool empty() const noexcept { return begin() == end(); }
    [[nodiscard]] constexpr std::size_t size() const noexcept {
        std::size_t count = 0;
        for (auto i = begin(); i != end(); ++i) ++count;
        return count;
    }

private:
    std::span<int const> offsets_;
    int wanted_;
};

/// The frames whose queries read the keys and values of one frame: none, one or two, ascending.
class frame_readers {
public:
    constexpr void add(std::size_t frame) noexcept { frames_[count_++] = frame; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
    [[nodiscard]] constexpr std::size_t operator[](std::size_t i) const noexcept { return frames_[i]; }
    [[nodiscard]] constexpr std::size_t const* begin() const noexcept { return frames_.data(); }
    [[nodiscard]] constexpr std::size_t const* end() const noexcept { return frames_.data() + count_; }

private:
    std::array<std::size_t, 2> frames_{};
    std::size_t count_{};
};

/// Head -> frame offset: the whole of spatial-temporal dual-headed attention. All offsets zero is a plain image model.
///
///   source(h, t, T) = t + offset(h)   where 0 <= t + offset(h) < T
///                   = t               elsewhere: the frame keeps its own keys and values
///
/// A static number of heads makes a structural value, built and judged by the compiler and usable as a template
/// argument; `dynamic` makes the same map, judged by the same predicates, at run time.
///
/// Errors  heads 0 or above 65535; an entry's head outside the map or given twice; |offset| >= 2^15: no compilation
///         where Heads is static and the entries are listed, otherwise model_error bad_config.
/// Cost    source: O(1). reach, spatial_heads, is_identity: O(heads).
/// Source  ZeroI2V (Li et al., ECCV 2024), section STDHA.
/// Test    tests/unit/stdha/frame_map.cpp, tests/static/frame_map.cpp, tests/compile_fail/frame_map_*.cpp
template <std::size_t Heads = dynamic>
class frame_map {
    static_assert(Heads == dynamic || frame_map_predicates::valid_head_count(Heads),
                  "zeroi2v::frame_map: number of heads is outside 1..65535");

public:
    using storage = std::conditional_t<Heads == dynamic, std::vector<int>, std::array<int, Heads>>;
    static constexpr std::size_t static_heads = Heads;

    /// Every head reads its own frame.
    constexpr frame_map() noexcept requires(Heads != dynamic) = default;

    /// Listed heads look elsewhere, all others at their own frame: `frame_map<12>{{.head = 0, .offset = -1}}`.
    consteval frame_map(std::initializer_list<head_offset> entries) requires(Heads != dynamic) {
        assign({entries.begin(), entries.size()});
    }

    /// The same with a number of heads known at run time: `frame_map<>{12, {{.head = 0, .offset = -1}}}`.
    constexpr explicit frame_map(std::size_t heads, std::initializer_list<head_offset> entries = {})
        requires(Heads == dynamic)
        : frame_map{heads, std::span<head_offset const>{entries.begin(), entries.size()}} {}

    constexpr frame_map(std::size_t heads, std::span<head_offset const> entries) requires(Heads == dynamic)
        : offsets_(checked_head_count(heads), 0) {
        assign(entries);
    }

    /// A static map is a dynamic one whose head count is no longer known to the compiler.
    template <std::size_t Other>
        requires(Heads == dynamic && Other != dynamic)
    constexpr frame_map(frame_map<Other> const& other) // NOLINT: nothing is lost
        : offsets_(other.offsets_.begin(), other.offsets_.end()) {}

    /// Back again. Errors  another number of heads -> model_error bad_config.
    template <std::size_t Other>
        requires(Heads != dynamic && Other == dynamic)
    constexpr explicit frame_map(frame_map<Other> const& other)
        : frame_map{other.offsets()} {}

    /// One offset per head, as configuration files list them.
    constexpr explicit frame_map(std::span<int const> offsets) : frame_map{unfilled{}, offsets.size()} {
        for (std::size_t head = 0; head < offsets.size(); ++head) set({head, offsets[head]});
    }
    [[nodiscard]] static constexpr frame_map from_offsets(std::initializer_list<int> offsets) {
        return frame_map{std::span<int const>{offsets.begin(), offsets.size()}};
    }

    [[nodiscard]] constexpr std::size_t heads() const noexcept { return offsets_.size(); }
    /// One offset per head. Valid as long as the map.
    [[nodiscard]] constexpr std::span<int const> offsets() const& noexcept { return offsets_; }
    std::span<int const> offsets() const&& = delete;

    [[nodiscard]] constexpr int offset(std::size_t head) const noexcept {
        ZEROI2V_ASSERT(head < heads());
        return offsets_[head];
    }

    /// The frame whose keys and values `head` of `frame` reads in a clip of `frames` frames.
    [[nodiscard]] constexpr std::size_t source(std::size_t head, std::size_t frame, std::size_t frames) const noexcept {
        ZEROI2V_ASSERT(frame < frames);
        int const d = offset(head);
        if (d < 0) {
            auto const back = static_cast<std::size_t>(-d);
            return back <= frame ? frame - back : frame;
        }
        auto const ahead = static_cast<std::size_t>(d);
        return ahead < frames - frame ? frame + ahead : frame;
    }

    /// The frames t with source(head, t, frames) == frame.
    [[nodiscard]] constexpr frame_readers readers(std::size_t head, std::size_t frame,
                                                  std::size_t frames) const noexcept {
        ZEROI2V_ASSERT(frame < frames);
        frame_readers result;
        int const d = offset(head);
        auto const distance = static_cast<std::size_t>(d < 0 ? -d : d);
        bool const own = source(head, frame, frames) == frame;
        bool const earlier = d > 0 && distance <= frame;
        bool const later = d < 0 && distance < frames - frame;
        if (earlier) result.add(frame - distance);
        if (own) result.add(frame);
        if (later) result.add(frame + distance);
        return result;
    }

    /// The largest |offset|.
    [[nodiscard]] constexpr std::size_t reach() const noexcept {
        int result = 0;
        for (int const d : offsets_) result = std::max(result, d < 0 ? -d : d);
        return static_cast<std::size_t>(result);
    }

    /// How many heads read their own frame.
    [[nodiscard]] constexpr std::size_t spatial_heads() const noexcept { return heads_at(0).size(); }
    /// How many heads read another frame.
    [[nodiscard]] constexpr std::size_t temporal_heads() const noexcept { return heads() - spatial_heads(); }
    /// Whether this is the map of a plain image model.
    [[nodiscard]] constexpr bool is_identity() const noexcept { return temporal_heads() == 0; }
    /// The inverse view: which heads look at this offset. Valid as long as the map.
    [[nodiscard]] constexpr heads_at_offset heads_at(int wanted) const& noexcept { return {offsets(), wanted}; }
    heads_at_offset heads_at(int wanted) const&& = delete;

    /// Whether every offset keeps the conditions; true unless somebody wrote into `offsets_`.
    [[nodiscard]] constexpr bool is_valid() const noexcept {
        if (!frame_map_predicates::valid_head_count(heads())) return false;
        for (int const d : offsets_)
            if (!frame_map_predicates::valid_offset(d)) return false;
        return true;
    }

    template <std::size_t Other>
    [[nodiscard]] friend constexpr bool operator==(frame_map const& a, frame_map<Other> const& b) noexcept {
        return std::equal(a.offsets_.begin(), a.offsets_.end(), b.offsets_.begin(), b.offsets_.end());
    }

    storage offsets_{}; ///< public because template arguments ask for it; read it through offsets()

private:
    struct unfilled {};

    constexpr frame_map(unfilled, std::size_t heads) requires(Heads == dynamic)
        : offsets_(checked_head_count(heads), 0) {}
    constexpr frame_map(unfilled, std::size_t heads) requires(Heads != dynamic) {
        if (heads != Heads)
            detail::bad_frame_map("zeroi2v::frame_map: one offset per head is needed", heads);
    }

    [[nodiscard]] static constexpr std::size_t checked_head_count(std::size_t heads) {
        if (!frame_map_predicates::valid_head_count(heads))
            detail::bad_frame_map("zeroi2v::frame_map: number of heads is outside 1..65535", heads);
        return heads;
    }

    constexpr void assign(std::span<head_offset const> entries) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            set(entries[i]);
            if (!frame_map_predicates::first_of_its_head(entries, i))
                detail::bad_frame_map("zeroi2v::frame_map: head is given twice", entries[i].head);
        }
    }

    constexpr void set(head_offset entry) {
        if (!frame_map_predicates::valid_head(entry.head, heads()))
            detail::bad_frame_map("zeroi2v::frame_map: head is outside the map", entry.head);
        if (!frame_map_predicates::valid_offset(entry.offset))
            detail::bad_frame_map("zeroi2v::frame_map: offset is outside -32767..32767", entry.offset);
        offsets_[entry.head] = entry.offset;
    }
};

} // namespace zeroi2v
