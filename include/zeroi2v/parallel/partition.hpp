// partition: which part of a range each worker takes; a pure function of the numbers, so never a race.
#pragma once

#include <cstddef>

namespace zeroi2v {

/// A half-open range of indices.
struct index_range {
    std::size_t begin{};
    std::size_t end{};

    [[nodiscard]] constexpr std::size_t size() const noexcept { return end - begin; }
    [[nodiscard]] constexpr bool empty() const noexcept { return begin == end; }
    friend constexpr bool operator==(index_range, index_range) noexcept = default;
};

/// Part `part` of `parts` of [0, count), cut at multiples of `multiple` only.
///
/// Post-condition  the parts are in order, disjoint, and cover [0, count); their sizes, counted in multiples, differ by
///                 at most one, the longer ones first.
/// Test            tests/unit/parallel/partition.cpp
[[nodiscard]] constexpr index_range partition(std::size_t count, std::size_t parts, std::size_t part,
                                              std::size_t multiple = 1) noexcept {
    std::size_t const units = count / multiple + (count % multiple != 0 ? 1U : 0U);
    std::size_t const each = units / parts;
    std::size_t const longer = units % parts;
    std::size_t const first = part * each + (part < longer ? part : longer);
    std::size_t const last = first + each + (part < longer ? 1U : 0U);
    std::size_t const begin = first * multiple;
    std::size_t const end = last * multiple;
    return {begin < count ? begin : count, end < count ? end : count};
}

/// The length of blocks that cut `count` into as few as blocks of at most `most` can, and into equal ones as far as multiples of
/// `multiple` allow. At least 1.
///
/// Test  tests/unit/parallel/partition.cpp
[[nodiscard]] constexpr std::size_t even_block(std::size_t count, std::size_t most, std::size_t multiple = 1) noexcept {
    std::size_t const blocks = most == 0 || count == 0 ? 1 : (count - 1) / most + 1;
    std::size_t const even = ((count + blocks - 1) / blocks + multiple - 1) / multiple * multiple;
    std::size_t const length = even < most ? even : most;
    return length == 0 ? 1 : length;
}

} // namespace zeroi2v
