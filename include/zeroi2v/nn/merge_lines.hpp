// merge_lines: rows or columns of a weight multiplied by an adapter in double, stored with one rounding, read back.
#pragma once

#include <zeroi2v/core/config.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/nn/element_matrix.hpp>
#include <zeroi2v/nn/merge_report.hpp>
#include <zeroi2v/parallel/partition.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace zeroi2v::detail {

// All operands of an adapter as matrices; vectors are one row.
struct adapter_elements {
    element_matrix w1, b1, w2, b2; // (R,C), (R), (C,R), (C)
};

// Lines of one block. A bound of 32 rows in the type keeps Eigen from using threads of its own.
inline constexpr std::size_t merge_block = 32;
// Elements of a line that are compared one by one.
inline constexpr std::size_t merge_samples = 32;

[[nodiscard]] inline std::vector<double> load_all(element_matrix const& m) {
    std::vector<double> values(m.rows * m.columns);
    m.load(0, m.rows, values.data());
    return values;
}

// Stores base + change at (r,c) with one rounding; an element without a change keeps its bits. False: not finite, and what is stored is of no use.
template <weight_element Result>
[[nodiscard]] bool put_merged(element_matrix_out const& stored, std::size_t r, std::size_t c, double base,
                              double change, merge_report& report) noexcept {
    if (!is_finite(change)) return false; // first: to a compiler that knows no NaN, what follows may say that it is 0
    auto const result = round_to<Result>(change == 0 ? base : base + change);
    stored.set<Result>(r, c, result);
    if (change != 0) {
        ++report.with_delta;
        report.unchanged += to_double(result) == to_double(round_to<Result>(base)) ? 1U : 0U;
    }
    return is_finite(to_double(result));
}

template <weight_element Result>
void compare_merged(double found, double expected, merge_report& report) noexcept {
    report.max_ulp = worse(report.max_ulp, std::abs(found - expected) / ulp<Result>(expected));
    ++report.compared;
}

// One adapter and the lines of a weight it changes: line + scale * line * M * N, with M = W2, N = W1 before the linear
// and M = W1^T, N = W2^T after it, where lines are columns.
class line_merge {
public:
    line_merge(element_matrix lines, element_matrix_out stored, index_range range, adapter_elements const& adapter,
               bool is_before, double scale)
        : lines_{lines}, stored_{stored}, range_{range}, width_{lines.columns}, rank_{adapter.w1.rows}, scale_{scale},
          m_{load_all(is_before ? adapter.w2 : adapter.w1.transposed())},
          n_{load_all(is_before ? adapter.w1 : adapter.w2.transposed())} {}

    [[nodiscard]] std::size_t blocks() const noexcept { return (range_.size() + merge_block - 1) / merge_block; }

    // Stores one block of lines; false where something is not finite.
    template <weight_element Result>
    [[nodiscard]] bool store(std::size_t block, merge_report& report) const {
        index_range const range = lines_of(block);
        std::size_t const begin = range.begin;
        std::size_t const count = range.size();
        std::vector<double> line(count * width_);
        std::vector<double> hidden(count * rank_);
        std::vector<double> delta(count * width_);
        lines_.load(begin, count, line.data());

        constexpr auto any = Eigen::Dynamic;
        using rows = Eigen::Matrix<double, any, any, Eigen::RowMajor, int{merge_block}, any>;
        using matrix = Eigen::Matrix<double, any, any, Eigen::RowMajor>;
        auto const index = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
        Eigen::Map<rows const> const x{line.data(), index(count), index(width_)};
        Eigen::Map<matrix const> const m{m_.data(), index(width_), index(rank_)};
        Eigen::Map<matrix const> const n{n_.data(), index(rank_), index(width_)};
        Eigen::Map<rows> h{hidden.data(), index(count), index(rank_)};
        Eigen::Map<rows> d{delta.data(), index(count), index(width_)};
        if (rank_ != 0) {
            h.noalias() = x * m;
            d.noalias() = h * n;
        }
        bool finite = true;
        auto const element = [&](std::size_t i, std::size_t c) {
            double const base = line[i * width_ + c];
            double const change = scale_ * delta[i * width_ + c];
            finite &= put_merged<Result>(stored_, begin + i, c, base, change, report);
        };
        if (stored_.column_stride <= stored_.row_stride) {
            for (std::size_t i = 0; i < count; ++i)
                for (std::size_t c = 0; c < width_; ++c) element(i, c);
        } else {
            for (std::size_t c = 0; c < width_; ++c)
                for (std::size_t i = 0; i < count; ++i) element(i, c);
        }
        return finite;
    }

