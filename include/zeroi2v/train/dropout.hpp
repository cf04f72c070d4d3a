// dropout: which values are dropped is a function of seed, step, place and index, so of no thread and no order.
#pragma once

#include <zeroi2v/core/random.hpp>

#include <cstddef>
#include <cstdint>

namespace zeroi2v {

/// One dropout layer at one step for one sample: value (r,c) is dropped, or divided by 1 - rate.
///
///   keep(r,c) = uniform of stream (place, step) at index ((sample * rows + r * row_step) * columns + c)  >=  rate
///
/// Test  tests/unit/train/parts.cpp; tests/unit/train/dropout.cpp, in a whole model
class dropout {
public:
    /// Places: one number per dropout layer of a model.
    static constexpr std::uint64_t head_place = 1;
    /// Adapter `which` (0..6, in the order of the forward pass) of block `block`.
    [[nodiscard]] static constexpr std::uint64_t adapter_place(std::size_t block, std::size_t which) noexcept {
        return 8 * (static_cast<std::uint64_t>(block) + 1) + which;
    }

    /// Keeps everything.
    constexpr dropout() noexcept : rng_{0} {}
    /// `rows`: rows of one sample.
    constexpr dropout(double rate, std::uint64_t seed, std::uint64_t step, std::uint64_t place, std::uint64_t sample, std::uint64_t rows) noexcept
        : rng_{seed, place << 40U ^ step}, threshold_{threshold(rate)}, scale_{rate < 1 ? static_cast<float>(1 / (1 - rate)) : 0.0F},
          first_row_{sample * rows} {}

    [[nodiscard]] constexpr bool drops() const noexcept { return threshold_ != 0; }

    /// The same, where row 0 is row `row` of the sample.
    [[nodiscard]] constexpr dropout from(std::uint64_t row) const noexcept {
        dropout rest = *this;
        rest.first_row_ += row;
        return rest;
    }

    /// Drops values of rows [first, last) of x (rows, columns), row r being row r * row_step of the sample. Used for the values and for their gradient alike.
    constexpr void apply(float* x, std::size_t columns, std::size_t first, std::size_t last, std::size_t row_step = 1) const noexcept {
        if (!drops()) return;
        for (std::size_t r = first; r < last; ++r) {
            std::uint64_t const at = (first_row_ + r * row_step) * columns;
            float* const row = x + r * columns;
            for (std::size_t c = 0; c < columns;) {
                auto const words = rng_.four((at + c) >> 2U);
                for (std::size_t i = (at + c) & 3U; i < 4 && c < columns; ++i, ++c) row[c] = (words[i] >> 8U) >= threshold_ ? row[c] * scale_ : 0.0F;
            }
        }
    }

private:
    [[nodiscard]] static constexpr std::uint32_t threshold(double rate) noexcept {
        return rate <= 0 ? 0U : rate >= 1 ? 0x1000000U : static_cast<std::uint32_t>(rate * 0x1p24);
    }

    counter_rng rng_;
    std::uint32_t threshold_ = 0; // of 2^24
    float scale_ = 1;
    std::uint64_t first_row_ = 0;
};

} // namespace zeroi2v
