// layer_norm: against the formula in double, at every width and at the ends of float's range.
#include <zeroi2v/ops/layer_norm.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/reference/layer_norm.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

struct norm {
    std::vector<float> y;
    std::vector<double> want;
};

norm compute(kernel_table const& table, std::vector<float> const& x, std::size_t width, std::vector<float> const& weight,
             std::vector<float> const& bias, float eps) {
    serial_executor serial;
    std::size_t const rows = x.size() / width;
    norm result{std::vector<float>(x.size()), std::vector<double>(x.size())};
    layer_norm(table, serial, {x.data(), rows, width}, weight, bias, {result.y.data(), rows, width}, eps);
    reference::layer_norm(matrix_view<float const>{x.data(), rows, width}, std::span<float const>{weight}, std::span<float const>{bias},
                          matrix_view<double>{result.want.data(), rows, width}, static_cast<double>(eps));
    return result;
}

auto const one = [](std::size_t) { return 1.0; };

} // namespace

TEST_CASE("layer_norm of every width from 1 to 1100") {
    double worst = 0;
    double worst_l2 = 0;
    for (std::size_t width = 1; width <= 1100; ++width) {
        auto const x = normal_floats(3 * width, width);
        auto const weight = random_floats(width, width + 1, 0.5F, 1.5F);
        auto const bias = random_floats(width, width + 2);
        std::vector<float> first;
        for (kernel_table const* table : tables()) {
            auto const [y, want] = compute(*table, x, width, weight, bias, 1e-5F);
            double const error = max_error(y, want, one);
            double const l2 = relative_l2(y, want);
            worst = std::max(worst, error);
            worst_l2 = std::max(worst_l2, l2);
            CHECK_MESSAGE((error <= 2e-6 && l2 <= 5e-7), name_of(*table) << " width " << width << ": " << error << ", L2 " << l2);
        }
    }
    MESSAGE("layer_norm: largest error " << worst << ", relative L2 " << worst_l2);
}

TEST_CASE("layer_norm of rows without variance, of large equal values with noise, and at the ends of the range") {
    for (kernel_table const* table : tables())
        for (std::size_t const width : {1U, 2U, 7U, 64U, 768U, 1024U}) {
            std::vector<float> const weight(width, 2.0F);
            std::vector<float> const bias(width, 0.5F);
            for (float const eps : {0.0F, 1e-5F})
                for (float const value : {0.0F, -0.0F, 1.0F, -3.25F, 1e6F, 1e18F, 1e-30F, 1e-42F}) {
                    auto const [y, want] = compute(*table, std::vector<float>(width, value), width, weight, bias, eps);
                    for (float const element : y) CHECK(element == 0.5F);
                }
            if (width < 7) continue;
            std::vector<float> const ones(width, 1.0F);
            std::vector<float> const zeros(width, 0.0F);
            auto const noise = normal_floats(width, width);
            for (auto const& input : {std::pair{1e6F, 1e-3F}, {1e6F, 1.0F}, {1e4F, 1e-3F}, {0.0F, 1e18F}, {0.0F, 1e17F}, {1e18F, 1e15F},
                                      {0.0F, 3e22F}, {0.0F, 1e-10F}, {0.0F, 1e-18F}, {0.0F, 1e-20F}, {0.0F, 1e-30F}}) {
                float const center = input.first, size = input.second;
                std::vector<float> x(width);
                for (std::size_t i = 0; i < width; ++i) x[i] = center + size * noise[i];
                for (float const eps : {1e-5F, 0.0F}) {
                    auto const [y, want] = compute(*table, x, width, ones, zeros, eps);
                    bool const nothing = std::all_of(x.begin(), x.end(), [&](float v) { return v == x[0]; });
                    if (nothing || (eps != 0 && size < 1e-12F)) {
                        for (std::size_t i = 0; i < width; ++i) CHECK(std::fabs(static_cast<double>(y[i]) - want[i]) <= 1e-12);
                        continue;
                    }
                    double const error = max_error(y, want, one);
                    CHECK_MESSAGE(error <= 2e-6, name_of(*table) << " width " << width << " center " << center << " noise " << size
                                                                 << " eps " << eps << ": " << error);
                }
            }
        }
}

TEST_CASE("a NaN or an infinity stays in its row") {
    std::size_t const width = 45;
    for (kernel_table const* table : tables())
        for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
            for (std::size_t const at : {0U, 31U, 44U}) {
                auto x = normal_floats(3 * width, 1);
                std::vector<float> const ones(width, 1.0F);
                auto const good = compute(*table, x, width, ones, ones, 1e-5F).y;
                x[width + at] = bad;
                auto const y = compute(*table, x, width, ones, ones, 1e-5F).y;
                CHECK(same_bits(std::span{y}.first(width), std::span{good}.first(width)));
                CHECK(same_bits(std::span{y}.last(width), std::span{good}.last(width)));
                for (std::size_t i = width; i < 2 * width; ++i) CHECK(std::isnan(y[i]));
            }
}

