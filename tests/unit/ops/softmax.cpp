// softmax: against the formula in double, at every length and for every special row.
#include <zeroi2v/ops/softmax.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/reference/softmax.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

std::vector<float> softmax_of(kernel_table const& table, std::vector<float> const& x, std::size_t width) {
    serial_executor serial;
    std::vector<float> y(x.size());
    softmax(table, serial, {x.data(), x.size() / width, width}, {y.data(), x.size() / width, width});
    return y;
}

double row_sum(std::span<float const> row) {
    double sum = 0;
    for (float const value : row) sum += static_cast<double>(value);
    return sum;
}

} // namespace

TEST_CASE("softmax of every length from 1 to 1100, and of 1569 and 5000") {
    double worst = 0;
    double worst_sum = 0;
    for (std::size_t width = 1; width <= 1102; ++width) {
        std::size_t const length = width == 1101 ? 1569 : width == 1102 ? 5000 : width;
        auto x = normal_floats(3 * length, length);
        for (std::size_t i = length; i < 2 * length; ++i) x[i] *= 10;
        for (std::size_t i = 2 * length; i < 3 * length; ++i) x[i] = 3.0F; // all equal
        std::vector<double> want(x.size());
        reference::softmax(matrix_view<float const>{x.data(), 3, length}, matrix_view<double>{want.data(), 3, length});
        for (kernel_table const* table : tables()) {
            auto const y = softmax_of(*table, x, length);
            double const error = max_error(y, want, [&](std::size_t i) { return std::max(want[i], 1e-30); });
            worst = std::max(worst, error);
            CHECK_MESSAGE(error <= 1.2e-6, name_of(*table) << " length " << length << ": " << error);
            for (std::size_t row = 0; row < 3; ++row) {
                double const off = std::fabs(row_sum(std::span{y}.subspan(row * length, length)) - 1);
                worst_sum = std::max(worst_sum, off);
                CHECK_MESSAGE(off <= 1e-6, name_of(*table) << " length " << length << ": sum off by " << off);
            }
            if (length == 1)
                for (float const value : y) CHECK(value == 1.0F);
        }
    }
    MESSAGE("softmax: largest relative error " << worst << ", sums off by " << worst_sum);
}

TEST_CASE("softmax of huge, spread and special values") {
    for (kernel_table const* table : tables())
        for (std::size_t const width : {1U, 2U, 9U, 197U, 1569U}) {
            auto const base = normal_floats(width, width);
            for (float const size : {1e4F, 3e37F, 200.0F}) {
                auto x = base;
                for (float& value : x) value = std::clamp(value * size, -3e38F, 3e38F);
                if (width > 1) x[0] = 3e38F;
                if (width > 1) x[1] = -3e38F;
                auto const y = softmax_of(*table, x, width);
                for (float const value : y) CHECK((std::isfinite(value) && value >= 0));
                CHECK(std::fabs(row_sum(y) - 1) <= 1e-6);
            }
            CHECK(softmax_of(*table, std::vector<float>(width, -infinity), width) == std::vector<float>(width, 0.0F));
            CHECK(std::fabs(row_sum(softmax_of(*table, std::vector<float>(width, -3e38F), width)) - 1) <= 1e-6);
            for (float const bad : {infinity, std::numeric_limits<float>::quiet_NaN()})
                for (std::size_t const at : {std::size_t{0}, width / 2, width - 1})
                    for (float const rest : {1.0F, -infinity}) {
                        std::vector<float> x(3 * width, rest);
                        std::copy(base.begin(), base.end(), x.begin());
                        std::copy(base.begin(), base.end(), x.begin() + static_cast<std::ptrdiff_t>(2 * width));
                        x[width + at] = bad;
                        auto const y = softmax_of(*table, x, width);
                        CHECK(same_bits(std::span{y}.first(width), softmax_of(*table, base, width)));
                        CHECK(same_bits(std::span{y}.last(width), softmax_of(*table, base, width)));
                        for (std::size_t i = width; i < 2 * width; ++i) CHECK(std::isnan(y[i]));
                    }
            if (width > 2) { // one -inf among finite values is a zero
                auto x = base;
                x[2] = -infinity;
                auto const y = softmax_of(*table, x, width);
                CHECK(y[2] == 0.0F);
                CHECK(std::fabs(row_sum(y) - 1) <= 1e-6);
            }
        }
}

TEST_CASE("softmax: the same bits in place, for every number of threads, at any stride; nothing else is touched") {
    for (kernel_table const* table : tables())
        for (std::size_t const width : {1U, 3U, 8U, 17U, 33U, 100U}) {
            std::size_t const rows = 37;
            auto const x = normal_floats(rows * width, width);
            auto const want = softmax_of(*table, x, width);
            for (int const threads : {1, 2, 3, 8, 64}) {
                thread_team team{threads};
                auto y = x;
                softmax(*table, team, {y.data(), rows, width}, {y.data(), rows, width});
                CHECK(same_bits(y, want));
            }
            serial_executor serial;
            for (auto const where : {guarded<float>::end::front, guarded<float>::end::back}) {
                guarded<float> in{width, where}, out{width, where};
                std::copy_n(x.begin(), width, in.data());
                softmax(*table, serial, {in.data(), 1, width}, {out.data(), 1, width});
                CHECK(same_bits(out.span(), std::span{want}.first(width)));
            }
        }
    serial_executor serial;
    std::vector<float> x(6);
    CHECK_THROWS_AS(softmax(*tables().front(), serial, {x.data(), 2, 3}, {x.data(), 3, 2}), precondition_error);
}

TEST_CASE("softmax at any stride, and what it refuses") {
    serial_executor serial;
    std::size_t const rows = 5, width = 7, stride = 10;
    auto const x = normal_floats(rows * width, 3);
    for (kernel_table const* table : tables()) {
        auto const want = softmax_of(*table, x, width);
        std::vector<float> spread(rows * stride, -7.0F), out(rows * (stride + 1), -7.0F);
        for (std::size_t i = 0; i < x.size(); ++i) spread[i / width * stride + i % width] = x[i];
        softmax(*table, serial, {spread.data(), rows, width, stride}, {out.data(), rows, width, stride + 1});
        for (std::size_t i = 0; i < out.size(); ++i) {
            std::size_t const row = i / (stride + 1), column = i % (stride + 1);
            if (out[i] != (column < width ? want[row * width + column] : -7.0F)) FAIL_CHECK("element " << i);
        }
        std::vector<float> y(6, -1.0F);
        CHECK_THROWS_WITH_AS(softmax(*table, serial, {x.data(), 2, 3}, {y.data(), 1, 3}), "zeroi2v::softmax: y must have the shape of x", precondition_error);
        CHECK_THROWS_WITH_AS(softmax(*table, serial, {x.data(), 2, 3}, {y.data(), 2, 2}), "zeroi2v::softmax: y must have the shape of x", precondition_error);
        CHECK_NOTHROW(softmax(*table, serial, {x.data(), 0, 3}, {y.data(), 0, 3}));
        CHECK(y == std::vector<float>(6, -1.0F));
    }
}