    // What all blocks of `measure` need, once: the sampled columns of M N, and signs with the product's answer to them.
    void prepare_measure() {
        std::size_t const samples = std::min(width_, merge_samples);
        for (std::size_t j = 0; j < samples; ++j) sampled_.push_back(j * width_ / samples);
        columns_.assign(width_ * merge_samples, 0.0);
        signs_.resize(width_);
        std::uint64_t state = 0x9E3779B97F4A7C15U;
        for (double& sign : signs_) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            sign = (state >> 63) != 0 ? 1.0 : -1.0;
        }
        std::vector<double> n_signs(rank_, 0.0);
        std::vector<double> n_sampled(rank_ * merge_samples, 0.0);
        for (std::size_t r = 0; r < rank_; ++r) {
            for (std::size_t c = 0; c < width_; ++c) n_signs[r] += n_[r * width_ + c] * signs_[c];
            for (std::size_t j = 0; j < samples; ++j) n_sampled[r * merge_samples + j] = n_[r * width_ + sampled_[j]];
        }
        answer_.assign(width_, 0.0);
        for (std::size_t k = 0; k < width_; ++k)
            for (std::size_t r = 0; r < rank_; ++r) {
                double const m = m_[k * rank_ + r];
                answer_[k] += m * n_signs[r];
                add_scaled(m, n_sampled.data() + r * merge_samples, columns_.data() + k * merge_samples);
            }
    }

    // Reads one block back and compares it with W + scale W (M N).
    template <weight_element Result>
    void measure(std::size_t block, merge_report& report) const {
        index_range const range = lines_of(block);
        std::size_t const begin = range.begin;
        std::size_t const count = range.size();
        std::vector<double> line(count * width_);
        std::vector<double> found(count * width_);
        lines_.load(begin, count, line.data());
        stored_.as_const().load(begin, count, found.data());
        for (std::size_t i = 0; i < count; ++i) {
            double const* const w = line.data() + i * width_;
            double const* const f = found.data() + i * width_;
            std::array<double, merge_samples> product{};
            for (std::size_t k = 0; k < width_; ++k)
                add_scaled(w[k], columns_.data() + k * merge_samples, product.data());
            for (std::size_t j = 0; j < sampled_.size(); ++j)
                compare_merged<Result>(f[sampled_[j]], w[sampled_[j]] + scale_ * product[j], report);

            double difference = 0;
            double allowed = 0;
            double size = 0;
            for (std::size_t k = 0; k < width_; ++k) {
                double const expected = scale_ * (w[k] * answer_[k]);
                difference += (f[k] - w[k]) * signs_[k] - expected;
                allowed += ulp<Result>(f[k]) / 2;
                size += std::abs(f[k]) + std::abs(w[k]) + std::abs(expected);
            }
            // The sum itself was rounded too: 2^-52 per term, far below `allowed` unless elements are doubles.
            allowed += size * static_cast<double>(width_ + rank_) * 0x1p-52;
            if (width_ != 0) report.max_line_error = worse(report.max_line_error, std::abs(difference) / allowed);
        }
    }


private:
    static void add_scaled(double factor, double const* ZEROI2V_RESTRICT x, double* ZEROI2V_RESTRICT sum) noexcept {
        for (std::size_t j = 0; j < merge_samples; ++j) sum[j] += factor * x[j];
    }

    [[nodiscard]] index_range lines_of(std::size_t block) const noexcept {
        std::size_t const begin = range_.begin + block * merge_block;
        return {begin, std::min(begin + merge_block, range_.end)};
    }

    element_matrix lines_;
    element_matrix_out stored_;
    index_range range_;
    std::size_t width_;
    std::size_t rank_;
    double scale_;
    std::vector<double> m_; // (C,R)
    std::vector<double> n_; // (R,C)
    std::vector<std::size_t> sampled_;
    std::vector<double> columns_; // (C,merge_samples)
    std::vector<double> signs_;   // (C)
    std::vector<double> answer_;  // (C)
};

} // namespace zeroi2v::detail
