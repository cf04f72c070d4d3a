// merge_report: how far the weights that a merge stored are from the product they stand for.
#pragma once

#include <zeroi2v/core/rounding.hpp>

#include <cstddef>
#include <limits>

namespace zeroi2v {

namespace detail {
// The larger of two measures; one that is not finite is the worst, and stays.
[[nodiscard]] constexpr double worse(double a, double b) noexcept {
    if (!is_finite(a) || !is_finite(b)) return std::numeric_limits<double>::infinity();
    return a < b ? b : a;
}
} // namespace detail

/// Measured on the stored elements, read back after the merge.
///
/// The expected value comes from another product than the one that was stored: W + scale W (W2 W1) against
/// W + scale (W W2) W1, in double, in plain loops, from the inputs. A unit is the distance between neighbours of the
/// stored type at the expected value; one rounding is at most half a unit away.
/// A line is a row of the weight for an adapter before the linear, and a column for one after it.
struct merge_report {
    std::size_t elements{};    ///< of weight and bias
    std::size_t with_delta{};  ///< elements whose product with the adapter is not zero in double
    std::size_t unchanged{};   ///< of these, the ones stored as the base's value: the type is too coarse for the delta
    double share_unchanged{};  ///< unchanged / with_delta; 0 where no element has a delta
    std::size_t compared{};    ///< elements compared one by one with the other product: up to 32 per line, and the bias
    double max_ulp{};          ///< the largest distance of a compared element, in units
    /// Every element of every line: |signed sum of the stored line - the same sum of the product|, over the sum of the
    /// line's half units; the largest of all lines. Correct rounding of all elements keeps it at most 1.
    double max_line_error{};

    /// Within one unit everywhere, and no line off by more than its roundings.
    [[nodiscard]] constexpr bool holds() const noexcept { return max_ulp <= 1 && max_line_error <= 1; }

    /// The report of two merges together.
    constexpr merge_report& operator+=(merge_report const& other) noexcept {
        elements += other.elements;
        with_delta += other.with_delta;
        unchanged += other.unchanged;
        share_unchanged = with_delta == 0 ? 0 : static_cast<double>(unchanged) / static_cast<double>(with_delta);
        compared += other.compared;
        max_ulp = detail::worse(max_ulp, other.max_ulp);
        max_line_error = detail::worse(max_line_error, other.max_line_error);
        return *this;
    }
};

} // namespace zeroi2v