TEST_CASE("layer_norm: the same bits in place, at any stride and alignment, for every number of threads; nothing else is touched") {
    for (kernel_table const* table : tables())
        for (std::size_t const width : {1U, 3U, 8U, 17U, 33U, 100U}) {
            std::size_t const rows = 37;
            auto const x = normal_floats(rows * width, width);
            auto const weight = normal_floats(width, 1);
            auto const bias = normal_floats(width, 2);
            auto const want = compute(*table, x, width, weight, bias, 1e-5F).y;
            for (int const threads : {1, 2, 3, 8, 64}) {
                thread_team team{threads};
                auto y = x;
                layer_norm(*table, team, {y.data(), rows, width}, weight, bias, {y.data(), rows, width});
                CHECK(same_bits(y, want));
            }
            serial_executor serial;
            std::vector<float> spread(rows * (width + 3) + 1, -7.0F), y(rows * width);
            for (std::size_t i = 0; i < x.size(); ++i) spread[1 + i / width * (width + 3) + i % width] = x[i];
            matrix_view<float> const strided{spread.data() + 1, rows, width, width + 3};
            layer_norm(*table, serial, strided, weight, bias, strided);
            for (std::size_t i = 0; i < x.size(); ++i) y[i] = strided.row(i / width)[i % width];
            CHECK(same_bits(y, want));
            CHECK(std::count(spread.begin(), spread.end(), -7.0F) == static_cast<std::ptrdiff_t>(3 * rows + 1));
            for (auto const where : {guarded<float>::end::front, guarded<float>::end::back}) {
                guarded<float> in{width, where}, out{width, where}, scale{width, where}, shift{width, where};
                std::copy_n(x.begin(), width, in.data());
                std::copy_n(weight.begin(), width, scale.data());
                std::copy_n(bias.begin(), width, shift.data());
                layer_norm(*table, serial, {in.data(), 1, width}, scale.span(), shift.span(), {out.data(), 1, width});
                CHECK(same_bits(out.span(), std::span{want}.first(width)));
            }
        }
}

TEST_CASE("layer_norm refuses shapes that do not fit") {
    kernel_table const& table = *tables().front();
    serial_executor serial;
    std::vector<float> x(6), w(3), short_w(2);
    CHECK_THROWS_AS(layer_norm(table, serial, {x.data(), 2, 3}, w, short_w, {x.data(), 2, 3}), precondition_error);
    CHECK_THROWS_AS(layer_norm(table, serial, {x.data(), 2, 3}, w, w, {x.data(), 3, 2}), precondition_error);
    layer_norm(table, serial, {x.data(), 0, 3}, w, w, {x.data(), 0, 3});
}

TEST_CASE("layer_norm of differences as large as float has, and of a row so long that its mean is far off") {
    for (kernel_table const* table : tables()) {
        for (float const size : {1e38F, 1.7e38F, 3e38F}) // the largest power of two that still has an inverse, and beyond
            for (std::size_t const width : {2U, 8U, 19U}) {
                std::vector<float> x(width, 0.0F);
                x[0] = size;
                x[1] = -size;
                std::vector<float> const ones(x.size(), 1.0F), zeros(x.size(), 0.0F);
                for (float const eps : {0.0F, 1e-5F}) {
                    auto const [y, want] = compute(*table, x, x.size(), ones, zeros, eps);
                    CHECK_MESSAGE(max_error(y, want, one) <= 2e-6, name_of(*table) << " size " << size << " width " << width);
                }
            }
        std::size_t const width = 300'000;
        std::vector<float> const weight(width, 2.0F), bias(width, 0.5F);
        for (std::size_t i = 0; i < 8; ++i) {
            counter_rng const rng{i};
            auto const y = compute(*table, std::vector<float>(width, rng.normal(0)), width, weight, bias, 0.0F).y;
            CHECK(std::all_of(y.begin(), y.end(), [](float value) { return std::fabs(value - 0.5F) < 0.1F; }));
        }
    }
}

TEST_CASE("layer_norm: each argument that does not fit is refused with its sentence") {
    kernel_table const& table = *tables().front();
    serial_executor serial;
    std::vector<float> x(6, 1.0F), y(6, -1.0F), w(3), longer(4);
    char const* const of_y = "zeroi2v::layer_norm: y must have the shape of x";
    char const* const of_weights = "zeroi2v::layer_norm: weight and bias must have one value per column";
    CHECK_THROWS_WITH_AS(layer_norm(table, serial, {x.data(), 2, 3}, w, w, {y.data(), 1, 3}), of_y, precondition_error);
    CHECK_THROWS_WITH_AS(layer_norm(table, serial, {x.data(), 2, 3}, w, w, {y.data(), 2, 2}), of_y, precondition_error);
    CHECK_THROWS_WITH_AS(layer_norm(table, serial, {x.data(), 2, 3}, longer, w, {y.data(), 2, 3}), of_weights, precondition_error);
    CHECK_THROWS_WITH_AS(layer_norm(table, serial, {x.data(), 2, 3}, w, longer, {y.data(), 2, 3}), of_weights, precondition_error);
    CHECK(y == std::vector<float>(6, -1.0F));
}
